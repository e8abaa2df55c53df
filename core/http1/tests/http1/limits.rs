//! Every limit: a message below it, one at it, and one above it.

use std::time::Duration;

use bytes::Bytes;
use hvym_http1::{
    Body, BodyError, Framing, HeadBuffer, HeadError, HeadScanner, Headers, LineEndings, MAX_EXTENSION_BYTES,
    MAX_HEAD_BYTES, MAX_HEADERS, MAX_PENDING, MAX_RECORDED_HOST_BYTES, MAX_RECORDED_METHOD_BYTES,
    MAX_RECORDED_TARGET_BYTES, MAX_SIZE_DIGITS, MAX_TRAILER_BYTES, RequestHead, RequestReader, ResponseHead,
    Tap,
};

/// A request head of exactly this many bytes.
fn request_of(bytes: usize) -> String {
    let (start, end) = ("GET / HTTP/1.1\r\nA: ", "\r\n\r\n");
    format!("{start}{}{end}", "b".repeat(bytes - start.len() - end.len()))
}

/// Whether what is below the limit and at it passes, and what is above fails with `error`.
fn at_limit<T, E: PartialEq + std::fmt::Debug>(
    limit: usize,
    error: E,
    mut attempt: impl FnMut(usize) -> Result<T, E>,
) {
    assert_eq!(attempt(limit - 1).err(), None, "below {limit}");
    assert_eq!(attempt(limit).err(), None, "at {limit}");
    assert_eq!(attempt(limit + 1).err(), Some(error), "above {limit}");
}

#[test]
fn a_head_is_read_up_to_its_limit() {
    at_limit(MAX_HEAD_BYTES, HeadError::TooLong, |bytes| RequestHead::parse(request_of(bytes).as_bytes()));
    at_limit(MAX_HEAD_BYTES, HeadError::TooLong, |bytes| {
        ResponseHead::parse(request_of(bytes).replacen("GET / HTTP/1.1", "HTTP/1.1 200 O", 1).as_bytes())
    });
    for line_endings in [LineEndings::Lenient, LineEndings::Strict] {
        at_limit(MAX_HEAD_BYTES, HeadError::TooLong, |bytes| {
            HeadScanner::new(line_endings).feed(request_of(bytes).as_bytes())
        });
    }
    at_limit(MAX_HEAD_BYTES, HeadError::TooLong, |bytes| {
        let mut buffer = HeadBuffer::default();
        for piece in request_of(bytes).as_bytes().chunks(1000) {
            if buffer.take(piece)?.head.is_some() {
                return Ok(());
            }
            assert!(buffer.held() <= MAX_HEAD_BYTES, "{} bytes are held", buffer.held());
        }
        panic!("the head does not end");
    });
}

#[test]
fn a_head_is_written_up_to_its_limit() {
    at_limit(MAX_HEAD_BYTES, HeadError::TooLong, |bytes| {
        let mut head = RequestHead::new("GET", "/");
        head.headers
            .push("A", "b".repeat(bytes - request_of(100).len() + request_of(100).matches('b').count()));
        head.encode().inspect(|encoded| assert_eq!(encoded.len(), bytes))
    });
}

#[test]
fn a_head_has_so_many_fields() {
    let fields =
        |count| -> Headers { (0..count).map(|_| ("a".to_owned(), Bytes::from_static(b"b"))).collect() };
    at_limit(MAX_HEADERS, HeadError::TooManyHeaders, |count| {
        RequestHead::parse(format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(count)).as_bytes())
    });
    at_limit(MAX_HEADERS, HeadError::TooManyHeaders, |count| {
        ResponseHead::parse(format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(count)).as_bytes())
    });
    at_limit(MAX_HEADERS, HeadError::TooManyHeaders, |count| {
        let mut head = RequestHead::new("GET", "/");
        head.headers = fields(count);
        head.encode()
    });
    at_limit(MAX_HEADERS, HeadError::TooManyHeaders, |count| {
        let mut head = ResponseHead::new(200, "OK");
        head.headers = fields(count);
        head.encode()
    });
}

fn chunked(body: &str) -> Result<usize, BodyError> {
    let mut decoder = Body::new(Framing::Chunked);
    decoder.advance(body.as_bytes()).inspect(|used| {
        assert_eq!((*used, decoder.is_finished()), (body.len(), true), "{body:.40}");
    })
}

#[test]
fn a_chunk_size_has_so_many_digits() {
    at_limit(MAX_SIZE_DIGITS.into(), BodyError::ChunkSize, |digits| {
        chunked(&format!("{}1\r\nx\r\n0\r\n\r\n", "0".repeat(digits - 1)))
    });
    // The largest size is 2^64 - 1.
    let mut body = Body::new(Framing::Chunked);
    let decoded = body.decode(b"ffffffffffffffff\r\nx").expect("a size and a byte of data");
    assert_eq!((decoded.used, decoded.payload), (19, &b"x"[..]));
    assert!(!body.is_finished());
}

#[test]
fn extensions_and_trailers_have_so_many_bytes() {
    at_limit(MAX_EXTENSION_BYTES as usize, BodyError::Extension, |bytes| {
        chunked(&format!("1;{}\r\nx\r\n0\r\n\r\n", "e".repeat(bytes - 1)))
    });
    // All chunks together.
    at_limit(MAX_EXTENSION_BYTES as usize, BodyError::Extension, |bytes| {
        chunked(&format!("1;{}\r\nx\r\n0;e\r\n\r\n", "e".repeat(bytes - 3)))
    });
    at_limit(MAX_TRAILER_BYTES as usize, BodyError::Trailer, |bytes| {
        chunked(&format!("0\r\nT: {}\r\n\r\n", "t".repeat(bytes - 3)))
    });
    at_limit(MAX_TRAILER_BYTES as usize, BodyError::Trailer, |bytes| {
        chunked(&format!("0\r\n{}\r\nT:\r\n\r\n", "t".repeat(bytes - 2)))
    });
}

#[test]
fn a_record_keeps_the_beginning_of_long_texts() {
    for beyond in 0..3 {
        let recorded = |limit: usize| limit - 1 + beyond.min(1);
        let (method, target, host) = (
            "M".repeat(MAX_RECORDED_METHOD_BYTES - 1 + beyond),
            "/".repeat(MAX_RECORDED_TARGET_BYTES - 1 + beyond),
            "h".repeat(MAX_RECORDED_HOST_BYTES - 1 + beyond),
        );
        let mut tap = Tap::<Duration>::new();
        let request = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        tap.handle_request_bytes(request.as_bytes(), Duration::ZERO);
        tap.handle_response_bytes(b"HTTP/1.1 204 No Content\r\n\r\n", Duration::ZERO);
        let record = tap.poll_event().expect("a record");
        assert_eq!(record.method, method[..recorded(MAX_RECORDED_METHOD_BYTES)]);
        assert_eq!(record.target, target[..recorded(MAX_RECORDED_TARGET_BYTES)]);
        assert_eq!(record.host.as_deref(), Some(&host[..recorded(MAX_RECORDED_HOST_BYTES)]));
    }
}

#[test]
fn a_tap_follows_so_many_requests_and_keeps_so_many_records() {
    let request = b"GET / HTTP/1.1\r\n\r\n";
    let mut tap = Tap::<Duration>::new();
    for count in 1..=MAX_PENDING {
        tap.handle_request_bytes(request, Duration::ZERO);
        assert_eq!((tap.pending_requests(), tap.is_opaque()), (count, false));
    }
    tap.handle_request_bytes(request, Duration::ZERO);
    assert_eq!((tap.pending_requests(), tap.is_opaque()), (MAX_PENDING, true));
    for (count, kept) in
        [(MAX_PENDING - 1, MAX_PENDING - 1), (MAX_PENDING, MAX_PENDING), (MAX_PENDING + 1, MAX_PENDING)]
    {
        let mut tap = Tap::<Duration>::new();
        for number in 0..count {
            tap.handle_request_bytes(format!("GET /{number} HTTP/1.1\r\n\r\n").as_bytes(), Duration::ZERO);
            tap.handle_response_bytes(b"HTTP/1.1 204 No Content\r\n\r\n", Duration::ZERO);
        }
        let targets: Vec<String> =
            std::iter::from_fn(|| tap.poll_event()).map(|record| record.target).collect();
        let expected: Vec<String> = (count - kept..count).map(|number| format!("/{number}")).collect();
        assert_eq!(targets, expected, "{count}");
    }
}

#[test]
fn a_length_is_any_number_of_64_bits() {
    let framing = |length: &str| {
        let (head, _) =
            RequestHead::parse(format!("POST / HTTP/1.1\r\nContent-Length: {length}\r\n\r\n").as_bytes())
                .expect("a head")
                .expect("complete");
        Framing::for_request(&head).ok()
    };
    assert_eq!(framing("18446744073709551614"), Some(Framing::Length(u64::MAX - 1)));
    assert_eq!(framing("18446744073709551615"), Some(Framing::Length(u64::MAX)));
    assert_eq!(framing("18446744073709551616"), None);
    // RFC 9110 section 8.6 allows equal values; a proxy may refuse them.
    assert_eq!(framing("5, 5"), Some(Framing::Length(5)));
    assert_eq!(framing("5, 6"), None);
    assert_eq!(framing("5,"), None);
    // The body may follow in any pieces, and what comes after it is another message.
    let mut reader = RequestReader::new();
    let mut input = Bytes::from_static(b"POST / HTTP/1.1\r\nContent-Length: 5, 5\r\n\r\nhelloGET");
    while input.len() > 3 {
        reader.read(&mut input).expect("a message");
    }
    assert_eq!(&input[..], b"GET");
}

#[test]
fn a_head_in_pieces_is_held_in_at_most_twice_its_size_and_never_in_more_than_its_limit() {
    let mut buffer = HeadBuffer::default();
    for (piece, held) in [("GET", 6), (" /x", 6), (" ", 14)] {
        assert!(buffer.take(piece.as_bytes()).is_ok_and(|taken| taken.head.is_none()));
        assert_eq!(buffer.held(), held, "after {piece:?}");
    }
    assert!(buffer.take("x".repeat(MAX_HEAD_BYTES - 20).as_bytes()).is_ok());
    assert_eq!(buffer.held(), MAX_HEAD_BYTES);
}

#[test]
fn every_limit_is_as_large_as_its_reason_says() {
    assert_eq!((MAX_EXTENSION_BYTES, MAX_TRAILER_BYTES, MAX_SIZE_DIGITS), (16_384, 16_384, 16));
}
