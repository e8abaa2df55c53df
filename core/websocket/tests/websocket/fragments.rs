//! Fragmented messages (sections 5, 9 and 10 of Autobahn).

use hvym_websocket::{BinaryDelivery, ProtocolError};

use crate::support::{
    BINARY, BINARY_BEGINS, ENDS, GOES_ON, PING, Role, Seen, TEXT, TEXT_BEGINS, frame, receive, serve, text,
};

#[test]
fn a_control_frame_in_fragments_is_an_error() {
    for opcode in [0x8, 0x9, 0xa] {
        let seen = serve(&[frame(opcode, b"frag"), frame(ENDS, b"ment")]);
        assert_eq!(seen, [Seen::Error(ProtocolError::FragmentedControl)]);
    }
}

#[test]
fn fragments_are_one_message() {
    let seen = serve(&[
        frame(TEXT_BEGINS, b"frag"),
        frame(GOES_ON, b""),
        frame(GOES_ON, b"men"),
        frame(ENDS, b"t"),
        frame(BINARY_BEGINS, &[1]),
        frame(ENDS, &[2]),
    ]);
    assert_eq!(seen, [text("fragment"), Seen::Binary(vec![1, 2])]);
}

#[test]
fn fragments_may_all_be_empty() {
    let empty = [frame(TEXT_BEGINS, b""), frame(GOES_ON, b""), frame(ENDS, b"")];
    assert_eq!(serve(&empty), [text("")]);
    let one = [frame(TEXT_BEGINS, b""), frame(GOES_ON, b"middle"), frame(ENDS, b"")];
    assert_eq!(serve(&one), [text("middle")]);
}

#[test]
fn a_continuation_without_a_beginning_is_an_error() {
    for first in [GOES_ON, ENDS] {
        let seen = serve(&[frame(first, b"non-continuation"), frame(TEXT, b"Hello")]);
        assert_eq!(seen, [Seen::Error(ProtocolError::UnexpectedContinuation)]);
        let after_one = [frame(TEXT_BEGINS, b"a"), frame(ENDS, b"b"), frame(first, b"c")];
        assert_eq!(serve(&after_one), [text("ab"), Seen::Error(ProtocolError::UnexpectedContinuation)]);
        let after_whole = [frame(BINARY, b"a"), frame(first, b"c")];
        let seen = serve(&after_whole);
        assert_eq!(seen, [Seen::Binary(b"a".to_vec()), Seen::Error(ProtocolError::UnexpectedContinuation)]);
    }
}

#[test]
fn a_message_within_a_message_is_an_error() {
    for first in [TEXT, TEXT_BEGINS, BINARY, BINARY_BEGINS] {
        let seen = serve(&[frame(TEXT_BEGINS, b"a"), frame(first, b"b")]);
        assert_eq!(seen, [Seen::Error(ProtocolError::ExpectedContinuation)]);
    }
}

#[test]
fn pings_between_fragments_are_answered_at_once() {
    let seen = serve(&[
        frame(TEXT_BEGINS, b"fragment1"),
        frame(GOES_ON, b"fragment2"),
        frame(PING, b"1"),
        frame(GOES_ON, b"fragment3"),
        frame(PING, b"2"),
        frame(ENDS, b"fragment4"),
    ]);
    let pong = |payload: &[u8]| Seen::Pong(payload.to_vec());
    assert_eq!(seen, [pong(b"1"), pong(b"2"), text("fragment1fragment2fragment3fragment4")]);
}

#[test]
fn large_messages_arrive_in_fragments_of_every_size() {
    let payload: Vec<u8> = (0..65536u32).map(|i| i as u8).collect();
    for size in [64, 256, 1024, 1300, 4096, 16384, 65536] {
        let parts: Vec<&[u8]> = payload.chunks(size).collect();
        let wire: Vec<u8> = (0..parts.len())
            .flat_map(|i| {
                let opcode = if i == 0 { BINARY_BEGINS } else { GOES_ON };
                let fin = if i + 1 == parts.len() { ENDS } else { 0 };
                frame(opcode | fin, parts[i])
            })
            .collect();
        for chop in [512, wire.len()] {
            let seen = receive(Role::Server, BinaryDelivery::Messages, wire.chunks(chop));
            assert!(seen == [Seen::Binary(payload.clone())], "fragments of {size}, chopped by {chop}");
        }
    }
}

#[test]
fn pieces_are_delivered_before_their_message_ends() {
    let pieces =
        |wire: &[Vec<u8>]| receive(Role::Server, BinaryDelivery::Pieces, wire.iter().map(|piece| &piece[..]));
    let whole = frame(BINARY, b"abcdef");
    let (begin, rest) = whole.split_at(whole.len() - 2);
    let expected = [Seen::Binary(b"abcd".to_vec()), Seen::Binary(b"ef".to_vec())];
    assert_eq!(pieces(&[begin.to_vec(), rest.to_vec()]), expected);
    let fragments =
        [frame(BINARY_BEGINS, b"abcd"), frame(GOES_ON, b""), frame(ENDS, b"ef"), frame(BINARY, b"")];
    assert_eq!(pieces(&fragments), expected, "what is empty is no piece");
    let texts = [frame(TEXT_BEGINS, b"wh"), frame(ENDS, b"ole"), frame(TEXT, b"")];
    assert_eq!(pieces(&texts), [text("whole"), text("")], "texts are whole");
}
