//! Pings and pongs (section 2 of Autobahn).

use bytes::Bytes;
use hvym_websocket::{Input, ProtocolError};

use crate::support::{PING, PONG, Role, Seen, TEXT, connection, frame, serve, text, written};

#[test]
fn a_ping_is_answered_with_its_payload() {
    let longest = [0xfe; 125];
    for payload in [&b""[..], b"Hello, world!", &[0x00, 0xff, 0xfe, 0xfd, 0xfc, 0xfb, 0x00, 0xff], &longest] {
        assert_eq!(serve(&[frame(PING, payload)]), [Seen::Pong(payload.to_vec())]);
    }
}

#[test]
fn a_ping_of_126_bytes_is_an_error() {
    assert_eq!(serve(&[frame(PING, &[0xfe; 126])]), [Seen::Error(ProtocolError::LongControl(126))]);
    assert_eq!(serve(&[frame(PONG, &[0xfe; 126])]), [Seen::Error(ProtocolError::LongControl(126))]);
}

#[test]
fn a_pong_that_nobody_asked_for_is_ignored() {
    let seen = serve(&[frame(PONG, b""), frame(PONG, b"unsolicited"), frame(PING, b"ping")]);
    assert_eq!(seen, [Seen::Pong(b"ping".to_vec())]);
}

#[test]
fn ten_pings_are_answered_in_order() {
    let payloads: Vec<Vec<u8>> = (0..10).map(|i| format!("payload-{i}").into_bytes()).collect();
    let pings: Vec<Vec<u8>> = payloads.iter().map(|payload| frame(PING, payload)).collect();
    assert_eq!(serve(&pings), payloads.into_iter().map(Seen::Pong).collect::<Vec<_>>());
}

#[test]
fn a_ping_within_a_fragmented_message_does_not_disturb_it() {
    let seen = serve(&[
        frame(0x01, b"he"),
        frame(PING, b"p"),
        frame(0x00, b"l"),
        frame(PONG, b""),
        frame(0x80, b"lo"),
    ]);
    assert_eq!(seen, [Seen::Pong(b"p".to_vec()), text("hello")]);
}

#[test]
fn a_peer_that_reads_no_pongs_has_two_of_them_waiting() {
    let mut server = connection(Role::Server);
    for i in 0..10_000u32 {
        let mut input = Input::new(frame(PING, &i.to_be_bytes()));
        assert_eq!(server.read(&mut input), Ok(None));
        assert_eq!(server.queued_bytes(), 2 + 4, "one that may be written in part already");
    }
    let newest = 9_999u32.to_be_bytes().to_vec();
    assert_eq!(
        written(Role::Server, &mut server),
        [Seen::Pong(0u32.to_be_bytes().to_vec()), Seen::Pong(newest)]
    );
    assert_eq!(written(Role::Server, &mut server), []);
}

#[test]
fn a_pong_comes_after_what_waits_already_and_before_what_is_sent_later() {
    let mut server = connection(Role::Server);
    server.send_text(Bytes::from_static(b"waits"));
    assert_eq!(server.read(&mut Input::new(frame(PING, b"?"))), Ok(None));
    server.advance(server.queued_bytes());
    server.send_text(Bytes::from_static(b"later"));
    let seen = written(Role::Server, &mut server);
    assert_eq!(seen, [Seen::Pong(b"?".to_vec()), text("later")]);
}

#[test]
fn a_ping_after_a_message_does_not_delay_it() {
    let all = [frame(TEXT, b"a"), frame(PING, b"1"), frame(PING, b"2")].concat();
    let mut server = connection(Role::Server);
    let mut input = Input::new(all);
    assert!(matches!(server.read(&mut input), Ok(Some(_))));
    assert_eq!(server.read(&mut input), Ok(None));
    assert_eq!(written(Role::Server, &mut server), [Seen::Pong(b"1".to_vec()), Seen::Pong(b"2".to_vec())]);
}
