//! The closing handshake (section 7 of Autobahn).

use bytes::Bytes;
use hvym_websocket::{Input, ProtocolError, Received};

use crate::support::{
    CLOSE, ENDS, PING, Role, Seen, TEXT, TEXT_BEGINS, connection, frame, serve, text, written,
};

fn close_payload(code: u16, reason: &[u8]) -> Vec<u8> {
    [&code.to_be_bytes(), reason].concat()
}

#[test]
fn a_close_is_answered_with_its_code() {
    assert_eq!(serve(&[frame(CLOSE, b"")]), [Seen::Closed(1005, String::new()), Seen::Closes(vec![])]);
    let reasons = [String::new(), String::from("Hello World!"), "*".repeat(123), "é".repeat(61)];
    for reason in reasons {
        let seen = serve(&[frame(CLOSE, &close_payload(1000, reason.as_bytes()))]);
        assert_eq!(seen, [Seen::Closed(1000, reason), Seen::Closes(close_payload(1000, b""))]);
    }
}

#[test]
fn what_follows_a_close_is_ignored() {
    let close = frame(CLOSE, &close_payload(1000, b""));
    let expected = [Seen::Closed(1000, String::new()), Seen::Closes(close_payload(1000, b""))];
    for after in [close.clone(), frame(PING, b""), frame(TEXT, b"x"), frame(ENDS, b"x"), vec![0xff; 300]] {
        assert_eq!(serve(&[close.clone(), after]), expected);
    }
    let within = [frame(TEXT_BEGINS, b"fragment1"), close.clone(), frame(ENDS, b"fragment2")];
    assert_eq!(serve(&within), expected);
    let large = "a".repeat(70_000);
    let seen = serve(&[frame(TEXT, large.as_bytes()), close, frame(PING, b"")]);
    assert_eq!(seen[0], text(&large));
    assert_eq!(seen[1..], expected);
}

#[test]
fn codes_that_may_be_sent_are_taken_and_others_are_an_error() {
    for code in 0..=u16::MAX {
        let is_right = matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999);
        let mut server = connection(Role::Server);
        let read = server.read(&mut Input::new(frame(CLOSE, &close_payload(code, b"why"))));
        match read {
            Ok(Some(Received::Close(close))) => {
                assert_eq!((is_right, close.code, &*close.reason), (true, code, "why"));
            }
            Err(error) => assert_eq!((is_right, error), (false, ProtocolError::CloseCode(code))),
            other => panic!("{code}: {other:?}"),
        }
    }
}

#[test]
fn a_close_payload_that_is_wrong_is_an_error() {
    assert_eq!(serve(&[frame(CLOSE, b"a")]), [Seen::Error(ProtocolError::ShortClose)]);
    let long = close_payload(1000, &[b'*'; 124]);
    assert_eq!(serve(&[frame(CLOSE, &long)]), [Seen::Error(ProtocolError::LongControl(126))]);
    for reason in [&b"\xce\xba\xed\xa0\x80"[..], b"\xce"] {
        let seen = serve(&[frame(CLOSE, &close_payload(1000, reason))]);
        assert_eq!(seen, [Seen::Error(ProtocolError::Utf8)]);
    }
}

#[test]
fn nothing_is_sent_after_a_close() {
    let mut client = connection(Role::Client);
    assert!(!client.is_closed());
    client.close(4001, "why");
    assert!(client.is_closed());
    client.send_text(Bytes::from_static(b"late"));
    client.close(1000, "again");
    let ping = crate::support::frame_to(Role::Client, PING, b"late");
    assert_eq!(client.read(&mut Input::new(ping)), Ok(None));
    assert_eq!(written(Role::Client, &mut client), [Seen::Closes(close_payload(4001, b"why"))]);
}

#[test]
fn a_close_that_was_sent_first_is_not_answered_again() {
    let mut client = connection(Role::Client);
    client.close(1000, "");
    assert_eq!(written(Role::Client, &mut client).len(), 1);
    let answer = crate::support::frame_to(Role::Client, CLOSE, &close_payload(1000, b""));
    assert!(matches!(client.read(&mut Input::new(answer)), Ok(Some(Received::Close(_)))));
    assert_eq!(written(Role::Client, &mut client), []);
}

#[test]
fn what_a_close_frame_cannot_carry_is_left_out() {
    let sent = |code: u16, reason: &str| {
        let mut server = connection(Role::Server);
        server.close(code, reason);
        written(Role::Server, &mut server)
    };
    for code in [0, 999, 1005, 1006, 1015, 2999, 5000] {
        assert_eq!(sent(code, "why"), [Seen::Closes(vec![])], "{code}");
    }
    assert_eq!(sent(4999, &"*".repeat(124)), [Seen::Closes(close_payload(4999, &[b'*'; 123]))]);
    let characters = sent(1000, &"é".repeat(62));
    assert_eq!(
        characters,
        [Seen::Closes(close_payload(1000, "é".repeat(61).as_bytes()))],
        "whole characters"
    );
}
