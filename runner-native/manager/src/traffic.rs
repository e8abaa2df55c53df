//! What passed through the services of one link: counts, sizes, and how long requests took.
//!
//! Reads no clock.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hvym_tunnel_agent::event::{ConnectionRecord, RequestNote, RequestRecord};
use hvym_tunnel_core::time::Instant;

use crate::histogram::Histogram;
use crate::rolling::Rolling;

/// How long a request counts for rates and percentiles: two of these at most.
const RECENT_SPAN: Duration = Duration::from_secs(5 * 60);
/// With fewer requests than this, one that failed says nothing of a rate.
const MIN_RATED_REQUESTS: u64 = 10;
/// Two samples that are closer than this say nothing of a rate.
const MIN_RATE_SPAN: Duration = Duration::from_secs(1);
/// Classes of statuses: 1xx to 5xx.
pub const STATUS_CLASSES: usize = 5;

/// Bytes of one service, counted where they pass.
#[derive(Debug, Default)]
pub struct ByteCounts {
    /// From visitors.
    pub received: AtomicU64,
    /// To visitors.
    pub sent: AtomicU64,
}

impl ByteCounts {
    /// Received and sent so far.
    pub fn totals(&self) -> (u64, u64) {
        (self.received.load(Ordering::Relaxed), self.sent.load(Ordering::Relaxed))
    }
}

/// Requests of the recent past.
#[derive(Clone, Debug, Default)]
pub struct RecentRequests {
    /// How many.
    pub requests: u64,
    /// How many of them failed.
    pub failed: u64,
    /// How long they took.
    pub latency: Histogram,
}

/// What happened to requests and connections of one service.
#[derive(Clone, Debug)]
pub struct ServiceTraffic {
    /// Requests and connections.
    pub requests: u64,
    /// Those that the service failed.
    pub failed: u64,
    /// Requests by the class of their status.
    pub classes: [u64; STATUS_CLASSES],
    /// How long they took, since the start.
    pub latency: Histogram,
    /// What went wrong, by kind.
    pub errors: BTreeMap<&'static str, u64>,
    /// Those of the recent past.
    pub recent: Rolling<RecentRequests>,
}

impl ServiceTraffic {
    /// Nothing happened yet.
    pub fn new(now: Instant) -> Self {
        Self {
            requests: 0,
            failed: 0,
            classes: [0; STATUS_CLASSES],
            latency: Histogram::default(),
            errors: BTreeMap::new(),
            recent: Rolling::new(RECENT_SPAN, now),
        }
    }

    /// A request was answered, or broke off. Whether that was the service's fault.
    pub fn handle_request(&mut self, record: &RequestRecord, now: Instant) -> bool {
        let class = usize::from(record.status / 100).clamp(1, STATUS_CLASSES) - 1;
        self.classes[class] += 1;
        self.handle(record.duration, error_kind(record), now)
    }

    /// A connection to a TCP service is over. Whether that was the service's fault.
    pub fn handle_connection(&mut self, record: &ConnectionRecord, now: Instant) -> bool {
        self.handle(record.duration, record.failure.as_ref().map(|_| "connection"), now)
    }

    fn handle(&mut self, duration: Duration, error: Option<&'static str>, now: Instant) -> bool {
        // A visitor that leaves is no fault of the service.
        let is_failed = error.is_some_and(|kind| kind != "client_closed");
        self.requests += 1;
        self.failed += u64::from(is_failed);
        if let Some(kind) = error {
            *self.errors.entry(kind).or_default() += 1;
        }
        self.latency.record(duration);
        let recent = self.recent.current(now);
        recent.requests += 1;
        recent.failed += u64::from(is_failed);
        recent.latency.record(duration);
        is_failed
    }

    /// Failed requests of a hundred, of the recent past. 0 while there are too few to tell.
    pub fn error_percent(&mut self, now: Instant) -> f64 {
        let recent = self.recent.generations(now);
        let [requests, failed] = [
            recent.iter().map(|part| part.requests).sum::<u64>(),
            recent.iter().map(|part| part.failed).sum(),
        ];
        if requests < MIN_RATED_REQUESTS { 0.0 } else { 100.0 * failed as f64 / requests as f64 }
    }
}

/// The kind of error of a request, if it is one.
fn error_kind(record: &RequestRecord) -> Option<&'static str> {
    match (&record.note, record.status) {
        (Some(RequestNote::StoppedInResponse { .. }), _) => Some("broken_response"),
        (Some(RequestNote::CutOffInResponse | RequestNote::CutOffBeforeResponse), _) | (_, 499) => {
            Some("client_closed")
        }
        (_, 502) => Some("bad_gateway"),
        (_, 504) => Some("timeout"),
        (_, 500..) => Some("server_error"),
        _ => None,
    }
}

/// Totals of all services at one moment.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct TrafficTotals {
    /// Requests.
    pub requests: u64,
    /// Bytes from visitors.
    pub received: u64,
    /// Bytes to visitors.
    pub sent: u64,
}

impl TrafficTotals {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            requests: self.requests + other.requests,
            received: self.received + other.received,
            sent: self.sent + other.sent,
        }
    }
}

/// How much there is in a second.
#[derive(Copy, Clone, PartialEq, Debug, Default)]
pub struct TrafficRate {
    /// Requests.
    pub requests: f64,
    /// Bytes from visitors.
    pub received: f64,
    /// Bytes to visitors.
    pub sent: f64,
}

/// Makes rates of totals that are sampled now and then.
#[derive(Debug, Default)]
pub struct TrafficMeter {
    last: Option<(Instant, TrafficTotals)>,
    rate: TrafficRate,
}

impl TrafficMeter {
    /// The rate since the sample before, unless that is less than a second ago.
    pub fn sample(&mut self, totals: TrafficTotals, now: Instant) -> TrafficRate {
        let Some((at, before)) = self.last else {
            self.last = Some((now, totals));
            return self.rate;
        };
        let passed = now.saturating_duration_since(at);
        if passed >= MIN_RATE_SPAN {
            let rate = |now: u64, before: u64| now.saturating_sub(before) as f64 / passed.as_secs_f64();
            self.rate = TrafficRate {
                requests: rate(totals.requests, before.requests),
                received: rate(totals.received, before.received),
                sent: rate(totals.sent, before.sent),
            };
            self.last = Some((now, totals));
        }
        self.rate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_millis(seconds * 1000)
    }

    #[test]
    fn a_few_requests_are_no_rate_and_old_ones_are_forgotten() {
        let mut traffic = ServiceTraffic::new(at(0));
        let handle = |traffic: &mut ServiceTraffic, error| {
            traffic.handle(Duration::from_millis(5), error, at(1));
        };
        (0..MIN_RATED_REQUESTS - 1).for_each(|_| handle(&mut traffic, Some("bad_gateway")));
        assert_eq!(traffic.error_percent(at(1)), 0.0);
        handle(&mut traffic, None);
        assert_eq!(traffic.error_percent(at(1)), 90.0);
        (0..10).for_each(|_| handle(&mut traffic, Some("client_closed")));
        assert_eq!(traffic.error_percent(at(1)), 45.0);
        assert_eq!((traffic.requests, traffic.failed), (20, 9));
        assert_eq!(traffic.error_percent(at(601)), 0.0);
    }

    #[test]
    fn a_rate_is_that_of_the_time_between_two_samples() {
        let mut meter = TrafficMeter::default();
        let totals = |requests, received| TrafficTotals { requests, received, sent: 0 };
        assert_eq!(meter.sample(totals(0, 0), at(0)), TrafficRate::default());
        let rate = meter.sample(totals(10, 4000), at(2));
        assert_eq!(rate, TrafficRate { requests: 5.0, received: 2000.0, sent: 0.0 });
        let soon = at(2) + Duration::from_millis(999);
        assert_eq!(meter.sample(totals(100, 9000), soon), rate);
        assert_eq!(meter.sample(totals(10, 4000), at(3)).requests, 0.0);
    }
}
