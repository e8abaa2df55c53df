//! Reads one body out of a peer's bytes: framed for another peer, or as payload and trailer fields.

use alloc::vec::Vec;

use bytes::{Buf, Bytes};
use hvym_http1::{Body, BodyError, BodyForwarder, Framing, MessageKind};

/// How a body is handed on.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum BodyMode {
    /// Framed for a peer that reads this framing: that in which it came, or one of those of
    /// [`framing_toward`](hvym_http1::framing_toward). Chunks pass as they came, after they were validated.
    Framed(Framing),
    /// Payload and trailer fields apart, for whoever frames them in another way.
    Payload,
}

/// What was read next.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum BodyPiece {
    /// Bytes, never empty.
    Data(Bytes),
    /// The trailer section, as [`trailer_fields`](hvym_http1::trailer_fields) reads it. Only with [`BodyMode::Payload`].
    Trailers(Bytes),
    /// The body is complete.
    End,
}

/// Reads one body.
#[derive(Debug)]
pub(crate) enum BodyReader {
    Framed(BodyForwarder),
    /// Holds the trailer section until the body ends; [`Body`] limits it.
    Payload {
        body: Body,
        trailers: Vec<u8>,
    },
}

impl BodyReader {
    /// A body of which nothing was read.
    pub(crate) fn new(from: Framing, mode: BodyMode, kind: MessageKind) -> Self {
        match mode {
            BodyMode::Framed(to) => BodyReader::Framed(BodyForwarder::new(from, to, kind)),
            BodyMode::Payload => BodyReader::Payload { body: Body::new(from), trailers: Vec::new() },
        }
    }

    /// Takes the next piece out of `input`; `None` if more input is needed.
    ///
    /// # Errors
    /// The coding is malformed.
    pub(crate) fn read(&mut self, input: &mut Bytes) -> Result<Option<BodyPiece>, BodyError> {
        match self {
            BodyReader::Framed(forwarder) => {
                let piece = forwarder.forward(input)?.map(BodyPiece::Data);
                Ok(piece.or_else(|| forwarder.is_finished().then_some(BodyPiece::End)))
            }
            BodyReader::Payload { body, trailers } => read_payload(body, trailers, input),
        }
    }

    /// Whether [`BodyPiece::End`] is next, of a body that is framed.
    pub(crate) fn is_at_end(&self) -> bool {
        matches!(self, BodyReader::Framed(forwarder) if forwarder.is_finished())
    }

    /// The peer's stream ended. More may be read after that.
    ///
    /// # Errors
    /// The body is incomplete.
    pub(crate) fn handle_end(&mut self) -> Result<(), BodyError> {
        match self {
            BodyReader::Framed(forwarder) => forwarder.handle_end(),
            BodyReader::Payload { body, .. } => body.handle_end(),
        }
    }
}

fn read_payload(
    body: &mut Body,
    trailers: &mut Vec<u8>,
    input: &mut Bytes,
) -> Result<Option<BodyPiece>, BodyError> {
    while !input.is_empty() && !body.is_finished() {
        let decoded = body.decode(input)?;
        trailers.extend_from_slice(decoded.trailers);
        let (used, payload) = (decoded.used, input.slice_ref(decoded.payload));
        input.advance(used);
        if !payload.is_empty() {
            return Ok(Some(BodyPiece::Data(payload)));
        }
    }
    if !body.is_finished() {
        return Ok(None);
    }
    if trailers.is_empty() {
        return Ok(Some(BodyPiece::End));
    }
    Ok(Some(BodyPiece::Trailers(Bytes::from(core::mem::take(trailers)))))
}
