//! Bytes out: pending state becomes frames, those of many streams in one batch, when the owner polls. Large payloads leave
//! as they were written, without a copy.

use bytes::Bytes;

use crate::config::MIN_BATCH;
use crate::frame::{Flags, FrameType, HEADER_BYTES, Header};
use crate::recv::RecvState;
use crate::send::{Run, SendState};
use crate::session::Mux;
use crate::stream_state::{List, PendingFrame};

/// The most payload in any frame. Some peers end the session above 256 KiB, others above 1 MiB.
const MAX_FRAME: usize = 64 * 1024;
/// Data that would be cut to less than this is left for the next batch.
const MIN_ROOM: usize = HEADER_BYTES + 512;
/// Small batches share allocations of this size.
const BLOCK: usize = 4096;
/// A payload of this size is not copied next to its header. Below it, a further message of the transport costs about as
/// much as the copy.
const MIN_SEPARATE: usize = 8 * 1024;

impl Mux {
    /// The next batch of frames, at most [`MuxConfig::batch`](crate::MuxConfig::batch) bytes, or what
    /// [`set_batch`](Self::set_batch) said: first frames of the session, then frames of streams other than data, then data
    /// by deficit round robin, in which a stream that sends little goes before those that send much. A large payload is a
    /// batch of its own, the one after that with its header; both together are as large as one may be. `None`: nothing is
    /// pending.
    #[must_use]
    pub fn poll_transmit(&mut self) -> Option<Bytes> {
        if let Some(payload) = self.payload.take() {
            self.timers.output_pulled(self.has_output(), self.now);
            return Some(payload);
        }
        let frames = self.pending_frames();
        if frames == 0 {
            self.timers.output_pulled(false, self.now);
            return None;
        }
        self.reserve(frames.saturating_mul(3 * HEADER_BYTES));
        self.write_control();
        if !self.is_ended() {
            // While data waits, it gets at least half of the batch.
            let half = self.batch_limit / 2;
            let has_data = self.waiting() > 0;
            self.write_stream_frames(if has_data { half } else { self.batch_limit });
            self.write_data();
            if self.payload.is_none() {
                self.write_stream_frames(self.batch_limit);
            }
        }
        self.timers.output_pulled(self.has_output(), self.now);
        match self.batch.len() {
            0 => None,
            1..BLOCK => Some(self.batch.split().freeze()),
            // Nobody else has this allocation, so that it can be changed where it lies.
            BLOCK.. => Some(core::mem::take(&mut self.batch).freeze()),
        }
    }

    /// The most bytes of a batch from now on, between 4096 and [`MuxConfig::batch`](crate::MuxConfig::batch).
    ///
    /// What is in a batch has left: nothing overtakes it. So a driver whose transport takes all at once leaves this at its
    /// first value, the largest, which saves calls; one whose transport did not take a batch whole asks for what it will
    /// take next, such as the free bytes of its buffer, so that what waits does so here, where a small answer goes ahead
    /// of bulk.
    pub fn set_batch(&mut self, bytes: usize) {
        self.batch_limit = bytes.clamp(MIN_BATCH, self.config.batch);
    }

    /// Whether [`poll_transmit`](Self::poll_transmit) may give something.
    #[must_use]
    pub fn has_output(&self) -> bool {
        self.payload.is_some() || self.pending_frames() > 0
    }

    /// Makes room for `bytes` more in the batch, and for the small batches that follow.
    fn reserve(&mut self, bytes: usize) {
        let bytes = bytes.min(self.batch_limit.saturating_sub(self.batch.len()));
        if self.batch.capacity() - self.batch.len() < bytes {
            self.batch.reserve(bytes.max(BLOCK));
        }
    }

    /// An estimate of the pending frames: a stream may have several, or none after all.
    fn pending_frames(&self) -> usize {
        self.control.len() + self.streams.list(List::Frames).len() + self.waiting()
    }

    /// The streams that wait to send data.
    fn waiting(&self) -> usize {
        self.streams.list(List::Sparse).len() + self.streams.list(List::Ready).len()
    }

    fn write(&mut self, header: Header) {
        self.batch.extend_from_slice(&header.encode());
    }

    fn has_room(&self, limit: usize, frames: usize) -> bool {
        self.batch.len() + frames * HEADER_BYTES <= limit
    }

    fn write_control(&mut self) {
        while let Some(value) = self.control.pop_pong() {
            self.write(Header::new(FrameType::Ping, Flags::ACK, 0, value));
        }
        if let Some(value) = self.control.take_ping() {
            self.rtt.ping_sent(value, self.now);
            self.write(Header::new(FrameType::Ping, Flags::SYN, 0, value));
        }
        while self.has_room(self.batch_limit, 1)
            && let Some(id) = self.control.pop_reset()
        {
            self.write(Header::new(FrameType::WindowUpdate, Flags::RST, id, 0));
        }
        if self.has_room(self.batch_limit, 1)
            && let Some(code) = self.control.take_go_away()
        {
            self.write(Header::new(FrameType::GoAway, Flags::NONE, 0, code));
        }
        if self.has_room(self.batch_limit, 1)
            && let Some(value) = self.control.take_go_away_ping()
        {
            self.rtt.ping_sent(value, self.now);
            self.write(Header::new(FrameType::Ping, Flags::SYN, 0, value));
        }
    }

    /// Writes frames of streams until the batch has `limit` bytes.
    fn write_stream_frames(&mut self, limit: usize) {
        // A stream has at most two frames at once: a window update and its end.
        while self.has_room(limit, 2)
            && let Some(key) = self.streams.pop(List::Frames)
        {
            if !self.streams[key].is_free() {
                self.write_frames_of(key);
            }
        }
    }

    fn write_frames_of(&mut self, key: usize) {
        let unarrived = self.parser.unarrived(key);
        let stream = &mut self.streams[key];
        let id = stream.id;
        if stream.frames.remove(PendingFrame::Rst) {
            // An RST replaces everything else that was pending.
            debug_assert!(stream.frames.is_empty());
            self.write(Header::new(FrameType::WindowUpdate, Flags::RST, id, 0));
            self.release_if_over(key);
            return;
        }
        let data_follows = stream.is_scheduled() && stream.send.unsent() > 0;
        let mut delta = 0;
        if stream.frames.remove(PendingFrame::Window) && stream.recv.state() == RecvState::Open {
            delta = stream.recv.grantable(unarrived);
            stream.recv.grant(delta);
        }
        let opens = stream.frames.contains(PendingFrame::Syn) || stream.frames.contains(PendingFrame::Ack);
        // SYN and ACK leave with the first data, if there is any.
        if delta > 0 || (opens && !data_follows) {
            let flags = self.syn_ack_flags(key);
            self.write(Header::new(FrameType::WindowUpdate, flags, id, delta));
        }
        let stream = &mut self.streams[key];
        if stream.frames.contains(PendingFrame::Fin) && stream.send.unsent() == 0 {
            stream.frames.remove(PendingFrame::Fin);
            stream.send.fin_sent();
            // In a frame of its own: some peers drop the payload of a frame with FIN.
            self.write(Header::new(FrameType::WindowUpdate, Flags::FIN, id, 0));
            self.arm_if_half_closed(key);
            self.reset_if_unwanted(key);
        }
        // An ACK may be the last frame of a stream that has ended both ways.
        self.release_if_over(key);
    }

    /// Takes the SYN or ACK that a stream still owes.
    fn syn_ack_flags(&mut self, key: usize) -> Flags {
        let stream = &mut self.streams[key];
        let mut flags = Flags::NONE;
        if stream.frames.remove(PendingFrame::Syn) {
            flags = flags.with(Flags::SYN);
            stream.opening.syn_sent = true;
        }
        if stream.frames.remove(PendingFrame::Ack) {
            flags = flags.with(Flags::ACK);
        }
        flags
    }

    fn write_data(&mut self) {
        while self.payload.is_none()
            && self.batch_limit.saturating_sub(self.batch.len()) >= MIN_ROOM
            && let Some((list, key)) = self.next_sender()
        {
            self.write_data_of(key, list);
        }
        self.wake_session_blocked();
    }

    /// Takes the next stream from the list where it waits. The round is over when it is the turn of a stream that has used
    /// up its quantum.
    fn next_sender(&mut self) -> Option<(List, usize)> {
        if let Some(key) = self.streams.pop(List::Sparse) {
            return Some((List::Sparse, key));
        }
        let key = self.streams.pop(List::Ready)?;
        if self.streams[key].send.quota(self.round) == 0 {
            self.round = self.round.wrapping_add(1).max(1);
        }
        Some((List::Ready, key))
    }

    fn write_data_of(&mut self, key: usize, list: List) {
        let is_alone = self.waiting() == 0;
        let room = self.batch_limit - self.batch.len() - HEADER_BYTES;
        let stream = &mut self.streams[key];
        let unsent = stream.send.unsent();
        if stream.is_free() || unsent == 0 {
            return;
        }
        let quota = stream.send.quota(self.round);
        let wanted = unsent.min(if is_alone { MAX_FRAME } else { usize::from(quota) });
        let run = stream.send.next_run(wanted.min(room), MIN_SEPARATE);
        let length = run.length();
        debug_assert!(length > 0, "a turn without a quota");
        let left = quota.saturating_sub(u16::try_from(length).unwrap_or(u16::MAX));
        stream.send.set_quota(self.round, left);
        let id = stream.id;
        let flags = self.syn_ack_flags(key);
        if let Run::Copied(_) = run {
            // Once for all data that is copied into this batch.
            self.reserve(HEADER_BYTES + self.counts.unsent);
        }
        self.write(Header::new(FrameType::Data, flags, id, length as u32));
        let send = &mut self.streams[key].send;
        match run {
            Run::Copied(length) => send.pop_into(&mut self.batch, length),
            Run::Separate(length) => self.payload = send.pop_slice(length),
        }
        let stream = &mut self.streams[key];
        stream.progress_at = self.now;
        self.counts.unsent -= length;
        // What the batch is too short for goes on in the next batch, before all others.
        let interrupted = (length == room && length < wanted && left > 0).then_some(list);
        self.after_data(key, interrupted);
    }

    fn after_data(&mut self, key: usize, interrupted: Option<List>) {
        self.wake_writer(key, self.low_mark());
        let send = &self.streams[key].send;
        if send.unsent() == 0 {
            if send.state() == SendState::FinQueued {
                self.queue_frame(key, PendingFrame::Fin);
            } else if send.is_stalled() {
                self.arm_stall(key);
            }
        } else if let Some(list) = interrupted {
            self.streams.push_front(list, key);
        } else {
            self.schedule(key);
        }
    }
}
