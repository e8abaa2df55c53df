//! Messages read from a stream of bytes, one after another: heads, pieces of bodies, ends.
//!
//! It knows no stream and gives no field a meaning beyond where its message ends. Payload is never copied.

use alloc::string::String;

use bytes::{Buf, Bytes};
use thiserror::Error;

use super::body::{Body, BodyError, Framing, FramingError};
use super::head::{HeadError, RequestHead, ResponseHead};
use super::scan::{HeadBuffer, Taken};

/// Why a stream cannot be read as messages.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Error)]
pub enum ReadError {
    /// The head is malformed.
    #[error(transparent)]
    Head(#[from] HeadError),
    /// Where the body ends cannot be told.
    #[error(transparent)]
    Framing(#[from] FramingError),
    /// The body is malformed, or the stream ended inside it.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// The stream ended inside a head.
    #[error("the stream ended inside the head")]
    Truncated,
}

/// A piece of a message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event<H> {
    /// It begins.
    Head(H),
    /// Payload of its body, never empty.
    Body(Bytes),
    /// It is whole; the next one may follow.
    End,
}

#[derive(Debug)]
enum Phase {
    Head(HeadBuffer),
    Body(Body),
}

impl Phase {
    fn head() -> Self {
        Phase::Head(HeadBuffer::default())
    }

    /// What can be told from `input` alone; `None` asks for more.
    fn read<H>(
        &mut self,
        input: &mut Bytes,
        understand: impl Fn(&[u8]) -> Result<Option<(H, Framing)>, ReadError>,
    ) -> Result<Option<Event<H>>, ReadError> {
        loop {
            match self {
                Phase::Head(gathering) => {
                    let (used, understood) = {
                        let Taken { used, head } = gathering.take(input)?;
                        (used, head.as_deref().map(&understand).transpose()?)
                    };
                    input.advance(used);
                    match understood {
                        None => return Ok(None),
                        // To be passed over.
                        Some(None) => *self = Phase::head(),
                        Some(Some((head, framing))) => {
                            *self = Phase::Body(Body::new(framing));
                            return Ok(Some(Event::Head(head)));
                        }
                    }
                }
                Phase::Body(body) if body.is_finished() => {
                    *self = Phase::head();
                    return Ok(Some(Event::End));
                }
                Phase::Body(_) if input.is_empty() => return Ok(None),
                Phase::Body(body) => {
                    let step = body.decode(input)?;
                    let (used, payload) = (step.used, input.slice_ref(step.payload));
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
            Phase::Head(gathering) if gathering.has_begun() => Err(ReadError::Truncated),
            Phase::Head(_) => Ok(None),
            Phase::Body(body) => {
                body.handle_end()?;
                *self = Phase::head();
                Ok(Some(Event::End))
            }
        }
    }
}

/// Reads the requests of one connection.
#[derive(Debug)]
pub struct RequestReader(Phase);

impl RequestReader {
    /// Nothing has arrived.
    pub fn new() -> Self {
        Self(Phase::head())
    }

    /// Takes the next part from the front of `input`; `None` when it is used up and more is needed.
    ///
    /// # Errors
    /// [`ReadError`]; nothing that follows can be understood.
    pub fn read(&mut self, input: &mut Bytes) -> Result<Option<Event<RequestHead>>, ReadError> {
        self.0.read(input, |bytes| {
            let head = RequestHead::parse_complete(bytes)?;
            let framing = Framing::for_request(&head)?;
            Ok(Some((head, framing)))
        })
    }

    /// The stream ended; `None` if it did between two requests.
    ///
    /// # Errors
    /// [`ReadError`] if it ended inside one.
    pub fn handle_end(&mut self) -> Result<Option<Event<RequestHead>>, ReadError> {
        self.0.handle_end()
    }

    /// Whether nothing of the request read last is outstanding.
    pub fn is_between(&self) -> bool {
        match &self.0 {
            Phase::Head(gathering) => !gathering.has_begun(),
            Phase::Body(body) => body.is_finished(),
        }
    }
}

impl Default for RequestReader {
    fn default() -> Self {
        Self::new()
    }
}

/// Reads the response to one request. Interim responses are passed over.
#[derive(Debug)]
pub struct ResponseReader {
    phase: Phase,
    method: String,
}

impl ResponseReader {
    /// Nothing has arrived; the request was of this `method`.
    pub fn new(method: impl Into<String>) -> Self {
        Self { phase: Phase::head(), method: method.into() }
    }

    /// Takes the next part from the front of `input`; `None` when it is used up and more is needed. Of no use after
    /// [`Event::End`].
    ///
    /// # Errors
    /// [`ReadError`]; nothing that follows can be understood.
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

    /// The stream ended, which ends some bodies; `None` if there was no response.
    ///
    /// # Errors
    /// [`ReadError`] if the response is not whole.
    pub fn handle_end(&mut self) -> Result<Option<Event<ResponseHead>>, ReadError> {
        self.phase.handle_end()
    }
}
