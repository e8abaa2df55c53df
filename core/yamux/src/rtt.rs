//! The round-trip time of a session, measured by its own pings.

use core::time::Duration;

use crate::instant::Instant;

/// How often the round trip is measured while bulk data arrives.
const PROBE_INTERVAL: Duration = Duration::from_secs(10);
/// The least round trip of this and the last period counts. So long, since while bulk data arrives every answer waits in
/// queues, and a window must not grow by those; not for ever, since a path may become longer.
const PERIOD: Duration = Duration::from_secs(300);

/// Round trips of a session.
#[derive(Debug, Default)]
pub(crate) struct Rtt {
    /// The least of this period and of the one before.
    least: [Option<Duration>; 2],
    /// When this period began.
    period_at: Instant,
    /// The last two pings without an answer, and when they left: a keepalive may follow a measurement.
    outstanding: [Option<(u32, Instant)>; 2],
    last_ping: Option<Instant>,
    /// See [`bytes`](Self::bytes).
    bytes: u32,
}

impl Rtt {
    /// The least round trip of the last five to ten minutes in which there was one.
    pub(crate) fn min(&self) -> Option<Duration> {
        self.least.iter().flatten().min().copied()
    }

    /// What the fastest streams of late were read in a round trip, bytes.
    pub(crate) fn bytes(&self) -> u32 {
        self.bytes
    }

    /// A stream was read at a rate of so many bytes in a round trip. Faster ones are forgotten by and by.
    pub(crate) fn bytes_read(&mut self, bytes: u64) {
        self.bytes = u32::try_from(bytes).unwrap_or(u32::MAX).max(self.bytes - self.bytes / 8);
    }

    /// Whether it is time to measure again.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.last_ping.is_none_or(|at| now - at >= PROBE_INTERVAL)
    }

    pub(crate) fn ping_sent(&mut self, value: u32, now: Instant) {
        self.outstanding = [Some((value, now)), self.outstanding[0]];
        self.last_ping = Some(now);
    }

    /// Whether `value` answers an outstanding ping.
    pub(crate) fn pong_received(&mut self, value: u32, now: Instant) -> bool {
        let ping = self.outstanding.iter_mut().find(|ping| ping.is_some_and(|(sent, _)| sent == value));
        let Some((_, at)) = ping.and_then(Option::take) else { return false };
        if now - self.period_at >= PERIOD {
            self.least = [None, self.least[0]];
            self.period_at = now;
        }
        let least = &mut self.least[0];
        *least = Some(least.map_or(now - at, |least| least.min(now - at)));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_round_trip_of_this_and_the_last_period_counts() {
        let mut rtt = Rtt::default();
        for (seconds, micros, least) in [
            (0, 50, 50),
            (100, 10, 10),
            (200, 90, 10),
            (301, 90, 10),
            (599, 80, 10),
            (602, 70, 70),
            (903, 90, 70),
        ] {
            let at = Instant::from_millis(seconds * 1000);
            rtt.ping_sent(7, at);
            assert!(rtt.pong_received(7, at + Duration::from_micros(micros)));
            assert_eq!(rtt.min(), Some(Duration::from_micros(least)), "after {seconds} s");
        }
    }

    #[test]
    fn only_the_last_two_pings_can_be_answered_and_each_once() {
        let mut rtt = Rtt::default();
        for value in [1, 2, 3] {
            rtt.ping_sent(value, Instant::ZERO);
        }
        assert_eq!(
            [1, 3, 3, 2].map(|value| rtt.pong_received(value, Instant::ZERO)),
            [false, true, false, true]
        );
    }

    #[test]
    fn the_next_measurement_is_due_ten_seconds_after_the_last_ping() {
        let mut rtt = Rtt::default();
        assert!(rtt.is_due(Instant::ZERO));
        rtt.ping_sent(1, Instant::ZERO);
        assert!(!rtt.is_due(Instant::from_millis(9_999)) && rtt.is_due(Instant::from_millis(10_000)));
    }
}
