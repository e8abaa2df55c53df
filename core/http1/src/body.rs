//! A body in transit: which bytes of a stream belong to it, and where it ends.
//!
//! It holds no bytes: the caller shows it the stream, and it says which part is body.

use crate::chunked::Chunked;
use crate::decoded::{Decoded, split_prefix};
use crate::error::BodyError;
use crate::framing::Framing;

#[derive(Clone, PartialEq, Eq, Debug)]
enum State {
    Length(u64),
    Chunked(Chunked),
    /// Only the end of the stream ends it.
    UntilClose,
    Finished,
}

/// Decodes one body.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Body(State);

impl Body {
    /// A body of which nothing was decoded. An empty one is finished at once.
    pub const fn new(framing: Framing) -> Self {
        Body(match framing {
            Framing::Empty | Framing::Length(0) => State::Finished,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::Chunked(Chunked::new()),
            Framing::UntilClose | Framing::Tunnel => State::UntilClose,
        })
    }

    /// How many of these bytes belong to the body, framing included. Fewer than given means that the body is finished and
    /// a new message begins.
    ///
    /// # Errors
    /// [`BodyError`] if the coding is malformed; nothing after that can be framed.
    pub fn advance(&mut self, bytes: &[u8]) -> Result<usize, BodyError> {
        let mut used = 0;
        while used < bytes.len() && !self.is_finished() {
            used += self.decode(&bytes[used..])?.used;
        }
        Ok(used)
    }

    /// Decodes up to and including the next piece of payload or of trailer fields. Call again with the rest until the rest is empty or the body
    /// [`is_finished`](Self::is_finished).
    ///
    /// # Errors
    /// [`BodyError`] if the coding is malformed; nothing after that can be framed.
    pub fn decode<'a>(&mut self, bytes: &'a [u8]) -> Result<Decoded<'a>, BodyError> {
        let decoded = match &mut self.0 {
            State::Finished => Decoded { used: 0, payload: &[], trailers: &[] },
            State::UntilClose => Decoded { used: bytes.len(), payload: bytes, trailers: &[] },
            State::Length(remaining) => {
                let payload = split_prefix(bytes, remaining);
                Decoded { used: payload.len(), payload, trailers: &[] }
            }
            State::Chunked(chunked) => chunked.decode(bytes)?,
        };
        let is_finished = match &self.0 {
            State::Length(remaining) => *remaining == 0,
            State::Chunked(chunked) => chunked.is_finished(),
            State::UntilClose | State::Finished => false,
        };
        if is_finished {
            self.0 = State::Finished;
        }
        Ok(decoded)
    }

    /// The stream ended, which finishes a body that lasts until the connection closes.
    ///
    /// # Errors
    /// [`BodyError::Truncated`] if the stream ended before the body did.
    pub fn handle_end(&mut self) -> Result<(), BodyError> {
        match self.0 {
            State::UntilClose | State::Finished => {
                self.0 = State::Finished;
                Ok(())
            }
            State::Length(_) | State::Chunked(_) => Err(BodyError::Truncated),
        }
    }

    /// Whether the last byte of the body was decoded.
    pub fn is_finished(&self) -> bool {
        self.0 == State::Finished
    }
}
