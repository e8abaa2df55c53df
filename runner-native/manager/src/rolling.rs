//! Values of the recent past in constant memory: two generations, of which the older one is dropped as a whole.
//!
//! Reads no clock.

use std::mem;
use std::time::Duration;

use hvym_tunnel_core::time::Instant;

/// What happened within one to two spans before now.
#[derive(Clone, Debug)]
pub struct Rolling<T> {
    span: Duration,
    started: Instant,
    /// When the current generation began.
    since: Instant,
    current: T,
    previous: T,
}

impl<T: Default> Rolling<T> {
    /// Nothing has happened; each generation lasts `span`.
    pub fn new(span: Duration, now: Instant) -> Self {
        Self { span, started: now, since: now, current: T::default(), previous: T::default() }
    }

    /// The generation of `now`.
    pub fn current(&mut self, now: Instant) -> &mut T {
        self.rotate(now);
        &mut self.current
    }

    /// The generation of `now` and the one before it.
    pub fn generations(&mut self, now: Instant) -> [&T; 2] {
        self.rotate(now);
        [&self.current, &self.previous]
    }

    /// How much time the two generations cover.
    pub fn covered(&self, now: Instant) -> Duration {
        let both = now.saturating_duration_since(self.since) + self.span;
        both.min(now.saturating_duration_since(self.started))
    }

    fn rotate(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.since);
        if passed < self.span {
            return;
        }
        let last = mem::take(&mut self.current);
        if passed < self.span * 2 {
            self.previous = last;
            self.since = self.since + self.span;
        } else {
            self.previous = T::default();
            self.since = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPAN: Duration = Duration::from_secs(10);

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    #[test]
    fn a_value_is_forgotten_after_one_to_two_spans() {
        let mut rolling = Rolling::<u32>::new(SPAN, at(0));
        *rolling.current(at(9_999)) += 1;
        assert_eq!(rolling.generations(at(9_999)), [&1, &0]);
        assert_eq!(rolling.generations(at(10_000)), [&0, &1]);
        *rolling.current(at(19_999)) += 5;
        assert_eq!(rolling.generations(at(19_999)), [&5, &1]);
        assert_eq!(rolling.generations(at(20_000)), [&0, &5]);
        assert_eq!(rolling.generations(at(40_000)), [&0, &0]);
    }

    #[test]
    fn what_is_covered_is_never_more_than_what_has_passed() {
        let mut rolling = Rolling::<u32>::new(SPAN, at(0));
        assert_eq!(rolling.covered(at(4_000)), Duration::from_secs(4));
        let _rotated = rolling.current(at(15_000));
        assert_eq!(rolling.covered(at(15_000)), Duration::from_secs(15));
        let _rotated = rolling.current(at(27_000));
        assert_eq!(rolling.covered(at(27_000)), Duration::from_secs(17));
    }
}
