//! How long to wait before dialling again: exponential, with full jitter inside the cap.

use core::time::Duration;

use crate::rng::Rng;

/// The rule of waiting.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct BackoffConfig {
    /// The cap of the first delay.
    pub initial: Duration,
    /// No delay exceeds this. Longer spares a relay that is down, and lengthens the time to come back.
    pub max: Duration,
    /// By how much the cap grows with each failure in a row.
    pub multiplier: u32,
    /// A link that lived this long counts as a success, and the next failure starts over.
    pub reset_after: Duration,
}

impl Default for BackoffConfig {
    fn default() -> Self {
        Self {
            initial: Duration::from_secs(1),
            max: Duration::from_secs(60),
            multiplier: 2,
            reset_after: Duration::from_secs(10),
        }
    }
}

/// Failures in a row, and the delay they ask for.
#[derive(Debug)]
pub struct Backoff {
    config: BackoffConfig,
    failures: u32,
}

impl Backoff {
    /// No failures yet.
    pub fn new(config: BackoffConfig) -> Self {
        Self { config, failures: 0 }
    }

    /// Counts a failure of a link that had been up for `lived`, and draws the delay before the next attempt.
    ///
    /// The draw is even from zero to the cap ("full jitter"), so that a thousand agents of one relay do not
    /// come back in the same instant.
    pub fn next_delay(&mut self, lived: Duration, rng: &mut Rng) -> Duration {
        if lived >= self.config.reset_after {
            self.failures = 0;
        }
        let delay = rng.up_to(self.cap());
        self.failures = self.failures.saturating_add(1);
        delay
    }

    /// Counts an end that the other side asked to be short, and draws the delay before the next attempt: at most `max`.
    ///
    /// Only once in a row: a relay that sends everybody away as soon as they come is one that fails.
    pub fn soon(&mut self, max: Duration, lived: Duration, rng: &mut Rng) -> Duration {
        if self.failures > 0 && lived < self.config.reset_after {
            return self.next_delay(lived, rng);
        }
        self.failures = 1;
        rng.up_to(max)
    }

    /// Failures in a row so far.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// Forgets the failures, so that the next attempt waits the least.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    fn cap(&self) -> Duration {
        let factor = self.config.multiplier.saturating_pow(self.failures);
        self.config.initial.saturating_mul(factor).min(self.config.max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cap_doubles_from_one_second_to_sixty() {
        let mut backoff = Backoff::new(BackoffConfig::default());
        let mut rng = Rng::new([3; 32]);
        for cap in [1, 2, 4, 8, 16, 32, 60, 60, 60] {
            assert_eq!(backoff.cap(), Duration::from_secs(cap));
            assert!(backoff.next_delay(Duration::ZERO, &mut rng) <= Duration::from_secs(cap));
        }
    }

    #[test]
    fn only_a_link_that_lived_resets_the_cap() {
        let mut backoff = Backoff::new(BackoffConfig::default());
        let mut rng = Rng::new([3; 32]);
        for _ in 0..5 {
            backoff.next_delay(Duration::from_secs(9), &mut rng);
        }
        assert_eq!(backoff.cap(), Duration::from_secs(32));
        backoff.next_delay(Duration::from_secs(10), &mut rng);
        assert_eq!(backoff.failures(), 1);
    }

    #[test]
    fn failures_without_end_never_overflow() {
        let mut backoff = Backoff::new(BackoffConfig::default());
        backoff.failures = u32::MAX;
        let mut rng = Rng::new([3; 32]);
        assert!(backoff.next_delay(Duration::ZERO, &mut rng) <= Duration::from_secs(60));
    }
}
