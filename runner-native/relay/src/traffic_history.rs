//! What a relay did in each interval of the last hour. Reads no clock, and counts nothing itself.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

/// Length of an interval.
pub(crate) const INTERVAL: Duration = Duration::from_secs(10);
/// Intervals that are remembered: an hour, in 23 KiB.
const MAX_POINTS: usize = 360;

/// The counters of a relay at a moment. All but the first two only grow.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Sample {
    /// Agents that are logged in.
    pub(crate) agents: usize,
    /// Open connections, of visitors and agents.
    pub(crate) connections: usize,
    pub(crate) requests: u64,
    /// Requests that got no response of their service.
    pub(crate) failed: u64,
    /// Agents that were not let in.
    pub(crate) refused: u64,
    /// Bytes to agents.
    pub(crate) bytes_in: u64,
    /// Bytes from agents.
    pub(crate) bytes_out: u64,
}

/// One interval: how much there was at its end, and how much the counters grew in it.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) struct TrafficPoint {
    /// Its end.
    pub(crate) at: SystemTime,
    pub(crate) grown: Sample,
}

/// The latest intervals.
#[derive(Default)]
pub(crate) struct TrafficHistory(Mutex<Points>);

#[derive(Default)]
pub(crate) struct Points {
    last: Sample,
    points: VecDeque<TrafficPoint>,
}

impl Points {
    /// The oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &TrafficPoint> {
        self.points.iter()
    }
}

impl TrafficHistory {
    /// An interval ended at `at`, and the counters were these then.
    pub(crate) fn record(&self, at: SystemTime, sample: Sample) {
        let mut points = self.lock();
        let before = std::mem::replace(&mut points.last, sample);
        if points.points.len() >= MAX_POINTS {
            points.points.pop_front();
        }
        let grown = Sample {
            requests: sample.requests.saturating_sub(before.requests),
            failed: sample.failed.saturating_sub(before.failed),
            refused: sample.refused.saturating_sub(before.refused),
            bytes_in: sample.bytes_in.saturating_sub(before.bytes_in),
            bytes_out: sample.bytes_out.saturating_sub(before.bytes_out),
            ..sample
        };
        points.points.push_back(TrafficPoint { at, grown });
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Points> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_has_what_the_counters_grew_by_and_how_much_there_is() {
        let history = TrafficHistory::default();
        let sample =
            |agents, requests| Sample { agents, requests, bytes_out: requests * 10, ..Sample::default() };
        for (seconds, sample) in [(10, sample(3, 7)), (20, sample(2, 7)), (30, sample(2, 12))] {
            history.record(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds), sample);
        }
        let points = history.lock();
        let seen =
            points.iter().map(|point| (point.grown.agents, point.grown.requests, point.grown.bytes_out));
        assert_eq!(seen.collect::<Vec<_>>(), [(3, 7, 70), (2, 0, 0), (2, 5, 50)]);
    }

    #[test]
    fn an_hour_is_remembered_and_no_more() {
        let history = TrafficHistory::default();
        for count in 0..=MAX_POINTS as u64 {
            let at = SystemTime::UNIX_EPOCH + INTERVAL * u32::try_from(count).unwrap_or(0);
            history.record(at, Sample { requests: count, ..Sample::default() });
        }
        let points = history.lock();
        assert_eq!(points.iter().count(), MAX_POINTS);
        assert_eq!(points.iter().next().map(|point| point.at), Some(SystemTime::UNIX_EPOCH + INTERVAL));
    }
}
