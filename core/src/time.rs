//! Time as the core knows it: points and distances that somebody else measured.
//!
//! Nothing here can read a clock. A runner passes a monotonic [`Instant`] into every call, and tells
//! the wall clock once per link as a [`Wall`].

use core::fmt;
use core::ops::{Add, Sub};
use core::time::Duration;

/// A point on the runner's monotonic clock, in microseconds since an epoch of the runner's choice.
///
/// A clock that goes backwards does no harm: distances saturate at zero.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Instant(u64);

impl Instant {
    /// The runner's epoch.
    pub const ZERO: Instant = Instant(0);

    /// The point `micros` microseconds after the runner's epoch.
    pub const fn from_micros(micros: u64) -> Self {
        Instant(micros)
    }

    /// The point `millis` milliseconds after the runner's epoch.
    pub const fn from_millis(millis: u64) -> Self {
        Instant(millis.saturating_mul(1000))
    }

    /// Microseconds since the runner's epoch.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// How long after `earlier` this is; zero if it is not after it.
    pub const fn saturating_duration_since(self, earlier: Instant) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Instant;

    fn add(self, distance: Duration) -> Instant {
        let micros = u64::try_from(distance.as_micros()).unwrap_or(u64::MAX);
        Instant(self.0.saturating_add(micros))
    }
}

impl Sub<Instant> for Instant {
    type Output = Duration;

    fn sub(self, earlier: Instant) -> Duration {
        self.saturating_duration_since(earlier)
    }
}

/// Seconds since 1970-01-01T00:00:00Z, the unit of every time claim in a JWT (RFC 7519 section 2, `NumericDate`).
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct UnixTime(u64);

impl UnixTime {
    /// The moment `seconds` after the Unix epoch.
    pub const fn from_secs(seconds: u64) -> Self {
        UnixTime(seconds)
    }

    /// Whole seconds since the Unix epoch.
    pub const fn as_secs(self) -> u64 {
        self.0
    }
}

impl fmt::Display for UnixTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The wall clock, told once: at the monotonic point `at` it was `unix`.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Wall {
    /// What the wall clock said.
    pub unix: UnixTime,
    /// What the monotonic clock said at that same moment.
    pub at: Instant,
}

impl Wall {
    /// The wall time at `now`, whole seconds.
    pub const fn unix_at(self, now: Instant) -> UnixTime {
        let elapsed = now.saturating_duration_since(self.at).as_secs();
        UnixTime(self.unix.0.saturating_add(elapsed))
    }
}

/// The sooner of two optional deadlines; `None` means never.
pub fn sooner(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
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
    fn the_wall_clock_follows_the_monotonic_one_from_the_moment_it_was_told() {
        let wall = Wall { unix: UnixTime::from_secs(1_000), at: Instant::from_millis(500) };
        assert_eq!(wall.unix_at(Instant::from_millis(2_499)), UnixTime::from_secs(1_001));
        assert_eq!(wall.unix_at(Instant::from_millis(2_500)), UnixTime::from_secs(1_002));
    }

    #[test]
    fn never_loses_against_any_deadline() {
        let at = Some(Instant::from_millis(1));
        assert_eq!(sooner(None, at), at);
        assert_eq!(sooner(at, Some(Instant::ZERO)), Some(Instant::ZERO));
        assert_eq!(sooner(None, None), None);
    }
}
