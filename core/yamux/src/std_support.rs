//! Conversion from and to the clock of `std`. Nothing here reads it.
#![expect(
    clippy::disallowed_types,
    reason = "the one place that knows the clock of std; the caller reads it"
)]

use core::time::Duration;

use crate::instant::Instant;

/// The point of `std::time::Instant` that is [`Instant::ZERO`]. Keep one for each process, and convert all times by it:
///
/// ```
/// use std::time::{Duration, Instant};
///
/// let start = Instant::now();
/// let epoch = hvym_yamux::Epoch::new(start);
/// let later = epoch.instant(start + Duration::from_millis(5));
/// assert_eq!(later, hvym_yamux::Instant::from_millis(5));
/// assert_eq!(epoch.std(later), Some(start + Duration::from_millis(5)));
/// ```
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Epoch(std::time::Instant);

impl Epoch {
    /// Makes `zero` the epoch; it should not be later than any time that is converted.
    #[must_use]
    pub const fn new(zero: std::time::Instant) -> Self {
        Epoch(zero)
    }

    /// `at` in whole microseconds after the epoch; [`Instant::ZERO`] if it is before the epoch.
    #[must_use]
    pub fn instant(self, at: std::time::Instant) -> Instant {
        Instant::ZERO + at.saturating_duration_since(self.0)
    }

    /// `at` on the clock of `std`, such as the deadline from [`Mux::poll_timeout`](crate::Mux::poll_timeout); `None` if
    /// that clock cannot represent it.
    #[must_use]
    pub fn std(self, at: Instant) -> Option<std::time::Instant> {
        self.0.checked_add(Duration::from_micros(at.as_micros()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_before_the_epoch_is_the_epoch() {
        let start = std::time::Instant::now();
        let epoch = Epoch::new(start + Duration::from_secs(1));
        assert_eq!(epoch.instant(start), Instant::ZERO);
    }

    #[test]
    fn a_time_goes_there_and_back_to_the_microsecond() {
        let start = std::time::Instant::now();
        let at = start + Duration::from_micros(1_234_567);
        let epoch = Epoch::new(start);
        assert_eq!(epoch.instant(at), Instant::from_micros(1_234_567));
        assert_eq!(epoch.std(epoch.instant(at)), Some(at));
    }
}
