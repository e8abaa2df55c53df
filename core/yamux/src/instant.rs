//! Points in time that the caller measured. Nothing here reads a clock.

use core::ops::{Add, Sub};
use core::time::Duration;

/// A point on the caller's monotonic clock, in microseconds since an epoch of the caller's choice.
///
/// A clock that goes backwards does no harm: distances saturate at zero.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Instant(u64);

impl Instant {
    /// The caller's epoch.
    pub const ZERO: Instant = Instant(0);

    /// The point `micros` microseconds after the epoch.
    #[inline]
    pub const fn from_micros(micros: u64) -> Self {
        Instant(micros)
    }

    /// The point `millis` milliseconds after the epoch; saturates at the last representable point.
    #[inline]
    pub const fn from_millis(millis: u64) -> Self {
        Instant(millis.saturating_mul(1000))
    }

    /// Microseconds since the epoch.
    #[inline]
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// How long after `earlier` this is; zero if it is not after it.
    #[inline]
    pub const fn saturating_duration_since(self, earlier: Instant) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Instant;

    /// Saturates at the last representable point.
    #[inline]
    fn add(self, distance: Duration) -> Instant {
        let micros = u64::try_from(distance.as_micros()).unwrap_or(u64::MAX);
        Instant(self.0.saturating_add(micros))
    }
}

impl Sub<Instant> for Instant {
    type Output = Duration;

    /// Saturates at zero.
    #[inline]
    fn sub(self, earlier: Instant) -> Duration {
        self.saturating_duration_since(earlier)
    }
}

/// A recent point in time in four bytes: milliseconds modulo 2^32, for distances of less than 49 days.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Millis(u32);

impl Millis {
    /// Milliseconds from this point to `now`.
    pub(crate) fn elapsed(self, now: Instant) -> u32 {
        Millis::from(now).0.wrapping_sub(self.0)
    }
}

impl From<Instant> for Millis {
    fn from(at: Instant) -> Self {
        Millis((at.0 / 1000) as u32)
    }
}

/// A recent point in time in four bytes: microseconds modulo 2^32, for distances of less than 71 minutes.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Micros(u32);

impl Micros {
    /// Microseconds from this point to `now`.
    pub(crate) fn elapsed(self, now: Instant) -> u32 {
        Micros::from(now).0.wrapping_sub(self.0)
    }
}

impl From<Instant> for Micros {
    fn from(at: Instant) -> Self {
        Micros(at.0 as u32)
    }
}

/// The earlier of two optional deadlines; `None` means never.
pub(crate) fn earliest(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_goes_backwards_gives_zero_distance() {
        let late = Instant::from_micros(10);
        assert_eq!(Instant::from_micros(3) - late, Duration::ZERO);
    }

    #[test]
    fn a_point_past_the_end_of_the_clock_is_its_end() {
        assert_eq!(Instant::from_micros(1) + Duration::MAX, Instant::from_micros(u64::MAX));
        assert_eq!(Instant::from_millis(u64::MAX), Instant::from_micros(u64::MAX));
        assert_eq!(Instant::from_millis(7).as_micros(), 7000);
    }

    #[test]
    fn times_of_four_bytes_count_on_where_they_end() {
        let before = Instant::from_millis(u64::from(u32::MAX));
        assert_eq!(Millis::from(before).elapsed(before + Duration::from_millis(7)), 7);
        assert_eq!(Millis::from(before).elapsed(before + Duration::from_micros(999)), 0);
        let before = Instant::from_micros(u64::from(u32::MAX));
        assert_eq!(Micros::from(before).elapsed(before + Duration::from_micros(7)), 7);
    }

    #[test]
    fn never_is_later_than_any_deadline() {
        let at = Some(Instant::from_millis(1));
        assert_eq!(earliest(None, at), at);
        assert_eq!(earliest(at, Some(Instant::ZERO)), Some(Instant::ZERO));
        assert_eq!(earliest(None, None), None);
    }
}
