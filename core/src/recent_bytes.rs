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
    pub(crate) fn recent(&self, now: Instant) -> u64 {
        match self.since.map(|since| now - since) {
            Some(age) if age < self.period => self.current + self.last,
            Some(age) if age < self.period * 2 => self.current,
            _ => 0,
        }
    }

    fn turn(&mut self, now: Instant) {
        let age = self.since.map_or(self.period * 2, |since| now - since);
        if age >= self.period {
            self.last = if age < self.period * 2 { self.current } else { 0 };
            (self.current, self.since) = (0, Some(now));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_count_for_one_to_two_periods() {
        let at = Instant::from_millis;
        let mut bytes = RecentBytes::new(Duration::from_millis(100));
        assert_eq!(bytes.recent(at(0)), 0);
        bytes.add(1, at(1000));
        bytes.add(2, at(1099));
        assert_eq!([bytes.recent(at(1099)), bytes.recent(at(1199)), bytes.recent(at(1200))], [3, 3, 0]);
        bytes.add(4, at(1100));
        assert_eq!([bytes.recent(at(1199)), bytes.recent(at(1200)), bytes.recent(at(1300))], [7, 4, 0]);
        bytes.add(8, at(1300));
        assert_eq!(bytes.recent(at(1300)), 8, "a period without any lies between");
    }
}
