//! Visitors and services that change to another protocol (RFC 9110 section 7.8).

use hvym_http1::ResponseHead;
use hvym_proxy::{Closing, ExchangeError, LocalBody};

use crate::rig::{GET, Rig, Said};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";

#[test]
fn a_service_changes_to_a_protocol_that_the_visitor_offers_or_gets_no_further() {
    for (offered, fields, is_good) in [
        ("websocket", "Connection: Upgrade\r\nUpgrade: WebSocket\r\n", true),
        ("a/1, websocket", "Connection: Upgrade\r\nUpgrade: a/1\r\n", true),
        ("websocket", "Connection: Upgrade\r\nUpgrade: h2c\r\n", false),
        ("websocket", "Connection: Upgrade\r\nUpgrade: websocket, h2c\r\n", false),
        ("websocket", "Connection: Upgrade\r\n", false),
        ("websocket", "", false),
        // An upgrade that offers HTTP/2 is none.
        ("h2c", "Connection: Upgrade\r\nUpgrade: h2c\r\n", false),
    ] {
        let mut rig = Rig::new();
        rig.visit(format!("GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: {offered}\r\n\r\n"));
        rig.drained();
        rig.answer(format!("HTTP/1.1 101 Switching Protocols\r\n{fields}\r\nlate"));
        let said = rig.drained();
        if is_good {
            assert_eq!(said, [Said::Answered(101), Said::Upgraded], "{fields}");
            continue;
        }
        assert_eq!(said, [Said::Released(false), Said::Failed(ExchangeError::BadResponse)], "{fields}");
        let page = ResponseHead::new(502, "Bad Gateway");
        rig.exchange.respond(page, LocalBody::Length(0), rig.now).expect("a head");
        rig.exchange.end_local_body(&[], rig.now);
        rig.run();
        let seen = rig.seen();
        assert!(seen.starts_with("HTTP/1.1 502 ") && seen.contains("Connection: close"), "{seen}");
        assert_eq!(rig.drained().last(), Some(&Said::Closed(Closing::Orderly)), "{fields}");
    }
}

#[test]
fn both_sides_speak_another_protocol_after_a_101_and_keep_what_came_early() {
    let mut rig = Rig::new();
    rig.visit("GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nearly");
    rig.answer("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nlate");
    assert_eq!(rig.drained()[2..], [Said::Answered(101), Said::Upgraded]);
    assert!(rig.seen().starts_with("HTTP/1.1 101 "));
    let (to_visitor, to_service) = rig.exchange.into_tunnel();
    let text = |queue: &hvym_proxy::SendQueue| queue.buffers().flatten().copied().collect::<Vec<u8>>();
    assert_eq!((text(&to_visitor).as_slice(), text(&to_service).as_slice()), (&b"late"[..], &b"early"[..]));
}

#[test]
fn an_upgrade_that_is_declined_leaves_the_next_request_where_it_is() {
    let mut rig = Rig::new();
    rig.visit(format!("GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n{GET}"));
    rig.answer(OK);
    assert!(rig.asked().ends_with(GET));
}

#[test]
fn the_runner_may_change_to_another_protocol_itself() {
    let mut rig = Rig::new();
    rig.forwards = false;
    rig.visit("GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nearly");
    rig.drained();
    let mut head = ResponseHead::new(101, "Switching Protocols");
    head.headers.push("Upgrade", "x");
    rig.exchange.respond(head, LocalBody::Streamed, rig.now).expect("a head");
    rig.run();
    assert_eq!(rig.seen(), "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n");
    assert_eq!((rig.drained(), rig.deadline()), (vec![Said::Upgraded], None));
    rig.visit("more");
    assert_eq!(rig.drained(), [], "nothing is taken for a request");
}
