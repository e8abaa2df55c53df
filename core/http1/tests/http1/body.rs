//! Bodies: which rule of RFC 9112 section 6.3 applies, and where a body ends however its bytes are cut.

use hvym_http1::{
    Body, BodyError, Framing, FramingError, LAST_CHUNK, MAX_EXTENSION_BYTES, MAX_TRAILER_BYTES, RequestHead,
    ResponseHead, content_length, encode_chunk,
};
use proptest::collection::vec;
use proptest::prelude::*;

fn of_request(fields: &str) -> Result<Framing, FramingError> {
    let bytes = format!("POST / HTTP/1.1\r\n{fields}\r\n");
    Framing::for_request(&RequestHead::parse(bytes.as_bytes()).unwrap().unwrap().0)
}

fn of_response(method: &str, status: u16, fields: &str) -> Result<Framing, FramingError> {
    let bytes = format!("HTTP/1.1 {status} x\r\n{fields}\r\n");
    Framing::for_response(&ResponseHead::parse(bytes.as_bytes()).unwrap().unwrap().0, method)
}

#[test]
fn a_request_without_a_length_has_no_body() {
    assert_eq!(of_request(""), Ok(Framing::Empty));
    assert_eq!(of_request("Content-Length: 5\r\n"), Ok(Framing::Length(5)));
    assert_eq!(of_request("transfer-encoding:  Chunked \r\n"), Ok(Framing::Chunked));
    assert_eq!(Framing::for_request(&RequestHead::new("CONNECT", "x:1")), Ok(Framing::Tunnel));
}

#[test]
fn a_response_without_a_length_ends_with_its_connection() {
    assert_eq!(of_response("GET", 200, ""), Ok(Framing::UntilClose));
    assert_eq!(of_response("GET", 200, "Content-Length: 0\r\n"), Ok(Framing::Length(0)));
    assert_eq!(of_response("GET", 500, "Transfer-Encoding: chunked\r\n"), Ok(Framing::Chunked));
}

#[test]
fn some_responses_have_no_body_whatever_they_say() {
    for (method, status) in [("GET", 100), ("GET", 103), ("GET", 204), ("GET", 304), ("HEAD", 200)] {
        for fields in ["", "Content-Length: 7\r\n", "Transfer-Encoding: chunked\r\n"] {
            assert_eq!(of_response(method, status, fields), Ok(Framing::Empty), "{method} {status}");
        }
    }
}

#[test]
fn an_upgraded_connection_is_a_tunnel() {
    assert_eq!(of_response("GET", 101, "Upgrade: websocket\r\n"), Ok(Framing::Tunnel));
    assert_eq!(of_response("CONNECT", 200, "Content-Length: 5\r\n"), Ok(Framing::Tunnel));
    assert_eq!(of_response("CONNECT", 407, "Content-Length: 5\r\n"), Ok(Framing::Length(5)));
}

#[test]
fn a_length_that_could_be_read_in_two_ways_is_refused() {
    let cases = [
        ("Content-Length: 5\r\nContent-Length: 6\r\n", FramingError::LengthsDiffer),
        ("Content-Length: 5, 6\r\n", FramingError::LengthsDiffer),
        ("Content-Length: +5\r\n", FramingError::Length),
        ("Content-Length: 5,\r\n", FramingError::Length),
        ("Content-Length:\r\n", FramingError::Length),
        ("Content-Length: 0x5\r\n", FramingError::Length),
        ("Content-Length: 18446744073709551616\r\n", FramingError::Length),
        ("Transfer-Encoding: gzip\r\n", FramingError::Encoding),
        ("Transfer-Encoding: gzip, chunked\r\n", FramingError::Encoding),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", FramingError::Encoding),
        ("Transfer-Encoding: xchunked\r\n", FramingError::Encoding),
        ("Transfer-Encoding:\r\n", FramingError::Encoding),
    ];
    for (fields, error) in cases {
        assert_eq!(of_request(fields), Err(error), "{fields}");
        assert_eq!(of_response("GET", 200, fields), Err(error), "{fields}");
    }
    let both = "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n";
    assert_eq!(of_request(both), Err(FramingError::EncodingAndLength));
    // Of a response, chunks override the length.
    assert_eq!(of_response("GET", 200, both), Ok(Framing::Chunked));
    assert_eq!(of_request("Content-Length: 5\r\nContent-Length: 5, 05\r\n"), Ok(Framing::Length(5)));
    let old =
        ResponseHead::parse(b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap().unwrap().0;
    assert_eq!(Framing::for_response(&old, "GET"), Err(FramingError::EncodingInHttp10));
}

#[test]
fn lengths_of_another_version_are_one_or_none() {
    let length = |values: &[&'static str]| content_length(values.iter().map(|value| value.as_bytes()));
    assert_eq!(length(&[]), Ok(None));
    assert_eq!(length(&["5", "5, 05"]), Ok(Some(5)));
    assert_eq!(length(&["5", "6"]), Err(FramingError::LengthsDiffer));
    assert_eq!(length(&["5", ""]), Err(FramingError::Length));
}

/// All payload, how many bytes were used, and how it went, feeding pieces cut at `cuts`.
fn decoded(framing: Framing, bytes: &[u8], cuts: &[usize]) -> (Vec<u8>, usize, Result<bool, BodyError>) {
    let mut body = Body::new(framing);
    let (mut payload, mut used) = (Vec::new(), 0);
    for piece in super::tap_cuts::cut(bytes, cuts) {
        let mut rest = piece;
        while !rest.is_empty() && !body.is_finished() {
            match body.decode(rest) {
                Err(error) => return (payload, used, Err(error)),
                Ok(step) => {
                    assert!(step.used > 0, "a body that is not finished takes at least a byte");
                    payload.extend_from_slice(step.payload);
                    used += step.used;
                    rest = &rest[step.used..];
                }
            }
        }
    }
    (payload, used, Ok(body.is_finished()))
}

fn chunked(bytes: &[u8]) -> (Vec<u8>, usize, Result<bool, BodyError>) {
    decoded(Framing::Chunked, bytes, &[])
}

#[test]
fn a_chunked_body_ends_before_the_next_message() {
    let bytes = b"4\r\nWiki\r\n00A ;x=\"y\"\r\npedia in\r\n\r\n0\r\nX-Sum: 1\r\nY:\r\n\r\nGET /";
    let (payload, used, end) = chunked(bytes);
    assert_eq!((payload.as_slice(), end), (&b"Wikipedia in\r\n"[..], Ok(true)));
    assert_eq!(&bytes[used..], b"GET /");
    assert_eq!(Body::new(Framing::Chunked).advance(bytes), Ok(used));
}

#[test]
fn a_malformed_chunk_is_refused() {
    let cases: [(&[u8], BodyError); 13] = [
        (b"\r\n", BodyError::ChunkSize),
        (b" 5\r\n", BodyError::ChunkSize),
        (b"-5\r\n", BodyError::ChunkSize),
        (b"0x5\r\n", BodyError::ChunkSize),
        (b"5\nhello", BodyError::ChunkSize),
        (b"5\r\nhello!\r\n", BodyError::ChunkSize),
        (b"5\r\nhello\n", BodyError::ChunkSize),
        (b"11111111111111111\r\n", BodyError::ChunkSize),
        (b"5;a\nb\r\n", BodyError::Extension),
        (b"5 a;b\r\n", BodyError::Extension),
        (b"0\r\n folded: x\r\n", BodyError::Trailer),
        (b"0\r\nA: b\n\r\n", BodyError::Trailer),
        (b"0\r\n\n", BodyError::Trailer),
    ];
    for (bytes, error) in cases {
        assert_eq!(chunked(bytes).2, Err(error), "{}", bytes.escape_ascii());
    }
}

#[test]
fn the_largest_size_does_not_overflow() {
    let (payload, _, end) = chunked(b"ffffffffffffffff\r\nabc");
    assert_eq!((payload.as_slice(), end), (&b"abc"[..], Ok(false)));
}

#[test]
fn a_broken_body_stays_broken() {
    let mut body = Body::new(Framing::Chunked);
    assert_eq!(body.advance(b"zz"), Err(BodyError::ChunkSize));
    assert_eq!(body.advance(b"0\r\n\r\n"), Err(BodyError::ChunkSize));
    assert!(!body.is_finished());
    // With the error that it failed with, not with that of the next byte.
    let mut body = Body::new(Framing::Chunked);
    assert_eq!(body.advance(b"0\r\n\0"), Err(BodyError::Trailer));
    assert_eq!(body.advance(b"5"), Err(BodyError::Trailer));
}

#[test]
fn extensions_and_trailers_have_limits_for_the_whole_body() {
    let half = "x".repeat(MAX_EXTENSION_BYTES as usize / 2 - 1);
    let chunk = format!("1;{half}\r\na\r\n");
    assert_eq!(chunked(chunk.repeat(2).as_bytes()).2, Ok(false));
    assert_eq!(chunked(format!("{}1;\r\n", chunk.repeat(2)).as_bytes()).2, Err(BodyError::Extension));
    let fits = format!("0\r\n{}\r\n\r\n", "x".repeat(MAX_TRAILER_BYTES as usize));
    assert_eq!(chunked(fits.as_bytes()).2, Ok(true));
    let line = format!("{}\r\n", "x".repeat(MAX_TRAILER_BYTES as usize / 2 + 1));
    assert_eq!(chunked(format!("0\r\n{line}{line}").as_bytes()).2, Err(BodyError::Trailer));
}

#[test]
fn a_body_knows_whether_the_stream_ended_too_early() {
    let mut body = Body::new(Framing::Length(3));
    assert_eq!(body.advance(b"ab"), Ok(2));
    assert_eq!(body.handle_end(), Err(BodyError::Truncated));
    assert_eq!(body.advance(b"cd"), Ok(1));
    assert_eq!(body.handle_end(), Ok(()));
    let mut open = Body::new(Framing::UntilClose);
    assert_eq!(open.advance(b"anything"), Ok(8));
    assert_eq!(open.handle_end(), Ok(()));
    assert!(open.is_finished());
    assert_eq!(Body::new(Framing::Chunked).handle_end(), Err(BodyError::Truncated));
}

#[test]
fn payload_is_a_part_of_what_was_given() {
    let bytes = b"3\r\nabc\r\n".to_vec();
    let step = Body::new(Framing::Chunked).decode(&bytes).unwrap();
    assert_eq!(step.payload.as_ptr(), bytes[3..].as_ptr());
}

proptest! {
    #[test]
    fn what_was_chunked_comes_out_however_it_is_cut(
        chunks in vec(vec(any::<u8>(), 0..40), 0..6),
        rest in vec(any::<u8>(), 0..10),
        cuts in vec(0usize..300, 0..12),
    ) {
        let mut bytes = Vec::new();
        chunks.iter().for_each(|chunk| encode_chunk(chunk, &mut bytes));
        bytes.extend_from_slice(LAST_CHUNK);
        let length = bytes.len();
        bytes.extend_from_slice(&rest);
        prop_assert_eq!(decoded(Framing::Chunked, &bytes, &cuts), (chunks.concat(), length, Ok(true)));
    }

    #[test]
    fn garbage_gives_the_same_payload_and_error_however_it_is_cut(
        bytes in prop_oneof![vec(any::<u8>(), 0..60), "[0-3;x\r\n]{0,60}".prop_map(String::into_bytes)],
        cuts in vec(0usize..60, 0..12),
        length in 0u64..80,
    ) {
        for framing in [Framing::Chunked, Framing::Length(length), Framing::UntilClose] {
            let (payload, _, end) = decoded(framing, &bytes, &[]);
            let (cut_payload, _, cut_end) = decoded(framing, &bytes, &cuts);
            prop_assert_eq!((payload, end), (cut_payload, cut_end));
        }
    }
}
