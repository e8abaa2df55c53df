//! What happened in each minute of the last hour, each quarter of the last day, and each hour of the last week: what charts are made
//! of, in bounded memory.
//!
//! Reads no clock.

use std::collections::VecDeque;
use std::time::Duration;

use hvym_tunnel_state::{Rollup, RollupLimit, UnixMillis};

use crate::histogram::{self, Histogram};
use crate::shapes::{HistoryPoint, HistoryRange};
use crate::timestamp;
use crate::traffic::TrafficTotals;

impl HistoryRange {
    /// All of them.
    pub const ALL: [Self; 3] = [HistoryRange::Hour, HistoryRange::Day, HistoryRange::Week];

    /// By its name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|range| range.name() == text)
    }

    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            HistoryRange::Hour => "1h",
            HistoryRange::Day => "24h",
            HistoryRange::Week => "7d",
        }
    }

    /// Length of one step, seconds.
    pub fn seconds(self) -> u32 {
        match self {
            HistoryRange::Hour => 60,
            HistoryRange::Day => 15 * 60,
            HistoryRange::Week => 60 * 60,
        }
    }

    /// How many steps there are.
    pub fn count(self) -> usize {
        match self {
            HistoryRange::Hour => 60,
            HistoryRange::Day => 24 * 4,
            HistoryRange::Week => 7 * 24,
        }
    }

    fn millis(self) -> i64 {
        i64::from(self.seconds()) * 1000
    }

    fn limit(self) -> RollupLimit {
        RollupLimit { seconds: self.seconds().into(), count: self.count() as i64 }
    }
}

/// Steps of each length that may have changed since they were kept: as often as one lasts, and a moment late.
const KEPT_STEPS: usize = 3;

/// What happened in one step.
#[derive(Clone, Debug, Default)]
struct Interval {
    /// Which one, counted from 1970 in steps of this length.
    number: i64,
    requests: u64,
    failed: u64,
    received: u64,
    sent: u64,
    latency: Histogram,
}

/// Steps of one length, the latest last.
#[derive(Debug)]
struct Series {
    range: HistoryRange,
    intervals: VecDeque<Interval>,
}

impl Series {
    /// The step of `now`. A clock that was set back forgets what would be in its future.
    fn current(&mut self, now: UnixMillis) -> &mut Interval {
        let number = now.div_euclid(self.range.millis());
        while self.intervals.back().is_some_and(|last| last.number > number) {
            self.intervals.pop_back();
        }
        if self.intervals.back().is_none_or(|last| last.number < number) {
            let oldest = number - self.range.count() as i64;
            while self.intervals.front().is_some_and(|first| first.number <= oldest) {
                self.intervals.pop_front();
            }
            self.intervals.push_back(Interval { number, ..Interval::default() });
        }
        let last = self.intervals.len() - 1;
        &mut self.intervals[last]
    }

    /// Every step of the range, also those in which nothing happened.
    fn points(&self, now: UnixMillis) -> Vec<HistoryPoint> {
        let this = now.div_euclid(self.range.millis());
        let (empty, mut known) = (Interval::default(), self.intervals.iter().peekable());
        let numbers = this - self.range.count() as i64 + 1..=this;
        let point = |number| {
            while known.peek().is_some_and(|interval| interval.number < number) {
                known.next();
            }
            let interval = known.next_if(|interval| interval.number == number);
            self.point(number, interval.unwrap_or(&empty), now)
        };
        numbers.map(point).collect()
    }

    fn point(&self, number: i64, interval: &Interval, now: UnixMillis) -> HistoryPoint {
        let begun = number * self.range.millis();
        // Of the step that lasts, what has passed, but not so little that one request is many in a second.
        let passed = (now - begun).clamp(1000, self.range.millis());
        let percentile = |percent| histogram::percentile(&[&interval.latency], percent);
        let millis = |duration: Duration| duration.as_micros() as f64 / 1000.0;
        HistoryPoint {
            at: timestamp::at_unix(begun),
            requests: interval.requests,
            errors: interval.failed,
            requests_per_second: interval.requests as f64 * 1000.0 / passed as f64,
            bytes_in: interval.received,
            bytes_out: interval.sent,
            p50: percentile(50).map(millis),
            p95: percentile(95).map(millis),
            p99: percentile(99).map(millis),
        }
    }
}

/// The history of all services together.
#[derive(Debug)]
pub struct History {
    series: [Series; 3],
    /// What was counted when bytes were looked at the last time.
    sampled: TrafficTotals,
}

impl Default for History {
    fn default() -> Self {
        let series = HistoryRange::ALL.map(|range| Series { range, intervals: VecDeque::new() });
        Self { series, sampled: TrafficTotals::default() }
    }
}

impl History {
    /// A request was answered after `duration`, or a connection is over, whose time says nothing of how fast a service is.
    pub fn record(&mut self, duration: Option<Duration>, is_failed: bool, now: UnixMillis) {
        for series in &mut self.series {
            let interval = series.current(now);
            interval.requests += 1;
            interval.failed += u64::from(is_failed);
            duration.into_iter().for_each(|duration| interval.latency.record(duration));
        }
    }

    /// These are the bytes of all services since the start. Those since the last call count for now.
    pub fn sample(&mut self, totals: TrafficTotals, now: UnixMillis) {
        // Fewer than before: a service is gone.
        let received = totals.received.saturating_sub(self.sampled.received);
        let sent = totals.sent.saturating_sub(self.sampled.sent);
        self.sampled = totals;
        if received + sent == 0 {
            return;
        }
        for series in &mut self.series {
            let interval = series.current(now);
            interval.received += received;
            interval.sent += sent;
        }
    }

    /// The steps of a range, the oldest first; the last one lasts.
    pub fn points(&self, range: HistoryRange, now: UnixMillis) -> Vec<HistoryPoint> {
        self.series
            .iter()
            .find(|series| series.range == range)
            .map_or_else(Vec::new, |series| series.points(now))
    }

    /// What is to be kept: the latest steps of each length, since what is older was kept already.
    pub fn recent(&self) -> Vec<Rollup> {
        let latest = |series: &Series| {
            let (seconds, millis) = (i64::from(series.range.seconds()), series.range.millis());
            let rollup = move |interval: &Interval| {
                let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
                Rollup {
                    seconds,
                    at: interval.number * millis,
                    requests: number(interval.requests),
                    failures: number(interval.failed),
                    bytes_in: number(interval.received),
                    bytes_out: number(interval.sent),
                    latencies: interval.latency.to_bytes(),
                }
            };
            series.intervals.iter().rev().take(KEPT_STEPS).map(rollup).collect::<Vec<_>>()
        };
        self.series.iter().flat_map(latest).collect()
    }

    /// How much of it is kept.
    pub fn limits() -> [RollupLimit; 3] {
        HistoryRange::ALL.map(HistoryRange::limit)
    }

    /// What an earlier process kept, in ascending order. What cannot be read is left out.
    pub fn restore(&mut self, rollups: &[Rollup], now: UnixMillis) {
        for rollup in rollups.iter().filter(|rollup| rollup.at <= now) {
            let is_meant = |series: &&mut Series| i64::from(series.range.seconds()) == rollup.seconds;
            let Some(series) = self.series.iter_mut().find(is_meant) else { continue };
            let number = |value: i64| u64::try_from(value).unwrap_or(0);
            let interval = series.current(rollup.at);
            (interval.requests, interval.failed) = (number(rollup.requests), number(rollup.failures));
            (interval.received, interval.sent) = (number(rollup.bytes_in), number(rollup.bytes_out));
            interval.latency = Histogram::from_bytes(&rollup.latencies).unwrap_or_default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The beginning of an hour.
    const START: UnixMillis = 500_000 * 3_600_000;
    const MINUTE: i64 = 60_000;

    fn request(history: &mut History, millis: u64, now: UnixMillis) {
        history.record(Some(Duration::from_millis(millis)), millis > 100, now);
    }

    #[test]
    fn each_range_has_all_its_steps_and_the_last_one_lasts() {
        let mut history = History::default();
        request(&mut history, 1, START - MINUTE);
        request(&mut history, 10, START + 1000);
        request(&mut history, 200, START + 2000);
        history.record(None, true, START + 2000);
        for (range, steps) in [(HistoryRange::Hour, 60), (HistoryRange::Day, 96), (HistoryRange::Week, 168)] {
            let points = history.points(range, START + 30_000);
            assert_eq!(points.len(), steps);
            let [before, last] = &points[steps - 2..] else { panic!("two steps") };
            assert_eq!((before.requests, before.errors, last.requests, last.errors), (1, 0, 3, 2));
            assert_eq!(last.at, timestamp::at_unix(START));
            assert!((last.requests_per_second - 0.1).abs() < 1e-9, "three in thirty seconds: {last:?}");
            assert!(last.p50.is_some_and(|p50| (10.0..12.0).contains(&p50)), "{last:?}");
            assert!(last.p99.is_some_and(|p99| (200.0..230.0).contains(&p99)), "{last:?}");
            assert!(points[..steps - 2].iter().all(|point| point.requests == 0 && point.p50.is_none()));
        }
    }

    #[test]
    fn what_is_older_than_the_range_is_forgotten() {
        let mut history = History::default();
        request(&mut history, 1, START);
        let count = |history: &History, range, now| -> u64 {
            history.points(range, now).iter().map(|point| point.requests).sum()
        };
        assert_eq!(count(&history, HistoryRange::Hour, START + 59 * MINUTE), 1);
        assert_eq!(count(&history, HistoryRange::Hour, START + 60 * MINUTE), 0);
        assert_eq!(count(&history, HistoryRange::Day, START + 60 * MINUTE), 1);
        for minute in 0..3000 {
            request(&mut history, 1, START + minute * MINUTE);
        }
        let held: Vec<_> = history.series.iter().map(|series| series.intervals.len()).collect();
        assert_eq!(held, [60, 96, 50]);
    }

    #[test]
    fn a_clock_that_is_set_back_goes_on_from_there() {
        let mut history = History::default();
        request(&mut history, 1, START + 1000 * MINUTE);
        request(&mut history, 1, START);
        assert_eq!(history.points(HistoryRange::Hour, START).last().map(|point| point.requests), Some(1));
    }

    #[test]
    fn bytes_count_where_they_are_seen_and_those_of_a_service_that_is_gone_are_no_less() {
        let mut history = History::default();
        let totals = |received, sent| TrafficTotals { requests: 0, received, sent };
        history.sample(totals(10, 100), START);
        history.sample(totals(15, 300), START + MINUTE);
        history.sample(totals(0, 0), START + MINUTE);
        history.sample(totals(1, 1), START + MINUTE);
        let points = history.points(HistoryRange::Hour, START + MINUTE);
        let bytes: Vec<_> = points[58..].iter().map(|point| (point.bytes_in, point.bytes_out)).collect();
        assert_eq!(bytes, [(10, 100), (6, 201)]);
    }

    #[test]
    fn another_process_goes_on_where_one_ended() {
        let mut first = History::default();
        request(&mut first, 10, START - MINUTE);
        request(&mut first, 20, START);
        let mut kept = first.recent();
        assert_eq!(kept.len(), 6, "two of each length");
        kept.sort_by_key(|rollup| (rollup.seconds, rollup.at));
        let mut second = History::default();
        second.restore(&kept, START);
        request(&mut second, 30, START);
        for range in HistoryRange::ALL {
            let points = second.points(range, START);
            assert_eq!(points.iter().map(|point| point.requests).sum::<u64>(), 3);
            assert!(points.last().and_then(|point| point.p99).is_some_and(|p99| p99 >= 30.0));
        }
        let future = Rollup { seconds: 60, at: START + MINUTE, requests: 9, ..Rollup::default() };
        let unknown = Rollup { seconds: 61, at: START, requests: 9, ..Rollup::default() };
        let mut third = History::default();
        third.restore(&[future, unknown], START);
        assert!(third.points(HistoryRange::Hour, START).iter().all(|point| point.requests == 0));
    }
}
