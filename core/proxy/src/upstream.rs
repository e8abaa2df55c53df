//! A connection to a service: one HTTP/1.1 request after another out, their responses in.
//!
//! It knows no visitor and no pool. A write that fails is no failure by itself: a service may respond before it has read the
//! whole request, and reading finds out whether it did.

use bytes::Bytes;
use hvym_http1::{BodyError, FieldTable, Framing, LineEndings, MessageKind, ResponseError, ResponseView};
use thiserror::Error;

use crate::body_reader::{BodyMode, BodyPiece, BodyReader};
use crate::facts::{RequestFacts, ResponseFacts};
use crate::history::ConnHistory;
use crate::read_buffer::ReadBuffer;
use crate::send_queue::SendQueue;

/// Why a response is missing or incomplete.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Error)]
pub enum UpstreamFailure {
    /// The connection ended before anything of the request was sent.
    #[error("the connection to the service had ended before the request")]
    Unsent,
    /// The connection ended before a byte of the response.
    #[error("the service closed the connection without a response")]
    Lost,
    /// The connection ended inside the head of the response.
    #[error("the service closed the connection inside the head of its response")]
    HeadTruncated,
    /// The head of the response is malformed.
    #[error(transparent)]
    Head(#[from] ResponseError),
    /// The body of the response is malformed, or the connection ended inside it.
    #[error(transparent)]
    Body(#[from] BodyError),
}

/// What a service sent next.
#[derive(Debug)]
pub enum UpstreamEvent<'a> {
    /// An interim response (RFC 9110 section 15.2); the final one follows.
    Interim(ResponseView<'a>),
    /// The head of the response.
    Response(ResponseView<'a>),
    /// A piece of its body, never empty.
    Body(Bytes),
    /// Its trailer section. Only with [`BodyMode::Payload`].
    Trailers(Bytes),
    /// The response is complete.
    End,
    /// There will be no more of it. Nothing else can be done with the connection than to drop it.
    Failed(UpstreamFailure),
}

#[derive(Debug)]
enum State {
    /// Between two requests.
    Idle,
    /// Before the head of the response.
    Head,
    Body(BodyReader),
    /// It speaks another protocol now.
    Tunnel,
    Failed,
}

/// How far the service's half is.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Ending {
    Open,
    Ended,
    /// It was cut: what only an end completes is incomplete.
    Reset,
}

/// A connection to a service.
#[derive(Debug)]
pub struct Upstream {
    // Fields: the state of both halves, what passes through them, and what the connection has carried.
    state: State,
    input: ReadBuffer,
    head: Bytes,
    fields: FieldTable,
    request: RequestFacts,
    /// How the body of the response ends.
    framing: Framing,
    out: SendQueue,
    /// Bytes that were sent when the request under way began.
    sent_before: u64,
    is_request_complete: bool,
    /// Whether a byte of the response to the request under way came.
    is_heard: bool,
    ending: Ending,
    /// The service takes nothing more.
    is_write_closed: bool,
    /// It carries no other request.
    closes: bool,
    history: ConnHistory,
}

impl Upstream {
    /// A connection that was just opened.
    pub fn new() -> Self {
        Upstream {
            state: State::Idle,
            input: ReadBuffer::new(LineEndings::Lenient),
            head: Bytes::new(),
            fields: FieldTable::new(),
            request: RequestFacts::NONE,
            framing: Framing::Empty,
            out: SendQueue::new(),
            sent_before: 0,
            is_request_complete: true,
            is_heard: false,
            ending: Ending::Open,
            is_write_closed: false,
            closes: false,
            history: ConnHistory::default(),
        }
    }

    /// Begins a request, whose head is `head`. Its body follows by [`send_body`](Self::send_body).
    ///
    /// # Panics
    /// It is not [`is_reusable`](Self::is_reusable).
    pub fn begin(&mut self, head: Bytes, request: RequestFacts) {
        assert!(self.is_reusable(), "a connection carries one request at a time");
        self.history.requests += 1;
        self.history.has_unsafe_request |= !request.is_plain();
        self.history.has_connection_login |= request.logs_in_connection;
        self.history.keep_alive = None;
        (self.state, self.request) = (State::Head, request);
        self.sent_before = self.out.sent();
        (self.is_request_complete, self.is_heard) = (!request.has_body(), false);
        self.out.push(head);
    }

    /// Begins a request of which this is queued: the head, and what there was of the body.
    pub(crate) fn begin_with(&mut self, queued: SendQueue, request: RequestFacts) {
        self.begin(Bytes::new(), request);
        queued.buffers().for_each(|part| self.out.push(part.clone()));
    }

    /// Sends a piece of the body, with its framing.
    pub fn send_body(&mut self, piece: Bytes) {
        if !self.is_write_closed || self.is_unsent() {
            self.out.push(piece);
        }
    }

    /// The body is complete.
    pub fn end_body(&mut self) {
        self.is_request_complete = true;
    }

    /// What waits to be sent to the service.
    pub fn output(&mut self) -> &mut SendQueue {
        &mut self.out
    }

    /// Whether everything that was given to it was sent.
    pub fn is_flushed(&self) -> bool {
        self.out.is_empty()
    }

    /// Bytes that wait to be sent.
    pub fn unsent(&self) -> usize {
        self.out.len()
    }

    /// Whether the service takes nothing more: what is sent is discarded.
    pub const fn is_write_closed(&self) -> bool {
        self.is_write_closed
    }

    /// Writing failed. A response may still come.
    pub fn handle_write_closed(&mut self) {
        (self.is_write_closed, self.closes) = (true, true);
        if !self.is_unsent() {
            self.out.clear();
        }
    }

    /// The service sent `data`.
    pub fn handle_data(&mut self, data: Bytes) {
        self.is_heard = true;
        self.input.push(data);
    }

    /// The service ended its half.
    pub fn handle_end(&mut self) {
        (self.ending, self.closes) = (Ending::Ended, true);
    }

    /// The connection was reset, or the link that carried it was lost.
    pub fn handle_reset(&mut self) {
        self.handle_write_closed();
        self.ending = Ending::Reset;
    }

    /// Whether nothing of the request under way was sent.
    fn is_unsent(&self) -> bool {
        matches!(self.state, State::Head) && self.out.sent() == self.sent_before
    }

    /// Whether more should be read from the service. Between requests too: what comes then ends the connection's use.
    pub fn wants_data(&self) -> bool {
        self.ending == Ending::Open && self.input.data.is_empty() && !matches!(self.state, State::Failed)
    }

    /// Whether the next event is [`UpstreamEvent::End`], which needs no room at the visitor.
    pub(crate) fn is_at_end(&self) -> bool {
        matches!(&self.state, State::Body(reader) if reader.is_at_end())
    }

    /// The next event. After [`UpstreamEvent::Response`], [`set_body_mode`](Self::set_body_mode) says how the body is handed on.
    pub fn poll_event(&mut self) -> Option<UpstreamEvent<'_>> {
        match &mut self.state {
            State::Idle | State::Tunnel | State::Failed => None,
            State::Head => match self.input.take_head() {
                Ok(Some(head)) => {
                    self.head = head;
                    Some(self.on_head())
                }
                Ok(None) if self.ending != Ending::Open => Some(self.fail(self.missing())),
                Ok(None) => None,
                Err(error) => Some(self.fail(UpstreamFailure::Head(error.into()))),
            },
            State::Body(reader) => match reader.read(&mut self.input.data) {
                Ok(Some(BodyPiece::Data(data))) => Some(UpstreamEvent::Body(data)),
                Ok(Some(BodyPiece::Trailers(section))) => Some(UpstreamEvent::Trailers(section)),
                Ok(Some(BodyPiece::End)) => Some(self.finish()),
                Ok(None) => match self.ending {
                    Ending::Open => None,
                    // What frames the body's end for the visitor follows.
                    Ending::Ended => {
                        match reader.handle_end().and_then(|()| reader.read(&mut Bytes::new())) {
                            Ok(Some(BodyPiece::Data(data))) => Some(UpstreamEvent::Body(data)),
                            Ok(_) => Some(self.finish()),
                            Err(error) => Some(self.fail(error.into())),
                        }
                    }
                    Ending::Reset => Some(self.fail(BodyError::Truncated.into())),
                },
                Err(error) => Some(self.fail(error.into())),
            },
        }
    }

    /// Why no head came.
    fn missing(&self) -> UpstreamFailure {
        match (self.is_heard, self.is_unsent()) {
            (true, _) => UpstreamFailure::HeadTruncated,
            (false, false) => UpstreamFailure::Lost,
            (false, true) => UpstreamFailure::Unsent,
        }
    }

    fn on_head(&mut self) -> UpstreamEvent<'_> {
        let method = self.request.method.as_method();
        let view = match ResponseView::parse(&self.head, &mut self.fields, method) {
            Ok(view) => view,
            Err(error) => {
                self.state = State::Failed;
                return UpstreamEvent::Failed(error.into());
            }
        };
        if view.is_interim() {
            return UpstreamEvent::Interim(view);
        }
        let facts = ResponseFacts::new(&view);
        self.history.has_connection_login |= facts.wants_connection_login;
        self.history.keep_alive = facts.keep_alive;
        self.closes |= !facts.keeps_alive;
        self.framing = facts.framing;
        self.state = match facts.framing {
            Framing::Tunnel => State::Tunnel,
            framing => {
                State::Body(BodyReader::new(framing, BodyMode::Framed(framing), MessageKind::Response))
            }
        };
        UpstreamEvent::Response(view)
    }

    /// How the body of the response is handed on, before any of it was: framed as it came, unless it is told.
    pub fn set_body_mode(&mut self, mode: BodyMode) {
        if let State::Body(reader) = &mut self.state {
            *reader = BodyReader::new(self.framing, mode, MessageKind::Response);
        }
    }

    fn finish(&mut self) -> UpstreamEvent<'_> {
        self.state = State::Idle;
        UpstreamEvent::End
    }

    fn fail(&mut self, failure: UpstreamFailure) -> UpstreamEvent<'_> {
        (self.state, self.closes) = (State::Failed, true);
        self.input.take_all();
        UpstreamEvent::Failed(failure)
    }

    /// What was queued for a service that got nothing of it, after [`UpstreamFailure::Unsent`].
    pub(crate) fn take_unsent(&mut self) -> SendQueue {
        core::mem::take(&mut self.out)
    }

    /// What was queued for the service and what came from it behind the head of a `101` response.
    pub fn into_tunnel(mut self) -> (SendQueue, Bytes) {
        (self.out, self.input.take_all())
    }

    /// Whether it can carry a request now: everything before is complete, and nothing came unasked.
    pub fn is_reusable(&self) -> bool {
        matches!(self.state, State::Idle)
            && self.is_request_complete
            && !self.closes
            && self.out.is_empty()
            && self.input.is_empty()
    }

    /// Whether it carries no other request.
    pub const fn is_closing(&self) -> bool {
        self.closes
    }

    /// Whether it may become reusable once the request under way has been sent in full: its response is complete.
    pub fn is_response_complete(&self) -> bool {
        matches!(self.state, State::Idle)
    }

    /// What it has carried.
    pub const fn history(&self) -> &ConnHistory {
        &self.history
    }
}

impl Default for Upstream {
    fn default() -> Self {
        Self::new()
    }
}
