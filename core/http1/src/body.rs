//! How long a message is: framing by the rules of RFC 9112 section 6.3, and a body that follows them.
//!
//! It holds no bytes and never asks for any: it is shown a stream and says which of it is body. Whatever two readers
//! could frame differently is an error here, because a difference is how requests are smuggled (section 11.2).

use thiserror::Error;

use super::chunked::Chunked;
use super::head::{RequestHead, ResponseHead, Version};
use super::headers::Headers;

/// Why the length of a message cannot be told.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Error)]
pub enum FramingError {
    /// Both `Transfer-Encoding` and `Content-Length` are there.
    #[error("the message has both a Transfer-Encoding and a Content-Length")]
    EncodingAndLength,
    /// Several `Content-Length` values that differ.
    #[error("the message has Content-Length values that differ")]
    LengthsDiffer,
    /// A `Content-Length` that is not a decimal number below 2^64.
    #[error("the Content-Length is not a number")]
    Length,
    /// A `Transfer-Encoding` that is not exactly `chunked`.
    #[error("the Transfer-Encoding is not chunked")]
    Encoding,
    /// A `Transfer-Encoding` in HTTP/1.0, where readers may not know it (RFC 9112 section 6.1).
    #[error("HTTP/1.0 has no Transfer-Encoding")]
    EncodingInHttp10,
}

/// Why a body cannot be followed to its end.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Error)]
pub enum BodyError {
    /// A chunk's size line, or the line end after its data, is malformed.
    #[error("a chunk's size or border is malformed")]
    ChunkSize,
    /// A chunk extension is malformed, or there are more than [`MAX_EXTENSION_BYTES`](super::MAX_EXTENSION_BYTES).
    #[error("chunk extensions are malformed or too long")]
    Extension,
    /// A trailer field is malformed, or there are more than [`MAX_TRAILER_BYTES`](super::MAX_TRAILER_BYTES).
    #[error("trailer fields are malformed or too long")]
    Trailer,
    /// The stream ended inside the body.
    #[error("the stream ended inside the body")]
    Truncated,
}

/// How the end of a body is told.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Framing {
    /// There is no body, whatever the fields say.
    Empty,
    /// This many bytes.
    Length(u64),
    /// The chunked transfer coding.
    Chunked,
    /// A response that ends with its connection.
    UntilClose,
    /// No HTTP follows in this direction: after `101 Switching Protocols`, `CONNECT` and the 2xx that grants it.
    Tunnel,
}

impl Framing {
    /// How the body of a request ends.
    ///
    /// # Errors
    /// [`FramingError`] where another reader might see another length.
    pub fn for_request(head: &RequestHead) -> Result<Self, FramingError> {
        if head.method == "CONNECT" {
            return Ok(Framing::Tunnel);
        }
        Ok(declared(&head.headers, head.version)?.unwrap_or(Framing::Empty))
    }

    /// How the body of the response to a request of this `method` ends.
    ///
    /// # Errors
    /// [`FramingError`] where another reader might see another length.
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

/// The one length all `Content-Length` fields and list members agree on (RFC 9112 section 6.3, item 5).
fn declared_length(headers: &Headers) -> Result<Option<u64>, FramingError> {
    let mut agreed = None;
    for member in headers.all("content-length").flat_map(|value| value.split(|byte| *byte == b',')) {
        let length = decimal(member.trim_ascii()).ok_or(FramingError::Length)?;
        if agreed.is_some_and(|agreed| agreed != length) {
            return Err(FramingError::LengthsDiffer);
        }
        agreed = Some(length);
    }
    Ok(agreed)
}

/// `1*DIGIT`: unlike `str::parse` it takes no sign.
fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |number, byte| {
        let digit = char::from(*byte).to_digit(10)?;
        number.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

/// What one call to [`Body::decode`] found.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Step<'a> {
    /// How many of the bytes belong to the body; at least one, unless there were none or the body is finished.
    pub used: usize,
    /// The payload among them, a part of the given slice; empty if they were framing alone.
    pub payload: &'a [u8],
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum State {
    Length(u64),
    Chunked(Chunked),
    /// Only the end of the stream ends it.
    Endless,
    Finished,
}

/// One body on its way through: which bytes are its, and when it ends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Body(State);

impl Body {
    /// A body of which nothing was seen; it may be finished at once.
    pub const fn new(framing: Framing) -> Self {
        Body(match framing {
            Framing::Empty | Framing::Length(0) => State::Finished,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::Chunked(Chunked::new()),
            Framing::UntilClose | Framing::Tunnel => State::Endless,
        })
    }

    /// How many of these bytes belong to the body. Fewer than given means that it is finished and a new message begins.
    ///
    /// # Errors
    /// [`BodyError`] if the coding is malformed; nothing after that can be framed.
    pub fn pass(&mut self, bytes: &[u8]) -> Result<usize, BodyError> {
        let mut used = 0;
        while used < bytes.len() && !self.is_finished() {
            used += self.decode(&bytes[used..])?.used;
        }
        Ok(used)
    }

    /// Reads up to and including the next piece of payload. Call again with the rest until the rest is empty or the
    /// body [`is_finished`](Self::is_finished).
    ///
    /// # Errors
    /// [`BodyError`] if the coding is malformed; nothing after that can be framed.
    pub fn decode<'a>(&mut self, bytes: &'a [u8]) -> Result<Step<'a>, BodyError> {
        let step = match &mut self.0 {
            State::Finished => Step { used: 0, payload: &[] },
            State::Endless => Step { used: bytes.len(), payload: bytes },
            State::Length(left) => {
                let payload = first(bytes, left);
                Step { used: payload.len(), payload }
            }
            State::Chunked(chunked) => chunked.decode(bytes)?,
        };
        let is_over = match &self.0 {
            State::Length(left) => *left == 0,
            State::Chunked(chunked) => chunked.is_finished(),
            State::Endless | State::Finished => false,
        };
        if is_over {
            self.0 = State::Finished;
        }
        Ok(step)
    }

    /// The stream ended.
    ///
    /// # Errors
    /// [`BodyError::Truncated`] if it ended before the body did.
    pub fn handle_end(&mut self) -> Result<(), BodyError> {
        match self.0 {
            State::Endless | State::Finished => {
                self.0 = State::Finished;
                Ok(())
            }
            State::Length(_) | State::Chunked(_) => Err(BodyError::Truncated),
        }
    }

    /// Whether the last byte of the body was seen.
    pub fn is_finished(&self) -> bool {
        self.0 == State::Finished
    }
}

/// The first of `bytes`, at most `left` of them, which are taken off `left`.
pub(super) fn first<'a>(bytes: &'a [u8], left: &mut u64) -> &'a [u8] {
    let count = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
    *left -= count as u64;
    &bytes[..count]
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

    #[test]
    fn what_is_left_never_goes_below_zero() {
        let mut left = 3;
        assert_eq!(first(b"abcdef", &mut left), b"abc");
        assert_eq!(first(b"def", &mut left), b"");
        assert_eq!(left, 0);
    }
}
