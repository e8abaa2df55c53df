//! Reads messages from a stream, one after another: heads, pieces of bodies, ends.
//!
//! It knows no stream and interprets only the fields that frame a body. Payload is never copied.

use alloc::string::String;

use bytes::{Buf, Bytes};

use crate::body::Body;
use crate::error::ReadError;
use crate::framing::Framing;
use crate::head::{RequestHead, ResponseHead};
use crate::head_buffer::{HeadBuffer, Taken};

/// What a reader found next in its stream. A message has no other parts, so this enum will not grow.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event<H> {
    /// A message begins.
    Head(H),
    /// Payload of the body, never empty.
    Body(Bytes),
    /// The message is complete; another one may follow.
    End,
}

#[derive(Debug)]
enum ReaderState {
    Head(HeadBuffer),
    Body(Body),
}

impl ReaderState {
    fn head() -> Self {
        ReaderState::Head(HeadBuffer::default())
    }

    /// Reads the next event; `None` if more input is needed. `parse` returns `None` for a head to skip.
    fn read<H>(
        &mut self,
        input: &mut Bytes,
        parse: impl Fn(&[u8]) -> Result<Option<(H, Framing)>, ReadError>,
    ) -> Result<Option<Event<H>>, ReadError> {
        loop {
            match self {
                ReaderState::Head(buffer) => {
                    let (used, parsed) = {
                        let Taken { used, head } = buffer.take(input)?;
                        (used, head.as_deref().map(&parse).transpose()?)
                    };
                    input.advance(used);
                    match parsed {
                        None => return Ok(None),
                        Some(None) => *self = ReaderState::head(),
                        Some(Some((head, framing))) => {
                            *self = ReaderState::Body(Body::new(framing));
                            return Ok(Some(Event::Head(head)));
                        }
                    }
                }
                ReaderState::Body(body) if body.is_finished() => {
                    *self = ReaderState::head();
                    return Ok(Some(Event::End));
                }
                ReaderState::Body(_) if input.is_empty() => return Ok(None),
                ReaderState::Body(body) => {
                    let decoded = body.decode(input)?;
                    let (used, payload) = (decoded.used, input.slice_ref(decoded.payload));
                    input.advance(used);
                    if !payload.is_empty() {
                        return Ok(Some(Event::Body(payload)));
                    }
                }
            }
        }
    }

    fn handle_end<H>(&mut self) -> Result<Option<Event<H>>, ReadError> {
        match self {
            ReaderState::Head(buffer) if buffer.has_begun() => Err(ReadError::Truncated),
            ReaderState::Head(_) => Ok(None),
            ReaderState::Body(body) => {
                body.handle_end()?;
                *self = ReaderState::head();
                Ok(Some(Event::End))
            }
        }
    }
}

/// Reads the requests of one connection, one after another.
#[derive(Debug)]
pub struct RequestReader(ReaderState);

impl RequestReader {
    /// A reader at the start of a connection.
    pub fn new() -> Self {
        Self(ReaderState::head())
    }

    /// Reads the next event and removes its bytes from the front of `input`; `None` when `input` is used up and more is
    /// needed.
    ///
    /// # Errors
    /// [`ReadError`]; nothing after that can be read.
    pub fn read(&mut self, input: &mut Bytes) -> Result<Option<Event<RequestHead>>, ReadError> {
        self.0.read(input, |bytes| {
            let head = RequestHead::parse_complete(bytes)?;
            let framing = Framing::for_request(&head)?;
            Ok(Some((head, framing)))
        })
    }

    /// The stream ended; `None` if it ended between two requests.
    ///
    /// # Errors
    /// [`ReadError`] if it ended inside a request.
    pub fn handle_end(&mut self) -> Result<Option<Event<RequestHead>>, ReadError> {
        self.0.handle_end()
    }

    /// Whether the last request was read to its end and no other has begun.
    pub fn is_idle(&self) -> bool {
        match &self.0 {
            ReaderState::Head(buffer) => !buffer.has_begun(),
            ReaderState::Body(body) => body.is_finished(),
        }
    }
}

impl Default for RequestReader {
    fn default() -> Self {
        Self::new()
    }
}

/// Reads the response to one request. Interim responses (RFC 9110 section 15.2) are skipped.
#[derive(Debug)]
pub struct ResponseReader {
    phase: ReaderState,
    method: String,
}

impl ResponseReader {
    /// A reader of the response to a request of this `method`, which determines whether there is a body.
    pub fn new(method: impl Into<String>) -> Self {
        Self { phase: ReaderState::head(), method: method.into() }
    }

    /// Reads the next event and removes its bytes from the front of `input`; `None` when `input` is used up and more is
    /// needed. Not to be called after [`Event::End`].
    ///
    /// # Errors
    /// [`ReadError`]; nothing after that can be read.
    pub fn read(&mut self, input: &mut Bytes) -> Result<Option<Event<ResponseHead>>, ReadError> {
        self.phase.read(input, |bytes| {
            let head = ResponseHead::parse_complete(bytes)?;
            if head.is_interim() {
                return Ok(None);
            }
            let framing = Framing::for_response(&head, &self.method)?;
            Ok(Some((head, framing)))
        })
    }

    /// The stream ended, which finishes a body that lasts until the connection closes; `None` if there was no response.
    ///
    /// # Errors
    /// [`ReadError`] if the response is incomplete.
    pub fn handle_end(&mut self) -> Result<Option<Event<ResponseHead>>, ReadError> {
        self.phase.handle_end()
    }
}
