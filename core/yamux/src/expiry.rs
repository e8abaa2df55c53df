//! Deadlines that have passed, and what each of them ends.

use crate::error::{MuxError, ResetReason};
use crate::instant::{Instant, earliest};
use crate::session::{Mux, SessionPhase};
use crate::stream_state::StreamTimer;
use crate::timers::PingAction;

impl Mux {
    /// Acts on every deadline that has passed. Early, late and repeated calls are harmless.
    ///
    /// # Errors
    ///
    /// As for [`handle_data`](Self::handle_data).
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), MuxError> {
        self.advance(now);
        if self.is_ended() {
            return Ok(());
        }
        self.expire_streams();
        if let SessionPhase::ShuttingDown(deadline) = self.phase
            && self.now >= deadline
        {
            self.force_reset();
        }
        if self.is_ended() {
            return Ok(());
        }
        let outcome = self.expire_session();
        if let Err(error) = outcome {
            self.fail(error);
        }
        outcome
    }

    /// When to call [`handle_timeout`](Self::handle_timeout); `None` is never.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.phase {
            SessionPhase::Ended(_) => None,
            SessionPhase::ShuttingDown(deadline) => earliest(Some(deadline), self.timers.next(self.now)),
            SessionPhase::Open | SessionPhase::GoingAway => self.timers.next(self.now),
        }
    }

    fn expire_streams(&mut self) {
        while let Some((_, timer, slot)) = self.timers.pop_due(self.now) {
            let key = slot as usize;
            let stream = &mut self.streams[key];
            stream.timers.remove(timer);
            match self.timers.deadline(stream, timer, self.now) {
                // The stream waits for this no more, or the slot has another stream.
                None => {}
                Some(later) if later > self.now => self.timers.put_off(stream, (later, timer, slot)),
                Some(_) => self.expire(key, timer),
            }
        }
    }

    fn expire(&mut self, key: usize, timer: StreamTimer) {
        let reason = match timer {
            StreamTimer::SwsDelay => {
                return self.notify_writer(key);
            }
            StreamTimer::Accept => ResetReason::AcceptTimeout,
            StreamTimer::Open => ResetReason::OpenTimeout,
            StreamTimer::HalfClosed => ResetReason::Idle,
            StreamTimer::Stall => ResetReason::WriteStall,
        };
        self.reset_stream(key, reason, true);
    }

    fn expire_session(&mut self) -> Result<(), MuxError> {
        if self.timers.is_write_stalled(self.now) {
            return Err(MuxError::WriteStall);
        }
        match self.timers.keepalive(self.now) {
            PingAction::None => Ok(()),
            PingAction::GiveUp => Err(MuxError::KeepAlive),
            PingAction::Ping => {
                self.control.ping(self.random.next_u64() as u32);
                self.timers.output_pending(self.now);
                Ok(())
            }
        }
    }
}
