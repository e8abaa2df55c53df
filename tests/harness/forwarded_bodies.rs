//! A fuzz target for the bodies that a proxy forwards: any bytes, decoded and passed on in any pieces.

use bytes::Bytes;
use httparse::Status;
use hvym_http1::{Body, BodyForwarder, Decoded, Framing, MessageKind};

/// Bodies: cut anywhere they are forwarded alike, and other parsers find the same payload in them. The first byte says how, the
/// second where it is cut.
///
/// # Panics
/// When a rule is broken.
pub fn bodies(data: &[u8]) {
    let [how, cut, data @ ..] = data else { return };
    let from = match how % 3 {
        0 | 1 => Framing::Chunked,
        _ => Framing::UntilClose,
    };
    let kind = if how & 8 == 0 { MessageKind::Request } else { MessageKind::Response };
    let piece = usize::from(*cut % 17) + 1;
    let whole = decoded(from, data, data.len().max(1));
    assert_eq!(whole, decoded(from, data, piece), "in pieces another body is decoded");
    if from == Framing::Chunked
        && let Ok((payload, used, true)) = &whole
    {
        assert_eq!(*payload, decoded_by_others(&data[..*used]), "httparse finds another payload");
    }
    for to in [Framing::Chunked, Framing::UntilClose] {
        let sent = forwarded(from, to, kind, data, data.len().max(1));
        // Chunks that are written anew are as large as the pieces.
        if from == Framing::Chunked || to == Framing::UntilClose {
            assert_eq!(sent, forwarded(from, to, kind, data, piece), "in pieces another body is forwarded");
        }
        match (&whole, sent) {
            (Ok((payload, used, is_finished)), Some((sent, left))) => {
                assert!(*is_finished || from == Framing::UntilClose);
                assert_eq!(left, data.len() - used, "the body ends elsewhere");
                let seen =
                    if to == Framing::Chunked { decoded(to, &sent, sent.len()) } else { Ok((sent, 0, true)) };
                let seen = seen.expect("what was written is a body");
                assert_eq!((&seen.0, seen.2), (payload, true), "another body is forwarded");
            }
            (Err(()), Some(_)) => panic!("a malformed body is forwarded"),
            (Ok((_, _, is_finished)), None) => assert!(!is_finished && from == Framing::Chunked),
            (Err(()), None) => {}
        }
    }
}

/// The payload, how many bytes are the body's, and whether it ended.
fn decoded(framing: Framing, data: &[u8], piece: usize) -> Result<(Vec<u8>, usize, bool), ()> {
    let mut body = Body::new(framing);
    let (mut payload, mut used) = (Vec::new(), 0);
    for mut piece in data.chunks(piece) {
        while !piece.is_empty() && !body.is_finished() {
            let Decoded { used: length, payload: part, .. } = body.decode(piece).map_err(drop)?;
            payload.extend_from_slice(part);
            (used, piece) = (used + length, &piece[length..]);
        }
    }
    Ok((payload, used, body.is_finished()))
}

fn decoded_by_others(mut body: &[u8]) -> Vec<u8> {
    let mut payload = Vec::new();
    loop {
        let Ok(Status::Complete((at, size))) = httparse::parse_chunk_size(body) else {
            panic!("httparse finds no size in {}", body.escape_ascii())
        };
        if size == 0 {
            return payload;
        }
        let end = at + usize::try_from(size).expect("a size in memory");
        payload.extend_from_slice(&body[at..end]);
        body = body[end..].strip_prefix(b"\r\n").expect("a line end behind a chunk");
    }
}

/// What is forwarded, and how many bytes are left; `None` if the body is malformed or incomplete.
fn forwarded(
    from: Framing,
    to: Framing,
    kind: MessageKind,
    data: &[u8],
    piece: usize,
) -> Option<(Vec<u8>, usize)> {
    let mut forwarder = BodyForwarder::new(from, to, kind);
    let (mut sent, mut left) = (Vec::new(), 0);
    for piece in data.chunks(piece) {
        let mut input = Bytes::copy_from_slice(piece);
        while let Some(bytes) = forwarder.forward(&mut input).ok()? {
            assert!(!bytes.is_empty());
            sent.extend_from_slice(&bytes);
        }
        left += input.len();
    }
    forwarder.handle_end().ok()?;
    while let Some(bytes) = forwarder.forward(&mut Bytes::new()).ok()? {
        sent.extend_from_slice(&bytes);
    }
    Some((sent, left))
}

/// The seeds of this target.
pub(crate) const SEEDS: [&str; 6] = [
    "025\r\nhello\r\n00A ;a=\"b;\\\"\"\r\nhellohello\r\n0\r\nA: b\r\nHost: c\r\n\r\nGET",
    "141\r\nx\r\n0\r\n\r\n",
    "2\u{3}until the end",
    "805;x=\"\r\nhello\r\n0\r\n\r\n",
    "0\u{0}5\r\nhello\r\n0\r\nno field\r\nA:\tb \r\n\r\n",
    "0Affffffffffffffff\r\nabc",
];
