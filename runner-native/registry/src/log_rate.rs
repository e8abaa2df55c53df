//! How many requests are logged in a second, in the long run (the generic cell rate algorithm of ITU-T I.371).

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Requests that are logged in a second. One costs a relay 25 to 45 µs more than one that is not logged, with SQLite: so all of them take
/// at most one fortieth of one processor, however many come.
pub const MAX_LOGGED_PER_SECOND: u64 = 500;
/// Microseconds of one.
const INTERVAL: u64 = 1_000_000 / MAX_LOGGED_PER_SECOND;
/// Microseconds by which they may come ahead of their turns: a burst of 2000 requests, as when a page is loaded by many.
const BURST: u64 = 2000 * INTERVAL;

/// The rate of one registry.
#[derive(Debug)]
pub(crate) struct LogRate {
    since: Instant,
    /// When the next request would have its turn, in microseconds.
    next: AtomicU64,
}

impl Default for LogRate {
    fn default() -> Self {
        Self { since: Instant::now(), next: AtomicU64::new(0) }
    }
}

impl LogRate {
    fn now(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Whether one more may be logged now.
    pub(crate) fn has_room(&self) -> bool {
        is_in_time(self.next.load(Ordering::Relaxed), self.now())
    }

    /// Takes the place of one; `false`: there is none.
    pub(crate) fn take(&self) -> bool {
        self.take_at(self.now())
    }

    fn take_at(&self, now: u64) -> bool {
        let turn = |next: u64| is_in_time(next, now).then(|| next.max(now) + INTERVAL);
        self.next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, turn).is_ok()
    }
}

const fn is_in_time(next: u64, now: u64) -> bool {
    next + INTERVAL <= now + BURST
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    #[test]
    fn a_burst_is_logged_and_then_as_many_in_a_second_as_may_be() {
        let rate = LogRate::default();
        let taken =
            |now: u64| std::iter::from_fn(|| rate.take_at(now).then_some(())).take(10_000).count() as u64;
        assert_eq!(taken(0), BURST / INTERVAL);
        assert_eq!(taken(INTERVAL - 1), 0);
        assert_eq!(taken(INTERVAL), 1);
        assert_eq!(taken(INTERVAL + SECOND), MAX_LOGGED_PER_SECOND);
        // Nobody saves up more than a burst.
        assert_eq!(taken(100 * SECOND), BURST / INTERVAL);
    }

    #[test]
    fn there_is_room_as_long_as_a_place_can_be_taken() {
        let rate = LogRate::default();
        assert!(rate.has_room());
        let far = u64::MAX / 2;
        rate.next.store(far, Ordering::Relaxed);
        assert!(!rate.has_room() && !rate.take());
    }
}
