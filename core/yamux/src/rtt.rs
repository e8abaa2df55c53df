//! The round-trip time of a session, measured by its own pings.

use core::time::Duration;

use crate::instant::Instant;

/// How often the round trip is measured while bulk data arrives.
const PROBE_INTERVAL: Duration = Duration::from_secs(10);
/// Samples that are kept. The least of them counts, so that an answer that a peer delays does not grow windows.
const SAMPLES: usize = 6;

/// Round trips of a session.
#[derive(Debug, Default)]
pub(crate) struct Rtt {
    samples: [Option<Duration>; SAMPLES],
    next: usize,
    /// The last two pings without an answer, and when they left: a keepalive may follow a measurement.
    outstanding: [Option<(u32, Instant)>; 2],
    last_ping: Option<Instant>,
}

impl Rtt {
    /// The least of the last samples.
    pub(crate) fn min(&self) -> Option<Duration> {
        self.samples.iter().flatten().min().copied()
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
        self.samples[self.next % SAMPLES] = Some(now - at);
        self.next = self.next.wrapping_add(1);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_of_the_last_six_round_trips_counts() {
        let mut rtt = Rtt::default();
        for (n, micros) in [50, 10, 90, 90, 90, 90, 90, 80].into_iter().enumerate() {
            rtt.ping_sent(n as u32, Instant::ZERO);
            assert!(rtt.pong_received(n as u32, Instant::from_micros(micros)));
            let expected = [50, 10, 10, 10, 10, 10, 10, 80][n];
            assert_eq!(rtt.min(), Some(Duration::from_micros(expected)), "after {n}");
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
