//! One call: its machine, what waits for its reader, and its deadline.

use alloc::boxed::Box;

use hvym_tunnel_core::time::Instant;

use super::incoming_request::IncomingRequest;
use super::outgoing_request::OutgoingRequest;
use super::raw_stream::RawStream;
use super::read_buffer::ReadBuffer;
use super::transition::{CallContext, CallInput, Transition};
use crate::dialect::CallId;

/// The machine of a call.
#[derive(Debug)]
pub(super) enum CallKind {
    /// The owner writes a request and reads the response.
    Outgoing(Box<OutgoingRequest>),
    /// The owner reads a request and writes the response.
    Incoming(Box<IncomingRequest>),
    /// Bytes both ways.
    Raw(RawStream),
}

impl CallKind {
    /// Bytes held.
    pub(super) fn held(&self) -> usize {
        match self {
            CallKind::Outgoing(request) => request.held(),
            CallKind::Incoming(request) => request.held(),
            CallKind::Raw(stream) => stream.held(),
        }
    }

    pub(super) fn handle(&mut self, input: CallInput, context: &CallContext<'_>) -> Transition {
        match self {
            CallKind::Outgoing(request) => request.handle(input, context),
            CallKind::Incoming(request) => request.handle(input, context),
            CallKind::Raw(stream) => stream.handle(input, context),
        }
    }
}

/// One call.
#[derive(Debug)]
pub(super) struct Call {
    /// Its name on the wire.
    pub(super) name: CallId,
    pub(super) kind: CallKind,
    pub(super) read: ReadBuffer,
    pub(super) deadline: Option<Instant>,
    /// The owner has ended its half.
    pub(super) finished: bool,
    /// The owner found no capacity and waits for it.
    pub(super) wants_write: bool,
    /// It stands in the line of those with something to send.
    pub(super) is_scheduled: bool,
    /// When it stands there again by itself.
    pub(super) postponed_until: Option<Instant>,
}

impl Call {
    pub(super) fn new(name: CallId, kind: CallKind) -> Self {
        Self {
            name,
            kind,
            read: ReadBuffer::default(),
            deadline: None,
            finished: false,
            wants_write: false,
            is_scheduled: false,
            postponed_until: None,
        }
    }

    /// Bytes held for it, apart from messages that are ready to be sent.
    pub(super) fn held(&self) -> usize {
        self.read.bytes() + self.kind.held()
    }

    /// Whether both halves have ended.
    pub(super) fn is_over(&self) -> bool {
        let is_settled = match &self.kind {
            CallKind::Outgoing(_) | CallKind::Incoming(_) => true,
            CallKind::Raw(stream) => stream.is_settled(),
        };
        is_settled && self.finished && self.read.is_done()
    }
}
