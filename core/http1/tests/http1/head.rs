//! Heads: there and back, and nothing that could be read in two ways.

use bytes::Bytes;
use hvym_http1::{HeadError, Headers, MAX_HEAD_BYTES, MAX_HEADERS, RequestHead, ResponseHead, Version};
use proptest::collection::vec;
use proptest::prelude::*;

fn request(bytes: &[u8]) -> Result<Option<(RequestHead, usize)>, HeadError> {
    RequestHead::parse(bytes)
}

#[test]
fn a_request_is_read_as_it_was_sent() {
    let bytes = b"POST /a?b=c%20d HTTP/1.0\r\nHOST: x.example\r\nX:\r\nx: \xff \t \r\n\r\nbody";
    let (head, used) = request(bytes).unwrap().unwrap();
    assert_eq!(used, bytes.len() - 4);
    assert_eq!((head.method.as_str(), head.target.as_str()), ("POST", "/a?b=c%20d"));
    assert_eq!(head.version, Version::Http10);
    let fields: Vec<_> = head.headers.iter().collect();
    assert_eq!(fields, [("HOST", &b"x.example"[..]), ("X", b""), ("x", b"\xff")]);
}

#[test]
fn fields_are_kept_by_name_and_value() {
    let mut headers = Headers::default();
    for (name, value) in [("A", "1"), ("b", "2"), ("A", "3")] {
        headers.push(name, value);
    }
    headers.retain(|name, value| name == "A" && value != b"3");
    assert_eq!(headers.iter().collect::<Vec<_>>(), [("A", &b"1"[..])]);
    assert_eq!(headers.into_iter().collect::<Vec<_>>(), [(Bytes::from("A"), Bytes::from("1"))]);
}

#[test]
fn a_response_is_read_with_and_without_a_reason() {
    let (head, _) = ResponseHead::parse(b"HTTP/1.1 404 Not Found\r\n\r\n").unwrap().unwrap();
    assert_eq!((head.status, head.reason.as_str()), (404, "Not Found"));
    let (head, used) = ResponseHead::parse(b"HTTP/1.1 200\r\n\r\nx").unwrap().unwrap();
    assert_eq!((head.status, head.reason.as_str(), used), (200, "", 16));
}

#[test]
fn every_prefix_of_a_head_asks_for_more() {
    let bytes = b"\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n";
    for end in 0..bytes.len() {
        assert_eq!(request(&bytes[..end]), Ok(None), "{end}");
    }
    assert_eq!(request(bytes).unwrap().unwrap().1, bytes.len());
}

#[test]
fn what_two_readers_could_see_differently_is_refused() {
    let refused: [&[u8]; 12] = [
        b"GET / HTTP/1.1\r\nA: b\r\n folded\r\n\r\n",
        b"GET / HTTP/1.1\r\n folded: first\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length : 5\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: b\rC: d\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: b\0\r\n\r\n",
        b"GET / HTTP/1.1\r\n: nameless\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET / x HTTP/1.1\r\n\r\n",
        b"G\xc3\x89T / HTTP/1.1\r\n\r\n",
        b"GET /\r\n\r\n",
        b"GET / HTTP/1.2\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ];
    for bytes in refused {
        assert!(request(bytes).is_err(), "{}", bytes.escape_ascii());
    }
    let refused: [&[u8]; 6] = [
        b"HTTP/1.1 099 Low\r\n\r\n",
        b"HTTP/1.1 20 Short\r\n\r\n",
        b"HTTP/1.1 2000 Long\r\n\r\n",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: b\r\n\tfolded\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
    ];
    for bytes in refused {
        assert!(ResponseHead::parse(bytes).is_err(), "{}", bytes.escape_ascii());
    }
}

#[test]
fn a_head_has_room_for_so_many_fields_and_bytes_and_no_more() {
    let fields = |count: usize| format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(count));
    assert_eq!(request(fields(MAX_HEADERS).as_bytes()).unwrap().unwrap().0.headers.len(), MAX_HEADERS);
    assert_eq!(request(fields(MAX_HEADERS + 1).as_bytes()), Err(HeadError::TooManyHeaders));

    let frame = "GET / HTTP/1.1\r\na: \r\n\r\n".len();
    let sized = |size: usize| format!("GET / HTTP/1.1\r\na: {}\r\n\r\n", "b".repeat(size - frame));
    assert_eq!(request(sized(MAX_HEAD_BYTES).as_bytes()).unwrap().unwrap().1, MAX_HEAD_BYTES);
    assert_eq!(request(sized(MAX_HEAD_BYTES + 1).as_bytes()), Err(HeadError::TooLong));
    assert_eq!(request("b".repeat(MAX_HEAD_BYTES + 1).as_bytes()), Err(HeadError::TooLong));
}

#[test]
fn what_is_too_large_to_be_read_is_not_written() {
    let mut head = RequestHead::new("GET", "/");
    head.headers.push("a", "b".repeat(MAX_HEAD_BYTES));
    assert_eq!(head.encode(), Err(HeadError::TooLong));
    let mut head = ResponseHead::new(200, "OK");
    (0..=MAX_HEADERS).for_each(|_| head.headers.push("a", "b"));
    assert_eq!(head.encode(), Err(HeadError::TooManyHeaders));
}

#[test]
fn nobody_can_add_a_line_through_a_value() {
    let evil = "a\r\nInjected: yes";
    let mut in_value = RequestHead::new("GET", "/");
    in_value.headers.push("X", evil);
    let mut in_name = ResponseHead::new(200, "OK");
    in_name.headers.push(evil, "x");
    assert_eq!(in_value.encode(), Err(HeadError::HeaderValue));
    assert_eq!(in_name.encode(), Err(HeadError::HeaderName));
    assert_eq!(RequestHead::new(evil, "/").encode(), Err(HeadError::RequestLine));
    assert_eq!(RequestHead::new("GET", evil).encode(), Err(HeadError::RequestLine));
    assert_eq!(RequestHead::new("GET", "/ HTTP/1.1").encode(), Err(HeadError::RequestLine));
    assert_eq!(ResponseHead::new(200, evil).encode(), Err(HeadError::StatusLine));
    assert_eq!(ResponseHead::new(1000, "").encode(), Err(HeadError::StatusLine));
}

/// Text near the borders of what is legal: mostly legal, sometimes with something that is not.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![4 => "[a-zA-Z0-9/?=&._~-]{1,12}", 1 => "[a-z\r\n\0 :,\t\u{e9}\u{7f}]{0,4}"]
}

fn fields() -> impl Strategy<Value = Vec<(String, Vec<u8>)>> {
    let value = prop_oneof![4 => "[ -~]{0,20}".prop_map(String::into_bytes), 1 => vec(any::<u8>(), 0..4)];
    vec((text(), value), 0..5)
}

fn headers(fields: Vec<(String, Vec<u8>)>) -> Headers {
    fields.into_iter().map(|(name, value)| (name, Bytes::from(value))).collect()
}

fn assert_same_fields(sent: &Headers, seen: &Headers) {
    assert_eq!(sent.len(), seen.len());
    for ((name, value), (seen_name, seen_value)) in sent.iter().zip(seen.iter()) {
        assert_eq!(name, seen_name);
        assert_eq!(value.trim_ascii(), seen_value);
    }
}

proptest! {
    #[test]
    fn a_request_is_refused_or_read_as_it_was_meant(method in text(), target in text(), fields in fields()) {
        let head = RequestHead { headers: headers(fields), ..RequestHead::new(method, target) };
        if let Ok(bytes) = head.encode() {
            let (seen, used) = RequestHead::parse(&bytes).unwrap().unwrap();
            assert_eq!(used, bytes.len());
            assert_eq!((&seen.method, &seen.target), (&head.method, &head.target));
            assert_same_fields(&head.headers, &seen.headers);
        }
    }

    #[test]
    fn a_response_is_refused_or_read_as_it_was_meant(status in 0u16..1100, reason in text(), fields in fields()) {
        let head = ResponseHead { headers: headers(fields), ..ResponseHead::new(status, reason) };
        if let Ok(bytes) = head.encode() {
            let (seen, used) = ResponseHead::parse(&bytes).unwrap().unwrap();
            assert_eq!((used, seen.status), (bytes.len(), status));
            assert_same_fields(&head.headers, &seen.headers);
        }
    }

    #[test]
    fn what_is_no_head_never_becomes_one(bytes in vec(any::<u8>(), 0..60), rest in vec(any::<u8>(), 0..60)) {
        let longer = [&bytes[..], &rest, b"\r\n\r\n"].concat();
        if let Err(error) = RequestHead::parse(&bytes) {
            prop_assert_eq!(RequestHead::parse(&longer), Err(error));
        }
        if let Err(error) = ResponseHead::parse(&bytes) {
            prop_assert_eq!(ResponseHead::parse(&longer), Err(error));
        }
    }

    #[test]
    fn a_head_ends_at_the_same_byte_however_much_follows(rest in vec(any::<u8>(), 0..40), damage in 0usize..30, with: u8) {
        let mut bytes = b"GET /x HTTP/1.1\r\nHost: y\r\n\r\n".to_vec();
        if let Some(byte) = bytes.get_mut(damage) {
            *byte = with;
        }
        let whole = [&bytes[..], &rest].concat();
        if let Ok(Some((head, used))) = RequestHead::parse(&whole) {
            prop_assert_eq!(RequestHead::parse(&whole[..used]), Ok(Some((head, used))));
            prop_assert_eq!(RequestHead::parse(&whole[..used - 1]), Ok(None));
        }
    }
}

#[test]
fn fields_that_are_appended_come_after_those_that_were_there() {
    let fields = |names: &[&'static str]| {
        let mut headers = Headers::default();
        names.iter().for_each(|name| headers.push(*name, "1"));
        headers
    };
    let mut headers = fields(&["a", "b"]);
    headers.append(fields(&["c", "a"]));
    assert_eq!(headers, fields(&["a", "b", "c", "a"]));
}
