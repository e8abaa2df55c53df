//! How the end of a body is determined, by the rules of RFC 9112 section 6.3.
//!
//! A message whose length two recipients could determine differently is an error, because such a difference is how
//! requests are smuggled (RFC 9112 section 11.2).

use crate::error::FramingError;
use crate::list::list_members;
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

/// The one length that the values of all `Content-Length` fields agree on (RFC 9112 section 6.3, item 5), for messages of versions
/// that frame bodies by themselves; `None` without any.
///
/// # Errors
/// [`FramingError`] if they differ, or one is no number.
pub fn content_length<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Result<Option<u64>, FramingError> {
    let mut fields = FramingFields::default();
    values.into_iter().try_for_each(|value| fields.read_length(value))?;
    Ok(fields.length)
}

/// What the fields that frame a body say, read one by one.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct FramingFields {
    length: Option<u64>,
    coding: Option<Coding>,
}

#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Coding {
    Chunked,
    /// Something else, or `chunked` twice.
    Other,
}

impl FramingFields {
    /// Reads a `Content-Length`: all fields and list members must agree (RFC 9112 section 6.3, item 5).
    ///
    /// # Errors
    /// [`FramingError`] if they do not, or one is no number.
    pub(crate) fn read_length(&mut self, value: &[u8]) -> Result<(), FramingError> {
        for member in list_members(value) {
            let length = decimal(member).ok_or(FramingError::Length)?;
            if self.length.is_some_and(|agreed| agreed != length) {
                return Err(FramingError::LengthsDiffer);
            }
            self.length = Some(length);
        }
        Ok(())
    }

    /// Reads a `Transfer-Encoding`.
    pub(crate) fn read_coding(&mut self, value: &[u8]) {
        let is_chunked = self.coding.is_none() && value.trim_ascii().eq_ignore_ascii_case(b"chunked");
        self.coding = Some(if is_chunked { Coding::Chunked } else { Coding::Other });
    }

    /// The agreed length.
    pub(crate) const fn length(&self) -> Option<u64> {
        self.length
    }

    /// Whether there is a `Transfer-Encoding`.
    pub(crate) const fn has_coding(&self) -> bool {
        self.coding.is_some()
    }

    /// How the body of a request ends. A length beside a coding is how requests are smuggled (RFC 9112 section 6.1).
    ///
    /// # Errors
    /// [`FramingError`] where another recipient might determine another length.
    pub(crate) fn request_framing(&self, method: &[u8], version: Version) -> Result<Framing, FramingError> {
        if method == b"CONNECT" {
            return Ok(Framing::Tunnel);
        }
        if self.coding.is_some() && self.length.is_some() {
            return Err(FramingError::EncodingAndLength);
        }
        Ok(self.declared(version)?.unwrap_or(Framing::Empty))
    }

    /// How the body of the response to a request of this `method` ends. Chunks override a length, which must not be
    /// forwarded then (RFC 9112 section 6.3, item 3).
    ///
    /// # Errors
    /// [`FramingError`] where another recipient might determine another length.
    pub(crate) fn response_framing(
        &self,
        status: u16,
        method: &str,
        version: Version,
    ) -> Result<Framing, FramingError> {
        match status {
            101 => return Ok(Framing::Tunnel),
            100..=199 | 204 | 304 => return Ok(Framing::Empty),
            _ if method == "HEAD" => return Ok(Framing::Empty),
            200..=299 if method == "CONNECT" => return Ok(Framing::Tunnel),
            _ => {}
        }
        Ok(self.declared(version)?.unwrap_or(Framing::UntilClose))
    }

    /// What the fields declare, or `None` if they declare nothing.
    fn declared(&self, version: Version) -> Result<Option<Framing>, FramingError> {
        match self.coding {
            None => Ok(self.length.map(Framing::Length)),
            Some(_) if version == Version::Http10 => Err(FramingError::EncodingInHttp10),
            Some(Coding::Chunked) => Ok(Some(Framing::Chunked)),
            Some(Coding::Other) => Err(FramingError::Encoding),
        }
    }
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
