//! Requests that the runner answers itself, refused ones among them.

use bytes::Bytes;
use hvym_http1::{RequestError, ResponseHead};
use hvym_proxy::{Closing, HeadRefusal, LocalBody, ProxyConfig, RequestBody};

use crate::rig::{GET, POST, Rig, Said};

#[test]
fn a_refused_head_is_answered_in_its_turn_and_nothing_behind_it_is_read() {
    let mut rig = Rig::new();
    rig.visit(format!("{GET}GET /x HTTP/1.1\r\n\r\n{GET}"));
    rig.answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
    let refused = Said::Refused(HeadRefusal::Head(RequestError::HostMissing));
    assert_eq!(rig.drained().last(), Some(&refused));
    let page = ResponseHead::new(400, "Bad Request");
    rig.exchange.respond(page, LocalBody::Length(2), rig.now).expect("a head");
    rig.exchange.send_local_body(Bytes::from("no"), rig.now);
    rig.exchange.end_local_body(&[], rig.now);
    rig.run();
    assert!(
        rig.seen().ends_with("HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
    );
    assert_eq!(rig.drained(), [Said::Finished, Said::Closed(Closing::Orderly)]);
}

#[test]
fn a_refused_head_that_asks_for_no_body_gets_none() {
    for (method, body) in [("HEAD", ""), ("GET", "no")] {
        let mut rig = Rig::new();
        rig.visit(format!("\r\n{method} /x HTTP/1.1\r\n\r\n"));
        let head = "HTTP/1.1 400 X\r\nContent-Length: 2\r\nConnection: close\r\n\r\n";
        assert_eq!(respond(&mut rig, 400, LocalBody::Length(2), "no"), format!("{head}{body}"));
    }
}

/// Answers the request of the rig with `head` and `body` by the runner itself.
fn respond(rig: &mut Rig, status: u16, length: LocalBody, body: &str) -> String {
    rig.exchange.respond(ResponseHead::new(status, "X"), length, rig.now).expect("a head");
    rig.exchange.send_local_body(Bytes::copy_from_slice(body.as_bytes()), rig.now);
    rig.exchange.end_local_body(b"X-T: 1\r\n", rig.now);
    rig.run();
    rig.seen()
}

#[test]
fn only_an_answer_that_changes_the_protocol_leaves_out_that_the_connection_ends() {
    let upgrade = "GET /a HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    for (request, status, ends) in [(upgrade, 101, false), (upgrade, 403, true), (GET, 403, true)] {
        let mut rig = Rig::new();
        rig.forwards = false;
        rig.exchange.drain(std::time::Duration::from_secs(1), rig.now);
        rig.visit(request);
        let seen = respond(&mut rig, status, LocalBody::Length(0), "");
        assert_eq!(seen.contains("Connection: close"), ends, "{status} for {request}");
    }
}

#[test]
fn the_runner_may_answer_itself_in_the_framing_that_the_visitor_reads() {
    let cases: [(&str, u16, LocalBody, &str); 6] = [
        (GET, 200, LocalBody::Length(2), "HTTP/1.1 200 X\r\nContent-Length: 2\r\n\r\nok"),
        (
            GET,
            200,
            LocalBody::Streamed,
            "HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-T: 1\r\n\r\n",
        ),
        (
            "HEAD /a HTTP/1.1\r\nHost: h\r\n\r\n",
            200,
            LocalBody::Length(2),
            "HTTP/1.1 200 X\r\nContent-Length: 2\r\n\r\n",
        ),
        (GET, 304, LocalBody::Length(2), "HTTP/1.1 304 X\r\n\r\n"),
        (
            "GET /a HTTP/1.0\r\nHost: h\r\n\r\n",
            200,
            LocalBody::Streamed,
            "HTTP/1.0 200 X\r\nConnection: close\r\n\r\nok",
        ),
        (
            POST,
            503,
            LocalBody::Length(2),
            "HTTP/1.1 503 X\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
        ),
    ];
    for (request, status, length, expected) in cases {
        let mut rig = Rig::new();
        rig.connects = false;
        rig.visit(request);
        assert_eq!(respond(&mut rig, status, length, "ok"), expected, "{request}");
    }
    // Also one that was announced, and came without being waited for.
    let mut hasty = Rig::new();
    hasty.connects = false;
    hasty.visit(POST.replace("Content-Length", "Expect: 100-continue\r\nContent-Length") + "hello");
    assert!(!respond(&mut hasty, 503, LocalBody::Length(2), "ok").contains("close"));
    // A body that is there already is read over, and the connection goes on.
    let mut rig = Rig::new();
    rig.connects = false;
    rig.visit(format!("{POST}hello"));
    assert!(!respond(&mut rig, 503, LocalBody::Length(2), "ok").contains("close"));
    rig.visit(GET);
    assert_eq!(rig.said.iter().filter(|said| matches!(said, Said::Request(_))).count(), 2);
}

#[test]
fn the_runner_reads_a_body_as_payload_and_asks_for_it_by_reading() {
    let mut rig = Rig::new();
    rig.forwards = false;
    rig.visit("POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n");
    assert_eq!(rig.seen(), "");
    assert_eq!(rig.exchange.poll_local_body(rig.now), None);
    rig.run();
    assert_eq!(rig.seen(), "HTTP/1.1 100 Continue\r\n\r\n");
    rig.visit("2\r\nab\r\n0\r\nX-A: 1\r\n\r\n");
    let mut body = || rig.exchange.poll_local_body(rig.now);
    assert_eq!(body(), Some(RequestBody::Data(Bytes::from("ab"))));
    assert_eq!(body(), Some(RequestBody::Trailers(Bytes::from("X-A: 1\r\n"))));
    assert_eq!((body(), body()), (Some(RequestBody::End), None));
    // A visitor that waits for nothing is told nothing, and nobody is told twice.
    for (expectation, told) in [("", ""), ("Expect: 100-continue\r\n", "HTTP/1.1 100 Continue\r\n\r\n")] {
        let mut rig = Rig::new();
        rig.forwards = false;
        rig.visit(POST.replace("Content-Length", &format!("{expectation}Content-Length")));
        for _ in 0..2 {
            assert_eq!(rig.exchange.poll_local_body(rig.now), None);
        }
        rig.run();
        assert_eq!(rig.seen(), told);
    }
}

#[test]
fn the_length_that_a_head_of_the_runner_names_is_replaced_by_its_framing() {
    let mut rig = Rig::new();
    rig.connects = false;
    rig.visit(GET);
    let mut head = ResponseHead::new(200, "OK");
    head.headers.push("Content-Length", Bytes::from("7"));
    rig.exchange.respond(head, LocalBody::Streamed, rig.now).expect("a head");
    rig.run();
    assert_eq!(rig.seen(), "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
}

#[test]
fn a_runner_may_begin_its_response_before_it_has_read_the_request() {
    let mut rig = Rig::new();
    rig.forwards = false;
    rig.visit(format!("{POST}he"));
    assert_eq!(rig.exchange.poll_local_body(rig.now), Some(RequestBody::Data(Bytes::from("he"))));
    rig.exchange.respond(ResponseHead::new(200, "OK"), LocalBody::Streamed, rig.now).expect("a head");
    rig.visit("llo");
    assert_eq!(rig.exchange.poll_local_body(rig.now), Some(RequestBody::Data(Bytes::from("llo"))));
    assert_eq!(rig.exchange.poll_local_body(rig.now), Some(RequestBody::End));
}

#[test]
fn a_visitor_that_may_not_send_its_body_any_more_is_told_that_its_connection_ends() {
    for (is_read, ends) in [(false, true), (true, false)] {
        let mut rig = Rig::new();
        rig.forwards = false;
        rig.visit(POST.replace("Content-Length", "Expect: 100-continue\r\nContent-Length"));
        if is_read {
            assert_eq!(rig.exchange.poll_local_body(rig.now), None);
        }
        let seen = respond(&mut rig, 403, LocalBody::Length(2), "no");
        assert_eq!(seen.contains("Connection: close"), ends, "{seen}");
    }
}

#[test]
fn an_old_visitor_sees_by_the_end_of_its_connection_where_a_streamed_body_ends() {
    let mut rig = Rig::new();
    rig.connects = false;
    rig.visit("GET /a HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\n\r\n");
    let seen = respond(&mut rig, 200, LocalBody::Streamed, "ok");
    assert_eq!(seen, "HTTP/1.0 200 X\r\nConnection: close\r\n\r\nok");
    assert_eq!(rig.said.last(), Some(&Said::Closed(Closing::Orderly)));
}

#[test]
fn a_response_that_the_runner_breaks_off_does_not_look_whole() {
    let mut rig = Rig::new();
    rig.connects = false;
    rig.visit(GET);
    rig.exchange.respond(ResponseHead::new(200, "OK"), LocalBody::Streamed, rig.now).expect("a head");
    rig.exchange.send_local_body(Bytes::from("ok"), rig.now);
    rig.exchange.abort_local_body();
    rig.run();
    assert!(rig.seen().ends_with("\r\n\r\n2\r\nok\r\n"));
    assert_eq!(rig.drained().last(), Some(&Said::Closed(Closing::Orderly)));
}

#[test]
fn a_response_to_head_names_the_length_that_the_runner_knows() {
    let mut rig = Rig::new();
    rig.connects = false;
    rig.visit(GET.replace("GET", "HEAD"));
    let mut head = ResponseHead::new(200, "OK");
    head.headers.push("Content-Length", Bytes::from("7"));
    rig.exchange.respond(head, LocalBody::Length(0), rig.now).expect("a head");
    rig.run();
    assert_eq!(rig.seen(), "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n");
}

#[test]
fn every_response_demands_https_where_the_relay_does_unless_it_says_so_itself() {
    let config = ProxyConfig { hsts: Some("max-age=1".to_owned()), ..ProxyConfig::DEFAULT };
    for (own, value) in [(None, "max-age=1"), (Some("max-age=2"), "max-age=2")] {
        let expected = format!("Strict-Transport-Security: {value}\r\n");
        let fields = own.map(|own| format!("Strict-Transport-Security: {own}\r\n")).unwrap_or_default();
        let mut forwarded = Rig::with(config.clone());
        forwarded.visit(GET);
        forwarded.answer(format!("HTTP/1.1 204 No Content\r\n{fields}\r\n"));
        let mut local = Rig::with(config.clone());
        local.connects = false;
        local.visit(GET);
        let mut head = ResponseHead::new(204, "No Content");
        if let Some(own) = own {
            head.headers.push("Strict-Transport-Security", own);
        }
        local.exchange.respond(head, LocalBody::Length(0), local.now).expect("a head");
        local.run();
        for seen in [forwarded.seen(), local.seen()] {
            assert_eq!((seen.contains(&expected), seen.matches("Strict").count()), (true, 1), "{seen}");
        }
    }
}
