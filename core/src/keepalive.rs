//! When to ping and when to give up. Any message proves life, and so does output that waited and was taken; a pong also
//! gives the round trip time.
//!
//! It knows neither what a ping looks like nor who sends it: the link asks, and tells it what arrived.

use core::time::Duration;

use crate::recent_bytes::RecentBytes;
use crate::time::Instant;

/// The bytes that a socket has taken in [`SLOW_LINE_PERIOD`] behind which an answer may come late: a line of 100 kbit/s carries
/// them within the usual timeout, and a few small requests are far below.
const SLOW_LINE_BYTES: u64 = 64 * 1024;
/// How far back these are counted. A queue that takes longer serves nobody.
const SLOW_LINE_PERIOD: Duration = Duration::from_secs(10);

/// How often to ask, and how long to wait for an answer.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct KeepaliveConfig {
    /// Ping after this long without any input. Shorter notices a dead peer sooner and costs a message each time.
    pub ping_interval: Duration,
    /// Give the link up when this passes after a ping without any input, and without the socket taking any of the data
    /// that waits; twice this if the socket has just taken much. Too short, and a slow network kills a live link.
    pub ping_timeout: Duration,
}

impl Default for KeepaliveConfig {
    /// 10 s and 5 s: a dead peer is noticed within 15 s, 20 s where the socket was full or had just taken much, and carrier
    /// NATs that forget after 30 s stay open.
    fn default() -> Self {
        Self { ping_interval: Duration::from_secs(10), ping_timeout: Duration::from_secs(5) }
    }
}

/// How a link detects a dead peer.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub enum KeepaliveMode {
    /// Sends pings and gives up without an answer.
    #[default]
    Active,
    /// The peer sends pings; gives up when they stop.
    Passive,
    /// Sends pings that the peer does not answer; only the transport notices a dead peer.
    Unanswered,
}

/// What the clock demands.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum KeepaliveAction {
    /// Send a ping with this id.
    Ping(u64),
    /// The peer is gone.
    Dead,
}

/// The liveness of one link.
#[derive(Debug)]
pub struct Keepalive {
    config: KeepaliveConfig,
    mode: KeepaliveMode,
    last_received: Instant,
    next_id: u64,
    /// The outstanding ping: its id and when it was sent.
    asked: Option<(u64, Instant)>,
    /// When the outstanding ping counts as unanswered; any input clears it.
    give_up: Option<Instant>,
    /// The socket has not taken all that there is to send.
    output_waits: bool,
    /// Data had to wait for the socket since the last input, or since the last deadline.
    was_full: bool,
    /// The socket has taken data since then.
    output_taken: bool,
    /// What the socket has taken.
    taken: RecentBytes,
    /// The verdict was put off once since the last input, because of what the socket had taken.
    was_put_off: bool,
}

impl Keepalive {
    /// A link that is alive at `now`.
    pub fn new(config: KeepaliveConfig, now: Instant) -> Self {
        Self {
            config,
            mode: KeepaliveMode::Active,
            last_received: now,
            next_id: 1,
            asked: None,
            give_up: None,
            output_waits: false,
            was_full: false,
            output_taken: false,
            taken: RecentBytes::new(SLOW_LINE_PERIOD),
            was_put_off: false,
        }
    }

    /// Adapts to what the peer can keep: pings no more often, and gives up no sooner, than `min` says, from now on.
    pub fn adapt(&mut self, mode: KeepaliveMode, min: Option<KeepaliveConfig>) {
        self.mode = mode;
        if let Some(min) = min {
            self.config.ping_interval = self.config.ping_interval.max(min.ping_interval);
            self.config.ping_timeout = self.config.ping_timeout.max(min.ping_timeout);
        }
    }

    /// Something arrived.
    pub fn handle_input(&mut self, now: Instant) {
        self.last_received = self.last_received.max(now);
        self.give_up = None;
        (self.was_full, self.output_taken) = (self.output_waits, false);
        self.was_put_off = false;
    }

    /// The socket took so many bytes, after which there may be more.
    pub fn handle_data_taken(&mut self, bytes: usize, now: Instant) {
        self.output_waits = true;
        self.output_taken = true;
        self.taken.add(bytes, now);
    }

    /// The socket has taken all that there is to send.
    pub fn handle_output_done(&mut self) {
        self.output_waits = false;
    }

    /// When something arrived last.
    pub fn last_received(&self) -> Instant {
        self.last_received
    }

    /// A pong arrived. The round trip time, if it answers the outstanding ping.
    pub fn handle_pong(&mut self, id: Option<u64>, now: Instant) -> Option<Duration> {
        let (asked, at) = self.asked?;
        if id != Some(asked) {
            return None;
        }
        self.asked = None;
        Some(now - at)
    }

    /// What is due at `now`, if anything. Early, late and repeated calls are harmless.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<KeepaliveAction> {
        self.was_full |= self.output_waits;
        let Some(at) = self.give_up else {
            return if now >= self.last_received + self.config.ping_interval {
                self.probe(now)
            } else {
                None
            };
        };
        if now < at {
            return None;
        }
        if self.mode == KeepaliveMode::Unanswered {
            self.handle_input(now);
            return None;
        }
        if !self.is_put_off(now) {
            return Some(KeepaliveAction::Dead);
        }
        self.give_up = Some(now + self.config.ping_timeout);
        (self.was_full, self.output_taken) = (self.output_waits, false);
        None
    }

    /// Whether the answer may still come. A full socket takes more only when the peer has received some. The answer waits
    /// behind the rest, which may have been the last that there was to send, and which a slow line may have in a queue of its
    /// own.
    fn is_put_off(&mut self, now: Instant) -> bool {
        let is_slow = self.taken.recent(now) >= SLOW_LINE_BYTES && !self.was_put_off;
        let is_put_off = is_slow || (self.was_full && self.output_taken);
        self.was_put_off |= is_put_off;
        is_put_off
    }

    /// Asks at once, whatever the interval says: after a sleep or a change of network. Asking again and again
    /// does not put off the verdict on an earlier ping, unless that is overdue and nobody could pass it.
    /// Returns nothing to send if it is the peer that sends pings.
    pub fn probe(&mut self, now: Instant) -> Option<KeepaliveAction> {
        let id = self.next_id;
        self.next_id = self.next_id.wrapping_add(1);
        self.asked = Some((id, now));
        if self.give_up.is_none_or(|at| at <= now) {
            self.give_up = Some(now + self.config.ping_timeout);
        }
        (self.mode != KeepaliveMode::Passive).then_some(KeepaliveAction::Ping(id))
    }

    /// When the next thing is due.
    pub fn poll_timeout(&self) -> Instant {
        self.give_up.unwrap_or(self.last_received + self.config.ping_interval)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_millis(seconds * 1000)
    }

    #[test]
    fn a_silent_peer_is_given_up_after_interval_plus_timeout() {
        let mut keepalive = Keepalive::new(KeepaliveConfig::default(), at(0));
        assert_eq!(keepalive.handle_timeout(at(9)), None);
        assert_eq!(keepalive.poll_timeout(), at(10));
        assert_eq!(keepalive.handle_timeout(at(10)), Some(KeepaliveAction::Ping(1)));
        assert_eq!(keepalive.handle_timeout(at(14)), None);
        assert_eq!(keepalive.handle_timeout(at(15)), Some(KeepaliveAction::Dead));
    }

    #[test]
    fn any_input_proves_life_and_only_the_right_pong_gives_a_round_trip() {
        let mut keepalive = Keepalive::new(KeepaliveConfig::default(), at(0));
        assert_eq!(keepalive.handle_timeout(at(10)), Some(KeepaliveAction::Ping(1)));
        keepalive.handle_input(at(11));
        assert_eq!(keepalive.handle_pong(Some(9), at(11)), None);
        assert_eq!(keepalive.handle_pong(Some(1), at(12)), Some(Duration::from_secs(2)));
        assert_eq!(keepalive.handle_pong(Some(1), at(12)), None);
        assert_eq!(keepalive.handle_timeout(at(20)), None);
        assert_eq!(keepalive.handle_timeout(at(21)), Some(KeepaliveAction::Ping(2)));
    }

    #[test]
    fn asking_again_and_again_does_not_put_off_the_verdict() {
        let mut keepalive = Keepalive::new(KeepaliveConfig::default(), at(0));
        for second in 0..5 {
            keepalive.probe(at(second));
        }
        assert_eq!(keepalive.handle_timeout(at(5)), Some(KeepaliveAction::Dead));
        assert_eq!(keepalive.probe(at(7200)), Some(KeepaliveAction::Ping(6)));
        assert_eq!(keepalive.poll_timeout(), at(7205));
    }

    #[test]
    fn a_socket_that_takes_what_waits_puts_off_the_verdict_and_one_that_takes_nothing_does_not() {
        let mut keepalive = Keepalive::new(KeepaliveConfig::default(), at(0));
        keepalive.handle_data_taken(1, at(0));
        assert_eq!(keepalive.handle_timeout(at(10)), Some(KeepaliveAction::Ping(1)));
        for second in [15, 20, 25] {
            keepalive.handle_data_taken(1, at(second));
            assert_eq!(
                (keepalive.handle_timeout(at(second)), keepalive.poll_timeout()),
                (None, at(second + 5))
            );
        }
        assert_eq!(keepalive.handle_timeout(at(30)), Some(KeepaliveAction::Dead), "what it took earlier");
        assert_eq!(keepalive.last_received(), at(0), "nothing arrived");
    }

    #[test]
    fn a_socket_that_has_room_for_everything_proves_nothing() {
        let mut keepalive = Keepalive::new(KeepaliveConfig::default(), at(0));
        assert_eq!(keepalive.handle_timeout(at(10)), Some(KeepaliveAction::Ping(1)));
        keepalive.handle_data_taken(1, at(10));
        keepalive.handle_output_done();
        assert_eq!(keepalive.handle_timeout(at(15)), Some(KeepaliveAction::Dead));
    }

    #[test]
    fn an_answer_behind_the_last_of_what_waited_has_time_to_come() {
        for last in [9, 12] {
            let mut keepalive = Keepalive::new(KeepaliveConfig::default(), at(0));
            keepalive.handle_data_taken(1, at(0));
            keepalive.handle_input(at(0));
            let take_the_last = |keepalive: &mut Keepalive, second| {
                if second == last {
                    keepalive.handle_data_taken(1, at(second));
                    keepalive.handle_output_done();
                }
            };
            take_the_last(&mut keepalive, 9);
            assert_eq!(keepalive.handle_timeout(at(10)), Some(KeepaliveAction::Ping(1)));
            take_the_last(&mut keepalive, 12);
            assert_eq!(keepalive.handle_timeout(at(15)), None, "the last was taken at {last}");
            assert_eq!(keepalive.handle_timeout(at(20)), Some(KeepaliveAction::Dead), "only once");
        }
    }

    #[test]
    fn an_answer_behind_much_that_a_socket_took_at_once_has_twice_the_time() {
        // When it was taken, how much, and when the peer is given up.
        for (taken, bytes, second) in [(9, 65_536, 25), (9, 65_535, 20), (9, 32_768, 20), (4, 65_536, 25)] {
            let mut keepalive = Keepalive::new(KeepaliveConfig::default(), at(0));
            keepalive.handle_data_taken(bytes, at(taken));
            keepalive.handle_output_done();
            keepalive.handle_input(at(10));
            assert_eq!(keepalive.probe(at(15)), Some(KeepaliveAction::Ping(1)));
            for second in 20..second {
                assert_eq!(keepalive.handle_timeout(at(second)), None, "{bytes} bytes at {taken}");
            }
            assert_eq!(
                keepalive.handle_timeout(at(second)),
                Some(KeepaliveAction::Dead),
                "{bytes} at {taken}"
            );
        }
        let mut earlier = Keepalive::new(KeepaliveConfig::default(), at(0));
        earlier.handle_data_taken(65_536, at(0));
        earlier.handle_output_done();
        assert_eq!(earlier.probe(at(15)), Some(KeepaliveAction::Ping(1)));
        assert_eq!(earlier.handle_timeout(at(20)), Some(KeepaliveAction::Dead), "long ago");
        // Anything that arrives renews it.
        let mut heard = Keepalive::new(KeepaliveConfig::default(), at(0));
        for second in [1, 20] {
            heard.handle_data_taken(65_536, at(second));
            heard.handle_output_done();
            heard.handle_input(at(second));
            heard.probe(at(second));
            assert_eq!(heard.handle_timeout(at(second + 5)), None);
            assert_eq!(heard.poll_timeout(), at(second + 10));
        }
    }

    #[test]
    fn a_timer_that_comes_hours_late_asks_before_it_gives_up() {
        let mut keepalive = Keepalive::new(KeepaliveConfig::default(), at(0));
        assert_eq!(keepalive.handle_timeout(at(7200)), Some(KeepaliveAction::Ping(1)));
        assert_eq!(keepalive.handle_timeout(at(7204)), None);
    }
}
