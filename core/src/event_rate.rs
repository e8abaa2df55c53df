//! How often something may happen: so many times at once, and then once in each interval (the generic cell rate algorithm of ITU-T I.371).

use core::time::Duration;

use crate::time::Instant;

/// What has happened of late.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct EventRate {
    interval: Duration,
    burst: Duration,
    /// When the next one is due at that rate; ahead of the clock by what happened at once.
    due: Instant,
}

impl EventRate {
    /// Nothing has happened yet.
    pub(crate) fn new(interval: Duration, burst: u32) -> Self {
        Self { interval, burst: interval * burst, due: Instant::ZERO }
    }

    /// How long to wait before the next one.
    pub(crate) fn delay(&self, now: Instant) -> Duration {
        (self.due.max(now) - now + self.interval).saturating_sub(self.burst)
    }

    /// It happens.
    pub(crate) fn take(&mut self, now: Instant) {
        self.due = self.due.max(now) + self.interval;
    }
}
