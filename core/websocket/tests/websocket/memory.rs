//! What a peer can make a connection hold, and which payloads are copied.

use bytes::Bytes;
use hvym_websocket::{BinaryDelivery, Input, ProtocolError, Received, WebSocket};

use crate::support::{
    BINARY, BINARY_BEGINS, ENDS, PING, Role, Seen, TEXT, TEXT_BEGINS, frame, frame_to, written,
};

fn read(connection: &mut WebSocket, bytes: Vec<u8>) -> Result<Option<Received>, ProtocolError> {
    connection.read(&mut Input::new(bytes))
}

#[test]
fn a_message_above_the_limit_is_an_error_at_its_header() {
    let too_large = Err(ProtocolError::TooLarge { limit: 1000 });
    assert_eq!(ProtocolError::TooLarge { limit: 1000 }.close_code(), 1009);
    for first in [TEXT, BINARY] {
        let header_of = |n: usize| frame(first, &vec![b'x'; n])[..8].to_vec();
        assert_eq!(read(&mut WebSocket::server(1000), header_of(999)), Ok(None));
        assert_eq!(read(&mut WebSocket::server(1000), header_of(1000)), Ok(None));
        assert_eq!(read(&mut WebSocket::server(1000), header_of(1001)), too_large);
    }
    let huge = vec![0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];
    assert_eq!(read(&mut WebSocket::server(1000), huge), too_large);
}

#[test]
fn fragments_count_together_and_control_frames_do_not_count() {
    for (last, expected) in [(499, true), (500, true), (501, false)] {
        let mut server = WebSocket::server(1000);
        assert_eq!(read(&mut server, frame(BINARY_BEGINS, &[0; 500])), Ok(None));
        for _ in 0..100 {
            assert_eq!(read(&mut server, frame(PING, &[0; 125])), Ok(None));
        }
        let ended = read(&mut server, frame(ENDS, &vec![0; last]));
        assert_eq!(ended.is_ok(), expected, "{last}: {ended:?}");
        if ended.is_ok() {
            assert!(read(&mut server, frame(BINARY, &[0; 1000])).is_ok(), "the next message counts anew");
        }
    }
}

#[test]
fn the_limit_can_change_between_messages_and_frames() {
    let mut server = WebSocket::server(10);
    assert!(read(&mut server, frame(TEXT, &[b'x'; 10])).is_ok());
    server.set_max_message_bytes(100);
    assert!(read(&mut server, frame(TEXT, &[b'x'; 100])).is_ok());
    assert_eq!(read(&mut server, frame(TEXT_BEGINS, &[b'x'; 60])), Ok(None));
    server.set_max_message_bytes(50);
    assert_eq!(read(&mut server, frame(ENDS, b"x")), Err(ProtocolError::TooLarge { limit: 50 }));
}

/// What a connection that takes 1000 bytes, and the first 10 of what is larger, makes of `pieces`.
fn cut(pieces: &[&[u8]]) -> Vec<Received> {
    let mut server = WebSocket::server(1000);
    server.set_oversized_head(Some(10));
    let mut seen = Vec::new();
    for piece in pieces {
        let mut input = Input::new(piece.to_vec());
        while let Some(received) = server.read(&mut input).expect("no error") {
            seen.push(received);
        }
    }
    seen
}

#[test]
fn a_text_above_the_limit_can_be_cut_and_the_next_message_is_whole() {
    let letters: Vec<u8> = (0..3000).map(|at| b'a' + (at % 23) as u8).collect();
    let whole = |length: usize| Received::Text(Bytes::copy_from_slice(&letters[..length]));
    let head = Received::Oversized(Bytes::copy_from_slice(&letters[..10]));
    let next = Received::Text(Bytes::from_static(b"next"));
    for (length, first) in
        [(999, whole(999)), (1000, whole(1000)), (1001, head.clone()), (3000, head.clone())]
    {
        let wire = [frame(TEXT, &letters[..length]), frame(TEXT, b"next")].concat();
        for size in [1, 7, 100, wire.len()] {
            let pieces: Vec<&[u8]> = wire.chunks(size).collect();
            assert_eq!(cut(&pieces), [first.clone(), next.clone()], "{length} by {size}");
        }
    }
    // Fragments of which none is above it alone, with a ping among them.
    for sizes in [[600, 600], [5, 996], [1000, 1]] {
        let [begin, end] = sizes;
        let wire = [
            frame(TEXT_BEGINS, &letters[..begin]),
            frame(PING, b"x"),
            frame(ENDS, &letters[begin..begin + end]),
            frame(TEXT, b"next"),
        ];
        assert_eq!(cut(&[&wire.concat()]), [head.clone(), next.clone()], "{sizes:?}");
    }
}

#[test]
fn what_is_cut_is_held_no_longer_than_its_beginning_and_is_utf_8_all_the_same() {
    let mut server = WebSocket::server(1000);
    server.set_oversized_head(Some(10));
    let before = frame(TEXT_BEGINS, &[b'x'; 2_000_000]);
    assert_eq!(read(&mut server, before), Ok(None));
    assert_eq!(read(&mut server, frame(ENDS, &[0xff])), Err(ProtocolError::Utf8));
    // A binary message may be a piece of a stream, in which a gap would go unnoticed.
    let mut server = WebSocket::server(1000);
    server.set_oversized_head(Some(10));
    assert_eq!(read(&mut server, frame(BINARY, &[0; 1001])), Err(ProtocolError::TooLarge { limit: 1000 }));
}

/// A buffer as a socket fills it.
fn buffer(capacity: usize, content: &[u8]) -> Input {
    let mut buffer = Vec::with_capacity(capacity);
    buffer.extend_from_slice(content);
    Input::new(buffer)
}

fn binary(message: Option<Received>) -> Bytes {
    match message {
        Some(Received::Binary(data)) => data,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_payload_that_fills_its_buffer_keeps_it_and_others_are_copied() {
    let capacity = 65 * 1024;
    // Seven eighths of it are enough.
    for (size, is_kept) in [
        (64 * 1024, true),
        (57 * 1024, true),
        (58_240, true),
        (58_239, false),
        (56 * 1024, false),
        (1000, false),
    ] {
        let mut server = WebSocket::server(1 << 20);
        let wire = [frame(BINARY, &vec![7; size]), frame(TEXT, b"next"), frame(PING, b"")].concat();
        let mut input = buffer(capacity, &wire);
        let data = binary(server.read(&mut input).expect("it is right"));
        assert_eq!((data.len(), data.iter().all(|byte| *byte == 7)), (size, true));
        assert_eq!(server.read(&mut input), Ok(Some(Received::Text(Bytes::from_static(b"next")))));
        assert_eq!(server.read(&mut input), Ok(None));
        // A buffer that was given away is not there to be read into again.
        assert_eq!(input.into_buffer().capacity() < capacity, is_kept, "{size}");
    }
}

#[test]
fn a_small_payload_leaves_its_buffer_to_the_next_read_even_if_it_fills_it() {
    for (size, is_kept) in [(4000, false), (4096, true)] {
        let wire = frame(BINARY, &vec![7; size]);
        let mut input = buffer(wire.len(), &wire);
        assert!(WebSocket::server(1 << 20).read(&mut input).is_ok_and(|message| message.is_some()));
        assert_eq!(input.into_buffer().capacity() < wire.len(), is_kept, "{size}");
    }
}

#[test]
fn a_read_asks_for_what_is_missing_of_a_large_payload_and_else_for_64_kib() {
    const READ: usize = 65 * 1024;
    for (missing, asked) in
        [(0, READ), (16_383, READ), (16_384, 17_408), (60_000, 61_024), (64 * 1024, READ), (999_000, READ)]
    {
        let mut server = WebSocket::server(1 << 20);
        server.set_binary_delivery(BinaryDelivery::Pieces);
        let mut wire = frame(BINARY, &vec![7; 1_000_000]);
        wire.truncate(wire.len() - missing);
        let mut input = Input::new(wire);
        while server.read(&mut input).expect("it is right").is_some() {}
        assert_eq!(server.read_bytes(), asked, "{missing}");
    }
}

#[test]
fn a_stream_of_batches_comes_to_have_a_buffer_for_each_payload() {
    const BATCH: usize = 64 * 1024;
    for size in [40_000, BATCH - 1, BATCH, 1_000_000] {
        let mut client = WebSocket::client([1; 32], 1 << 20);
        client.set_binary_delivery(BinaryDelivery::Pieces);
        let one = frame_to(Role::Client, BINARY, &vec![7; size]);
        let wire = one.repeat(64 * BATCH / size);
        let (mut at, mut reads, mut reused) = (0, 0, 0);
        while at < wire.len() {
            let capacity = client.read_bytes();
            let end = (at + capacity).min(wire.len());
            let mut input = buffer(capacity, &wire[at..end]);
            (at, reads) = (end, reads + 1);
            while client.read(&mut input).expect("it is right").is_some() {}
            reused += usize::from(input.into_buffer().capacity() >= capacity);
        }
        assert!(
            reused <= 4 + reads / 16,
            "{reused} of {reads} buffers were copied from, with frames of {size}"
        );
        let frames = wire.len().div_ceil(size.min(BATCH));
        assert!(reads <= frames + frames / 8 + 2, "{reads} reads for {frames} frames of {size}");
    }
}

#[test]
fn a_client_masks_in_place_what_nobody_else_has() {
    let mut client = WebSocket::client([1; 32], 1000);
    let own = Bytes::from(vec![7; 5000]);
    let place = own.as_ptr();
    client.send_binary(own);
    assert_eq!(client.slices().nth(1).map(<[u8]>::as_ptr), Some(place));
    assert_eq!(written(Role::Client, &mut client), [Seen::Binary(vec![7; 5000])]);
    let shared = Bytes::from(vec![7; 5000]);
    client.send_binary(shared.clone());
    assert_eq!(written(Role::Client, &mut client), [Seen::Binary(vec![7; 5000])]);
    assert!(shared.iter().all(|byte| *byte == 7), "what others have is not touched");
}

#[test]
fn a_server_writes_payloads_where_they_lie() {
    let mut server = WebSocket::server(1000);
    let payload = Bytes::from(vec![7; 100]);
    server.send_binary(payload.clone());
    let slices: Vec<&[u8]> = server.slices().collect();
    assert_eq!((slices.len(), slices[1].as_ptr()), (2, payload.as_ptr()));
}
