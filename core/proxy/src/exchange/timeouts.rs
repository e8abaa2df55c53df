//! When an exchange has waited for too long. Its connection to the visitor has timeouts of its own.

use hvym_yamux::Instant;

use super::event::{ExchangeError, ExchangeEvent};
use super::{Exchange, Stage};

impl Exchange {
    /// When [`handle_timeout`](Self::handle_timeout) is to be called. It may change with every call.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let deadlines = [
            self.down.poll_timeout(),
            self.continue_at,
            self.body_deadline(),
            self.response_deadline(),
            self.half_closed_deadline(),
        ];
        deadlines.into_iter().flatten().min()
    }

    /// The request stands still, and so does its response: the visitor is waited for.
    fn body_deadline(&self) -> Option<Instant> {
        let limit = if self.down.owes_head() { self.config.body_timeout } else { self.config.tunnel_timeout };
        let quiet = self.is_body_awaited().then(|| self.moved + limit)?;
        let slow =
            self.upload.poll_timeout().filter(|_| self.down.is_rate_enforced() && self.down.owes_head());
        Some(slow.map_or(quiet, |slow| slow.min(quiet)))
    }

    fn is_body_awaited(&self) -> bool {
        let is_passed = matches!(self.stage, Stage::Joined | Stage::Local);
        is_passed && !self.down.is_request_complete() && self.wants_visitor_data()
    }

    /// The time of a body runs while its visitor is waited for.
    pub(super) fn watch_upload(&mut self, now: Instant) {
        if self.is_body_awaited() {
            self.upload.start(now);
        } else {
            self.upload.stop(now);
        }
    }

    /// The service is waited for.
    fn response_deadline(&self) -> Option<Instant> {
        let is_awaited = self.stage == Stage::Joined && self.down.owes_head();
        is_awaited.then(|| self.moved + self.config.response_timeout)
    }

    /// The visitor may have left.
    fn half_closed_deadline(&self) -> Option<Instant> {
        let is_waiting = self.down.has_ended() && !matches!(self.stage, Stage::Idle | Stage::Tunnel);
        is_waiting.then(|| self.moved + self.config.half_closed_timeout)
    }

    /// The clock has reached `now`. What comes of it is told by [`poll_event`](Self::poll_event), but for a request that is
    /// refused because its head was late.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<ExchangeEvent<'_>> {
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if is_due(self.continue_at) {
            (self.is_continued, self.continue_at) = (true, None);
            self.down.send_continue(now);
        }
        if is_due(self.half_closed_deadline()) {
            self.give_up();
        } else if is_due(self.body_deadline()) {
            self.fail(ExchangeError::BodyTimeout);
        } else if is_due(self.response_deadline()) {
            self.fail(ExchangeError::ResponseTimeout);
        }
        if is_due(self.down.poll_timeout()) && self.stage != Stage::Idle {
            // Nobody reads the response.
            self.give_up();
            return None;
        }
        let event = self.down.handle_timeout(now)?;
        self.stage = Stage::Routing;
        Some(event.into())
    }
}
