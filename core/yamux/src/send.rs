//! The sending half of a stream: unsent data, the window that the peer has granted, and the end of the half.
//!
//! It knows nothing of the session's lists, frames or timers.

use bytes::{Buf, Bytes, BytesMut};

use crate::byte_queue::ByteQueue;
use crate::frame::INITIAL_WINDOW;
use crate::instant::Instant;

/// A write below this is appended to the one before it.
const SMALL_WRITE: usize = 1024;
/// Small writes are coalesced into blocks of at most this size.
const COALESCED: usize = 4096;
/// A window below this is not worth a frame while more is queued (silly window avoidance, RFC 9293 section 3.8.6.2.1).
const SMALL_WINDOW: u32 = 1024;

/// The states of the half, in their order.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum SendState {
    /// The application may write.
    Open,
    /// The application has finished; the FIN follows the queued data.
    FinQueued,
    /// The FIN has left, or the peer has refused all further data.
    FinSent,
}

/// What [`SendHalf::finish`] did.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Finish {
    /// Nothing is queued, so the FIN may leave at once.
    FinDue,
    /// The FIN follows the queued data.
    AfterData,
    /// The half had finished before.
    Already,
}

/// How far the wait for a window worth a frame has got.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum SwsDelay {
    Idle,
    /// A timer runs.
    Waiting,
    /// The timer ran out: the small window is used as it is.
    Elapsed,
}

/// Whether a half has something to send.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Sendable {
    /// No data or no window.
    Nothing,
    /// Data that its window allows.
    Data,
    /// The window is too small to be worth a frame; a timer must be armed.
    DelayStarts,
    /// The window is too small, and the timer runs already.
    Delayed,
}

/// The sending half of a stream.
#[derive(Debug)]
pub(crate) struct SendHalf {
    state: SendState,
    /// What the peer allows beyond what was sent, bytes.
    window: u32,
    queue: ByteQueue,
    /// Bytes in `queue`.
    unsent: usize,
    /// What is left of an interrupted turn in the round robin, bytes.
    deficit: u16,
    /// A write was cut short, so that the application is owed a `Writable`.
    blocked: bool,
    sws_delay: SwsDelay,
    /// When data began to wait for any window.
    flow_blocked_at: Instant,
}

impl SendHalf {
    pub(crate) fn new() -> Self {
        Self {
            state: SendState::Open,
            window: INITIAL_WINDOW,
            queue: ByteQueue::default(),
            unsent: 0,
            deficit: 0,
            blocked: false,
            sws_delay: SwsDelay::Idle,
            flow_blocked_at: Instant::ZERO,
        }
    }

    /// Makes the half of a new stream of one that is over, whose queue is empty.
    pub(crate) fn restart(&mut self, now: Instant) {
        self.state = SendState::Open;
        self.window = INITIAL_WINDOW;
        self.deficit = 0;
        self.blocked = false;
        self.sws_delay = SwsDelay::Idle;
        self.flow_blocked_at = now;
    }

    pub(crate) fn state(&self) -> SendState {
        self.state
    }

    pub(crate) fn unsent(&self) -> usize {
        self.unsent
    }

    pub(crate) fn window(&self) -> u32 {
        self.window
    }

    /// Bytes that could leave now.
    pub(crate) fn allowed(&self) -> usize {
        self.unsent.min(self.window as usize)
    }

    /// Data waits, and the peer grants no window.
    pub(crate) fn is_flow_blocked(&self) -> bool {
        self.unsent > 0 && self.window == 0
    }

    pub(crate) fn flow_blocked_at(&self) -> Instant {
        self.flow_blocked_at
    }

    pub(crate) fn set_flow_blocked_at(&mut self, now: Instant) {
        self.flow_blocked_at = now;
    }

    /// Queues data of an application; call it only in `Open`. Small writes that follow small ones are coalesced, so
    /// that an application that writes byte by byte to a peer that does not read holds no slice for each byte.
    pub(crate) fn push(&mut self, data: Bytes) {
        debug_assert!(self.state == SendState::Open, "data after the end");
        self.unsent += data.len();
        let previous = match self.queue.back() {
            Some(last) if data.len() < SMALL_WRITE && last.len() + data.len() <= COALESCED => {
                self.queue.pop_back()
            }
            _ => None,
        };
        let Some(previous) = previous else { return self.queue.push_back(data) };
        let mut block = previous.try_into_mut().unwrap_or_else(|shared| {
            let mut block = BytesMut::with_capacity((shared.len() + data.len()).next_power_of_two());
            block.extend_from_slice(&shared);
            block
        });
        block.extend_from_slice(&data);
        self.queue.push_back(block.freeze());
    }

    /// Moves `length` bytes into `batch`; there must be as many, and the window must allow them.
    pub(crate) fn pop_into(&mut self, batch: &mut BytesMut, length: usize) {
        let mut left = length;
        while left > 0
            && let Some(front) = self.queue.front_mut()
        {
            let n = front.len().min(left);
            batch.extend_from_slice(&front[..n]);
            left -= n;
            if n == front.len() {
                self.queue.pop_front();
            } else {
                front.advance(n);
            }
        }
        self.unsent -= length;
        self.window -= length as u32;
        if self.sws_delay == SwsDelay::Elapsed {
            self.sws_delay = SwsDelay::Idle;
        }
    }

    /// Adds what the peer granted; `None` if the window would exceed 2^32 - 1.
    pub(crate) fn grant(&mut self, delta: u32) -> Option<()> {
        self.window = self.window.checked_add(delta)?;
        Some(())
    }

    /// Whether data may leave, and whether it is worth a frame.
    pub(crate) fn sendable(&mut self) -> Sendable {
        if self.unsent == 0 || self.window == 0 {
            return Sendable::Nothing;
        }
        let is_small = self.window < SMALL_WINDOW && (self.window as usize) < self.unsent;
        match self.sws_delay {
            SwsDelay::Idle if is_small => {
                self.sws_delay = SwsDelay::Waiting;
                Sendable::DelayStarts
            }
            SwsDelay::Waiting if is_small => Sendable::Delayed,
            _ => Sendable::Data,
        }
    }

    pub(crate) fn is_sws_delayed(&self) -> bool {
        self.sws_delay == SwsDelay::Waiting
    }

    /// The timer of a small window has run out.
    pub(crate) fn end_sws_delay(&mut self) {
        self.sws_delay = SwsDelay::Elapsed;
    }

    /// What is left of this turn, at most `quantum` bytes.
    pub(crate) fn begin_turn(&mut self, quantum: u16) -> u16 {
        if self.deficit == 0 {
            self.deficit = quantum;
        }
        self.deficit
    }

    /// Ends a turn of which `left` bytes were not used because the batch was full.
    pub(crate) fn end_turn(&mut self, left: u16) {
        self.deficit = left;
    }

    /// A write was cut short.
    pub(crate) fn block(&mut self) {
        self.blocked = true;
    }

    pub(crate) fn is_blocked(&self) -> bool {
        self.blocked
    }

    /// Whether a writer was blocked, which it is no more.
    pub(crate) fn unblock(&mut self) -> bool {
        core::mem::take(&mut self.blocked)
    }

    /// The application ends the half.
    pub(crate) fn finish(&mut self) -> Finish {
        if self.state != SendState::Open {
            return Finish::Already;
        }
        self.state = SendState::FinQueued;
        self.blocked = false;
        if self.unsent == 0 { Finish::FinDue } else { Finish::AfterData }
    }

    /// The FIN left, after all data.
    pub(crate) fn fin_sent(&mut self) {
        debug_assert!(self.state == SendState::FinQueued && self.unsent == 0, "a FIN before the end");
        self.state = SendState::FinSent;
    }

    /// The peer takes no more data: the half is over in whatever state it was. Returns the number of bytes discarded.
    pub(crate) fn refuse(&mut self) -> usize {
        self.state = SendState::FinSent;
        self.clear()
    }

    /// Discards what is queued, and frees its memory. Returns the number of bytes.
    pub(crate) fn clear(&mut self) -> usize {
        self.queue.clear();
        core::mem::take(&mut self.unsent)
    }

    /// The bytes in the queue, counted. For the invariant check only.
    pub(crate) fn count_queued(&self) -> usize {
        self.queue.iter().map(Bytes::len).sum()
    }
}
