//! Bytes out: state turned into frames, many streams in one batch, only when somebody pulls.

use alloc::collections::VecDeque;

use bytes::{Buf, Bytes};

use super::Mux;
use super::frame::{Flags, HEADER_BYTES, Header, Kind};
use super::slot::{News, Rx, Todo, Tx};

/// A window below this is not worth a frame while more is queued; the sender waits a little for a larger one.
pub(super) const SMALL_WINDOW: u32 = 1024;
/// The most payload in a frame while other streams wait.
const QUANTUM: u16 = 16 * 1024;
/// The most payload in any frame; existing peers end the session above 256 KiB or 1 MiB.
const MAX_FRAME: usize = 64 * 1024;
/// A cut that leaves less than this is left for the next batch.
const LEAST_ROOM: usize = HEADER_BYTES + 512;
/// Small batches share allocations of this size.
const BLOCK: usize = 4096;
/// Pongs that wait. When there are more, the oldest is overwritten.
const MAX_PONGS: usize = 16;
/// Refusals that wait.
const MAX_REFUSALS: usize = 256;

/// What output there is beside the streams' own.
#[derive(Debug, Default)]
pub(super) struct Replies {
    pongs: VecDeque<u32>,
    refusals: VecDeque<u32>,
    pub(super) ping: Option<u32>,
    go_away: Option<u32>,
    /// A farewell is said once.
    said: bool,
}

impl Replies {
    /// Nothing but a `GoAway`, if there is a code for one.
    pub(super) fn last_word(go_away: Option<u32>) -> Self {
        Self { go_away, said: true, ..Self::default() }
    }

    /// `GoAway` of code 0, after everything else.
    pub(super) fn farewell(&mut self) {
        if !self.said {
            self.said = true;
            self.go_away = Some(0);
        }
    }

    /// Resets a stream at the end of a shutdown; there are no more of these than streams.
    pub(super) fn cut(&mut self, id: u32) {
        self.refusals.push_back(id);
    }

    pub(super) fn pong(&mut self, value: u32) {
        if self.pongs.len() >= MAX_PONGS {
            self.pongs.pop_front();
        }
        self.pongs.push_back(value);
    }

    /// Whether there was room.
    pub(super) fn refuse(&mut self, id: u32) -> bool {
        let room = self.refusals.len() < MAX_REFUSALS;
        if room {
            self.refusals.push_back(id);
        }
        room
    }

    fn len(&self) -> usize {
        self.pongs.len()
            + self.refusals.len()
            + usize::from(self.ping.is_some())
            + usize::from(self.go_away.is_some())
    }
}

impl Mux {
    /// The next batch of frames, at most [`super::MuxConfig::batch`] bytes: replies first, then what streams have to say
    /// beside data, then data, each stream in its turn.
    #[must_use]
    pub fn poll_transmit(&mut self) -> Option<Bytes> {
        let frames = self.planned();
        if frames == 0 {
            self.timers.output_pulled(false, self.now);
            return None;
        }
        // Room for everything there is, and for the small batches that follow.
        let wanted = self.counts.unsent.saturating_add(frames.saturating_mul(3 * HEADER_BYTES));
        let wanted = wanted.min(self.config.batch);
        if self.batch.capacity() < wanted {
            self.batch.reserve(wanted.max(BLOCK));
        }
        self.write_replies();
        if !self.is_ended() {
            let half = self.config.batch / 2;
            self.write_todo(if self.slots.ready.is_empty() { self.config.batch } else { half });
            self.write_data();
            self.write_todo(self.config.batch);
        }
        self.timers.output_pulled(self.has_output(), self.now);
        if self.batch.is_empty() { None } else { Some(self.batch.split().freeze()) }
    }

    /// Whether [`poll_transmit`](Self::poll_transmit) may give something.
    #[must_use]
    pub fn has_output(&self) -> bool {
        self.planned() > 0
    }

    /// How much there is to say, in frames; there may be more, or nothing after all.
    fn planned(&self) -> usize {
        self.replies.len() + self.slots.todo.len() + self.slots.ready.len()
    }

    fn write(&mut self, header: Header) {
        self.batch.extend_from_slice(&header.encode());
    }

    fn write_replies(&mut self) {
        while let Some(value) = self.replies.pongs.pop_front() {
            self.write(Header::new(Kind::Ping, Flags::ACK, 0, value));
        }
        if let Some(value) = self.replies.ping.take() {
            self.rtt.asked(value, self.now);
            self.write(Header::new(Kind::Ping, Flags::SYN, 0, value));
        }
        while self.batch.len() + HEADER_BYTES <= self.config.batch
            && let Some(id) = self.replies.refusals.pop_front()
        {
            self.write(Header::new(Kind::WindowUpdate, Flags::RST, id, 0));
        }
        if self.replies.refusals.is_empty()
            && self.batch.len() + HEADER_BYTES <= self.config.batch
            && let Some(code) = self.replies.go_away.take()
        {
            self.write(Header::new(Kind::GoAway, Flags::NONE, 0, code));
        }
    }

    /// Up to `limit` bytes of the batch.
    fn write_todo(&mut self, limit: usize) {
        // A stream says at most two things at once: a grant, and its end.
        while self.batch.len() + 2 * HEADER_BYTES <= limit
            && let Some(at) = self.slots.todo.pop_front()
        {
            self.slots.all[at].in_todo = false;
            if !self.slots.all[at].is_free() {
                self.write_stream_todo(at);
            }
        }
    }

    fn write_stream_todo(&mut self, at: usize) {
        let grant = self.grantable(at);
        let slot = &mut self.slots.all[at];
        let id = slot.id;
        if slot.todo.take(Todo::RST) {
            slot.todo = Todo::default();
            self.write(Header::new(Kind::WindowUpdate, Flags::RST, id, 0));
            self.release_if_over(at);
            return;
        }
        let data_follows = slot.in_ready && slot.send_len > 0 && slot.send_window > 0;
        let grants = slot.todo.take(Todo::WINDOW) && slot.rx == Rx::Open && grant > 0;
        let introduces = slot.todo.has(Todo::SYN) || slot.todo.has(Todo::ACK);
        // An introduction rides on the first data where there is some.
        if grants || (introduces && !data_follows) {
            let delta = if grants { grant } else { 0 };
            slot.credit = slot.credit.saturating_add(delta);
            let flags = self.introduction(at);
            self.write(Header::new(Kind::WindowUpdate, flags, id, delta));
        }
        let slot = &mut self.slots.all[at];
        if slot.todo.has(Todo::FIN) && slot.send_len == 0 {
            slot.todo.clear(Todo::FIN);
            slot.tx = Tx::FinSent;
            self.write(Header::new(Kind::WindowUpdate, Flags::FIN, id, 0));
            self.watch_half_closed(at);
            self.reset_if_unwanted(at);
        }
        // An acknowledgement may be the last thing said of a stream that has ended both ways.
        self.release_if_over(at);
    }

    /// The SYN or ACK that a stream still owes.
    fn introduction(&mut self, at: usize) -> Flags {
        let slot = &mut self.slots.all[at];
        let mut flags = Flags::NONE;
        if slot.todo.take(Todo::SYN) {
            flags = flags.with(Flags::SYN);
            slot.syn_sent = true;
        }
        if slot.todo.take(Todo::ACK) {
            flags = flags.with(Flags::ACK);
        }
        flags
    }

    fn write_data(&mut self) {
        while self.config.batch.saturating_sub(self.batch.len()) >= LEAST_ROOM
            && let Some(at) = self.slots.ready.pop_front()
        {
            self.slots.all[at].in_ready = false;
            self.write_stream_data(at);
        }
        self.wake_crowded();
    }

    fn write_stream_data(&mut self, at: usize) {
        let alone = self.slots.ready.is_empty();
        let room = self.config.batch - self.batch.len() - HEADER_BYTES;
        let slot = &mut self.slots.all[at];
        let sendable = slot.send_len.min(slot.send_window as usize);
        if slot.is_free() || slot.reset.is_some() || sendable == 0 {
            return;
        }
        if slot.turn == 0 {
            slot.turn = QUANTUM;
        }
        let length = sendable.min(if alone { MAX_FRAME } else { usize::from(slot.turn) }).min(room);
        // A turn that the batch is too short for goes on in the next batch, before anybody else's.
        let interrupted = !alone && length == room && length < sendable.min(usize::from(slot.turn));
        slot.turn = if interrupted { slot.turn - length as u16 } else { 0 };
        let id = slot.id;
        let flags = self.introduction(at);
        self.write(Header::new(Kind::Data, flags, id, length as u32));
        let slot = &mut self.slots.all[at];
        let mut left = length;
        while left > 0
            && let Some(front) = slot.send_queue.front_mut()
        {
            let n = front.len().min(left);
            self.batch.extend_from_slice(&front[..n]);
            left -= n;
            if n == front.len() {
                slot.send_queue.pop_front();
            } else {
                front.advance(n);
            }
        }
        slot.send_len -= length;
        slot.send_window -= length as u32;
        slot.hold_over = false;
        slot.moved_at = self.now;
        self.counts.unsent -= length;
        self.after_data(at, interrupted);
    }

    fn after_data(&mut self, at: usize, interrupted: bool) {
        let slot = &mut self.slots.all[at];
        if slot.wants_write && slot.send_len <= self.config.send_mark / 4 {
            slot.wants_write = false;
            self.tell(at, News::WRITABLE);
        }
        let slot = &self.slots.all[at];
        if slot.send_len == 0 {
            if slot.tx == Tx::FinQueued {
                self.plan(at, Todo::FIN);
            }
        } else if slot.send_window == 0 {
            self.watch_starved(at);
        } else if interrupted {
            self.slots.all[at].in_ready = true;
            self.slots.ready.push_front(at);
        } else {
            self.ready_if_sendable(at);
        }
    }

    /// Lets writers that the session's limit stopped go on, all of them: one that is told need not write, and nothing
    /// would ever tell the next. That there is an eighth of the limit to share keeps their number per byte small.
    pub(super) fn wake_crowded(&mut self) {
        let room = self.config.max_send.saturating_sub(self.counts.unsent);
        if room < self.config.max_send / 8 {
            return;
        }
        while let Some(at) = self.slots.crowded.pop_front() {
            let slot = &mut self.slots.all[at];
            slot.in_crowded = false;
            // A full queue of its own makes its own news when it has drained.
            if slot.wants_write
                && !slot.is_free()
                && slot.reset.is_none()
                && slot.send_len < self.config.send_mark
            {
                slot.wants_write = false;
                self.tell(at, News::WRITABLE);
            }
        }
    }
}
