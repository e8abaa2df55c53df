//! The receiving half of a stream: unread data, the window that the peer may use, and the end of the half.
//!
//! It knows nothing of the session's lists, frames or timers.

use bytes::{Bytes, BytesMut};

use crate::byte_queue::ByteQueue;
use crate::frame::INITIAL_WINDOW;
use crate::instant::{Instant, Micros};

/// The smallest and the largest block that small payloads are copied into, bytes.
const BLOCK: (usize, usize) = (256, 4096);
/// A payload of this size gets a block of its own, so that it is read in one piece. What it leaves of the block before it
/// is at most an eighth of it.
const OWN_BLOCK: usize = 8 * BLOCK.1;

/// The states of the half. From `Open` it goes over `FinReceived` or `Stopped` to `Done`.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum RecvState {
    /// The peer may send.
    Open,
    /// The peer has sent its FIN, and the application has not read up to it.
    FinReceived,
    /// The application no longer reads, and the peer has not sent its FIN.
    Stopped,
    /// The peer has sent its FIN, and the application has read it or no longer reads.
    Done,
}

/// What the peer's FIN meant for the half.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Fin {
    /// The half ends after what is unread; whether a reader waits to be told.
    Ended {
        /// A read has found nothing since the last event.
        notify: bool,
    },
    /// Nobody reads, so the half is over.
    Discarded,
    /// The half had ended before.
    Duplicate,
}

/// What there is where the data ends.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum EndOfData {
    /// More may come.
    Empty,
    /// The end was read just now.
    FinRead,
    /// The half was over before.
    Over,
}

/// The receiving half of a stream.
#[derive(Debug)]
pub(crate) struct RecvHalf {
    state: RecvState,
    /// What the peer may still send, bytes.
    credit: u32,
    /// The receive window: credit, unread bytes and announced bytes that have not arrived, together.
    window: u32,
    unread: u32,
    queue: ByteQueue,
    /// Where small payloads are coalesced; its bytes follow those of `queue`.
    block: BytesMut,
    /// A read found nothing, so that the next arrival is an event.
    wants_read: bool,
    /// Since when `measured` is counted.
    measured_at: Micros,
    /// Bytes that were read in this measurement of the rate.
    measured: u32,
}

impl RecvHalf {
    pub(crate) fn new() -> Self {
        Self {
            state: RecvState::Open,
            credit: INITIAL_WINDOW,
            window: INITIAL_WINDOW,
            unread: 0,
            queue: ByteQueue::default(),
            block: BytesMut::new(),
            wants_read: true,
            measured_at: Micros::default(),
            measured: 0,
        }
    }

    /// Makes the half of a new stream of one that is over, whose queue is empty.
    pub(crate) fn restart(&mut self, now: Instant) {
        self.state = RecvState::Open;
        self.credit = INITIAL_WINDOW;
        self.window = INITIAL_WINDOW;
        self.wants_read = true;
        self.restart_measurement(now);
    }

    pub(crate) fn state(&self) -> RecvState {
        self.state
    }

    /// Whether the peer has sent its FIN.
    pub(crate) fn has_fin(&self) -> bool {
        matches!(self.state, RecvState::FinReceived | RecvState::Done)
    }

    pub(crate) fn credit(&self) -> u32 {
        self.credit
    }

    pub(crate) fn window(&self) -> u32 {
        self.window
    }

    pub(crate) fn unread(&self) -> u32 {
        self.unread
    }

    /// The bytes that were read in this measurement of the rate, and for how many microseconds it has lasted.
    pub(crate) fn measured(&self, now: Instant) -> (u32, u32) {
        (self.measured, self.measured_at.elapsed(now))
    }

    /// Begins a new measurement of the rate.
    pub(crate) fn restart_measurement(&mut self, now: Instant) {
        self.measured_at = now.into();
        self.measured = 0;
    }

    /// What the window has grown beyond its first size, bytes.
    pub(crate) fn window_growth(&self) -> usize {
        (self.window - INITIAL_WINDOW) as usize
    }

    /// Takes an announced payload from the credit; `None` if the peer sends more than it was granted.
    pub(crate) fn charge(&mut self, length: u32) -> Option<()> {
        self.credit = self.credit.checked_sub(length)?;
        Some(())
    }

    /// Queues a payload as a slice of its message.
    pub(crate) fn push(&mut self, payload: Bytes) {
        self.unread += payload.len() as u32;
        if !self.block.is_empty() {
            self.queue.push_back(core::mem::take(&mut self.block).freeze());
        }
        self.queue.push_back(payload);
    }

    /// Copies a payload. Small payloads share blocks, which are filled before the next one is allocated.
    pub(crate) fn push_copy(&mut self, mut payload: &[u8]) {
        self.unread += payload.len() as u32;
        // A payload that is read before the next one comes needs no block, and no count of who shares it.
        if self.queue.is_empty() && self.block.is_empty() {
            return self.queue.push_back(Bytes::copy_from_slice(payload));
        }
        while !payload.is_empty() {
            let room = self.block.capacity() - self.block.len();
            if room == 0 || (payload.len() >= OWN_BLOCK && room < payload.len()) {
                if !self.block.is_empty() {
                    self.queue.push_back(core::mem::take(&mut self.block).freeze());
                }
                let size = (self.unread as usize).clamp(BLOCK.0, BLOCK.1).max(payload.len());
                self.block = BytesMut::with_capacity(size);
                continue;
            }
            let (now, later) = payload.split_at(room.min(payload.len()));
            self.block.extend_from_slice(now);
            payload = later;
        }
    }

    /// Whether a reader waits to be told, which it does no more.
    pub(crate) fn take_wants_read(&mut self) -> bool {
        core::mem::take(&mut self.wants_read)
    }

    /// The next unread bytes, at most `max`, which is not 0.
    pub(crate) fn pop(&mut self, max: usize) -> Option<Bytes> {
        let data = match self.queue.front_mut() {
            Some(front) if front.len() > max => Some(front.split_to(max)),
            Some(_) => self.queue.pop_front(),
            None if self.block.is_empty() => None,
            None if self.block.len() > max => Some(self.block.split_to(max).freeze()),
            None => Some(core::mem::take(&mut self.block).freeze()),
        }?;
        self.unread -= data.len() as u32;
        self.measured = self.measured.saturating_add(data.len() as u32);
        if self.unread == 0 && self.block.capacity() > 0 {
            self.block = BytesMut::new();
        }
        Some(data)
    }

    /// A read found no data.
    pub(crate) fn read_end(&mut self) -> EndOfData {
        match self.state {
            RecvState::Open => {
                self.wants_read = true;
                EndOfData::Empty
            }
            RecvState::FinReceived => {
                self.state = RecvState::Done;
                EndOfData::FinRead
            }
            RecvState::Stopped | RecvState::Done => EndOfData::Over,
        }
    }

    /// The peer's FIN, after all its data.
    pub(crate) fn fin(&mut self) -> Fin {
        match self.state {
            RecvState::Open => {
                self.state = RecvState::FinReceived;
                Fin::Ended { notify: self.take_wants_read() }
            }
            RecvState::Stopped => {
                self.state = RecvState::Done;
                Fin::Discarded
            }
            RecvState::FinReceived | RecvState::Done => Fin::Duplicate,
        }
    }

    /// The application reads no more. Returns the number of unread bytes that were discarded.
    pub(crate) fn stop(&mut self) -> usize {
        self.state = match self.state {
            RecvState::Open => RecvState::Stopped,
            RecvState::FinReceived => RecvState::Done,
            RecvState::Stopped | RecvState::Done => self.state,
        };
        self.clear()
    }

    /// What the window allows to grant now, of which `unarrived` bytes are announced and have not arrived.
    pub(crate) fn grantable(&self, unarrived: u32) -> u32 {
        let used = self.credit.saturating_add(self.unread).saturating_add(unarrived);
        self.window.saturating_sub(used)
    }

    /// A window update of `delta` bytes leaves.
    pub(crate) fn grant(&mut self, delta: u32) {
        self.credit = self.credit.saturating_add(delta);
    }

    /// Grows the window by `bytes`.
    pub(crate) fn grow(&mut self, bytes: u32) {
        self.window = self.window.saturating_add(bytes);
    }

    /// Shrinks the window by `bytes`, which are neither granted nor unread.
    pub(crate) fn shrink(&mut self, bytes: u32) {
        self.window -= bytes;
    }

    /// Discards what is unread, and frees its memory. Returns the number of bytes.
    pub(crate) fn clear(&mut self) -> usize {
        self.queue.clear();
        if self.block.capacity() > 0 {
            self.block = BytesMut::new();
        }
        core::mem::take(&mut self.unread) as usize
    }

    /// The bytes in the queue and the block, counted. For the invariant check only.
    pub(crate) fn count_queued(&self) -> usize {
        self.queue.iter().map(Bytes::len).sum::<usize>() + self.block.len()
    }
}
