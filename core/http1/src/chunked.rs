//! The chunked transfer coding (RFC 9112 section 7.1), decoded and encoded.
//!
//! The decoder holds no bytes. It is strict: lines end with CR LF, sizes are plain hexadecimal, quotes of an extension are
//! closed. Extensions and trailer fields are limited; what becomes of them is for the caller to say.

use alloc::vec::Vec;

use crate::decoded::{Decoded, split_prefix};
use crate::error::BodyError;
use crate::limits::{MAX_EXTENSION_BYTES, MAX_SIZE_DIGITS, MAX_TRAILER_BYTES};

/// The last chunk of a body without trailer fields.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum State {
    SizeStart,
    Size { digits: u8 },
    Extension { quoting: Quoting },
    SizeLf,
    Data,
    DataCr,
    DataLf,
    TrailerStart,
    Trailer,
    TrailerLf,
    EndLf,
    Finished,
    Failed(BodyError),
}

/// Where an extension is in a quoted string (RFC 9110 section 5.6.4).
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Quoting {
    /// In the white space before the first semicolon (RFC 9112 section 7.1.1).
    Before,
    Outside,
    Inside,
    /// Behind a backslash in it.
    Escaped,
}

/// What a byte that is not data means.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Meaning {
    Framing,
    Extension,
    Trailers,
    End,
}

/// A run of bytes of a chunked body that have one meaning.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum ChunkedPart<'a> {
    /// Sizes and line ends.
    Framing(&'a [u8]),
    /// Chunk extensions, with the white space and the semicolon before them.
    Extension(&'a [u8]),
    /// The body itself.
    Data(&'a [u8]),
    /// Lines of the trailer section.
    Trailers(&'a [u8]),
    /// The empty line that ends the body.
    End(&'a [u8]),
}

impl<'a> ChunkedPart<'a> {
    /// The bytes.
    pub const fn bytes(self) -> &'a [u8] {
        match self {
            ChunkedPart::Framing(bytes)
            | ChunkedPart::Extension(bytes)
            | ChunkedPart::Data(bytes)
            | ChunkedPart::Trailers(bytes)
            | ChunkedPart::End(bytes) => bytes,
        }
    }
}

/// Decodes one chunked body, however its bytes are split over calls.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Chunked {
    state: State,
    /// The size while it is parsed, then the rest of the chunk; zero between chunks.
    remaining: u64,
    extension_bytes: u32,
    trailer_bytes: u32,
}

impl Chunked {
    /// A body of which nothing was decoded.
    pub const fn new() -> Self {
        Chunked { state: State::SizeStart, remaining: 0, extension_bytes: 0, trailer_bytes: 0 }
    }

    /// Decodes up to and including the next piece of payload or of trailer fields, as [`Body::decode`](crate::Body::decode).
    ///
    /// # Errors
    /// [`BodyError`] if the coding is malformed; every later call gives the same error.
    pub fn decode<'a>(&mut self, bytes: &'a [u8]) -> Result<Decoded<'a>, BodyError> {
        let mut used = 0;
        while let Some(part) = self.next_part(&bytes[used..])? {
            used += part.bytes().len();
            match part {
                ChunkedPart::Data(payload) => return Ok(Decoded { used, payload, trailers: &[] }),
                ChunkedPart::Trailers(trailers) => return Ok(Decoded { used, payload: &[], trailers }),
                ChunkedPart::Framing(_) | ChunkedPart::Extension(_) | ChunkedPart::End(_) => {}
            }
        }
        Ok(Decoded { used, payload: &[], trailers: &[] })
    }

    /// The longest run of bytes with one meaning at the beginning of `bytes`; `None` if there are none or the body is
    /// finished.
    ///
    /// # Errors
    /// [`BodyError`] if the coding is malformed; every later call gives the same error.
    pub fn next_part<'a>(&mut self, bytes: &'a [u8]) -> Result<Option<ChunkedPart<'a>>, BodyError> {
        if self.state == State::Data {
            let data = split_prefix(bytes, &mut self.remaining);
            if self.remaining == 0 {
                self.state = State::DataCr;
            }
            return Ok((!data.is_empty()).then_some(ChunkedPart::Data(data)));
        }
        let Some(meaning) = bytes.first().and_then(|byte| self.meaning(*byte)) else {
            return if let State::Failed(error) = self.state { Err(error) } else { Ok(None) };
        };
        let mut used = 0;
        while let Some(byte) = bytes.get(used).filter(|byte| self.meaning(**byte) == Some(meaning)) {
            self.state = self.next_state(*byte).unwrap_or_else(State::Failed);
            if let State::Failed(error) = self.state {
                return Err(error);
            }
            used += 1;
        }
        let run = &bytes[..used];
        Ok(Some(match meaning {
            Meaning::Framing => ChunkedPart::Framing(run),
            Meaning::Extension => ChunkedPart::Extension(run),
            Meaning::Trailers => ChunkedPart::Trailers(run),
            Meaning::End => ChunkedPart::End(run),
        }))
    }

    /// What the next byte means; `None` if it is data, behind the end or behind an error.
    fn meaning(&self, byte: u8) -> Option<Meaning> {
        Some(match (self.state, byte) {
            (State::Data | State::Finished | State::Failed(_), _) => return None,
            (State::Size { .. }, b';' | b' ' | b'\t') => Meaning::Extension,
            (State::Extension { .. }, byte) if byte != b'\r' => Meaning::Extension,
            (State::TrailerStart, b'\r') | (State::EndLf, _) => Meaning::End,
            (State::TrailerStart | State::Trailer | State::TrailerLf, _) => Meaning::Trailers,
            _ => Meaning::Framing,
        })
    }

    /// Whether the last byte of the body was decoded.
    pub fn is_finished(&self) -> bool {
        self.state == State::Finished
    }

    /// The state after a byte of framing.
    fn next_state(&mut self, byte: u8) -> Result<State, BodyError> {
        match (self.state, byte) {
            (State::SizeStart, byte) => self.on_size_digit(byte, 0),
            (State::Size { .. }, b'\r') => Ok(State::SizeLf),
            (State::Extension { quoting: Quoting::Before | Quoting::Outside }, b'\r') => Ok(State::SizeLf),
            (State::Size { .. }, b';' | b' ' | b'\t') => self.on_extension(byte, Quoting::Before),
            (State::Size { digits }, byte) => self.on_size_digit(byte, digits),
            (State::Extension { quoting }, byte) if is_text(byte) => self.on_extension(byte, quoting),
            (State::SizeLf, b'\n') if self.remaining == 0 => Ok(State::TrailerStart),
            (State::SizeLf, b'\n') => Ok(State::Data),
            (State::DataCr, b'\r') => Ok(State::DataLf),
            (State::DataLf, b'\n') => Ok(State::SizeStart),
            (State::TrailerStart, b'\r') => Ok(State::EndLf),
            (State::TrailerStart, byte) if byte > b' ' && is_text(byte) => self.on_trailer(),
            (State::Trailer, b'\r') => Ok(State::TrailerLf),
            (State::Trailer, byte) if is_text(byte) => self.on_trailer(),
            (State::TrailerLf, b'\n') => Ok(State::TrailerStart),
            (State::EndLf, b'\n') => Ok(State::Finished),
            (State::TrailerStart | State::Trailer | State::TrailerLf | State::EndLf, _) => {
                Err(BodyError::Trailer)
            }
            (State::Extension { .. }, _) => Err(BodyError::Extension),
            (_, _) => Err(BodyError::ChunkSize),
        }
    }

    fn on_size_digit(&mut self, byte: u8, digits: u8) -> Result<State, BodyError> {
        let digit = char::from(byte).to_digit(16).ok_or(BodyError::ChunkSize)?;
        if digits >= MAX_SIZE_DIGITS {
            return Err(BodyError::ChunkSize);
        }
        self.remaining = self.remaining << 4 | u64::from(digit);
        Ok(State::Size { digits: digits + 1 })
    }

    fn on_extension(&mut self, byte: u8, quoting: Quoting) -> Result<State, BodyError> {
        self.extension_bytes += 1;
        if self.extension_bytes > MAX_EXTENSION_BYTES {
            return Err(BodyError::Extension);
        }
        let quoting = match (quoting, byte) {
            (Quoting::Before, b' ' | b'\t') => Quoting::Before,
            (Quoting::Before, b';') => Quoting::Outside,
            (Quoting::Before, _) => return Err(BodyError::Extension),
            (Quoting::Outside, b'"') | (Quoting::Escaped, _) => Quoting::Inside,
            (Quoting::Inside, b'"') => Quoting::Outside,
            (Quoting::Inside, b'\\') => Quoting::Escaped,
            (quoting, _) => quoting,
        };
        Ok(State::Extension { quoting })
    }

    fn on_trailer(&mut self) -> Result<State, BodyError> {
        self.trailer_bytes += 1;
        if self.trailer_bytes > MAX_TRAILER_BYTES {
            return Err(BodyError::Trailer);
        }
        Ok(State::Trailer)
    }
}

impl Default for Chunked {
    fn default() -> Self {
        Self::new()
    }
}

fn is_text(byte: u8) -> bool {
    byte == b'\t' || !byte.is_ascii_control()
}

/// Appends `payload` to `out` as one chunk. An empty payload appends nothing, because an empty chunk would end the body
/// ([`LAST_CHUNK`]).
pub fn encode_chunk(payload: &[u8], out: &mut Vec<u8>) {
    if payload.is_empty() {
        return;
    }
    let significant = usize::BITS - payload.len().leading_zeros();
    let digits = significant.div_ceil(4);
    out.reserve(payload.len() + digits as usize + 4);
    for place in (0..digits).rev() {
        let digit = payload.len() >> (4 * place) & 0xf;
        out.push(b"0123456789abcdef"[digit]);
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(payload);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_carries_its_size_in_hexadecimal() {
        let mut out = Vec::new();
        encode_chunk(b"", &mut out);
        encode_chunk(b"hello", &mut out);
        assert_eq!((&*out, out.capacity()), (&b"5\r\nhello\r\n"[..], 10), "there was room for it at once");
        out.clear();
        encode_chunk(&[b'x'; 26], &mut out);
        assert_eq!(out, b"1a\r\nxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n");
    }
}
