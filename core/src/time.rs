//! Time as the core knows it: points and distances that somebody else measured.
//!
//! Nothing here can read a clock. A runner passes a monotonic [`Instant`] into every call, and tells
//! the wall clock once per dial as a [`Wall`].

use core::fmt;
use core::time::Duration;

pub use hvym_yamux::Instant;

/// Tolerated difference between two clocks. HVYM's verifier of tokens tolerates the same 60 s.
pub const SKEW: Duration = Duration::from_secs(60);

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

/// On which side of its validity period (RFC 7519 sections 4.1.4 to 4.1.6) something was shown.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Validity {
    /// After it.
    Expired,
    /// Before it.
    NotYetValid,
}

/// The wall clock, read once: at the monotonic point `at` it was `unix`.
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
pub fn earliest(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wall_clock_follows_the_monotonic_one_from_the_moment_it_was_told() {
        let wall = Wall { unix: UnixTime::from_secs(1_000), at: Instant::from_millis(500) };
        assert_eq!(wall.unix_at(Instant::from_millis(2_499)), UnixTime::from_secs(1_001));
        assert_eq!(wall.unix_at(Instant::from_millis(2_500)), UnixTime::from_secs(1_002));
    }

    #[test]
    fn never_loses_against_any_deadline() {
        let at = Some(Instant::from_millis(1));
        assert_eq!(earliest(None, at), at);
        assert_eq!(earliest(at, Some(Instant::ZERO)), Some(Instant::ZERO));
        assert_eq!(earliest(None, None), None);
    }
}
