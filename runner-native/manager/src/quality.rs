//! How good a connection is, in the words and by the limits of the CloudToLocalLLM Tunnel Manager.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

/// Beyond it a connection is poor.
const POOR_LATENCY: Duration = Duration::from_secs(5);
/// Beyond it a connection is not excellent.
const GOOD_LATENCY: Duration = Duration::from_secs(1);
/// Beyond it a health score loses its first ten points.
const SCORED_LATENCY: Duration = Duration::from_millis(500);
/// Percent of errors beyond which a connection is critical.
const CRITICAL_ERRORS: f64 = 10.0;
/// Percent of errors beyond which a connection is not excellent.
const GOOD_ERRORS: f64 = 5.0;
/// A connection that was not checked for so long needs attention.
const STALE_CHECK: Duration = Duration::from_secs(5 * 60);

/// How good a connection is.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, JsonSchema)]
pub enum Quality {
    /// Fast, and almost without errors.
    Excellent,
    /// Slower than a second, or more than 5 % errors.
    Good,
    /// Slower than five seconds.
    Poor,
    /// Not connected, or more than 10 % errors.
    Critical,
}

impl Quality {
    /// That of a connection with this latency and this many errors of a hundred.
    pub fn new(connected: bool, latency: Duration, error_percent: f64) -> Self {
        if !connected || error_percent > CRITICAL_ERRORS {
            Quality::Critical
        } else if latency > POOR_LATENCY {
            Quality::Poor
        } else if latency > GOOD_LATENCY || error_percent > GOOD_ERRORS {
            Quality::Good
        } else {
            Quality::Excellent
        }
    }

    /// Whether a person should look at the connection, which was checked this long ago.
    pub fn needs_attention(self, checked_ago: Option<Duration>) -> bool {
        self >= Quality::Poor || checked_ago.is_none_or(|ago| ago > STALE_CHECK)
    }
}

/// How well everything is, from 0 to 100: the share of the connections that are there, less their errors and their slowness.
pub fn health_score(connected: usize, total: usize, latency: Duration, error_percent: f64) -> f64 {
    let slowness = match latency {
        latency if latency > GOOD_LATENCY => 20.0,
        latency if latency > SCORED_LATENCY => 10.0,
        _ => 0.0,
    };
    let share = if total == 0 { 1.0 } else { connected as f64 / total as f64 };
    ((100.0 - error_percent - slowness) * share).clamp(0.0, 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_belongs_to_the_better_side() {
        let of = |millis, errors| Quality::new(true, Duration::from_millis(millis), errors);
        assert_eq!(of(1000, 5.0), Quality::Excellent);
        assert_eq!((of(1001, 0.0), of(0, 5.1)), (Quality::Good, Quality::Good));
        assert_eq!((of(5000, 10.0), of(5001, 10.0)), (Quality::Good, Quality::Poor));
        assert_eq!((of(0, 10.1), of(9000, 10.1)), (Quality::Critical, Quality::Critical));
        assert_eq!(Quality::new(false, Duration::ZERO, 0.0), Quality::Critical);
    }

    #[test]
    fn a_connection_that_is_bad_or_was_not_checked_needs_attention() {
        let [fresh, old] = [300, 301].map(|seconds| Some(Duration::from_secs(seconds)));
        assert!(!Quality::Excellent.needs_attention(fresh) && !Quality::Good.needs_attention(fresh));
        assert!(Quality::Poor.needs_attention(fresh) && Quality::Critical.needs_attention(fresh));
        assert!(Quality::Excellent.needs_attention(old) && Quality::Excellent.needs_attention(None));
    }

    #[test]
    fn a_score_falls_with_errors_slowness_and_lost_connections() {
        let score =
            |connected, millis, errors| health_score(connected, 2, Duration::from_millis(millis), errors);
        assert_eq!((score(2, 500, 0.0), score(2, 501, 0.0), score(2, 1001, 0.0)), (100.0, 90.0, 80.0));
        assert_eq!((score(1, 0, 0.0), score(0, 0, 0.0), score(2, 2000, 100.0)), (50.0, 0.0, 0.0));
        assert_eq!(health_score(0, 0, Duration::ZERO, 0.0), 100.0);
    }
}
