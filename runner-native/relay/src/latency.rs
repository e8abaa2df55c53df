//! Durations by their size, counted without a lock. Reads no clock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hvym_tunnel_net::exposition::HistogramSnapshot;

/// Bounds of the buckets, milliseconds: from what a service on the same machine takes to what a language model does.
const BOUNDS_MILLIS: [u64; 10] = [1, 4, 16, 64, 250, 1_000, 4_000, 16_000, 60_000, 300_000];

/// How many durations there were of each size.
#[derive(Debug, Default)]
pub(crate) struct LatencyHistogram {
    /// One for each bound, and one for what is longer.
    counts: [AtomicU64; BOUNDS_MILLIS.len() + 1],
    sum_micros: AtomicU64,
}

impl LatencyHistogram {
    /// One more.
    pub(crate) fn record(&self, duration: Duration) {
        let at = BOUNDS_MILLIS.partition_point(|bound| Duration::from_millis(*bound) < duration);
        self.counts[at].fetch_add(1, Ordering::Relaxed);
        self.sum_micros.fetch_add(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// What was counted so far.
    pub(crate) fn snapshot(&self) -> HistogramSnapshot {
        let mut count = 0;
        let counts = self.counts.iter().map(|counter| {
            count += counter.load(Ordering::Relaxed);
            count
        });
        // One more count than bounds: the last is that of all.
        let counts: Vec<u64> = counts.collect();
        let bounds = BOUNDS_MILLIS.iter().map(|millis| Duration::from_millis(*millis));
        HistogramSnapshot {
            buckets: bounds.zip(counts).collect(),
            sum: Duration::from_micros(self.sum_micros.load(Ordering::Relaxed)),
            count,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_in_the_bucket_of_the_first_bound_that_it_does_not_exceed() {
        let histogram = LatencyHistogram::default();
        for micros in [0, 1_000, 1_001, 300_000_000, 300_000_001] {
            histogram.record(Duration::from_micros(micros));
        }
        let snapshot = histogram.snapshot();
        let counts: Vec<u64> = snapshot.buckets.iter().map(|(_, count)| *count).collect();
        assert_eq!(counts, [2, 3, 3, 3, 3, 3, 3, 3, 3, 4]);
        assert_eq!((snapshot.count, snapshot.sum), (5, Duration::from_micros(600_002_002)));
        assert_eq!(snapshot.buckets[9].0, Duration::from_secs(300));
    }
}
