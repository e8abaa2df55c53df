//! Reads one body out of a peer's bytes, as payload or with the framing in which it came.

use bytes::{Buf, Bytes};
use hvym_http1::{Body, BodyError, Framing};

/// How a body is handed on.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub enum BodyMode {
    /// As it came, chunked framing included, after it was validated: for a peer that reads the same framing.
    #[default]
    AsIs,
    /// Payload alone.
    Payload,
}

/// What was read next.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum BodyPiece {
    /// Bytes, never empty.
    Data(Bytes),
    /// The body is complete.
    End,
}

/// Reads one body.
#[derive(Debug)]
pub(crate) struct BodyReader {
    body: Body,
    pub(crate) mode: BodyMode,
}

impl BodyReader {
    /// A body of which nothing was read.
    pub(crate) const fn new(framing: Framing, mode: BodyMode) -> Self {
        BodyReader { body: Body::new(framing), mode }
    }

    /// Takes the next piece out of `input`; `None` if more input is needed.
    ///
    /// # Errors
    /// The coding is malformed.
    pub(crate) fn read(&mut self, input: &mut Bytes) -> Result<Option<BodyPiece>, BodyError> {
        loop {
            if self.body.is_finished() {
                return Ok(Some(BodyPiece::End));
            }
            if input.is_empty() {
                return Ok(None);
            }
            let data = match self.mode {
                BodyMode::AsIs => {
                    let used = self.body.advance(input)?;
                    input.split_to(used)
                }
                BodyMode::Payload => {
                    let decoded = self.body.decode(input)?;
                    let (used, payload) = (decoded.used, input.slice_ref(decoded.payload));
                    input.advance(used);
                    payload
                }
            };
            if !data.is_empty() {
                return Ok(Some(BodyPiece::Data(data)));
            }
        }
    }

    /// The peer's stream ended.
    ///
    /// # Errors
    /// The body is incomplete.
    pub(crate) fn handle_end(&mut self) -> Result<(), BodyError> {
        self.body.handle_end()
    }
}
