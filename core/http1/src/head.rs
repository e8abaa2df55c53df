//! The head of a request or a response: bytes to value and back, with `httparse` inside.
//!
//! It does not know bodies (`framing.rs`) and gives no field a meaning. Encoding refuses every byte that could end a line,
//! so that no value, whatever its source, can add a field or end the head.

use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;
use httparse::{EMPTY_HEADER, Status};

use crate::error::HeadError;
use crate::headers::Headers;
use crate::limits::{MAX_HEAD_BYTES, MAX_HEADERS};
use crate::scan::{HeadScanner, LineEndings};
use crate::syntax::{is_target, is_token, is_value};
use crate::version::Version;

/// The head of a request (RFC 9112 section 3).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RequestHead {
    /// The method, case-sensitive.
    pub method: String,
    /// The request target as sent (RFC 9112 section 3.2): path and query in most requests, an authority for `CONNECT`, `*`
    /// for `OPTIONS`.
    pub target: String,
    /// The protocol version.
    pub version: Version,
    /// The header fields.
    pub headers: Headers,
}

impl RequestHead {
    /// An HTTP/1.1 head without fields. Nothing is validated before [`encode`](Self::encode).
    pub fn new(method: impl Into<String>, target: impl Into<String>) -> Self {
        let (method, target) = (method.into(), target.into());
        RequestHead { method, target, version: Version::Http11, headers: Headers::new() }
    }

    /// Parses a head at the beginning of `bytes`: the head and its length in bytes, or `None` if it is incomplete. Lines may
    /// end with LF alone (RFC 9112 section 2.2).
    ///
    /// # Errors
    /// [`HeadError`] if these bytes cannot become a head, whatever follows.
    pub fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, HeadError> {
        let Some(end) = HeadScanner::new(LineEndings::Lenient).feed(bytes)? else { return Ok(None) };
        Ok(Some((Self::parse_complete(&bytes[..end])?, end)))
    }

    /// Parses a complete head, as [`HeadBuffer`](crate::HeadBuffer) collects it.
    ///
    /// # Errors
    /// [`HeadError`] if it is malformed, or `bytes` do not end with it.
    pub fn parse_complete(bytes: &[u8]) -> Result<Self, HeadError> {
        let mut fields = [EMPTY_HEADER; MAX_HEADERS];
        let mut request = httparse::Request::new(&mut fields);
        if request.parse(bytes)? != Status::Complete(bytes.len()) {
            return Err(HeadError::LineEnd);
        }
        Ok(RequestHead {
            method: String::from(request.method.ok_or(HeadError::RequestLine)?),
            target: String::from(request.path.ok_or(HeadError::RequestLine)?),
            version: Version::from_minor(request.version)?,
            headers: Headers::from_parsed(request.headers, bytes),
        })
    }

    /// The head as bytes, empty line included. [`parse`](Self::parse) accepts the result.
    ///
    /// # Errors
    /// [`HeadError`] if a part contains an illegal byte, or a limit is exceeded.
    pub fn encode(&self) -> Result<Bytes, HeadError> {
        if !is_token(&self.method) || !is_target(&self.target) {
            return Err(HeadError::RequestLine);
        }
        let mut out = Vec::with_capacity(256);
        out.extend_from_slice(self.method.as_bytes());
        out.push(b' ');
        out.extend_from_slice(self.target.as_bytes());
        out.push(b' ');
        out.extend_from_slice(self.version.as_str().as_bytes());
        encode_fields(&self.headers, out)
    }
}

/// The head of a response (RFC 9112 section 4).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ResponseHead {
    /// The status code, 100 to 999.
    pub status: u16,
    /// The reason phrase, which nothing should depend on; empty if it is missing or not ASCII.
    pub reason: String,
    /// The protocol version.
    pub version: Version,
    /// The header fields.
    pub headers: Headers,
}

impl ResponseHead {
    /// An HTTP/1.1 head without fields. Nothing is validated before [`encode`](Self::encode).
    pub fn new(status: u16, reason: impl Into<String>) -> Self {
        ResponseHead { status, reason: reason.into(), version: Version::Http11, headers: Headers::new() }
    }

    /// Parses a head at the beginning of `bytes`: the head and its length in bytes, or `None` if it is incomplete. Lines may
    /// end with LF alone (RFC 9112 section 2.2).
    ///
    /// # Errors
    /// [`HeadError`] if these bytes cannot become a head, whatever follows.
    pub fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, HeadError> {
        let Some(end) = HeadScanner::new(LineEndings::Lenient).feed(bytes)? else { return Ok(None) };
        Ok(Some((Self::parse_complete(&bytes[..end])?, end)))
    }

    /// Parses a complete head, as [`HeadBuffer`](crate::HeadBuffer) collects it.
    ///
    /// # Errors
    /// [`HeadError`] if it is malformed, or `bytes` do not end with it.
    pub fn parse_complete(bytes: &[u8]) -> Result<Self, HeadError> {
        let mut fields = [EMPTY_HEADER; MAX_HEADERS];
        let mut response = httparse::Response::new(&mut fields);
        if response.parse(bytes)? != Status::Complete(bytes.len()) {
            return Err(HeadError::LineEnd);
        }
        let status = response.code.filter(|code| is_status(*code)).ok_or(HeadError::StatusLine)?;
        Ok(ResponseHead {
            status,
            reason: String::from(response.reason.unwrap_or_default()),
            version: Version::from_minor(response.version)?,
            headers: Headers::from_parsed(response.headers, bytes),
        })
    }

    /// Whether another response to the same request follows (RFC 9110 section 15.2). `101` is final.
    pub const fn is_interim(&self) -> bool {
        matches!(self.status, 100 | 102..=199)
    }

    /// The head as bytes, empty line included. [`parse`](Self::parse) accepts the result.
    ///
    /// # Errors
    /// [`HeadError`] if a part contains an illegal byte, or a limit is exceeded.
    pub fn encode(&self) -> Result<Bytes, HeadError> {
        if !is_status(self.status) || !is_value(self.reason.as_bytes()) {
            return Err(HeadError::StatusLine);
        }
        let mut out = Vec::with_capacity(256);
        out.extend_from_slice(self.version.as_str().as_bytes());
        let digit = |place: u16| b'0' + u8::try_from(self.status / place % 10).unwrap_or(0);
        out.extend_from_slice(&[b' ', digit(100), digit(10), digit(1), b' ']);
        out.extend_from_slice(self.reason.as_bytes());
        encode_fields(&self.headers, out)
    }
}

const fn is_status(code: u16) -> bool {
    matches!(code, 100..=999)
}

/// Ends the start line in `out`, then appends the fields and the empty line.
fn encode_fields(headers: &Headers, mut out: Vec<u8>) -> Result<Bytes, HeadError> {
    if headers.len() > MAX_HEADERS {
        return Err(HeadError::TooManyHeaders);
    }
    out.extend_from_slice(b"\r\n");
    for (name, value) in headers.iter() {
        if !is_token(name) {
            return Err(HeadError::HeaderName);
        }
        if !is_value(value) {
            return Err(HeadError::HeaderValue);
        }
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
    if out.len() > MAX_HEAD_BYTES { Err(HeadError::TooLong) } else { Ok(Bytes::from(out)) }
}
