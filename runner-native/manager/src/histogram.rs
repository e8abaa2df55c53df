//! Durations in constant memory: a histogram whose buckets grow with their value, so that a percentile is never more than an
//! eighth too high.
//!
//! Reads no clock.

use std::time::Duration;

use hvym_tunnel_net::exposition::HistogramSnapshot;

/// Buckets of each power of two.
const STEPS: u64 = 8;
/// Their logarithm.
const STEP_BITS: u32 = 3;
/// The highest power of two: 2^32 microseconds are more than an hour, and no request takes longer.
const MAX_EXPONENT: u32 = 32;
const BUCKETS: usize = ((MAX_EXPONENT - STEP_BITS + 2) as usize) * STEPS as usize;
/// A bucket as it is written: its number and its count.
const BUCKET_BYTES: usize = 2 + 4;
/// Powers of two of the bounds that a scrape gets: from a millisecond to a quarter of a minute, a factor of four apart.
const SCRAPED_EXPONENTS: [u32; 8] = [10, 12, 14, 16, 18, 20, 22, 24];

/// How many durations there were of each size.
#[derive(Clone, Debug)]
pub struct Histogram {
    counts: Box<[u32; BUCKETS]>,
    count: u64,
    sum_micros: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: Box::new([0; BUCKETS]), count: 0, sum_micros: 0 }
    }
}

impl Histogram {
    /// One more.
    pub fn record(&mut self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let bucket = &mut self.counts[bucket(micros)];
        *bucket = bucket.saturating_add(1);
        self.count += 1;
        self.sum_micros = self.sum_micros.saturating_add(micros);
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// All of them together.
    pub fn sum(&self) -> Duration {
        Duration::from_micros(self.sum_micros)
    }

    /// As a scrape gets them.
    pub fn snapshot(&self) -> HistogramSnapshot {
        HistogramSnapshot { buckets: self.cumulative().collect(), sum: self.sum(), count: self.count }
    }

    /// What [`Histogram::from_bytes`] reads: the sum, and the number and count of each bucket that is not empty.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.sum_micros.to_le_bytes().to_vec();
        for (index, count) in (0_u16..).zip(self.counts.iter()).filter(|(_, count)| **count > 0) {
            bytes.extend(index.to_le_bytes());
            bytes.extend(count.to_le_bytes());
        }
        bytes
    }

    /// What was written; `None` if it was not by [`Histogram::to_bytes`].
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (sum, buckets) = bytes.split_first_chunk::<8>()?;
        let mut histogram = Self { sum_micros: u64::from_le_bytes(*sum), ..Self::default() };
        for bucket in buckets.chunks(BUCKET_BYTES) {
            let (index, count) = bucket.split_first_chunk::<2>()?;
            let count = u32::from_le_bytes(count.try_into().ok()?);
            *histogram.counts.get_mut(usize::from(u16::from_le_bytes(*index)))? = count;
            histogram.count += u64::from(count);
        }
        Some(histogram)
    }

    /// For each bound of a scrape, in ascending order, how many were at most that long.
    pub fn cumulative(&self) -> impl Iterator<Item = (Duration, u64)> {
        SCRAPED_EXPONENTS.into_iter().map(|exponent| {
            let bound = 1 << exponent;
            let below = self.counts[..bucket(bound)].iter().map(|count| u64::from(*count)).sum();
            (Duration::from_micros(bound - 1), below)
        })
    }
}

/// The duration that `percent` of a hundred of all those recorded do not exceed; `None` without any.
pub fn percentile(histograms: &[&Histogram], percent: u8) -> Option<Duration> {
    let total: u64 = histograms.iter().map(|histogram| histogram.count).sum();
    let rank = (total * u64::from(percent)).div_ceil(100).max(1);
    let mut counted = 0;
    (0..BUCKETS).find_map(|index| {
        counted += histograms.iter().map(|histogram| u64::from(histogram.counts[index])).sum::<u64>();
        (counted >= rank && total > 0).then(|| Duration::from_micros(last_of(index)))
    })
}

/// The mean of all those recorded; `None` without any.
pub fn mean(histograms: &[&Histogram]) -> Option<Duration> {
    let total: u64 = histograms.iter().map(|histogram| histogram.count).sum();
    let sum: u64 = histograms.iter().map(|histogram| histogram.sum_micros).fold(0, u64::saturating_add);
    sum.checked_div(total).map(Duration::from_micros)
}

fn bucket(micros: u64) -> usize {
    let micros = micros.min((1 << (MAX_EXPONENT + 1)) - 1);
    let index = match micros.checked_ilog2() {
        Some(exponent @ STEP_BITS..) => {
            let step = (micros >> (exponent - STEP_BITS)) % STEPS;
            u64::from(exponent - STEP_BITS + 1) * STEPS + step
        }
        _ => micros,
    };
    usize::try_from(index).map_or(BUCKETS - 1, |index| index.min(BUCKETS - 1))
}

/// The longest duration of a bucket, microseconds.
fn last_of(index: usize) -> u64 {
    let index = index as u64;
    match index / STEPS {
        0 => index,
        power => ((STEPS + index % STEPS + 1) << (power - 1)) - 1,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(micros: &[u64]) -> Histogram {
        let mut histogram = Histogram::default();
        micros.iter().for_each(|micros| histogram.record(Duration::from_micros(*micros)));
        histogram
    }

    #[test]
    fn nothing_has_no_percentile_and_no_mean() {
        assert_eq!(percentile(&[&Histogram::default()], 50), None);
        assert_eq!(mean(&[&Histogram::default()]), None);
    }

    #[test]
    fn what_takes_longer_than_any_request_is_counted_as_the_longest() {
        let histogram = of(&[u64::MAX, 1 << 40]);
        assert_eq!(percentile(&[&histogram], 1), Some(Duration::from_micros((1 << 33) - 1)));
        assert_eq!(histogram.count(), 2);
    }

    #[test]
    fn a_scrape_counts_what_is_at_most_as_long_as_each_bound() {
        let bounds: Vec<_> = of(&[0, 1022, 1023, 1024, 4095, 4096, 1 << 30]).cumulative().collect();
        assert_eq!(bounds[0], (Duration::from_micros(1023), 3));
        assert_eq!(bounds[1], (Duration::from_micros(4095), 5));
        assert_eq!(bounds[7], (Duration::from_micros((1 << 24) - 1), 6));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_and_nothing_else(
            values in prop::collection::vec(any::<u64>(), 0..100), other in prop::collection::vec(any::<u8>(), 0..64),
        ) {
            let written = of(&values);
            let read = Histogram::from_bytes(&written.to_bytes()).expect("a histogram");
            prop_assert_eq!((&read.counts, read.count, read.sum_micros), (&written.counts, written.count, written.sum_micros));
            // Whatever else is there is refused, or is one.
            let _never_panics = Histogram::from_bytes(&other);
            let bytes = of(&[7, 900]).to_bytes();
            prop_assert!((0..bytes.len()).all(|end| (end >= 8 && (end - 8) % 6 == 0) == Histogram::from_bytes(&bytes[..end]).is_some()));
        }

        #[test]
        fn a_percentile_is_at_most_an_eighth_too_high(
            values in prop::collection::vec(0_u64..1 << 33, 1..200), percent in 1_u8..=100, split in 0_usize..200,
        ) {
            let (one, other) = values.split_at(split.min(values.len()));
            let found = percentile(&[&of(one), &of(other)], percent).expect("there are some").as_micros() as u64;
            let mut sorted = values.clone();
            sorted.sort_unstable();
            let exact = sorted[(sorted.len() * usize::from(percent)).div_ceil(100).max(1) - 1];
            prop_assert!(exact <= found && found <= exact + exact / 8, "{exact} {found}");
        }
    }
}
