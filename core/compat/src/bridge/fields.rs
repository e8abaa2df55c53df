//! Rewrites heads between HTTP/1.1 and whole messages by the rules of an intermediary (RFC 9110 section 7.6.1).
//!
//! Length and transfer coding are set anew on the other side, because the message carries the decoded body.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use bytes::Bytes;

use crate::dialect::Dialect;
use hvym_http1::{Headers, RequestHead, ResponseHead};

/// Why a head cannot pass.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) struct RejectedHead(pub(super) u16, pub(super) &'static str);

/// A visitor's request for an agent of an older system.
pub(super) fn to_agent(mut head: RequestHead, dialect: Dialect) -> Result<RequestHead, RejectedHead> {
    if !head.target.starts_with('/') {
        return Err(RejectedHead(400, "The target of a request must be a path."));
    }
    if head.headers.contains("upgrade") {
        return Err(RejectedHead(
            501,
            "The program behind this tunnel cannot carry WebSockets and other upgrades.",
        ));
    }
    head.headers.strip_hop_by_hop();
    for name in ["host", "content-length", "expect", "accept-encoding"] {
        head.headers.remove(name);
    }
    if dialect.profile().strips_authorization {
        head.headers.remove("authorization");
    }
    // Their HTTP libraries accept only ASCII and would fail the whole request.
    head.headers.retain(|_, value| value.is_ascii());
    // Otherwise those libraries request compression, and pass the result on without `Content-Encoding`.
    head.headers.push("accept-encoding", "identity");
    Ok(head)
}

/// A request from a message as bytes for the local service, whose connection closes after it.
pub(super) fn to_service(mut head: RequestHead, body: &Bytes) -> Result<Bytes, RejectedHead> {
    const REJECTED: RejectedHead = RejectedHead(400, "the request is malformed");
    // A target without a leading slash could name another host when it is appended to an authority.
    if !head.target.starts_with('/') {
        return Err(REJECTED);
    }
    head.target = without_dots(&head.target);
    head.method.make_ascii_uppercase();
    if head.method == "CONNECT" || head.headers.contains("upgrade") {
        return Err(RejectedHead(501, "upgrades cannot pass this tunnel"));
    }
    let host = match head.headers.all("host").collect::<Vec<_>>()[..] {
        [host] => Bytes::copy_from_slice(host),
        _ => Bytes::from_static(b"localhost"),
    };
    head.headers.strip_hop_by_hop();
    for name in ["host", "content-length", "expect", "accept-encoding"] {
        head.headers.remove(name);
    }
    let mut fields = Headers::new();
    fields.push("Host", host);
    fields.append(head.headers);
    fields.push("Accept-Encoding", "identity");
    if !body.is_empty() || matches!(head.method.as_str(), "POST" | "PUT" | "PATCH") {
        fields.push("Content-Length", body.len().to_string());
    }
    fields.push("Connection", "close");
    head.headers = fields;
    head.encode().map_err(|_| REJECTED)
}

/// Removes dot segments (RFC 3986 section 5.2.4): relays that decode a path can create them from escapes.
fn without_dots(target: &str) -> String {
    let (path, query) = target.split_at(target.find('?').unwrap_or(target.len()));
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match segment {
            ".." => drop(kept.pop()),
            "." => {}
            _ => {
                kept.push(segment);
                continue;
            }
        }
        if is_last {
            kept.push("");
        }
    }
    let mut out = String::with_capacity(target.len());
    for segment in kept {
        out.push('/');
        out.push_str(segment);
    }
    out.push_str(query);
    out
}

/// A service's response head for a message.
pub(super) fn to_relay(mut head: ResponseHead, method: &str) -> ResponseHead {
    let length = head.headers.first("content-length").map(Bytes::copy_from_slice);
    head.headers.strip_hop_by_hop();
    head.headers.remove("content-length");
    if let Some(length) = length.filter(|_| method == "HEAD") {
        head.headers.push("content-length", length);
    }
    head
}

/// How the body of a response is framed for the visitor.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum BodyKind {
    /// As a whole, with this length in bytes.
    Length(usize),
    /// In chunks.
    Chunked,
    /// No body (RFC 9110 sections 9.3.2, 15.3.5, 15.4.5).
    None,
}

impl BodyKind {
    /// For a response of this `status` to a request of this `method`; `whole` is the length, if it is known.
    pub(super) fn for_response(method: &str, status: u16, whole: Option<usize>) -> Self {
        match (method, status, whole) {
            ("HEAD", _, _) | (_, 204 | 304, _) => BodyKind::None,
            (_, _, Some(length)) => BodyKind::Length(length),
            (_, _, None) => BodyKind::Chunked,
        }
    }
}

/// A response head as bytes for the visitor, whose connection closes after it.
pub(super) fn to_visitor(mut head: ResponseHead, kind: BodyKind) -> Result<Bytes, RejectedHead> {
    const REJECTED: RejectedHead =
        RejectedHead(502, "The answer of the program behind this tunnel is malformed.");
    if !matches!(head.status, 200..=599) {
        return Err(REJECTED);
    }
    let declared = head.headers.first("content-length").map(Bytes::copy_from_slice);
    head.headers.strip_hop_by_hop();
    head.headers.remove("content-length");
    // Those programs decode a body and keep its `Content-Encoding`.
    head.headers.remove("content-encoding");
    split_cookies(&mut head.headers);
    match kind {
        BodyKind::Length(length) => head.headers.push("Content-Length", length.to_string()),
        BodyKind::Chunked => head.headers.push("Transfer-Encoding", "chunked"),
        BodyKind::None if head.status == 204 => {}
        BodyKind::None => {
            let is_number = |text: &Bytes| !text.is_empty() && text.iter().all(u8::is_ascii_digit);
            if let Some(length) = declared.filter(is_number) {
                head.headers.push("Content-Length", length);
            }
        }
    }
    head.headers.push("Connection", "close");
    head.encode().map_err(|_| REJECTED)
}

/// Splits `Set-Cookie` fields that those programs join: `a=1; Path=/, b=2`. The comma of a date has no `name=` behind it.
fn split_cookies(headers: &mut Headers) {
    let joined: Vec<Bytes> = headers.all("set-cookie").map(Bytes::copy_from_slice).collect();
    if joined.is_empty() {
        return;
    }
    headers.remove("set-cookie");
    for value in joined {
        let mut start = 0;
        for (at, _) in value.iter().enumerate().filter(|(_, byte)| **byte == b',') {
            if begins_cookie(&value[at + 1..]) {
                headers.push("Set-Cookie", value.slice(start..at));
                start = at + 1 + value[at + 1..].iter().take_while(|byte| **byte == b' ').count();
            }
        }
        headers.push("Set-Cookie", value.slice(start..));
    }
}

/// Whether these bytes begin with `name=`.
fn begins_cookie(bytes: &[u8]) -> bool {
    let name = bytes.trim_ascii_start();
    let length =
        name.iter().take_while(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b)).count();
    length > 0 && name.get(length) == Some(&b'=')
}

/// Encodes a text body in the charset of its `Content-Type`. `None` if bytes were lost: those programs decode every body
/// as text and replace invalid bytes by U+FFFD.
pub(super) fn restored(head: &mut ResponseHead, body: Bytes) -> Option<Bytes> {
    let kind = head.headers.first("content-type").map(<[u8]>::to_ascii_lowercase).unwrap_or_default();
    let Ok(text) = core::str::from_utf8(&body) else { return Some(body) };
    if text.contains('\u{FFFD}') {
        let declared =
            head.headers.first("content-length").map(|length| length == body.len().to_string().as_bytes());
        let coded = head.headers.contains("content-encoding");
        let opaque = [&b"image/"[..], b"audio/", b"video/", b"font/", b"application/octet-stream"];
        if (declared == Some(false) && !coded) || opaque.iter().any(|prefix| kind.starts_with(prefix)) {
            return None;
        }
    }
    let Some(at) = kind.windows(8).position(|window| window == b"charset=").map(|at| at + 8) else {
        return Some(body);
    };
    let name = kind[at..].iter().copied().take_while(|b| !matches!(b, b';' | b' '));
    let name: Vec<u8> = name.filter(|b| *b != b'"').collect();
    match name.as_slice() {
        b"utf-8" | b"utf8" | b"us-ascii" => Some(body),
        b"iso-8859-1" | b"latin-1" | b"latin1" => {
            let bytes: Option<Vec<u8>> = text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect();
            Some(bytes.map_or(body, Bytes::from))
        }
        _ => {
            let mut value = kind[..at].to_vec();
            value.extend_from_slice(b"utf-8");
            head.headers.set("Content-Type", value);
            Some(body)
        }
    }
}

/// Converts a Latin-1 body to UTF-8; other bodies are returned unchanged.
pub(super) fn as_text(head: &mut ResponseHead, body: Bytes) -> Bytes {
    if core::str::from_utf8(&body).is_ok() {
        return body;
    }
    let kind = head.headers.first("content-type").map(<[u8]>::to_ascii_lowercase).unwrap_or_default();
    let Some(at) = kind.windows(8).position(|window| window == b"charset=").map(|at| at + 8) else {
        return body;
    };
    let name = kind[at..].trim_ascii();
    if !matches!(name, b"iso-8859-1" | b"latin1" | b"latin-1") {
        return body;
    }
    let text: String = body.iter().map(|byte| char::from(*byte)).collect();
    let mut value = kind[..at].to_vec();
    value.extend_from_slice(b"utf-8");
    head.headers.set("content-type", value);
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dot_segments_never_reach_a_service_and_everything_else_stays() {
        for (from, to) in [
            ("/a/b", "/a/b"),
            ("/", "/"),
            ("/headers/../../etc", "/etc"),
            ("/a/./b/..", "/a/"),
            ("//double//", "//double//"),
            ("/a/..?x=/../y", "/?x=/../y"),
            ("/..", "/"),
            ("/...", "/..."),
        ] {
            assert_eq!(without_dots(from), to);
        }
    }

    #[test]
    fn joined_cookies_are_taken_apart_at_names_and_not_at_dates() {
        let mut headers = Headers::new();
        headers.push("set-cookie", "a=1; Path=/, b=2; Expires=Wed, 09 Jun 2027 10:18:14 GMT, c=3");
        split_cookies(&mut headers);
        let all: Vec<&[u8]> = headers.all("set-cookie").collect();
        assert_eq!(all, [&b"a=1; Path=/"[..], b"b=2; Expires=Wed, 09 Jun 2027 10:18:14 GMT", b"c=3"]);
    }
}
