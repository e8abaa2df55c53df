//! One operation on one stream.

use bytes::{Bytes, BytesMut};

use super::error::{ResetReason, StreamError};
use super::queue::Queue;
use super::slot::{Rx, Todo, Tx};
use super::{Mux, StreamId};
use crate::instant::Instant;

/// What reading gave.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Read {
    /// The next bytes, a slice of the message they came in unless they were few.
    Data(Bytes),
    /// Nothing yet; `Readable` follows.
    Empty,
    /// The peer ended its half, and everything before that has been read.
    Finished,
}

/// A live stream, borrowed for one operation.
#[derive(Debug)]
pub struct Stream<'a> {
    mux: &'a mut Mux,
    at: usize,
}

impl<'a> Stream<'a> {
    pub(super) fn new(mux: &'a mut Mux, at: usize) -> Self {
        Self { mux, at }
    }

    /// Its id.
    pub fn id(&self) -> StreamId {
        self.mux.id(self.at)
    }

    /// Takes up to `max` bytes that have arrived. Reading is what grants the peer more.
    pub fn read(&mut self, max: usize, now: Instant) -> Result<Read, StreamError> {
        self.check(now)?;
        let slot = &mut self.mux.slots.all[self.at];
        let max = max.max(1);
        let data = match slot.recv_queue.front_mut() {
            Some(front) if front.len() > max => Some(front.split_to(max)),
            Some(_) => slot.recv_queue.pop_front(),
            None if slot.tail.is_empty() => None,
            None if slot.tail.len() > max => Some(slot.tail.split_to(max).freeze()),
            None => Some(core::mem::take(&mut slot.tail).freeze()),
        };
        let Some(data) = data else { return Ok(self.at_the_end()) };
        slot.unread -= data.len() as u32;
        if slot.unread == 0 {
            slot.tail = BytesMut::new();
        }
        slot.moved_at = self.mux.now;
        self.mux.counts.unread -= data.len();
        self.mux.grant_if_due(self.at);
        Ok(Read::Data(data))
    }

    fn at_the_end(&mut self) -> Read {
        let slot = &mut self.mux.slots.all[self.at];
        match slot.rx {
            Rx::Open => {
                slot.wants_read = true;
                Read::Empty
            }
            Rx::FinReceived => {
                slot.rx = Rx::Done;
                self.mux.release_if_over(self.at);
                Read::Finished
            }
            Rx::Stopped | Rx::Done => Read::Finished,
        }
    }

    /// Takes from the front of `data` what there is room for, and says how much. If some is left, the stream is
    /// blocked, and one `Writable` follows.
    pub fn write(&mut self, data: &mut Bytes, now: Instant) -> Result<usize, StreamError> {
        self.check(now)?;
        let slot = &mut self.mux.slots.all[self.at];
        if slot.tx != Tx::Open {
            return Err(StreamError::Finished);
        }
        if data.is_empty() {
            return Ok(0);
        }
        let own = self.mux.config.send_mark.saturating_sub(slot.send_len);
        let shared = self.mux.config.max_send.saturating_sub(self.mux.counts.unsent);
        let taken = data.split_to(data.len().min(own).min(shared));
        let n = taken.len();
        if n > 0 {
            slot.queue(taken);
            self.mux.counts.unsent += n;
        }
        if !data.is_empty() {
            slot.wants_write = true;
            if shared < own && !slot.in_crowded {
                slot.in_crowded = true;
                self.mux.slots.crowded.push_back(self.at);
            }
        }
        if slot.is_starved() && slot.send_len == n {
            self.mux.watch_starved(self.at);
        }
        self.mux.ready_if_sendable(self.at);
        Ok(n)
    }

    /// How many bytes a write would take now.
    pub fn writable(&self) -> usize {
        self.mux.writable_at(self.at)
    }

    /// Ends this half, after what was written. A second time does nothing.
    pub fn finish(&mut self, now: Instant) -> Result<(), StreamError> {
        self.check(now)?;
        let slot = &mut self.mux.slots.all[self.at];
        if slot.tx == Tx::Open {
            slot.tx = Tx::FinQueued;
            slot.wants_write = false;
            if slot.send_len == 0 {
                self.mux.plan(self.at, Todo::FIN);
            }
        }
        Ok(())
    }

    /// Tears the stream down: what was not read and what was not sent is gone at once. `code` stays on this side.
    pub fn reset(&mut self, code: u32, now: Instant) {
        if self.check(now).is_ok() {
            self.mux.tear(self.at, ResetReason::Local(code), true);
        }
    }

    /// Gives up reading: what has arrived and what still comes is discarded. A peer that goes on after this side has
    /// ended too is reset once it has used up its window.
    pub fn stop(&mut self, now: Instant) {
        if self.check(now).is_err() {
            return;
        }
        let slot = &mut self.mux.slots.all[self.at];
        slot.rx = match slot.rx {
            Rx::Open => Rx::Stopped,
            Rx::FinReceived => Rx::Done,
            other => other,
        };
        self.mux.counts.unread -= slot.unread as usize;
        slot.unread = 0;
        slot.recv_queue = Queue::default();
        slot.tail = BytesMut::new();
        slot.todo.clear(Todo::WINDOW);
        self.mux.reset_if_unwanted(self.at);
        self.mux.release_if_over(self.at);
    }

    fn check(&mut self, now: Instant) -> Result<(), StreamError> {
        self.mux.tick(now);
        if self.mux.is_ended() {
            return Err(StreamError::Lost);
        }
        match self.mux.slots.all[self.at].reset {
            Some(reason) => Err(StreamError::Reset(reason)),
            None => Ok(()),
        }
    }
}

impl Mux {
    pub(super) fn writable_at(&self, at: usize) -> usize {
        let slot = &self.slots.all[at];
        if slot.tx != Tx::Open || slot.reset.is_some() || self.is_ended() {
            return 0;
        }
        let own = self.config.send_mark.saturating_sub(slot.send_len);
        own.min(self.config.max_send.saturating_sub(self.counts.unsent))
    }
}
