//! How fast an identity opens streams to services of others: a burst, and so many a second after it.
//!
//! A relay refuses what is faster. A caller that follows the same rule waits instead, and is never refused.

use core::time::Duration;

use crate::event_rate::EventRate;
use crate::time::Instant;

/// Time between two streams of one caller after its burst: 32 a second. An application keeps its connections; a higher rate
/// indicates guessing of names.
pub const REACH_INTERVAL: Duration = Duration::from_micros(31_250);

/// The streams that one caller has opened of late.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReachRate(EventRate);

impl ReachRate {
    /// No streams yet, of which `burst` may be opened at once.
    pub fn new(burst: usize) -> Self {
        Self(EventRate::new(REACH_INTERVAL, u32::try_from(burst).unwrap_or(u32::MAX)))
    }

    /// How long to wait before the next stream.
    pub fn delay(&self, now: Instant) -> Duration {
        self.0.delay(now)
    }

    /// A stream is opened.
    pub fn take(&mut self, now: Instant) {
        self.0.take(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(rate: &mut ReachRate, now: Instant) -> usize {
        let mut opened = 0;
        while rate.delay(now).is_zero() {
            rate.take(now);
            opened += 1;
        }
        opened
    }

    #[test]
    fn a_caller_that_lets_go_at_once_opens_a_burst_and_then_so_many_a_second() {
        let (mut rate, mut now) = (ReachRate::new(128), Instant::ZERO);
        assert_eq!(opened(&mut rate, now), 128);
        assert_eq!(rate.delay(now), REACH_INTERVAL);
        now = now + (REACH_INTERVAL - Duration::from_micros(1));
        assert_eq!(rate.delay(now), Duration::from_micros(1));
        now = now + Duration::from_secs(1);
        assert_eq!(opened(&mut rate, now), 32);
        now = now + Duration::from_secs(3600);
        assert_eq!(opened(&mut rate, now), 128);
    }
}
