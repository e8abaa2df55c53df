//! The queue of control messages for the socket, with its limits.

use alloc::collections::VecDeque;

use crate::message::{Message, Transmit};

/// Messages in the queue. An honest peer causes a few; the link of one that causes answers without reading them ends.
const MAX_WAITING: usize = 256;
/// Bytes in the queue. An answer repeats names of the request, so that few messages can be large.
const MAX_WAITING_BYTES: usize = 256 * 1024;

/// Messages that are sent ahead of stream data, in order.
#[derive(Default)]
pub(super) struct ControlQueue {
    waiting: VecDeque<Transmit>,
    bytes: usize,
}

impl ControlQueue {
    /// Whether `message` fits.
    pub(super) fn has_room_for(&self, message: &Message) -> bool {
        self.waiting.len() < MAX_WAITING && self.bytes + message.payload().len() <= MAX_WAITING_BYTES
    }

    /// Appends `transmit`, whether it fits or not.
    pub(super) fn push(&mut self, transmit: Transmit) {
        self.bytes += bytes_of(&transmit);
        self.waiting.push_back(transmit);
    }

    pub(super) fn pop(&mut self) -> Option<Transmit> {
        let transmit = self.waiting.pop_front()?;
        self.bytes -= bytes_of(&transmit);
        Some(transmit)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

fn bytes_of(transmit: &Transmit) -> usize {
    match transmit {
        Transmit::Send(message) => message.payload().len(),
        Transmit::Close(_) => 0,
    }
}
