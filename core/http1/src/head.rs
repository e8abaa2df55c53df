//! The head of a request or a response: bytes to value and back, with `httparse` inside.
//!
//! It does not know bodies (`body.rs`) and gives no field a meaning. Encoding refuses whatever could start a new line,
//! so no value, wherever it came from, can add a field or end the head.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;
use httparse::{EMPTY_HEADER, Status};
use thiserror::Error;

use super::headers::{Headers, is_target, is_token, is_value};
use super::scan::HeadScan;

/// The longest head, start line and blank line included. Large cookies and tokens stay under 32 KiB in practice, and
/// common servers refuse at 8 to 64 KiB; beyond that a head is an attempt to fill memory.
pub const MAX_HEAD_BYTES: usize = 64 * 1024;

/// The most fields in a head. Browsers send about 20 and chains of proxies add a few dozen; every field costs a fixed
/// slot while parsing.
pub const MAX_HEADERS: usize = 128;

/// Why bytes are not a head, or a head cannot be written.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Error)]
pub enum HeadError {
    /// Longer than [`MAX_HEAD_BYTES`].
    #[error("the head is longer than {MAX_HEAD_BYTES} bytes")]
    TooLong,
    /// More fields than [`MAX_HEADERS`].
    #[error("the head has more than {MAX_HEADERS} fields")]
    TooManyHeaders,
    /// A control byte, which stands in no head.
    #[error("the byte {0:#04x} cannot stand in a head")]
    Byte(u8),
    /// Method or target is malformed, empty or holds an illegal byte.
    #[error("the request line is malformed")]
    RequestLine,
    /// The protocol is not HTTP/1.0 or HTTP/1.1.
    #[error("the version is neither HTTP/1.0 nor HTTP/1.1")]
    Version,
    /// The status is not three digits from 100 on, or the reason holds an illegal byte.
    #[error("the status line is malformed")]
    StatusLine,
    /// A field name is not a token; a folded line (RFC 9112 section 5.2, obs-fold) also counts as this.
    #[error("a field name is malformed")]
    HeaderName,
    /// A field value holds an illegal byte.
    #[error("a field value is malformed")]
    HeaderValue,
    /// A line ends with something other than CR LF or LF.
    #[error("a line end is malformed")]
    LineEnd,
}

impl From<httparse::Error> for HeadError {
    fn from(error: httparse::Error) -> Self {
        match error {
            httparse::Error::HeaderName => HeadError::HeaderName,
            httparse::Error::HeaderValue => HeadError::HeaderValue,
            httparse::Error::NewLine => HeadError::LineEnd,
            httparse::Error::Status => HeadError::StatusLine,
            httparse::Error::Token => HeadError::RequestLine,
            httparse::Error::TooManyHeaders => HeadError::TooManyHeaders,
            httparse::Error::Version => HeadError::Version,
        }
    }
}

/// The protocol version of a message.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum Version {
    /// HTTP/1.0: no chunked bodies, and the connection closes unless both sides asked otherwise.
    Http10,
    /// HTTP/1.1.
    #[default]
    Http11,
}

impl Version {
    fn from_minor(minor: Option<u8>) -> Result<Self, HeadError> {
        match minor {
            Some(0) => Ok(Version::Http10),
            Some(1) => Ok(Version::Http11),
            _ => Err(HeadError::Version),
        }
    }

    /// As it stands on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Version::Http10 => "HTTP/1.0",
            Version::Http11 => "HTTP/1.1",
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The head of a request (RFC 9112 section 3).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RequestHead {
    /// The method; case matters.
    pub method: String,
    /// The target as sent: path and query in most requests, an authority for `CONNECT`, `*` for `OPTIONS`.
    pub target: String,
    /// The version.
    pub version: Version,
    /// The fields.
    pub headers: Headers,
}

impl RequestHead {
    /// An HTTP/1.1 head without fields; nothing is checked before [`encode`](Self::encode).
    pub fn new(method: impl Into<String>, target: impl Into<String>) -> Self {
        let (method, target) = (method.into(), target.into());
        RequestHead { method, target, version: Version::Http11, headers: Headers::new() }
    }

    /// Reads a head from the beginning of `bytes`: the head and how many bytes it took, or `None` if more are needed.
    ///
    /// # Errors
    /// [`HeadError`] if these bytes can never become a head, whatever follows.
    pub fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, HeadError> {
        let Some(end) = HeadScan::default().feed(bytes)? else { return Ok(None) };
        Ok(Some((Self::parse_complete(&bytes[..end])?, end)))
    }

    /// Reads a complete head, as [`HeadBuffer`](super::HeadBuffer) collects it.
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
            headers: Headers::sliced(request.headers, bytes),
        })
    }

    /// The head as bytes, blank line included. What this gives, [`parse`](Self::parse) accepts.
    ///
    /// # Errors
    /// [`HeadError`] if a part could be read as anything but itself, or a limit is exceeded.
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
    /// The reason phrase, which nothing should depend on; empty if it was missing or not ASCII.
    pub reason: String,
    /// The version.
    pub version: Version,
    /// The fields.
    pub headers: Headers,
}

impl ResponseHead {
    /// An HTTP/1.1 head without fields; nothing is checked before [`encode`](Self::encode).
    pub fn new(status: u16, reason: impl Into<String>) -> Self {
        ResponseHead { status, reason: reason.into(), version: Version::Http11, headers: Headers::new() }
    }

    /// Reads a head from the beginning of `bytes`: the head and how many bytes it took, or `None` if more are needed.
    ///
    /// # Errors
    /// [`HeadError`] if these bytes can never become a head, whatever follows.
    pub fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, HeadError> {
        let Some(end) = HeadScan::default().feed(bytes)? else { return Ok(None) };
        Ok(Some((Self::parse_complete(&bytes[..end])?, end)))
    }

    /// Reads a complete head, as [`HeadBuffer`](super::HeadBuffer) collects it.
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
            headers: Headers::sliced(response.headers, bytes),
        })
    }

    /// Whether another response follows for the same request (RFC 9110 section 15.2). 101 is the last one.
    pub const fn is_interim(&self) -> bool {
        matches!(self.status, 100 | 102..=199)
    }

    /// The head as bytes, blank line included. What this gives, [`parse`](Self::parse) accepts.
    ///
    /// # Errors
    /// [`HeadError`] if a part could be read as anything but itself, or a limit is exceeded.
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

/// Ends the start line in `out`, then writes the fields and the blank line.
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
