//! What the owner of a session does: opening and accepting streams, ending the session, looking at its counters.

use crate::error::{ClosedStream, MuxError, OpenError};
use crate::event::MuxEvent;
use crate::instant::Instant;
use crate::send::SendState;
use crate::session::{GoAwayState, Mux, SessionPhase};
use crate::stats::MuxStats;
use crate::stream::Stream;
use crate::stream_id::StreamId;
use crate::stream_state::{PendingFrame, StreamTimer};

impl Mux {
    /// Opens a stream. Its SYN leaves with its first data, or with the next batch if that is sooner.
    ///
    /// # Errors
    ///
    /// After [`OpenError::AckBacklog`] and [`OpenError::TooMany`] one `OpenReady` follows when there is room. The
    /// other errors are final for this session.
    pub fn open(&mut self, now: Instant) -> Result<StreamId, OpenError> {
        self.advance(now);
        match self.phase {
            SessionPhase::Ended(_) => return Err(OpenError::Closed),
            SessionPhase::GoingAway | SessionPhase::ShuttingDown(_) => return Err(OpenError::Draining),
            SessionPhase::Open if self.remote_go_away => return Err(OpenError::Draining),
            SessionPhase::Open => {}
        }
        if self.local_ids.is_exhausted() {
            return Err(OpenError::IdsExhausted);
        }
        let refusal = if self.counts.outbound >= self.config.max_outbound_streams {
            Some(OpenError::TooMany)
        } else if self.counts.unacked >= self.config.ack_backlog {
            Some(OpenError::AckBacklog)
        } else {
            None
        };
        if let Some(refusal) = refusal {
            self.wants_open = true;
            return Err(refusal);
        }
        let id = self.local_ids.take();
        if self.local_ids.just_became_few() {
            self.events.push_back(MuxEvent::IdsLow);
        }
        let key = self.streams.create(id, true, self.now);
        self.counts.outbound += 1;
        self.counts.unacked += 1;
        self.queue_frame(key, PendingFrame::Syn);
        self.grow_first_window(key);
        self.arm(key, StreamTimer::Open);
        Ok(self.id(key))
    }

    /// Accepts a stream that [`MuxEvent::Incoming`] announced: the peer gets its ACK, and the accept backlog a place.
    /// A stream may be read and written before. Accepting twice does nothing.
    ///
    /// # Errors
    ///
    /// The stream is gone, or the session has ended.
    pub fn accept(&mut self, id: StreamId, now: Instant) -> Result<(), ClosedStream> {
        self.advance(now);
        let key = self.find(id).filter(|_| !self.is_ended()).ok_or(ClosedStream)?;
        if self.leave_accept_backlog(key) && self.streams[key].reset.is_none() {
            self.queue_frame(key, PendingFrame::Ack);
            self.grow_first_window(key);
        }
        Ok(())
    }

    /// The live stream `id`, borrowed for one operation.
    ///
    /// # Errors
    ///
    /// The stream is gone, or was never of this session.
    pub fn stream(&mut self, id: StreamId) -> Result<Stream<'_>, ClosedStream> {
        let key = self.find(id).ok_or(ClosedStream)?;
        Ok(Stream::new(self, key))
    }

    /// Whether `id` is a live stream.
    #[must_use]
    pub fn contains(&self, id: StreamId) -> bool {
        self.find(id).is_some()
    }

    /// How many bytes a write to `id` would take now; 0 if it is not live.
    #[must_use]
    pub fn writable(&self, id: StreamId) -> usize {
        self.find(id).map_or(0, |key| self.writable_of(key))
    }

    /// Sends `GoAway` with code 0: neither end opens streams from now on, and open streams go on. Streams that the peer
    /// opened before it knew are taken: a ping follows the `GoAway`, and what is opened after its answer is refused.
    pub fn go_away(&mut self, now: Instant) {
        self.advance(now);
        if self.phase == SessionPhase::Open {
            self.phase = SessionPhase::GoingAway;
            let value = self.random.next_u64() as u32;
            self.control.go_away_and_ping(value);
            self.go_away = GoAwayState::Probing(value);
            self.timers.output_pending(self.now);
        }
    }

    /// Refuses new streams, and ends the session with `GoAway` with code 0 and `Ended(Normal)` after its last stream,
    /// or at `deadline`, when streams that are still open are reset.
    ///
    /// After [`go_away`](Self::go_away) this loses nothing that the peer has opened: the session ends when the peer knows
    /// and the last stream is over. Without it the peer is told at the end alone, since some peers take `GoAway` for the
    /// end of all streams.
    pub fn shutdown(&mut self, deadline: Instant, now: Instant) {
        self.advance(now);
        if matches!(self.phase, SessionPhase::Open | SessionPhase::GoingAway) {
            self.phase = SessionPhase::ShuttingDown(deadline);
            self.end_if_shut_down();
        }
    }

    /// Ends the session at once, as if `error` had occurred: [`MuxError::Lost`] when the transport has ended.
    pub fn abort(&mut self, error: MuxError, now: Instant) {
        self.advance(now);
        self.fail(error);
    }

    pub(crate) fn writable_of(&self, key: usize) -> usize {
        let stream = &self.streams[key];
        if stream.send.state() != SendState::Open || stream.reset.is_some() || self.is_ended() {
            return 0;
        }
        let (own, shared) = self.send_room(key);
        own.min(shared)
    }

    /// What the limits of a stream, and those of all streams together, let it queue.
    pub(crate) fn send_room(&self, key: usize) -> (usize, usize) {
        let stream = &self.streams[key];
        let own = stream.send.room(self.config.max_stream_unsent);
        let shared = self.config.max_unsent.saturating_sub(self.counts.unsent);
        if stream.opening.syn_sent {
            return (own, shared);
        }
        let reserve = stream.send.room(self.config.opening_reserve);
        (own.max(reserve), shared.max(reserve))
    }

    /// The counters.
    #[must_use]
    pub fn stats(&self) -> MuxStats {
        MuxStats {
            inbound: self.counts.inbound,
            outbound: self.counts.outbound,
            unacked: self.counts.unacked,
            unread: self.counts.unread,
            unsent: self.counts.unsent,
            window_growth: self.counts.window_growth,
            rtt: self.rtt.min(),
        }
    }
}
