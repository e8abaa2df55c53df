//! How streams and sessions are created and end.

use crate::bit_set::BitSet;
use crate::control_frames::ControlFrames;
use crate::error::{MuxEnd, MuxError, ResetReason};
use crate::event::MuxEvent;
use crate::session::{GoAwayState, Mux, SessionPhase};
use crate::stream_state::{List, PendingEvent, PendingFrame};

impl Mux {
    /// Resets a stream: both queues are discarded. `tell_peer` sends an RST, if the peer can know the stream.
    pub(crate) fn reset_stream(&mut self, key: usize, reason: ResetReason, tell_peer: bool) {
        self.clear_queues(key);
        let stream = &mut self.streams[key];
        if stream.reset.is_some() {
            return;
        }
        let not_announced = stream.opening.unaccepted && stream.events.contains(PendingEvent::Incoming);
        stream.reset = Some(reason);
        stream.frames = BitSet::EMPTY;
        stream.events = BitSet::EMPTY;
        let is_known = stream.opening.syn_sent;
        self.leave_accept_backlog(key);
        if tell_peer && is_known {
            self.queue_frame(key, PendingFrame::Rst);
        }
        // The application needs no event for a stream that it has not heard of, or that it has reset itself.
        if !not_announced && !matches!(reason, ResetReason::Local(_)) {
            self.notify(key, PendingEvent::Reset);
        }
        self.release_if_over(key);
    }

    /// Whether the stream was waiting to be accepted, which it is no more.
    pub(crate) fn leave_accept_backlog(&mut self, key: usize) -> bool {
        let waited = core::mem::take(&mut self.streams[key].opening.unaccepted);
        self.counts.unaccepted -= usize::from(waited);
        waited
    }

    fn clear_queues(&mut self, key: usize) {
        let stream = &mut self.streams[key];
        self.counts.unsent -= stream.send.clear();
        let unread = stream.recv.clear();
        self.remove_unread(key, unread);
        self.wake_session_blocked();
    }

    /// Notifies all writers that the session's limit stopped, once an eighth of the limit is free. All, because one
    /// that is notified need not write, and nothing would ever notify the next. An eighth, so that few of them are
    /// notified for each byte that becomes free.
    pub(crate) fn wake_session_blocked(&mut self) {
        let room = self.config.max_unsent.saturating_sub(self.counts.unsent);
        if room < self.config.max_unsent / 8 {
            return;
        }
        while let Some(key) = self.streams.pop(List::SessionBlocked) {
            if !self.streams[key].is_free() {
                // A stream whose own queue is full is notified when that has drained.
                self.wake_writer(key, self.config.max_stream_unsent - 1);
            }
        }
    }

    /// Frees the slot of a stream that is over, and leaves a tombstone.
    pub(crate) fn release_if_over(&mut self, key: usize) {
        if !self.streams[key].is_over() {
            return;
        }
        self.clear_queues(key);
        self.leave_accept_backlog(key);
        // The rest of an arriving payload was taken from the credit when its header arrived.
        self.parser.drop_target(key);
        let stream = &self.streams[key];
        let growth = stream.recv.window_growth();
        self.counts.window_growth -= growth;
        self.groups.shrink(stream.reader.group, growth);
        self.groups.leave(stream.reader.group);
        let (id, credit, acked) = (stream.id, stream.recv.credit(), stream.opening.acked);
        let (outbound, syn_sent) = (stream.opening.outbound, stream.opening.syn_sent);
        if syn_sent {
            self.streams.ids.tombstone(id, credit);
        } else {
            self.streams.ids.remove(id);
        }
        self.streams.free(key);
        if outbound {
            self.counts.outbound -= 1;
            self.counts.unacked -= usize::from(!acked);
            self.notify_open_ready();
        } else {
            self.counts.inbound -= 1;
        }
        self.end_if_shut_down();
    }

    /// Notifies an owner whose `open` failed, once there is room.
    pub(crate) fn notify_open_ready(&mut self) {
        let has_room = self.counts.outbound < self.config.max_outbound_streams
            && self.counts.unacked < self.config.ack_backlog;
        if self.wants_open && has_room {
            self.wants_open = false;
            if !self.events.contains(&MuxEvent::OpenReady) {
                self.events.push_back(MuxEvent::OpenReady);
            }
        }
    }

    /// Ends a session that is shutting down, has no streams left, and will get no more.
    pub(crate) fn end_if_shut_down(&mut self) {
        if matches!(self.phase, SessionPhase::ShuttingDown(_))
            && self.counts.inbound + self.counts.outbound == 0
            && !matches!(self.go_away, GoAwayState::Probing(_))
        {
            self.control.go_away();
            self.end(MuxEnd::Normal);
        }
    }

    /// The deadline of a shutdown: open streams are reset, so that the peer does not take the end of the session for
    /// the end of their data.
    pub(crate) fn force_reset(&mut self) {
        for (_, stream) in self.streams.live().filter(|(_, stream)| stream.opening.syn_sent) {
            // A stream that is reset already is live until the application has been told.
            if stream.reset.is_none() || stream.frames.contains(PendingFrame::Rst) {
                self.control.reset(stream.id);
            }
        }
        self.control.go_away();
        self.end(MuxEnd::Normal);
    }

    /// Ends the session with an error. The `GoAway`, if the error has a code, is the last frame.
    pub(crate) fn fail(&mut self, error: MuxError) {
        if self.is_ended() {
            return;
        }
        self.control = ControlFrames::last(error.go_away_code());
        self.end(MuxEnd::Failed(error));
    }

    fn end(&mut self, end: MuxEnd) {
        self.phase = SessionPhase::Ended(end);
        for key in 0..self.streams.slots() {
            self.clear_queues(key);
        }
        self.streams.clear_lists();
        self.events.push_back(MuxEvent::Ended(end));
    }
}
