//! How many bytes passed lately. It does not know which.

use core::time::Duration;

use crate::time::Instant;

/// The bytes of the current period and of the one before.
#[derive(Debug)]
pub(crate) struct RecentBytes {
    period: Duration,
    since: Option<Instant>,
    current: u64,
    last: u64,
}

impl RecentBytes {
    pub(crate) const fn new(period: Duration) -> Self {
        Self { period, since: None, current: 0, last: 0 }
    }

    pub(crate) fn add(&mut self, bytes: usize, now: Instant) {
        self.turn(now);
        self.current += bytes as u64;
    }

    /// The bytes of one to two periods.
    pub(crate) fn recent(&mut self, now: Instant) -> u64 {
        self.turn(now);
        self.current + self.last
    }

    fn turn(&mut self, now: Instant) {
        let age = self.since.map_or(self.period * 2, |since| now - since);
        if age >= self.period {
            self.last = if age < self.period * 2 { self.current } else { 0 };
            (self.current, self.since) = (0, Some(now));
        }
    }
}
