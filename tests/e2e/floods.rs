//! Visitors who send frames of HTTP/2 that belong to no request, many thousands of them.
#![cfg(unix)]

use std::io;

use hvym_tunnel_tests::frames::{DATA, END_HEADERS, END_STREAM, Frames, HEADERS, SETTINGS, frame, get, post};
use hvym_tunnel_tests::http::{Origin, ok};
use hvym_tunnel_tests::tunnel::Tunnel;

const PRIORITY: u8 = 2;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
/// A kind that nobody knows.
const UNKNOWN: u8 = 77;

fn served() -> Tunnel {
    Tunnel::to(Origin::answering(|_, _| ok(b"served")).port)
}

/// How the connection ends; what comes before is passed over.
fn end(visitor: &mut Frames) -> io::ErrorKind {
    loop {
        if let Err(error) = visitor.frame() {
            return error.kind();
        }
    }
}

#[test]
fn a_visitor_who_floods_a_connection_with_frames_of_no_request_loses_it_and_nobody_else_does() {
    let tunnel = served();
    let update = frame(WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes());
    for flood in [
        frame(PING, 0, 0, &[0; 8]),
        frame(SETTINGS, 0, 0, &[]),
        frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 1]),
        update.clone(),
        frame(UNKNOWN, 0, 0, &[]),
        // Within a request too.
        [frame(DATA, 0, 1, &[]), update].concat(),
    ] {
        let mut visitor = Frames::dial(tunnel.relay.port, 65_535);
        let request = post(tunnel.agent.host(), "/", &[]);
        visitor.send(HEADERS, END_HEADERS, 1, &request).expect("the relay reads");
        // It may end while the rest is written.
        let _broken = io::Write::write_all(&mut visitor.writer(), &flood.repeat(20_000));
        let kind = end(&mut visitor);
        assert!(
            !matches!(kind, io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut),
            "it goes on: {:?}",
            &flood[..4]
        );
        assert_eq!(tunnel.get("/").expect("an answer").1, b"served");
    }
}

#[test]
fn a_visitor_may_ask_hundreds_of_times_whether_the_relay_is_there() {
    let tunnel = served();
    let mut visitor = Frames::dial(tunnel.relay.port, 65_535);
    for _ in 0..900 {
        visitor.send(PING, 0, 0, b"are you?").expect("the relay reads");
    }
    for _ in 0..900 {
        assert_eq!(visitor.wait_for(PING).expect("an answer").payload, b"are you?");
    }
    let request = get(tunnel.agent.host(), "/", &[]);
    visitor.send(HEADERS, END_HEADERS | END_STREAM, 1, &request).expect("the relay reads");
    assert_eq!(visitor.wait_for(DATA).expect("an answer").payload, b"served");
}
