//! What is queued, and written in parts.

use bytes::Bytes;
use hvym_websocket::{Decoder, FrameHeader, WebSocket};

use crate::support::{PING, Role, Seen, connection, frame, text, written};

fn wire(connection: &WebSocket) -> Vec<u8> {
    connection.slices().flatten().copied().collect()
}

#[test]
fn several_messages_are_there_to_be_written_at_once() {
    for role in [Role::Client, Role::Server] {
        let mut connection = connection(role);
        connection.send_text(Bytes::from_static(b"one"));
        connection.send_binary(Bytes::new());
        connection.send_binary(Bytes::from(vec![2; 70_000]));
        assert!(connection.slices().all(|slice| !slice.is_empty()));
        let seen = written(role, &mut connection);
        assert_eq!(seen, [text("one"), Seen::Binary(vec![]), Seen::Binary(vec![2; 70_000])]);
        assert_eq!((connection.queued_bytes(), connection.slices().count()), (0, 0));
    }
}

#[test]
fn a_write_may_end_anywhere() {
    for role in [Role::Client, Role::Server] {
        let queue = |connection: &mut WebSocket| {
            connection.send_text(Bytes::from_static(b"one"));
            connection.send_binary(Bytes::from(vec![2; 130]));
            connection.send_text(Bytes::from_static(b"three"));
        };
        let mut whole = connection(role);
        queue(&mut whole);
        let expected = wire(&whole);
        for first in 0..=expected.len() {
            let mut parts = connection(role);
            queue(&mut parts);
            parts.advance(first);
            assert_eq!(parts.queued_bytes(), expected.len() - first);
            assert_eq!(wire(&parts), expected[first..], "{first} bytes were written");
            while parts.queued_bytes() > 0 {
                parts.advance(1);
            }
            assert_eq!(wire(&parts), b"");
        }
    }
}

#[test]
#[should_panic(expected = "more was written than there was")]
fn more_than_there_is_cannot_be_written() {
    let mut server = connection(Role::Server);
    server.send_text(Bytes::from_static(b"one"));
    server.advance(6);
}

#[test]
fn each_frame_of_a_client_has_a_key_of_its_own_that_the_seed_decides() {
    let keys = |seed: u8| {
        let mut client = WebSocket::client([seed; 32], 1000);
        let mut keys = Vec::new();
        for _ in 0..100 {
            client.send_text(Bytes::from_static(b"same"));
            let header = FrameHeader::decode(&wire(&client)).expect("it is right").expect("it is complete").0;
            keys.push(header.mask.expect("a client masks"));
            client.advance(client.queued_bytes());
        }
        keys
    };
    let one = keys(1);
    assert_eq!(one, keys(1));
    assert_ne!(one, keys(2));
    let mut distinct = one;
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), 100);
}

#[test]
fn the_state_of_a_connection_is_shown_without_payloads_and_keys() {
    let mut client = WebSocket::client([5; 32], 1000);
    client.send_text(Bytes::from_static(b"secret"));
    let shown = format!("{client:?}");
    assert_eq!(shown, "WebSocket { partial: 0, queued: 12, .. }");
    let mut decoder = Decoder::server(1000);
    let mut ping = frame(PING, b"secret");
    let complete = ping.len();
    decoder.decode(&mut ping[..complete - 2]).expect("it is right");
    let shown = format!("{decoder:?}");
    assert!(shown.contains("control: 4 bytes"), "{shown}");
}
