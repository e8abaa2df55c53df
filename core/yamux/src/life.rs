//! How streams and sessions begin and end.

use super::error::{MuxEnd, MuxError, ResetReason};
use super::frame::INITIAL_WINDOW;
use super::slot::{News, Slot, Todo};
use super::{Mux, MuxEvent, Phase, output};

impl Mux {
    pub(super) fn begin(&mut self, id: u32, outbound: bool) -> usize {
        let at = self.slots.free.pop().unwrap_or_else(|| {
            self.slots.all.push(Slot::new());
            self.slots.all.len() - 1
        });
        self.slots.all[at].begin(id, outbound, self.now);
        self.slots.ids.insert(id, at);
        at
    }

    /// Tears a stream down: both queues go at once. `tell_peer` sends an RST if the peer can know the stream.
    pub(super) fn tear(&mut self, at: usize, reason: ResetReason, tell_peer: bool) {
        self.clear_queues(at);
        let slot = &mut self.slots.all[at];
        if slot.reset.is_some() {
            return;
        }
        let unheard = slot.unaccepted && slot.news.has(News::INCOMING);
        slot.reset = Some(reason);
        slot.todo = Todo::default();
        slot.news = News::default();
        let known = slot.syn_sent;
        self.leave_backlog(at);
        if tell_peer && known {
            self.plan(at, Todo::RST);
        }
        // An application that has not heard of the stream need not hear of its end, nor one that ended it itself.
        if !unheard && !matches!(reason, ResetReason::Local(_)) {
            self.tell(at, News::RESET);
        }
        self.release_if_over(at);
    }

    /// Takes a stream out of those that wait to be accepted. Whether it was one.
    pub(super) fn leave_backlog(&mut self, at: usize) -> bool {
        let waited = core::mem::take(&mut self.slots.all[at].unaccepted);
        self.counts.unaccepted -= usize::from(waited);
        waited
    }

    fn clear_queues(&mut self, at: usize) {
        let slot = &mut self.slots.all[at];
        self.counts.unsent -= slot.send_len;
        self.counts.unread -= slot.unread as usize;
        slot.empty_queues();
        self.wake_crowded();
    }

    /// Gives a slot back once both halves are over and nothing is left to say.
    pub(super) fn release_if_over(&mut self, at: usize) {
        if !self.slots.all[at].is_over() {
            return;
        }
        self.clear_queues(at);
        self.leave_backlog(at);
        // What is still arriving was paid from the credit when its header came.
        self.parser.drop_target(at);
        let slot = &mut self.slots.all[at];
        let (id, credit, acked) = (slot.id, slot.credit, slot.acked);
        self.counts.grown -= (slot.window - INITIAL_WINDOW) as usize;
        slot.id = 0;
        slot.generation = slot.generation.wrapping_add(1);
        let (outbound, syn_sent) = (slot.outbound, slot.syn_sent);
        if syn_sent {
            self.slots.ids.bury(id, credit);
        } else {
            self.slots.ids.remove(id);
        }
        self.slots.free.push(at);
        match outbound {
            true => {
                self.counts.outbound -= 1;
                if !acked {
                    self.counts.unacked -= 1;
                }
                self.open_ready();
            }
            false => self.counts.inbound -= 1,
        }
        self.settle_shutdown();
    }

    pub(super) fn open_ready(&mut self) {
        let room = self.counts.outbound < self.config.max_outbound_streams
            && self.counts.unacked < self.config.ack_backlog;
        if self.wants_open && room {
            self.wants_open = false;
            if !self.events.contains(&MuxEvent::OpenReady) {
                self.events.push_back(MuxEvent::OpenReady);
            }
        }
    }

    pub(super) fn settle_shutdown(&mut self) {
        if matches!(self.phase, Phase::ShuttingDown(_)) && self.counts.inbound + self.counts.outbound == 0 {
            self.replies.farewell();
            self.end(MuxEnd::Normal);
        }
    }

    /// The deadline of a shutdown: what is still open is reset, so that to the peer it does not look like its end.
    pub(super) fn cut_off(&mut self) {
        for slot in self.slots.all.iter().filter(|slot| !slot.is_free() && slot.syn_sent) {
            // One that the application has not heard the end of yet may have been reset before.
            if slot.reset.is_none() || slot.todo.has(Todo::RST) {
                self.replies.cut(slot.id);
            }
        }
        self.replies.farewell();
        self.end(MuxEnd::Normal);
    }

    pub(super) fn fail(&mut self, error: MuxError) {
        if self.is_ended() {
            return;
        }
        self.replies = output::Replies::last_word(error.go_away_code());
        self.end(MuxEnd::Failed(error));
    }

    fn end(&mut self, end: MuxEnd) {
        self.phase = Phase::Ended(end);
        for at in 0..self.slots.all.len() {
            self.clear_queues(at);
        }
        self.slots.todo.clear();
        self.slots.ready.clear();
        self.slots.news.clear();
        self.slots.crowded.clear();
        self.events.push_back(MuxEvent::Ended(end));
    }
}
