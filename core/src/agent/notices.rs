//! How many of a relay's words a person is shown: enough for one who operates it, and not what fills a disk.

use core::time::Duration;

use crate::event_rate::EventRate;
use crate::time::Instant;

/// Notices at once.
const BURST: u32 = 20;
/// How long it takes until another one may be shown.
const INTERVAL: Duration = Duration::from_secs(3);

/// Notices that may be shown.
pub(super) struct NoticeBudget(EventRate);

impl NoticeBudget {
    pub(super) fn new() -> Self {
        Self(EventRate::new(INTERVAL, BURST))
    }

    /// Whether one more may be shown.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let is_within = self.0.delay(now).is_zero();
        if is_within {
            self.0.take(now);
        }
        is_within
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relay_may_say_so_much_at_once_and_then_a_little_now_and_then() {
        let at = |seconds: u64| Instant::from_millis(seconds * 1000);
        let mut budget = NoticeBudget::new();
        let mut shown = |times: u32, now| (0..times).filter(|_| budget.take(now)).count();
        assert_eq!(shown(1000, at(10)), 20);
        assert_eq!(shown(1000, at(12)), 0);
        assert_eq!(shown(1000, at(13)), 1);
        assert_eq!(shown(1000, at(19)), 2);
        assert_eq!(shown(1000, at(10_000)), 20);
    }
}
