//! Visitors and services that say things in unusual ways, which are right all the same: each gets what it should.
#![cfg(unix)]

use hvym_tunnel_tests::http::{Conversation, Origin, ok};
use hvym_tunnel_tests::tunnel::{Tunnel, request};

/// A service that answers every request with these bytes.
fn saying(answer: &'static str) -> Tunnel {
    Tunnel::to(Origin::answering(move |_, _| answer.as_bytes().to_vec()).port)
}

/// The status and the whole body of an answer.
fn read(visitor: &mut Conversation) -> (u16, String) {
    let head = visitor.head().expect("an answer");
    let body = visitor.body(&head).expect("a whole answer");
    (head.status(), String::from_utf8(body).expect("text"))
}

#[test]
fn chunks_beside_a_length_are_what_counts_and_the_length_goes() {
    let tunnel = saying(
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nwhole\r\n0\r\n\r\n",
    );
    let mut visitor = tunnel.visit();
    for _ in 0..2 {
        visitor.send(tunnel.request("GET", "/", &[])).expect("the relay reads");
        let head = visitor.head().expect("an answer");
        assert_eq!((head.field("content-length"), head.field("transfer-encoding")), (None, Some("chunked")));
        assert_eq!(visitor.body(&head).expect("a whole answer"), b"whole");
    }
}

#[test]
fn a_field_with_a_space_before_its_colon_and_a_length_said_twice_are_repaired() {
    let tunnel = saying("HTTP/1.1 200 OK\r\nX-Odd : 1\r\nContent-Length: 2, 2\r\nProxy-Status: p\r\n\r\nok");
    let mut visitor = tunnel.visit();
    visitor.send(tunnel.request("GET", "/", &[])).expect("the relay reads");
    let head = visitor.head().expect("an answer");
    assert_eq!((head.field("x-odd"), head.all("content-length")), (Some("1"), vec!["2"]));
    assert_eq!(head.field("proxy-status"), Some("p"));
    assert_eq!(visitor.body(&head).expect("a whole answer"), b"ok");
}

#[test]
fn a_transfer_coding_that_nobody_undoes_is_no_answer() {
    let tunnel =
        saying("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\n\x1f\x0b\r\n0\r\n\r\n");
    assert_eq!(tunnel.get("/").expect("an answer").0.status(), 502);
}

#[test]
fn interim_answers_reach_the_visitor() {
    let tunnel = saying(
        "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n\
         HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    );
    let mut visitor = tunnel.visit();
    visitor.send(tunnel.request("GET", "/", &[])).expect("the relay reads");
    let hints = visitor.head().expect("hints");
    assert_eq!((hints.status(), hints.field("link")), (103, Some("</a.css>")));
    assert_eq!(visitor.head().expect("a sign of life").status(), 102);
    assert_eq!(read(&mut visitor), (200, "ok".to_owned()));
}

#[test]
fn a_visitor_that_ends_its_half_after_its_request_is_answered() {
    let tunnel =
        Tunnel::to(Origin::answering(|head, body| ok(&[head.target().as_bytes(), &body].concat())).port);
    for lines in [&[][..], &["Connection: close"]] {
        let mut visitor = tunnel.visit();
        let request = tunnel.request("POST", "/half", &[lines, &["Content-Length: 4"]].concat());
        visitor.send(request + "body").expect("the relay reads");
        visitor.finish().expect("a half can be ended");
        assert_eq!(read(&mut visitor), (200, "/halfbody".to_owned()));
        assert_eq!(visitor.rest().expect("an end"), b"");
    }
}

#[test]
fn targets_that_others_let_pass_are_passed_as_they_are() {
    let tunnel = Tunnel::to(Origin::answering(|head, _| ok(head.target().as_bytes())).port);
    for target in ["/a{b}|c\"d", "/?q={\"a\":1}|x", "/[x]^`"] {
        let (head, body) = tunnel.get(target).expect("an answer");
        assert_eq!((head.status(), body.as_slice()), (200, target.as_bytes()));
    }
}

#[test]
fn a_service_that_changes_to_a_protocol_that_nobody_asked_for_gets_no_further() {
    let switch = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\nnew";
    let service = || Origin::answering(move |_, _| switch.as_bytes().to_vec()).port;
    let asks = |visitor: &mut Conversation, request: String| {
        visitor.send(request).expect("the relay reads");
        let head = visitor.head().expect("an answer");
        let _page = visitor.body(&head).expect("a whole answer");
        head
    };
    let wish = ["Connection: Upgrade", "Upgrade: websocket"];
    // A visitor's bytes pass the agent as they are, or the agent speaks HTTP itself.
    for options in [&[][..], &["--cors-preflight"]] {
        let tunnel = Tunnel::with(service(), &[], options);
        for lines in [&wish[..], &[]] {
            let mut visitor = tunnel.visit();
            let head = asks(&mut visitor, tunnel.request("GET", "/", lines));
            assert_eq!(head.status(), 502, "{options:?} {lines:?}");
            if options.is_empty() {
                assert_eq!(head.field("connection"), Some("close"), "{lines:?}");
                assert_eq!(visitor.rest().expect("an end"), b"");
            }
        }
    }
    // A request that the relay passes on by other types than those of its fast path.
    let tunnel = Tunnel::to(service());
    let address =
        format!("X-Stellar-Address: {}", tunnel.agent.ready["address"].as_str().expect("an address"));
    let proxied = request("localhost", "GET", "/proxy/", &[wish[0], wish[1], &address]);
    assert_eq!(asks(&mut tunnel.visit(), proxied).status(), 502);
}
