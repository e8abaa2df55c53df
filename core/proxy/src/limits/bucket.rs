//! A token bucket that knows its level and when that was. It is filled by whoever looks at it.

use hvym_yamux::Instant;

/// Counted in these fractions of one event.
const PARTS: u64 = 1_000_000;

/// How often something may happen.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct VisitorRate {
    /// Times a second, in the long run.
    pub per_second: u32,
    /// Times at once, after a pause.
    pub burst: u32,
}

/// Limits events to a rate.
#[derive(Copy, Clone, Debug)]
pub struct RateLimiter {
    rate: VisitorRate,
    bucket: Bucket,
}

impl RateLimiter {
    /// A limit that was not used yet.
    pub fn new(rate: VisitorRate, now: Instant) -> Self {
        Self { rate, bucket: Bucket::full(rate, now) }
    }

    /// One event. Returns whether it is within the rate; one that is not costs nothing.
    pub fn take(&mut self, now: Instant) -> bool {
        let is_within = self.bucket.has_one(self.rate, now);
        if is_within {
            self.bucket.take(self.rate, now);
        }
        is_within
    }
}

/// How much of a rate is left. Starts full.
#[derive(Copy, Clone, Debug)]
pub(super) struct Bucket {
    /// In millionths of one event.
    level: u64,
    at: Instant,
}

impl Bucket {
    pub(super) fn full(rate: VisitorRate, now: Instant) -> Self {
        Self { level: u64::from(rate.burst) * PARTS, at: now }
    }

    /// Whether one more event is within the rate; takes nothing.
    pub(super) fn has_one(&self, rate: VisitorRate, now: Instant) -> bool {
        self.level_at(rate, now) >= PARTS
    }

    pub(super) fn is_full(&self, rate: VisitorRate, now: Instant) -> bool {
        self.level_at(rate, now) == u64::from(rate.burst) * PARTS
    }

    /// One event. Takes what is left if it is less.
    pub(super) fn take(&mut self, rate: VisitorRate, now: Instant) {
        self.level = self.level_at(rate, now).saturating_sub(PARTS);
        self.at = self.at.max(now);
    }

    fn level_at(&self, rate: VisitorRate, now: Instant) -> u64 {
        let passed = now.saturating_duration_since(self.at).as_micros();
        let earned = u64::try_from(passed).unwrap_or(u64::MAX).saturating_mul(u64::from(rate.per_second));
        self.level.saturating_add(earned).min(u64::from(rate.burst) * PARTS)
    }
}
