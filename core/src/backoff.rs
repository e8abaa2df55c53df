//! How long to wait before dialling again: exponential, with full jitter inside a cap that depends on how long the relay
//! has been away.

use core::time::Duration;

use crate::rng::Rng;
use crate::time::Instant;

/// The rule of waiting.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct BackoffConfig {
    /// The cap of the first delay.
    pub initial: Duration,
    /// No delay exceeds this. Longer spares a relay that is down, and lengthens the time to come back.
    pub max: Duration,
    /// By how much the cap grows with each failure in a row, in thousandths; 1000 and less keep it as it is.
    pub multiplier_permille: u32,
    /// A link that lived this long counts as a success, and the next failure starts over.
    pub reset_after: Duration,
    /// The cap while the outage is short: nearly all outages are restarts, after which agents should be back at once. A
    /// thousand agents dial less than a thousand times a second by it, which costs a relay less than serving them.
    pub short_max: Duration,
    /// How long an outage is short.
    pub short_for: Duration,
    /// The cap after that, where the relay answers and cannot take the agent yet.
    pub answered_max: Duration,
}

impl Default for BackoffConfig {
    fn default() -> Self {
        Self {
            initial: Duration::from_secs(1),
            max: Duration::from_secs(60),
            multiplier_permille: 2000,
            reset_after: Duration::from_secs(10),
            short_max: Duration::from_millis(2500),
            short_for: Duration::from_secs(120),
            answered_max: Duration::from_secs(5),
        }
    }
}

/// What the relay did.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Outage {
    /// Nothing: it cannot be reached.
    Silent,
    /// It answered, and sent the agent away.
    Answered,
    /// It asked for fewer attempts, or ends links as soon as they are up: the cap grows to the most from the first failure
    /// on.
    RateLimited,
}

/// Failures in a row, and the delay they ask for.
#[derive(Debug)]
pub struct Backoff {
    config: BackoffConfig,
    failures: u32,
    /// When the first of them was.
    since: Instant,
}

impl Backoff {
    /// No failures yet.
    pub fn new(config: BackoffConfig) -> Self {
        Self { config, failures: 0, since: Instant::ZERO }
    }

    /// Counts a failure of a link that had been up for `lived`, and draws the delay before the next attempt.
    ///
    /// The draw is even from zero to the cap ("full jitter"), so that a thousand agents of one relay do not
    /// come back in the same instant.
    pub fn next_delay(&mut self, outage: Outage, lived: Duration, rng: &mut Rng, now: Instant) -> Duration {
        if lived >= self.config.reset_after {
            self.failures = 0;
        }
        if self.failures == 0 {
            self.since = now;
        }
        let delay = rng.up_to(self.cap(outage, now));
        self.failures = self.failures.saturating_add(1);
        delay
    }

    /// Counts an end that the other side asked to be short, and draws the delay before the next attempt: at most `max`.
    ///
    /// Only once in a row: a relay that sends everybody away as soon as they come is one that fails.
    pub fn soon(&mut self, max: Duration, lived: Duration, rng: &mut Rng, now: Instant) -> Duration {
        if self.failures > 0 && lived < self.config.reset_after {
            return self.next_delay(Outage::RateLimited, lived, rng, now);
        }
        (self.failures, self.since) = (1, now);
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

    fn cap(&self, outage: Outage, now: Instant) -> Duration {
        let grown = self.grown();
        match outage {
            Outage::RateLimited => grown,
            _ if now - self.since < self.config.short_for => grown.min(self.config.short_max),
            Outage::Answered => grown.min(self.config.answered_max),
            Outage::Silent => grown,
        }
    }

    /// The cap after these failures, whatever the outage.
    fn grown(&self) -> Duration {
        let BackoffConfig { initial, max, multiplier_permille, .. } = self.config;
        let mut cap = initial.min(max);
        // Ends soon: even the smallest growth reaches the maximum long before a counter does.
        for _ in 0..self.failures {
            let grown = cap.saturating_mul(multiplier_permille) / 1000;
            if grown <= cap || cap == max {
                break;
            }
            cap = grown.min(max);
        }
        cap
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const HOUR: Duration = Duration::from_secs(3600);

    fn rng(agent: u32) -> Rng {
        let mut seed = [3; 32];
        seed[..4].copy_from_slice(&agent.to_be_bytes());
        Rng::new(seed)
    }

    /// When an agent dials after its relay went away at zero, up to the first dial after `outage`.
    fn dials(agent: u32, outage: Duration) -> Vec<Duration> {
        let (mut backoff, mut rng) = (Backoff::new(BackoffConfig::default()), rng(agent));
        let mut lived = HOUR;
        let mut at = Duration::ZERO;
        let mut dials = Vec::new();
        loop {
            at += backoff.next_delay(Outage::Silent, lived, &mut rng, Instant::ZERO + at);
            dials.push(at);
            if at >= outage {
                return dials;
            }
            lived = Duration::ZERO;
        }
    }

    /// How many of a thousand agents dial within `limit` of their relay's return after `outage`.
    fn back_within(outage: Duration, limit: Duration) -> usize {
        let last = |agent| dials(agent, outage).pop().expect("it dials");
        (0..1000).filter(|agent| last(*agent) - outage <= limit).count()
    }

    #[test]
    fn of_a_thousand_agents_all_dial_within_three_seconds_of_the_end_of_a_short_outage() {
        for outage in [SECOND, 20 * SECOND, 90 * SECOND, 119 * SECOND] {
            assert_eq!(back_within(outage, 3 * SECOND), 1000, "{outage:?}");
        }
    }

    #[test]
    fn after_a_long_outage_they_come_spread_over_a_minute() {
        assert_eq!(back_within(HOUR, 60 * SECOND), 1000);
        assert!(back_within(HOUR, 10 * SECOND) < 500, "not all at once");
    }

    #[test]
    fn a_thousand_agents_do_not_dial_more_than_a_thousand_times_a_second() {
        let mut per_second = [0; 120];
        for agent in 0..1000 {
            for at in dials(agent, 118 * SECOND) {
                let second = usize::try_from(at.as_secs()).expect("small");
                per_second.get_mut(second).into_iter().for_each(|dials| *dials += 1);
            }
        }
        // In the first seconds the cap grows from one second.
        assert!(per_second[..3].iter().all(|dials| *dials < 1600), "{per_second:?}");
        assert!(per_second[3..118].iter().all(|dials| *dials < 1000), "{per_second:?}");
    }

    #[test]
    fn the_cap_doubles_to_that_of_a_short_outage_and_then_to_the_most() {
        let mut backoff = Backoff::new(BackoffConfig::default());
        let mut rng = rng(0);
        for cap in [1000, 2000, 2500, 2500, 2500, 2500, 2500] {
            assert_eq!(backoff.cap(Outage::Silent, Instant::ZERO), Duration::from_millis(cap));
            let delay = backoff.next_delay(Outage::Silent, Duration::ZERO, &mut rng, Instant::ZERO);
            assert!(delay <= Duration::from_millis(cap));
        }
        let before = Instant::from_millis(119_999);
        let after = Instant::from_millis(120_000);
        for (outage, short, long) in [
            (Outage::Silent, 2500, 60_000),
            (Outage::Answered, 2500, 5000),
            (Outage::RateLimited, 60_000, 60_000),
        ] {
            assert_eq!(backoff.cap(outage, before), Duration::from_millis(short), "{outage:?}");
            assert_eq!(backoff.cap(outage, after), Duration::from_millis(long), "{outage:?}");
        }
    }

    #[test]
    fn the_cap_grows_by_a_factor_with_decimals_and_never_beyond_the_most() {
        for (multiplier_permille, caps) in [
            (1500, [1000, 1500, 2250, 3375, 5062, 7593, 11390, 17085, 25628, 30000]),
            (1000, [1000; 10]),
            (0, [1000; 10]),
            (u32::MAX, [1000, 30000, 30000, 30000, 30000, 30000, 30000, 30000, 30000, 30000]),
        ] {
            let max = Duration::from_secs(30);
            let config = BackoffConfig { multiplier_permille, max, ..BackoffConfig::default() };
            let grown = |failures| Backoff { failures, ..Backoff::new(config) }.grown().as_millis();
            assert_eq!([0, 1, 2, 3, 4, 5, 6, 7, 8, 9].map(grown), caps, "{multiplier_permille}");
            assert_eq!(grown(u32::MAX), if multiplier_permille > 1000 { 30000 } else { 1000 });
        }
    }

    #[test]
    fn who_is_asked_for_fewer_attempts_doubles_to_the_most() {
        let mut backoff = Backoff::new(BackoffConfig::default());
        let mut rng = rng(0);
        for cap in [1, 2, 4, 8, 16, 32, 60, 60, 60] {
            assert_eq!(backoff.cap(Outage::RateLimited, Instant::ZERO), Duration::from_secs(cap));
            backoff.next_delay(Outage::RateLimited, Duration::ZERO, &mut rng, Instant::ZERO);
        }
    }

    #[test]
    fn only_a_link_that_lived_starts_over() {
        let mut backoff = Backoff::new(BackoffConfig::default());
        let mut rng = rng(0);
        let late = Instant::ZERO + HOUR;
        for now in [Instant::ZERO, late, late, late, late, late] {
            backoff.next_delay(Outage::Silent, 9 * SECOND, &mut rng, now);
        }
        assert_eq!(backoff.cap(Outage::Silent, late), 60 * SECOND);
        backoff.next_delay(Outage::Silent, 10 * SECOND, &mut rng, late);
        assert_eq!(backoff.failures(), 1);
        assert_eq!(backoff.cap(Outage::Silent, late + SECOND), 2 * SECOND, "the outage is a new one");
    }

    #[test]
    fn failures_without_end_never_overflow() {
        let mut backoff = Backoff::new(BackoffConfig::default());
        backoff.failures = u32::MAX;
        let delay = backoff.next_delay(Outage::Silent, Duration::ZERO, &mut rng(0), Instant::ZERO + HOUR);
        assert!(delay <= 60 * SECOND);
    }
}
