//! The head of a request or a response: bytes to value and back.
//!
//! It does not know bodies (`framing.rs`) and gives no field a meaning. Encoding refuses every byte that could end a line,
//! so that no value, whatever its source, can add a field or end the head.

use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;

use crate::error::{FramingError, HeadError};
use crate::framing::{Framing, FramingFields};
use crate::headers::Headers;
use crate::limits::{MAX_HEAD_BYTES, MAX_HEADERS};
use crate::scan::{HeadScanner, LineEndings};
use crate::syntax::{is_target, is_token, is_value};
use crate::version::Version;
use crate::view::FieldTable;
use crate::view::field_lines::read_fields;
use crate::view::field_table::text;
use crate::view::start_line::{RequestLine, StatusLine};

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
        let line = RequestLine::parse::<true>(bytes)?.ok_or(HeadError::LineEnd)?;
        Ok(RequestHead {
            method: String::from(text(line.method)),
            target: String::from(text(line.target)),
            version: line.version,
            headers: parse_fields::<false>(bytes, line.end)?,
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
        let line = StatusLine::parse(bytes)?.ok_or(HeadError::LineEnd)?;
        Ok(ResponseHead {
            status: line.status,
            reason: String::from(
                core::str::from_utf8(line.reason).ok().filter(|text| text.is_ascii()).unwrap_or_default(),
            ),
            version: line.version,
            headers: parse_fields::<true>(bytes, line.end)?,
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

/// The fields from `at` to the end of a head.
fn parse_fields<const REPAIR: bool>(bytes: &[u8], at: usize) -> Result<Headers, HeadError> {
    let mut table = FieldTable::new();
    if read_fields::<true, REPAIR, HeadError>(bytes, at, &mut table, |_, _| Ok(()))? != Some(bytes.len()) {
        return Err(HeadError::LineEnd);
    }
    // One copy for all fields: a request has a dozen.
    let head = Bytes::copy_from_slice(bytes);
    let slice = |start: u32, end: u32| head.slice(start as usize..end as usize);
    Ok(Headers::from_slices(
        table
            .0
            .iter()
            .map(|span| (slice(span.start, span.name_end), slice(span.value_start, span.value_end))),
    ))
}

impl Framing {
    /// How the body of a request ends.
    ///
    /// # Errors
    /// [`FramingError`] where another recipient might determine another length.
    pub fn for_request(head: &RequestHead) -> Result<Self, FramingError> {
        framing_fields(&head.headers)?.request_framing(head.method.as_bytes(), head.version)
    }

    /// How the body of the response to a request of this `method` ends. Chunks override a length (RFC 9112 section 6.3), which
    /// must not be forwarded then.
    ///
    /// # Errors
    /// [`FramingError`] where another recipient might determine another length.
    pub fn for_response(head: &ResponseHead, method: &str) -> Result<Self, FramingError> {
        framing_fields(&head.headers)?.response_framing(head.status, method, head.version)
    }
}

fn framing_fields(headers: &Headers) -> Result<FramingFields, FramingError> {
    let mut fields = FramingFields::default();
    headers.all("content-length").try_for_each(|value| fields.read_length(value))?;
    headers.all("transfer-encoding").for_each(|value| fields.read_coding(value));
    Ok(fields)
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
