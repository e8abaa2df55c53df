//! One stream's state, in its place in the slab.

use bytes::{Bytes, BytesMut};

use super::error::ResetReason;
use super::frame::INITIAL_WINDOW;
use super::queue::Queue;
use crate::instant::Instant;

/// A write below this joins the one before it.
const FEW_BYTES: usize = 1024;
/// Up to this much is gathered in one place.
const GATHERED_BYTES: usize = 4096;

/// The blocks that small payloads are copied into.
const TAIL_BYTES: (usize, usize) = (256, 4096);

/// This side's half.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Tx {
    Open,
    /// Ends after what is queued.
    FinQueued,
    FinSent,
}

/// The peer's half.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Rx {
    Open,
    /// Ended, and the application has not read its end yet.
    FinReceived,
    /// The application no longer reads, and the peer has not ended it.
    Stopped,
    /// Ended, and the application knows or does not care.
    Done,
}

/// What output must be made of a slot, beside its data.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Todo(u8);

impl Todo {
    pub(super) const SYN: Todo = Todo(1);
    pub(super) const ACK: Todo = Todo(2);
    pub(super) const WINDOW: Todo = Todo(4);
    pub(super) const FIN: Todo = Todo(8);
    pub(super) const RST: Todo = Todo(16);

    pub(super) const fn has(self, bit: Todo) -> bool {
        self.0 & bit.0 != 0
    }

    pub(super) fn set(&mut self, bit: Todo) {
        self.0 |= bit.0;
    }

    pub(super) fn clear(&mut self, bit: Todo) {
        self.0 &= !bit.0;
    }

    pub(super) fn take(&mut self, bit: Todo) -> bool {
        let had = self.has(bit);
        self.clear(bit);
        had
    }

    pub(super) const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// What the application has not been told yet. At most one of each kind waits.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct News(u8);

impl News {
    pub(super) const INCOMING: News = News(1);
    pub(super) const READABLE: News = News(2);
    pub(super) const WRITABLE: News = News(4);
    pub(super) const RESET: News = News(8);

    pub(super) fn set(&mut self, bit: News) {
        self.0 |= bit.0;
    }

    pub(super) fn take(&mut self, bit: News) -> bool {
        let had = self.0 & bit.0 != 0;
        self.0 &= !bit.0;
        had
    }

    pub(super) const fn has(self, bit: News) -> bool {
        self.0 & bit.0 != 0
    }

    pub(super) const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// A stream. The `in_*` marks and `clocks` belong to the place, not to the stream: a list may still hold the place of
/// a stream that is gone, and whoever pops it looks at what is there now.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) generation: u32,
    /// The id on the wire; 0 is a free place.
    pub(super) id: u32,
    pub(super) outbound: bool,
    /// Inbound and not accepted by the application.
    pub(super) unaccepted: bool,
    /// The SYN of an outbound stream has left.
    pub(super) syn_sent: bool,
    /// The peer has shown that it knows the stream.
    pub(super) acked: bool,
    /// The peer has sent the ACK flag.
    pub(super) ack_flag_seen: bool,
    pub(super) tx: Tx,
    pub(super) rx: Rx,
    pub(super) reset: Option<ResetReason>,
    pub(super) todo: Todo,
    pub(super) news: News,
    pub(super) in_todo: bool,
    pub(super) in_ready: bool,
    pub(super) in_news: bool,
    pub(super) in_crowded: bool,
    /// The clocks that have an entry for this place, see `Clock`.
    pub(super) clocks: u8,
    /// A read found nothing, so that the next arrival is news.
    pub(super) wants_read: bool,
    /// A write was cut short, so that room is news.
    pub(super) wants_write: bool,
    /// A small window has been waited out; send what it takes.
    pub(super) hold_over: bool,
    /// A deadline for `hold_over` is set.
    pub(super) holding: bool,
    /// What is left of its turn to send.
    pub(super) turn: u16,
    pub(super) send_window: u32,
    pub(super) send_len: usize,
    pub(super) send_queue: Queue,
    /// What the peer may still send.
    pub(super) credit: u32,
    /// The receive window: credit, unread and unarrived bytes together.
    pub(super) window: u32,
    pub(super) unread: u32,
    pub(super) recv_queue: Queue,
    /// Where small payloads are gathered.
    pub(super) tail: BytesMut,
    pub(super) granted_at: Instant,
    /// When data last came, left or was read.
    pub(super) moved_at: Instant,
    /// When data began to wait for any window.
    pub(super) starved_at: Instant,
    pub(super) opened_at: Instant,
}

impl Slot {
    pub(super) fn new() -> Self {
        Self {
            generation: 0,
            id: 0,
            outbound: false,
            unaccepted: false,
            syn_sent: false,
            acked: false,
            ack_flag_seen: false,
            tx: Tx::Open,
            rx: Rx::Open,
            reset: None,
            todo: Todo::default(),
            news: News::default(),
            in_todo: false,
            in_ready: false,
            in_news: false,
            in_crowded: false,
            clocks: 0,
            wants_read: true,
            wants_write: false,
            hold_over: false,
            holding: false,
            turn: 0,
            send_window: INITIAL_WINDOW,
            send_len: 0,
            send_queue: Queue::default(),
            credit: INITIAL_WINDOW,
            window: INITIAL_WINDOW,
            unread: 0,
            recv_queue: Queue::default(),
            tail: BytesMut::new(),
            granted_at: Instant::ZERO,
            moved_at: Instant::ZERO,
            starved_at: Instant::ZERO,
            opened_at: Instant::ZERO,
        }
    }

    /// Makes a new stream of a free place. Buffers keep their memory.
    pub(super) fn begin(&mut self, id: u32, outbound: bool, now: Instant) {
        self.id = id;
        self.outbound = outbound;
        self.unaccepted = !outbound;
        self.syn_sent = !outbound;
        self.acked = !outbound;
        self.ack_flag_seen = false;
        self.tx = Tx::Open;
        self.rx = Rx::Open;
        self.reset = None;
        self.todo = Todo::default();
        self.news = News::default();
        self.wants_read = true;
        self.wants_write = false;
        self.hold_over = false;
        self.holding = false;
        self.turn = 0;
        self.send_window = INITIAL_WINDOW;
        self.credit = INITIAL_WINDOW;
        self.window = INITIAL_WINDOW;
        self.granted_at = now;
        self.moved_at = now;
        self.starved_at = now;
        self.opened_at = now;
    }

    pub(super) fn is_free(&self) -> bool {
        self.id == 0
    }

    /// Queues what the application wrote. Few bytes that follow few bytes are gathered, so that an application that
    /// writes byte by byte to a peer that does not read holds neither an entry nor a buffer for each.
    pub(super) fn queue(&mut self, data: Bytes) {
        self.send_len += data.len();
        let gathered = match self.send_queue.back() {
            Some(last) if data.len() < FEW_BYTES && last.len() + data.len() <= GATHERED_BYTES => {
                self.send_queue.pop_back()
            }
            _ => None,
        };
        let Some(last) = gathered else { return self.send_queue.push_back(data) };
        let mut block = last.try_into_mut().unwrap_or_else(|last| {
            let mut block = BytesMut::with_capacity((last.len() + data.len()).next_power_of_two());
            block.extend_from_slice(&last);
            block
        });
        block.extend_from_slice(&data);
        self.send_queue.push_back(block.freeze());
    }

    /// Copies few bytes that arrived to where such are gathered; blocks are filled, so that none of them is wasted.
    pub(super) fn gather(&mut self, mut payload: &[u8]) {
        // What is read before more comes needs no block, and no counting of who shares it.
        if self.recv_queue.is_empty() && self.tail.is_empty() {
            return self.recv_queue.push_back(Bytes::copy_from_slice(payload));
        }
        while !payload.is_empty() {
            let room = self.tail.capacity() - self.tail.len();
            if room == 0 {
                if !self.tail.is_empty() {
                    self.recv_queue.push_back(core::mem::take(&mut self.tail).freeze());
                }
                let block = (self.unread as usize).clamp(TAIL_BYTES.0, TAIL_BYTES.1).max(payload.len());
                self.tail = BytesMut::with_capacity(block);
                continue;
            }
            let (now, later) = payload.split_at(room.min(payload.len()));
            self.tail.extend_from_slice(now);
            payload = later;
        }
    }

    /// Lets go of everything queued, and of its memory.
    pub(super) fn empty_queues(&mut self) {
        self.send_queue = Queue::default();
        self.recv_queue = Queue::default();
        self.tail = BytesMut::new();
        self.send_len = 0;
        self.unread = 0;
    }

    pub(super) fn is_half_closed(&self) -> bool {
        let ours = self.tx == Tx::FinSent;
        let theirs = matches!(self.rx, Rx::FinReceived | Rx::Done);
        ours != theirs
    }

    /// Data waits, and the peer grants nothing.
    pub(super) fn is_starved(&self) -> bool {
        self.send_len > 0 && self.send_window == 0
    }

    /// Both halves are over, the application knows, and nothing is left to send.
    pub(super) fn is_over(&self) -> bool {
        !self.is_free()
            && self.todo.is_empty()
            && match self.reset {
                Some(_) => !self.news.has(News::RESET),
                None => self.tx == Tx::FinSent && self.rx == Rx::Done,
            }
    }
}
