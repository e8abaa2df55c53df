//! Bodies on their way from one connection to another.

use bytes::Bytes;
use hvym_http1::{
    Body, BodyError, BodyForwarder, Framing, LAST_CHUNK, MAX_TRAILER_BYTES, MessageKind, encode_chunk,
    trailer_fields,
};
use proptest::collection::vec;
use proptest::prelude::*;

use super::tap_cuts::cut;

/// What a forwarder sends for these pieces and an end, what it leaves of them, and how many bytes the body itself had.
fn forward(
    from: Framing,
    to: Framing,
    kind: MessageKind,
    pieces: &[&[u8]],
) -> Result<(Vec<u8>, Vec<u8>, u64), BodyError> {
    let mut forwarder = BodyForwarder::new(from, to, kind);
    let (mut sent, mut left) = (Vec::new(), Vec::new());
    let mut drain = |forwarder: &mut BodyForwarder, input: &mut Bytes| {
        while let Some(piece) = forwarder.forward(input)? {
            assert!(!piece.is_empty(), "an empty piece is sent");
            sent.extend_from_slice(&piece);
        }
        Ok(())
    };
    for piece in pieces {
        let mut input = Bytes::copy_from_slice(piece);
        drain(&mut forwarder, &mut input)?;
        assert!(forwarder.is_finished() || input.is_empty(), "input is left though the body goes on");
        left.extend_from_slice(&input);
    }
    forwarder.handle_end()?;
    drain(&mut forwarder, &mut Bytes::new())?;
    assert!(forwarder.is_finished());
    Ok((sent, left, forwarder.payload_bytes()))
}

fn forward_chunks(bytes: &[u8]) -> Result<(String, Vec<u8>, u64), BodyError> {
    let (sent, left, length) = forward(Framing::Chunked, Framing::Chunked, MessageKind::Request, &[bytes])?;
    Ok((String::from_utf8(sent).expect("text"), left, length))
}

/// Whether `piece` lies in `input`.
fn is_slice_of(piece: &Bytes, input: &Bytes) -> bool {
    let bounds = input.as_ptr_range();
    bounds.start <= piece.as_ptr() && piece.as_ptr_range().end <= bounds.end
}

#[test]
fn chunks_pass_as_they_came_in_one_piece() {
    let bytes = Bytes::from_static(b"5\r\nhello\r\n00A\r\nhellohello\r\n0\r\n\r\nGET");
    let mut input = bytes.clone();
    let mut forwarder = BodyForwarder::new(Framing::Chunked, Framing::Chunked, MessageKind::Request);
    let piece = forwarder.forward(&mut input).expect("chunks").expect("a piece");
    assert_eq!((&piece[..], &input[..]), (&bytes[..bytes.len() - 3], &b"GET"[..]));
    assert!(is_slice_of(&piece, &bytes), "the chunks were copied");
    assert!(forwarder.is_finished());
    assert_eq!((forwarder.payload_bytes(), forwarder.forward(&mut input)), (15, Ok(None)));
}

#[test]
fn extensions_are_dropped() {
    let sent = forward_chunks(b"5 ;a=\"b;\\\"\"\r\nhello\r\n0;x\r\n\r\n");
    assert_eq!(sent, Ok(("5\r\nhello\r\n0\r\n\r\n".to_owned(), Vec::new(), 5)));
    for open in [&b"5;a=\"b\r\nhello\r\n0\r\n\r\n"[..], b"5;a=\"\\\"\r\n", b"5;a=\"\\\r\n"] {
        assert_eq!(forward_chunks(open), Err(BodyError::Extension), "{}", open.escape_ascii());
    }
}

#[test]
fn trailers_cannot_say_what_a_head_may_not() {
    let refused = "X-Forwarded-For: 6.6.6.6\r\nx_forwarded_for: 1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\
                   Host: b\r\nCookie: session=1\r\nAuthorization: Bearer t\r\nProxy-Authorization: Basic t\r\n\
                   Trailer: grpc-status\r\nTE: x\r\nConnection: close\r\nKeep-Alive: x\r\nUpgrade: x\r\nExpect: x\r\n\
                   Set-Cookie: a\r\nX-Real-IP: 1\r\nno field\r\nbad name: 1\r\n";
    let body = format!("0\r\n{refused}grpc-status:0\r\nProxy-Status: x\r\n\r\nGET");
    let expected = "0\r\ngrpc-status: 0\r\n\r\n".to_owned();
    assert_eq!(forward_chunks(body.as_bytes()), Ok((expected, b"GET".to_vec(), 0)));
    let (sent, ..) = forward(Framing::Chunked, Framing::Chunked, MessageKind::Response, &[body.as_bytes()])
        .expect("chunks");
    let sent = String::from_utf8(sent).expect("text");
    assert!(
        sent.starts_with("0\r\n") && sent.ends_with("grpc-status: 0\r\nProxy-Status: x\r\n\r\n"),
        "{sent}"
    );
    for name in ["Content-Length", "Host", "Set-Cookie", "Trailer", "Connection"] {
        assert!(!sent.contains(name), "{name} is forwarded in {sent}");
    }
    let fields: Vec<_> = trailer_fields(b"A: 1 \r\nHost: x\r\nB:\r\n", MessageKind::Request).collect();
    assert_eq!(fields, [("A", &b"1"[..]), ("B", b"")]);
}

#[test]
fn trailers_are_held_up_to_their_limit() {
    let body = |bytes: usize| format!("0\r\nT: {}\r\n\r\n", "t".repeat(bytes - 3));
    let limit = MAX_TRAILER_BYTES as usize;
    for bytes in [limit - 1, limit] {
        assert_eq!(forward_chunks(body(bytes).as_bytes()), Ok((body(bytes), Vec::new(), 0)));
    }
    assert_eq!(forward_chunks(body(limit + 1).as_bytes()), Err(BodyError::Trailer));
}

#[test]
fn a_body_of_a_known_length_passes_in_slices() {
    let mut forwarder = BodyForwarder::new(Framing::Length(5), Framing::Length(5), MessageKind::Request);
    let mut input = Bytes::from_static(b"hel");
    assert_eq!(forwarder.forward(&mut input), Ok(Some(Bytes::from_static(b"hel"))));
    assert_eq!(forwarder.forward(&mut input), Ok(None));
    assert_eq!(forwarder.handle_end(), Err(BodyError::Truncated));
    let bytes = Bytes::from_static(b"loGET");
    let mut input = bytes.clone();
    let piece = forwarder.forward(&mut input).expect("a body").expect("a piece");
    assert!(is_slice_of(&piece, &bytes));
    assert_eq!((&piece[..], &input[..], forwarder.is_finished()), (&b"lo"[..], &b"GET"[..], true));
    assert_eq!((forwarder.payload_bytes(), forwarder.forward(&mut input)), (5, Ok(None)));
}

#[test]
fn a_body_is_written_as_the_other_side_can_read_it() {
    let pass = |from, to, bytes: &[u8]| forward(from, to, MessageKind::Response, &[bytes]);
    let sent = |bytes: &[u8], left: &[u8], length| Ok((bytes.to_vec(), left.to_vec(), length));
    let chunks = b"5\r\nhello\r\n1;x\r\n!\r\n0\r\nA: b\r\n\r\nNEXT";
    assert_eq!(pass(Framing::Chunked, Framing::UntilClose, chunks), sent(b"hello!", b"NEXT", 6));
    assert_eq!(pass(Framing::UntilClose, Framing::UntilClose, b"all"), sent(b"all", b"", 3));
    assert_eq!(pass(Framing::UntilClose, Framing::Chunked, b"all"), sent(b"3\r\nall\r\n0\r\n\r\n", b"", 3));
    assert_eq!(pass(Framing::UntilClose, Framing::Chunked, b""), sent(LAST_CHUNK, b"", 0));
    assert_eq!(pass(Framing::Empty, Framing::Empty, b"NEXT"), sent(b"", b"NEXT", 0));
    assert_eq!(pass(Framing::Length(0), Framing::Length(0), b"NEXT"), sent(b"", b"NEXT", 0));
}

#[test]
fn a_body_that_is_none_is_forwarded_at_once() {
    for framing in [Framing::Empty, Framing::Length(0)] {
        assert!(BodyForwarder::new(framing, framing, MessageKind::Request).is_finished());
    }
    assert!(!BodyForwarder::new(Framing::Length(1), Framing::Length(1), MessageKind::Request).is_finished());
}

#[test]
fn a_body_that_ends_too_early_is_not_whole() {
    for (framing, bytes) in [
        (Framing::Length(2), &b"a"[..]),
        (Framing::Chunked, b"5\r\nhello\r\n"),
        (Framing::Chunked, b"0\r\nA: b\r\n"),
    ] {
        assert_eq!(forward(framing, framing, MessageKind::Request, &[bytes]), Err(BodyError::Truncated));
    }
    let to_close = forward(Framing::Chunked, Framing::UntilClose, MessageKind::Response, &[b"5\r\nhel"]);
    assert_eq!(to_close, Err(BodyError::Truncated));
}

/// The body in chunks with these bytes as extension and trailer section.
fn chunked(chunks: &[Vec<u8>], extension: &str, trailers: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for chunk in chunks.iter().filter(|chunk| !chunk.is_empty()) {
        let mut one = Vec::new();
        encode_chunk(chunk, &mut one);
        let at = one.iter().position(|byte| *byte == b'\r').expect("a size line");
        bytes.extend([&one[..at], extension.as_bytes(), &one[at..]].concat());
    }
    bytes.extend([b"0", extension.as_bytes(), b"\r\n", trailers.as_bytes(), b"\r\n"].concat());
    bytes
}

proptest! {
    #[test]
    fn a_body_is_forwarded_alike_however_it_is_cut(
        chunks in vec(vec(any::<u8>(), 0..40), 0..6),
        extension in prop_oneof![Just(""), Just(" ;a=\"b\"")],
        trailers in prop_oneof![Just(""), Just("A: b\r\nHost: c\r\n")],
        rest in vec(any::<u8>(), 0..10),
        cuts in vec(0usize..300, 0..12),
    ) {
        let body = chunks.concat();
        let bytes = [chunked(&chunks, extension, trailers), rest.clone()].concat();
        let expected = chunked(&chunks, "", &trailers.replace("Host: c\r\n", ""));
        let pieces = cut(&bytes, &cuts);
        let length = body.len() as u64;
        let pass = |to| forward(Framing::Chunked, to, MessageKind::Request, &pieces);
        prop_assert_eq!(pass(Framing::Chunked), Ok((expected, rest.clone(), length)));
        prop_assert_eq!(pass(Framing::UntilClose), Ok((body.clone(), rest, length)));
        // A body without a length becomes chunks, which say the same.
        let (sent, left, _) =
            forward(Framing::UntilClose, Framing::Chunked, MessageKind::Response, &cut(&body, &cuts)).expect("any body");
        let mut decoded = Vec::new();
        let mut decoder = Body::new(Framing::Chunked);
        let mut at = 0;
        while at < sent.len() {
            let piece = decoder.decode(&sent[at..]).expect("chunks");
            decoded.extend_from_slice(piece.payload);
            at += piece.used;
        }
        prop_assert!(decoder.is_finished() && left.is_empty());
        prop_assert_eq!(decoded, body);
    }
}
