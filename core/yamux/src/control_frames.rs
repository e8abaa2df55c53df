//! Frames of the session itself that wait to be sent, and the resets of streams it has no state for.

use alloc::collections::VecDeque;

/// Pending answers to pings. When there are more, the oldest is dropped: a peer that does not read its answers gains
/// nothing from more of them.
const MAX_PONGS: usize = 16;
/// Pending refusals of a session without a limit for them. Above it the oldest is forgotten, whose stream the peer has most
/// likely given up since: as many streams as are remembered after their end have been opened after it.
const MAX_REFUSALS: usize = 4096;

/// Pending frames of the session, in the order in which they leave.
#[derive(Debug, Default)]
pub(crate) struct ControlFrames {
    pongs: VecDeque<u32>,
    ping: Option<u32>,
    /// Ids of streams to reset.
    resets: VecDeque<u32>,
    go_away: Option<u32>,
    /// The ping whose answer shows that the peer knows of the `GoAway`, which it follows.
    go_away_ping: Option<u32>,
    /// A `GoAway` leaves once.
    go_away_queued: bool,
}

impl ControlFrames {
    /// Nothing but a `GoAway`, if there is a code for one: the end of a session that failed.
    pub(crate) fn last(go_away: Option<u32>) -> Self {
        Self { go_away, ..Self::default() }
    }

    /// `GoAway` with code 0, after everything else, unless one was sent.
    pub(crate) fn go_away(&mut self) {
        if !self.go_away_queued {
            self.go_away_queued = true;
            self.go_away = Some(0);
        }
    }

    /// As [`go_away`](Self::go_away), and a ping right after it.
    pub(crate) fn go_away_and_ping(&mut self, value: u32) {
        self.go_away();
        self.go_away_ping = Some(value);
    }

    /// Resets a live stream at the end of a session. Their number is bounded by that of the streams.
    pub(crate) fn reset(&mut self, id: u32) {
        self.resets.push_back(id);
    }

    /// Resets a stream that the session does not take. `false` if more than `limit` would be pending.
    pub(crate) fn refuse(&mut self, id: u32, limit: Option<usize>) -> bool {
        if limit.is_some_and(|limit| self.resets.len() >= limit) {
            return false;
        }
        if self.resets.len() >= MAX_REFUSALS {
            self.resets.pop_front();
        }
        self.resets.push_back(id);
        true
    }

    pub(crate) fn pong(&mut self, value: u32) {
        if self.pongs.len() >= MAX_PONGS {
            self.pongs.pop_front();
        }
        self.pongs.push_back(value);
    }

    /// A ping, unless one is pending.
    pub(crate) fn ping(&mut self, value: u32) {
        self.ping.get_or_insert(value);
    }

    pub(crate) fn pop_pong(&mut self) -> Option<u32> {
        self.pongs.pop_front()
    }

    pub(crate) fn take_ping(&mut self) -> Option<u32> {
        self.ping.take()
    }

    pub(crate) fn pop_reset(&mut self) -> Option<u32> {
        self.resets.pop_front()
    }

    /// The `GoAway`, which leaves after all resets.
    pub(crate) fn take_go_away(&mut self) -> Option<u32> {
        if self.resets.is_empty() { self.go_away.take() } else { None }
    }

    /// The ping that follows the `GoAway`.
    pub(crate) fn take_go_away_ping(&mut self) -> Option<u32> {
        if self.go_away.is_none() { self.go_away_ping.take() } else { None }
    }

    /// The number of pending frames.
    pub(crate) fn len(&self) -> usize {
        self.pongs.len()
            + self.resets.len()
            + usize::from(self.ping.is_some())
            + usize::from(self.go_away.is_some())
            + usize::from(self.go_away_ping.is_some())
    }
}
