//! Control messages that wait for the socket, and how many may.

use alloc::collections::VecDeque;

use crate::message::{Message, Transmit};

/// Messages that may wait. An honest peer causes a handful; one that makes us answer without reading is cut off here.
const MAX_WAITING: usize = 256;
/// Their bytes. An answer repeats what was asked, so that a peer could make few messages heavy.
const MAX_WAITING_BYTES: usize = 256 * 1024;

/// What goes ahead of the streams, in order.
#[derive(Default)]
pub(super) struct ControlQueue {
    waiting: VecDeque<Transmit>,
    bytes: usize,
}

impl ControlQueue {
    /// Whether `message` may wait too.
    pub(super) fn has_room_for(&self, message: &Message) -> bool {
        self.waiting.len() < MAX_WAITING && self.bytes + message.payload().len() <= MAX_WAITING_BYTES
    }

    /// Puts `transmit` behind what waits, whether there is room or not.
    pub(super) fn push(&mut self, transmit: Transmit) {
        self.bytes += bytes_of(&transmit);
        self.waiting.push_back(transmit);
    }

    pub(super) fn pop(&mut self) -> Option<Transmit> {
        let transmit = self.waiting.pop_front()?;
        self.bytes -= bytes_of(&transmit);
        Some(transmit)
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
