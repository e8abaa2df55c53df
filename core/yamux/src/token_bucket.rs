//! A token bucket on a clock that the caller reads.

use crate::instant::Instant;

/// Allows bursts of `capacity` tokens and `per_second` tokens in the long run.
#[derive(Debug)]
pub(crate) struct TokenBucket {
    capacity: u64,
    per_second: u64,
    /// Tokens left, in millionths.
    level: u64,
    refilled_at: Instant,
}

const MICRO: u64 = 1_000_000;

impl TokenBucket {
    pub(crate) fn new(capacity: u64, per_second: u64, now: Instant) -> Self {
        Self { capacity, per_second, level: capacity.saturating_mul(MICRO), refilled_at: now }
    }

    /// Takes `n` tokens, or none if there are fewer.
    #[must_use]
    pub(crate) fn take(&mut self, n: u64, now: Instant) -> bool {
        let elapsed = u64::try_from((now - self.refilled_at).as_micros()).unwrap_or(u64::MAX);
        self.refilled_at = self.refilled_at.max(now);
        let earned = elapsed.saturating_mul(self.per_second);
        self.level = self.level.saturating_add(earned).min(self.capacity.saturating_mul(MICRO));
        match self.level.checked_sub(n.saturating_mul(MICRO)) {
            Some(rest) => {
                self.level = rest;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_allowed_once_and_comes_back_with_time() {
        let mut bucket = TokenBucket::new(2, 1, Instant::ZERO);
        assert!(bucket.take(2, Instant::ZERO));
        assert!(!bucket.take(1, Instant::from_millis(999)));
        assert!(bucket.take(1, Instant::from_millis(1000)));
        assert!(!bucket.take(3, Instant::from_millis(1_000_000)));
        assert!(bucket.take(2, Instant::from_millis(1_000_000)));
    }
}
