//! How the end of a body is determined, by the rules of RFC 9112 section 6.3.
//!
//! A message whose length two recipients could determine differently is an error, because such a difference is how
//! requests are smuggled (RFC 9112 section 11.2).

use crate::error::FramingError;
use crate::head::{RequestHead, ResponseHead};
use crate::headers::{Headers, list_members};
use crate::version::Version;

/// How the end of a body is determined. RFC 9112 section 6.3 has no further way, so this enum will not grow.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Framing {
    /// There is no body, whatever the fields say.
    Empty,
    /// A body of this many bytes.
    Length(u64),
    /// The chunked transfer coding (RFC 9112 section 7.1).
    Chunked,
    /// A response body that ends with its connection.
    UntilClose,
    /// No HTTP follows in this direction: after `101 Switching Protocols`, after a `CONNECT` request and the 2xx response
    /// that grants it.
    Tunnel,
}

impl Framing {
    /// How the body of a request ends.
    ///
    /// # Errors
    /// [`FramingError`] where another recipient might determine another length.
    pub fn for_request(head: &RequestHead) -> Result<Self, FramingError> {
        if head.method == "CONNECT" {
            return Ok(Framing::Tunnel);
        }
        Ok(declared(&head.headers, head.version)?.unwrap_or(Framing::Empty))
    }

    /// How the body of the response to a request of this `method` ends.
    ///
    /// # Errors
    /// [`FramingError`] where another recipient might determine another length.
    pub fn for_response(head: &ResponseHead, method: &str) -> Result<Self, FramingError> {
        match head.status {
            101 => return Ok(Framing::Tunnel),
            100..=199 | 204 | 304 => return Ok(Framing::Empty),
            _ if method == "HEAD" => return Ok(Framing::Empty),
            200..=299 if method == "CONNECT" => return Ok(Framing::Tunnel),
            _ => {}
        }
        Ok(declared(&head.headers, head.version)?.unwrap_or(Framing::UntilClose))
    }
}

/// What the fields declare, or `None` if they declare nothing.
fn declared(headers: &Headers, version: Version) -> Result<Option<Framing>, FramingError> {
    let length = declared_length(headers)?;
    let mut encodings = headers.all("transfer-encoding");
    let Some(encoding) = encodings.next() else { return Ok(length.map(Framing::Length)) };
    if length.is_some() {
        return Err(FramingError::EncodingAndLength);
    }
    if version == Version::Http10 {
        return Err(FramingError::EncodingInHttp10);
    }
    if encodings.next().is_some() || !encoding.trim_ascii().eq_ignore_ascii_case(b"chunked") {
        return Err(FramingError::Encoding);
    }
    Ok(Some(Framing::Chunked))
}

/// The one length that all `Content-Length` fields and list members agree on (RFC 9112 section 6.3, item 5).
fn declared_length(headers: &Headers) -> Result<Option<u64>, FramingError> {
    let mut agreed = None;
    for member in headers.all("content-length").flat_map(list_members) {
        let length = decimal(member).ok_or(FramingError::Length)?;
        if agreed.is_some_and(|agreed| agreed != length) {
            return Err(FramingError::LengthsDiffer);
        }
        agreed = Some(length);
    }
    Ok(agreed)
}

/// `1*DIGIT`: unlike `str::parse` it accepts no sign.
pub(crate) fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |number, byte| {
        let digit = char::from(*byte).to_digit(10)?;
        number.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_digits_and_nothing_else() {
        assert_eq!(decimal(b"18446744073709551615"), Some(u64::MAX));
        for bad in [&b""[..], b"+1", b"-1", b"1 2", b"0x10", b"18446744073709551616", b"\xb2"] {
            assert_eq!(decimal(bad), None, "{bad:?}");
        }
    }
}
