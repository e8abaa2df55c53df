//! One stream: what waits for its reader, and which of three things it is.

use alloc::boxed::Box;
use alloc::collections::VecDeque;

use bytes::Bytes;

use super::answer::Answer;
use super::ask::Ask;
use super::pipe::Pipe;
use crate::dialect::CallId;
use hvym_tunnel_core::time::Instant;

/// What a stream is.
#[derive(Debug)]
pub(super) enum Role {
    /// The owner asks, by writing a request.
    Ask(Box<Ask>),
    /// The owner answers, by writing a response.
    Answer(Box<Answer>),
    /// Bytes both ways.
    Pipe(Pipe),
}

impl Role {
    pub(super) fn ask() -> Self {
        Role::Ask(Box::default())
    }

    pub(super) fn pipe(to_be_announced: bool) -> Self {
        Role::Pipe(Pipe::new(to_be_announced))
    }
}

/// What waits to be read.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    queue: VecDeque<Bytes>,
    pub(super) bytes: usize,
    /// Nothing follows.
    pub(super) ended: bool,
    /// The reader has been told so, or has given up.
    pub(super) done: bool,
    /// The reader found nothing and waits.
    pub(super) wants: bool,
}

impl Inbox {
    /// How many of the bytes were kept.
    pub(super) fn push(&mut self, data: Bytes) -> usize {
        if self.done || self.ended || data.is_empty() {
            return 0;
        }
        let n = data.len();
        self.bytes += n;
        self.queue.push_back(data);
        n
    }

    pub(super) fn take(&mut self, max: usize) -> Option<Bytes> {
        let front = self.queue.front_mut()?;
        let data = if front.len() > max { front.split_to(max) } else { self.queue.pop_front()? };
        self.bytes -= data.len();
        Some(data)
    }

    /// How many bytes were dropped.
    pub(super) fn clear(&mut self) -> usize {
        self.queue.clear();
        core::mem::take(&mut self.bytes)
    }
}

/// One stream.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) name: CallId,
    pub(super) role: Role,
    pub(super) inbox: Inbox,
    pub(super) deadline: Option<Instant>,
    /// The owner has ended its half.
    pub(super) finished: bool,
    /// The owner found no room and waits.
    pub(super) wants_write: bool,
}

impl Slot {
    pub(super) fn new(name: CallId, role: Role) -> Self {
        Self { name, role, inbox: Inbox::default(), deadline: None, finished: false, wants_write: false }
    }

    /// Bytes held for it, apart from messages that are ready to be sent.
    pub(super) fn held(&self) -> usize {
        let role = match &self.role {
            Role::Ask(ask) => ask.held(),
            Role::Answer(answer) => answer.held(),
            Role::Pipe(pipe) => pipe.held(),
        };
        self.inbox.bytes + role
    }

    pub(super) fn is_over(&self) -> bool {
        let settled = match &self.role {
            Role::Ask(_) | Role::Answer(_) => true,
            Role::Pipe(pipe) => pipe.is_settled(),
        };
        settled && self.finished && self.inbox.done
    }
}
