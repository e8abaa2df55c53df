//! A body on its way from one connection to another: payload is never copied, and chunks that both sides know pass as they came.

use alloc::vec::Vec;

use bytes::{Buf, Bytes, BytesMut};

use super::field_writer::write_field;
use super::trailers::{MessageKind, trailer_fields};
use crate::body::Body;
use crate::chunked::{Chunked, ChunkedPart, LAST_CHUNK};
use crate::error::BodyError;
use crate::framing::Framing;

/// Forwards one body. Chunk extensions are dropped (RFC 9112 section 7.1.1), and so are the trailer fields that
/// [`is_trailer_forwarded`](super::is_trailer_forwarded) does not let pass, or all of them where there are no chunks.
///
/// It holds the trailer section, at most [`MAX_TRAILER_BYTES`](crate::MAX_TRAILER_BYTES) and its line ends, until the body
/// ends, and nothing else.
#[derive(Debug)]
pub struct BodyForwarder {
    state: State,
    kind: MessageKind,
    payload_bytes: u64,
    trailers: Vec<u8>,
}

#[derive(Debug)]
enum State {
    /// Chunks stay chunks.
    Chunks(Chunked),
    /// The payload alone.
    Payload(Body),
    /// The payload becomes chunks; `data` and then `end` of the last one are still to be written.
    Encoding {
        body: Body,
        data: Bytes,
        end: &'static [u8],
    },
    Finished,
}

impl BodyForwarder {
    /// A body that arrives with one framing and leaves with another, which is the same, or one of those that
    /// [`framing_toward`](super::framing_toward) gives.
    pub fn new(from: Framing, to: Framing, kind: MessageKind) -> Self {
        let body = Body::new(from);
        let state = match (from, to) {
            _ if body.is_finished() => State::Finished,
            (Framing::Chunked, Framing::Chunked) => State::Chunks(Chunked::new()),
            (_, Framing::Chunked) => State::Encoding { body, data: Bytes::new(), end: b"" },
            _ => State::Payload(body),
        };
        BodyForwarder { state, kind, payload_bytes: 0, trailers: Vec::new() }
    }

    /// The next bytes to send, never empty, for bytes that are removed from the front of `input`; `None` if more input is
    /// needed or the body [`is_finished`](Self::is_finished). What is left of the input then belongs to the next message.
    ///
    /// # Errors
    /// [`BodyError`] if the coding is malformed; nothing after that can be forwarded.
    pub fn forward(&mut self, input: &mut Bytes) -> Result<Option<Bytes>, BodyError> {
        match &mut self.state {
            State::Finished => Ok(None),
            State::Chunks(_) => self.forward_chunks(input),
            State::Payload(body) => {
                let payload = next_payload(body, input)?;
                self.payload_bytes += payload.len() as u64;
                if body.is_finished() {
                    self.state = State::Finished;
                }
                Ok(Some(payload).filter(|payload| !payload.is_empty()))
            }
            State::Encoding { .. } => self.forward_encoded(input),
        }
    }

    /// The stream ended, which finishes a body that lasts until the connection closes. Bytes to send may follow from
    /// [`forward`](Self::forward) with no input.
    ///
    /// # Errors
    /// [`BodyError::Truncated`] if the stream ended before the body did.
    pub fn handle_end(&mut self) -> Result<(), BodyError> {
        match &mut self.state {
            State::Finished => Ok(()),
            State::Chunks(_) => Err(BodyError::Truncated),
            State::Payload(body) => {
                body.handle_end()?;
                self.state = State::Finished;
                Ok(())
            }
            State::Encoding { body, .. } => body.handle_end(),
        }
    }

    /// Whether everything was forwarded.
    pub const fn is_finished(&self) -> bool {
        matches!(self.state, State::Finished)
    }

    /// How many bytes of the body itself were forwarded, without its coding.
    pub const fn payload_bytes(&self) -> u64 {
        self.payload_bytes
    }

    fn forward_chunks(&mut self, input: &mut Bytes) -> Result<Option<Bytes>, BodyError> {
        let State::Chunks(chunked) = &mut self.state else { return Ok(None) };
        // Bytes that pass, from the front of the input.
        let mut passed = 0;
        while let Some(part) = chunked.next_part(&input[passed..])? {
            let length = part.bytes().len();
            let passes = match part {
                ChunkedPart::Data(data) => {
                    self.payload_bytes += data.len() as u64;
                    true
                }
                ChunkedPart::Framing(_) => true,
                ChunkedPart::End(_) => self.trailers.is_empty(),
                ChunkedPart::Extension(_) => false,
                ChunkedPart::Trailers(lines) => {
                    self.trailers.extend_from_slice(lines);
                    false
                }
            };
            if passes {
                passed += length;
            } else {
                let piece = input.split_to(passed);
                input.advance(length);
                passed = 0;
                if !piece.is_empty() {
                    return Ok(Some(piece).filter(|piece| !piece.is_empty()));
                }
            }
        }
        let is_finished = chunked.is_finished();
        if is_finished && !self.trailers.is_empty() {
            let mut end = BytesMut::new();
            for (name, value) in trailer_fields(&self.trailers, self.kind) {
                write_field(name.as_bytes(), value, &mut end);
            }
            end.extend_from_slice(b"\r\n");
            self.state = State::Finished;
            return Ok(Some(end.freeze()));
        }
        if is_finished {
            self.state = State::Finished;
        }
        Ok(Some(input.split_to(passed)).filter(|piece| !piece.is_empty()))
    }

    fn forward_encoded(&mut self, input: &mut Bytes) -> Result<Option<Bytes>, BodyError> {
        let State::Encoding { body, data, end } = &mut self.state else { return Ok(None) };
        if !data.is_empty() {
            return Ok(Some(core::mem::take(data)));
        }
        let rest = core::mem::take(end);
        if !rest.is_empty() {
            return Ok(Some(Bytes::from_static(rest)));
        }
        let payload = next_payload(body, input)?;
        if payload.is_empty() {
            let is_finished = body.is_finished();
            if is_finished {
                self.state = State::Finished;
            }
            return Ok(is_finished.then_some(Bytes::from_static(LAST_CHUNK)));
        }
        self.payload_bytes += payload.len() as u64;
        let mut size = BytesMut::with_capacity(18);
        {
            use core::fmt::Write as _;
            // Writing to `BytesMut` cannot fail.
            let _ = write!(size, "{:x}\r\n", payload.len());
        }
        (*data, *end) = (payload, b"\r\n");
        Ok(Some(size.freeze()))
    }
}

/// The next payload in `input`, with what is before it removed; empty if there is none.
fn next_payload(body: &mut Body, input: &mut Bytes) -> Result<Bytes, BodyError> {
    while !input.is_empty() && !body.is_finished() {
        let decoded = body.decode(input)?;
        let (used, payload) = (decoded.used, input.slice_ref(decoded.payload));
        input.advance(used);
        if !payload.is_empty() {
            return Ok(payload);
        }
    }
    Ok(Bytes::new())
}
