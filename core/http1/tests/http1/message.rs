//! Whole messages: read from any pieces, and written so that every reader sees the same.

use bytes::Bytes;
use hvym_http1::{
    BodyError, BodyWriter, Event, Framing, Payload, ReadError, RequestHead, RequestReader, ResponseHead,
    ResponseReader, WriteError,
};
use proptest::prelude::*;

/// What `read` makes of `bytes` that come in pieces of `size`: parts in words, bodies joined.
fn parts<H>(
    bytes: &[u8],
    size: usize,
    mut read: impl FnMut(&mut Bytes) -> Result<Option<Event<H>>, ReadError>,
    word: impl Fn(&H) -> String,
) -> Result<Vec<String>, ReadError> {
    let mut seen: Vec<String> = Vec::new();
    for piece in bytes.chunks(size) {
        let mut input = Bytes::copy_from_slice(piece);
        while let Some(part) = read(&mut input)? {
            match part {
                Event::Head(head) => seen.extend([word(&head), String::new()]),
                Event::Body(data) => {
                    assert!(!data.is_empty());
                    seen.last_mut().expect("a head came first").push_str(&String::from_utf8_lossy(&data));
                }
                Event::End => seen.push("end".to_owned()),
            }
        }
        assert!(input.is_empty(), "{input:?} is left");
    }
    Ok(seen)
}

fn requests(bytes: &[u8], size: usize) -> Result<Vec<String>, ReadError> {
    let mut reader = RequestReader::new();
    parts(bytes, size, |input| reader.read(input), |head| format!("{} {}", head.method, head.target))
}

fn response(method: &str, bytes: &[u8], size: usize) -> Result<Vec<String>, ReadError> {
    let mut reader = ResponseReader::new(method);
    let mut seen = parts(bytes, size, |input| reader.read(input), |head| head.status.to_string())?;
    if let Some(Event::End) = reader.handle_end()? {
        seen.push("end".to_owned());
    }
    Ok(seen)
}

const THREE: &[u8] = b"POST /a HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello\
    PUT /b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n3;x=y\r\ncde\r\n0\r\nT: x\r\n\r\n\
    GET /c HTTP/1.1\r\n\r\n";

#[test]
fn requests_follow_each_other_however_their_bytes_are_cut() {
    for size in 1..=THREE.len() {
        let seen = requests(THREE, size);
        let wanted = ["POST /a", "hello", "end", "PUT /b", "abcde", "end", "GET /c", "", "end"];
        assert_eq!(seen.as_deref(), Ok(&wanted.map(str::to_owned)[..]), "pieces of {size}");
    }
}

#[test]
fn a_response_ends_as_its_head_says() {
    let interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: x\r\n\r\n";
    for (method, text, body) in [
        ("GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "ok"),
        ("GET", "HTTP/1.1 200 OK\r\n\r\nuntil the end", "until the end"),
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", ""),
        ("GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\n", ""),
    ] {
        let bytes = [interim, text.as_bytes()].concat();
        for size in [1, 7, bytes.len()] {
            let seen = response(method, &bytes, size).expect("a response");
            assert_eq!((seen[1].as_str(), seen[2].as_str(), seen.len()), (body, "end", 3), "{text}");
        }
    }
}

#[test]
fn what_is_cut_off_is_never_whole() {
    for end in 1..THREE.len() {
        let mut reader = RequestReader::new();
        let mut input = Bytes::copy_from_slice(&THREE[..end]);
        let mut is_between = true;
        while let Ok(Some(part)) = reader.read(&mut input) {
            is_between = matches!(part, Event::End);
        }
        is_between &= reader.is_idle();
        assert_eq!(matches!(reader.handle_end(), Ok(None)), is_between, "{end} bytes");
    }
    let short = response("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok", 4);
    assert_eq!(short, Err(ReadError::Body(BodyError::Truncated)));
    assert_eq!(response("GET", b"HTTP/1.1 2", 4), Err(ReadError::Truncated));
    assert!(matches!(
        requests(b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n", 9),
        Err(ReadError::Framing(_))
    ));
}

fn asked(method: &str, fields: &[(&str, &str)]) -> RequestHead {
    let mut head = RequestHead::new(method, "/");
    for (name, value) in fields {
        head.headers.push(*name, value.to_string());
    }
    head
}

#[test]
fn an_answer_says_how_long_it_is() {
    let get = asked("GET", &[]);
    let mut old = asked("GET", &[]);
    old.version = hvym_http1::Version::Http10;
    for (request, status, payload, framing, length) in [
        (&get, 200, Payload::Sized(5), Framing::Length(5), Some("5")),
        (&get, 200, Payload::Absent, Framing::Length(0), Some("0")),
        (&get, 200, Payload::Streamed, Framing::Chunked, None),
        (&old, 200, Payload::Streamed, Framing::UntilClose, None),
        (&asked("HEAD", &[]), 200, Payload::Sized(5), Framing::Empty, Some("5")),
        (&asked("HEAD", &[]), 200, Payload::Absent, Framing::Empty, Some("7")),
        (&get, 204, Payload::Sized(5), Framing::Empty, None),
        (&get, 304, Payload::Absent, Framing::Empty, Some("7")),
    ] {
        let mut head = ResponseHead::new(status, "");
        head.headers.push("Content-Length", "7");
        head.headers.push("Connection", "X-Hop, content-length");
        head.headers.push("X-Hop", "1");
        head.headers.push("Transfer-Encoding", "gzip");
        assert_eq!(head.set_framing(request, payload), framing, "{status} {payload:?}");
        assert_eq!(head.headers.first("content-length"), length.map(str::as_bytes), "{status} {payload:?}");
        assert_eq!(head.headers.contains("transfer-encoding"), framing == Framing::Chunked);
        assert!(!head.headers.contains("x-hop"));
        assert_eq!(head.headers.contains_token("connection", "close"), !request.keeps_alive());
        assert_eq!(Framing::for_response(&head, &request.method).ok(), Some(framing), "{status} {payload:?}");
    }
}

#[test]
fn a_request_says_how_long_it_is() {
    for (method, payload, framing) in [
        ("GET", Payload::Absent, Framing::Empty),
        ("POST", Payload::Absent, Framing::Length(0)),
        ("POST", Payload::Sized(9), Framing::Length(9)),
        ("PUT", Payload::Streamed, Framing::Chunked),
    ] {
        let mut head = asked(method, &[("Content-Length", "1"), ("Transfer-Encoding", "chunked")]);
        assert_eq!(head.set_framing(payload), framing);
        assert!(
            Framing::for_request(&head) == Ok(framing) || framing == Framing::Length(0),
            "{method} {payload:?}"
        );
    }
}

#[test]
fn a_body_is_as_long_as_was_said() {
    let mut writer = BodyWriter::new(Framing::Length(3));
    assert_eq!(writer.encode(Bytes::from_static(b"ab")), Ok(Bytes::from_static(b"ab")));
    assert_eq!(writer.clone().finish(), Err(WriteError::TooShort));
    assert_eq!(writer.encode(Bytes::from_static(b"cd")), Err(WriteError::TooLong));
    assert_eq!(BodyWriter::new(Framing::Empty).encode(Bytes::from_static(b"ab")), Ok(Bytes::new()));
    let mut whole = BodyWriter::new(Framing::Length(2));
    assert_eq!(whole.encode(Bytes::from_static(b"ab")), Ok(Bytes::from_static(b"ab")));
    assert_eq!(whole.finish(), Ok(Bytes::new()));
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(pieces: Vec<Vec<u8>>, size in 1_usize..50) {
        let mut head = RequestHead::new("POST", "/");
        let mut writer = BodyWriter::new(head.set_framing(Payload::Streamed));
        let mut wire = head.encode().expect("a head").to_vec();
        for piece in &pieces {
            wire.extend_from_slice(&writer.encode(Bytes::from(piece.clone())).expect("as long as it is"));
        }
        wire.extend_from_slice(&writer.finish().expect("as long as it is"));
        let mut reader = RequestReader::new();
        let (mut body, mut ended) = (Vec::new(), false);
        for piece in wire.chunks(size) {
            let mut input = Bytes::copy_from_slice(piece);
            while let Some(part) = reader.read(&mut input).expect("what we wrote") {
                match part {
                    Event::Head(read) => prop_assert_eq!(&read, &head),
                    Event::Body(data) => body.extend_from_slice(&data),
                    Event::End => ended = true,
                }
            }
        }
        prop_assert!(ended);
        prop_assert_eq!(body, pieces.concat());
    }
}

#[test]
fn a_connection_is_kept_for_http_1_1_without_close_alone() {
    for (head, keeps_alive) in [
        ("GET / HTTP/1.1\r\n\r\n", true),
        ("GET / HTTP/1.1\r\nConnection: keep-alive\r\n\r\n", true),
        ("GET / HTTP/1.1\r\nConnection: x, Close\r\n\r\n", false),
        ("GET / HTTP/1.0\r\n\r\n", false),
        ("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", false),
        ("GET / HTTP/1.0\r\nConnection: close\r\n\r\n", false),
    ] {
        let (head, _) = RequestHead::parse(head.as_bytes()).unwrap().unwrap();
        assert_eq!(head.keeps_alive(), keeps_alive, "{head:?}");
    }
    for (head, keeps_alive) in [
        ("HTTP/1.1 200 OK\r\n\r\n", true),
        ("HTTP/1.1 200 OK\r\nConnection: Close, x\r\n\r\n", false),
        ("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\n", false),
    ] {
        let (head, _) = ResponseHead::parse(head.as_bytes()).unwrap().unwrap();
        assert_eq!(head.keeps_alive(), keeps_alive, "{head:?}");
    }
}
