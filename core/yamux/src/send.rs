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
/// A writer that waits for more is not woken for a window below this (silly window avoidance, RFC 9293 section
/// 3.8.6.2.1). Half of the largest window, the other limit of the RFC, is never less: a window begins at 256 KiB.
const SMALL_WINDOW: u16 = 1024;

/// The most payload in a frame while other streams wait, and what a stream sends in a round.
const QUANTUM: u16 = 16 * 1024;

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

/// What a writer that was cut short waits for.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum WriterWait {
    /// No write was cut short.
    NoWriter,
    /// Nothing: a write would take enough now.
    Ready,
    /// Queued data must leave.
    Queue,
    /// The peer grants nothing.
    Window,
    /// The window is too small to be worth a frame.
    LargerWindow,
}

/// What the next frame of a stream carries, bytes.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Run {
    /// To be copied next to the header.
    Copied(usize),
    /// Of one slice.
    Separate(usize),
}

impl Run {
    pub(crate) fn length(self) -> usize {
        match self {
            Run::Copied(length) | Run::Separate(length) => length,
        }
    }
}

/// The sending half of a stream. What is queued never exceeds the window, so that all of it can leave, and a peer that
/// grants nothing makes this end hold nothing.
#[derive(Debug)]
pub(crate) struct SendHalf {
    state: SendState,
    /// What the peer allows beyond what was sent, bytes.
    window: u32,
    queue: ByteQueue,
    /// Bytes in `queue`, at most `window`.
    unsent: u32,
    /// What is left of the stream's quantum, bytes, in the round of the round robin in which it was last served.
    deficit: u16,
    round: u16,
    /// What a write that was cut short left, bytes, at most [`SMALL_WINDOW`]: the application is owed a `Writable` once a
    /// write takes as much. 0: no writer waits.
    wanted: u16,
    /// When a writer began to wait for any window.
    stalled_at: Instant,
}

impl SendHalf {
    pub(crate) fn new() -> Self {
        Self {
            state: SendState::Open,
            window: INITIAL_WINDOW,
            queue: ByteQueue::default(),
            unsent: 0,
            deficit: 0,
            round: 0,
            wanted: 0,
            stalled_at: Instant::ZERO,
        }
    }

    /// Makes the half of a new stream of one that is over, whose queue is empty.
    pub(crate) fn restart(&mut self, now: Instant) {
        self.state = SendState::Open;
        self.window = INITIAL_WINDOW;
        self.deficit = 0;
        self.round = 0;
        self.wanted = 0;
        self.stalled_at = now;
    }

    pub(crate) fn state(&self) -> SendState {
        self.state
    }

    pub(crate) fn unsent(&self) -> usize {
        self.unsent as usize
    }

    pub(crate) fn window(&self) -> u32 {
        self.window
    }

    /// The bytes that the peer has granted and nothing is queued for.
    fn window_room(&self) -> usize {
        self.window.saturating_sub(self.unsent) as usize
    }

    /// How many bytes [`push`](Self::push) may take, where at most `max_unsent` bytes may be queued.
    pub(crate) fn room(&self, max_unsent: usize) -> usize {
        max_unsent.saturating_sub(self.unsent()).min(self.window_room())
    }

    /// A writer waits, and the peer grants no window.
    pub(crate) fn is_stalled(&self) -> bool {
        self.wanted > 0 && self.window == 0
    }

    pub(crate) fn stalled_at(&self) -> Instant {
        self.stalled_at
    }

    pub(crate) fn set_stalled_at(&mut self, now: Instant) {
        self.stalled_at = now;
    }

    /// Queues data of an application, at most [`room`](Self::room) bytes; call it only in `Open`. Small writes that
    /// follow small ones are coalesced, so that an application that writes byte by byte to a link that takes nothing
    /// holds no slice for each byte.
    pub(crate) fn push(&mut self, data: Bytes) {
        debug_assert!(self.state == SendState::Open, "data after the end");
        debug_assert!(data.len() <= self.window_room(), "more than the peer has granted");
        self.unsent += data.len() as u32;
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

    /// What the next frame should carry, at most `most` bytes: one slice of `separate` bytes or more, or the smaller ones
    /// before the next of these.
    pub(crate) fn next_run(&self, most: usize, separate: usize) -> Run {
        let first = self.queue.front().map_or(0, Bytes::len);
        if first >= separate && most >= separate {
            return Run::Separate(first.min(most));
        }
        if first >= most {
            return Run::Copied(most);
        }
        let mut length = 0;
        for slice in self.queue.iter() {
            if length > 0 && slice.len() >= separate {
                break;
            }
            length += slice.len();
            if length >= most {
                break;
            }
        }
        Run::Copied(length.min(most))
    }

    /// Takes `length` bytes of the next slice, which must be as long.
    pub(crate) fn pop_slice(&mut self, length: usize) -> Option<Bytes> {
        let front = self.queue.front_mut()?;
        self.unsent -= length as u32;
        self.window -= length as u32;
        if front.len() > length { Some(front.split_to(length)) } else { self.queue.pop_front() }
    }

    /// Moves `length` bytes into `batch`; there must be as many.
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
        self.unsent -= length as u32;
        self.window -= length as u32;
    }

    /// Adds what the peer granted; `None` if the window would exceed 2^32 - 1.
    pub(crate) fn grant(&mut self, delta: u32) -> Option<()> {
        self.window = self.window.checked_add(delta)?;
        Some(())
    }

    /// What a writer waits for, if it is to be woken once at most `mark` bytes are queued.
    pub(crate) fn writer_wait(&self, mark: usize) -> WriterWait {
        if self.wanted == 0 {
            WriterWait::NoWriter
        } else if self.unsent() <= mark && self.window_room() >= usize::from(self.wanted) {
            WriterWait::Ready
        } else if self.unsent > 0 {
            WriterWait::Queue
        } else if self.window == 0 {
            WriterWait::Window
        } else {
            WriterWait::LargerWindow
        }
    }

    /// What the stream may still send in this round.
    pub(crate) fn quota(&self, round: u16) -> u16 {
        if self.round == round { self.deficit } else { QUANTUM }
    }

    /// Sets what the stream may still send in this round.
    pub(crate) fn set_quota(&mut self, round: u16, left: u16) {
        self.round = round;
        self.deficit = left;
    }

    /// A write was cut short; `left` bytes of it, at least one, were not taken.
    pub(crate) fn block(&mut self, left: usize) {
        self.wanted = u16::try_from(left).map_or(SMALL_WINDOW, |left| left.min(SMALL_WINDOW));
    }

    /// Whether a writer was blocked, which it is no more.
    pub(crate) fn unblock(&mut self) -> bool {
        core::mem::take(&mut self.wanted) > 0
    }

    /// The application ends the half.
    pub(crate) fn finish(&mut self) -> Finish {
        if self.state != SendState::Open {
            return Finish::Already;
        }
        self.state = SendState::FinQueued;
        self.wanted = 0;
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
        core::mem::take(&mut self.unsent) as usize
    }

    /// The bytes in the queue, counted. For the invariant check only.
    pub(crate) fn count_queued(&self) -> usize {
        self.queue.iter().map(Bytes::len).sum()
    }
}
