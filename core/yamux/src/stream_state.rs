//! The state of one stream, in its slot of the slab.

use crate::bit_set::{Bit, BitSet};
use crate::error::ResetReason;
use crate::groups::GroupKey;
use crate::instant::{Instant, Millis};
use crate::recv::{RecvHalf, RecvState};
use crate::send::{SendHalf, SendState};

/// A frame other than data that a stream owes its peer, or the flag of one.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum PendingFrame {
    Syn,
    Ack,
    Window,
    Fin,
    Rst,
}

/// An event that the application has not been told.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum PendingEvent {
    Incoming,
    Readable,
    Writable,
    Reset,
}

/// A list of slots.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum List {
    /// Frames other than data are pending.
    Frames,
    /// Data is queued on a stream that has not used up its quantum in this round: goes before `Ready`.
    Sparse,
    /// Data is queued: the round robin.
    Ready,
    /// Events are pending.
    Events,
    /// The writer waits for room in the session.
    SessionBlocked,
}

/// What a stream may wait for, with a deadline.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum StreamTimer {
    /// A window that is worth a frame, for a writer.
    SwsDelay,
    /// The application, to accept the stream.
    Accept,
    /// The peer, to acknowledge the stream.
    Open,
    /// Progress on a half-closed stream.
    HalfClosed,
    /// Any window, for a writer.
    Stall,
}

macro_rules! bits {
    ($($name:ty),+) => {
        $(impl Bit for $name {
            fn mask(self) -> u8 {
                1 << self as u8
            }
        })+
    };
}
bits!(PendingFrame, PendingEvent, List, StreamTimer);

/// How a stream was opened, and how far its opening has got.
#[derive(Debug)]
pub(crate) struct OpenState {
    /// This end opened the stream.
    pub(crate) outbound: bool,
    /// The peer opened the stream, and the application has not accepted it.
    pub(crate) unaccepted: bool,
    /// The SYN has left; always set for an inbound stream.
    pub(crate) syn_sent: bool,
    /// The peer has shown that it knows the stream; always set for an inbound stream.
    pub(crate) acked: bool,
    /// The peer has sent the ACK flag.
    pub(crate) ack_flag_seen: bool,
    pub(crate) at: Instant,
}

/// For whom a stream is read, when it was, and how fast.
#[derive(Debug)]
pub(crate) struct ReaderState {
    /// Whose unread bytes count together; see [`Groups`](crate::groups::Groups).
    pub(crate) group: GroupKey,
    /// When data was last read, or arrived where none was unread.
    pub(crate) read_at: Millis,
    /// Bytes in a millisecond at the last change of the window; 0 before the first.
    pub(crate) rate: u32,
}

/// A stream. `lists` and `timers` belong to the slot, not to the stream: a list may still hold the slot of a stream
/// that is gone, and whoever takes the slot from the list looks at the stream that is in it now.
#[derive(Debug)]
pub(crate) struct StreamState {
    pub(crate) generation: u32,
    /// The id on the wire; 0 marks a free slot.
    pub(crate) id: u32,
    pub(crate) opening: OpenState,
    pub(crate) reset: Option<ResetReason>,
    pub(crate) frames: BitSet<PendingFrame>,
    pub(crate) events: BitSet<PendingEvent>,
    /// The lists that hold this slot.
    pub(crate) lists: BitSet<List>,
    /// The timers that have an entry for this slot.
    pub(crate) timers: BitSet<StreamTimer>,
    pub(crate) reader: ReaderState,
    /// When data was last received, sent or read, or the stream became half-closed.
    pub(crate) progress_at: Instant,
    pub(crate) send: SendHalf,
    pub(crate) recv: RecvHalf,
}

impl StreamState {
    /// A free slot.
    pub(crate) fn new() -> Self {
        Self {
            generation: 0,
            id: 0,
            opening: OpenState {
                outbound: false,
                unaccepted: false,
                syn_sent: false,
                acked: false,
                ack_flag_seen: false,
                at: Instant::ZERO,
            },
            reset: None,
            frames: BitSet::EMPTY,
            events: BitSet::EMPTY,
            lists: BitSet::EMPTY,
            timers: BitSet::EMPTY,
            reader: ReaderState { group: GroupKey::NONE, read_at: Millis::default(), rate: 0 },
            progress_at: Instant::ZERO,
            send: SendHalf::new(),
            recv: RecvHalf::new(),
        }
    }

    /// Makes a new stream of a free slot.
    pub(crate) fn create(&mut self, id: u32, outbound: bool, now: Instant) {
        self.id = id;
        self.opening = OpenState {
            outbound,
            unaccepted: !outbound,
            syn_sent: !outbound,
            acked: !outbound,
            ack_flag_seen: false,
            at: now,
        };
        self.reset = None;
        self.frames = BitSet::EMPTY;
        self.events = BitSet::EMPTY;
        self.reader.group = GroupKey::NONE;
        self.reader.rate = 0;
        self.progress_at = now;
        self.send.restart(now);
        self.recv.restart(now);
    }

    pub(crate) fn is_free(&self) -> bool {
        self.id == 0
    }

    /// Whether its data has a place in a list.
    pub(crate) fn is_scheduled(&self) -> bool {
        self.lists.contains(List::Sparse) || self.lists.contains(List::Ready)
    }

    /// Whether exactly one end has sent its FIN.
    pub(crate) fn is_half_closed(&self) -> bool {
        (self.send.state() == SendState::FinSent) != self.recv.has_fin()
    }

    /// Whether both halves are over or the stream is reset, the application knows, and no frame is pending.
    pub(crate) fn is_over(&self) -> bool {
        !self.is_free()
            && self.frames.is_empty()
            && match self.reset {
                Some(_) => !self.events.contains(PendingEvent::Reset),
                None => self.send.state() == SendState::FinSent && self.recv.state() == RecvState::Done,
            }
    }
}
