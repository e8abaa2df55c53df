//! When the bytes of one connection are sent to a server that cannot tell us to wait, and in how large messages.
//!
//! A tunely server keeps what a visitor has not read yet in a queue of 64 messages, whatever their size, and cuts the
//! visitor's connection when it is full. Nothing says how fast a visitor reads. So the messages are counted that a slow
//! visitor would still have ahead, and the more there are, the longer the next one waits for bytes to be sent with it:
//! 60 messages of 4 MiB hold any download of 200 MiB, even if nobody reads. Knows no stream and no dialect.

use alloc::collections::VecDeque;
use core::time::Duration;

use hvym_tunnel_core::time::Instant;

/// The rate at which the slowest visitor is assumed to read, bytes a second: 2 Mbit/s. What is sent more slowly is never
/// held back.
const ASSUMED_RATE: u64 = 256 * 1024;
/// So many messages ahead are sent at once, small or not: a quarter of the server's queue.
const PROMPT_MESSAGES: usize = 16;
/// For each message ahead beyond those, the next one waits so much longer for more bytes, unless it is full.
const WAIT_STEP: Duration = Duration::from_millis(5);
/// With so many ahead, close to the 64 that the server keeps, full messages wait too.
const MAX_MESSAGES: usize = 60;
/// What is sent then, bytes a second: about what a client of the server's own kind manages in its messages of 4 KiB. A visitor
/// that reads more slowly than this loses a download of more than [`MAX_MESSAGES`] full messages.
const PACED_RATE: u64 = 16 * 1024 * 1024;

/// The messages of one connection that its visitor may not have read.
#[derive(Debug)]
pub(super) struct SendPacing {
    /// When each of them has been read at [`ASSUMED_RATE`].
    read_at: VecDeque<Instant>,
    sent_at: Instant,
    sent_bytes: usize,
}

impl SendPacing {
    /// Nothing was sent yet.
    pub(super) fn new() -> Self {
        Self { read_at: VecDeque::new(), sent_at: Instant::ZERO, sent_bytes: 0 }
    }

    /// Whether so much is ahead that messages are to become large.
    pub(super) fn is_bulk(&self, now: Instant) -> bool {
        self.ahead(now) >= PROMPT_MESSAGES
    }

    /// When the next message may be sent. `is_complete`: it is as large as a message may be, or nothing follows it.
    pub(super) fn due(&self, is_complete: bool, now: Instant) -> Instant {
        let ahead = self.ahead(now);
        let wait = WAIT_STEP * (ahead + 1).saturating_sub(PROMPT_MESSAGES) as u32;
        match ahead {
            MAX_MESSAGES.. => self.sent_at + wait.max(time_for(self.sent_bytes, PACED_RATE)),
            PROMPT_MESSAGES.. if !is_complete => self.sent_at + wait,
            _ => now,
        }
    }

    /// A message of so many bytes is sent.
    pub(super) fn handle_sent(&mut self, bytes: usize, now: Instant) {
        while self.read_at.front().is_some_and(|at| *at <= now) || self.read_at.len() >= MAX_MESSAGES {
            self.read_at.pop_front();
        }
        let begins = self.read_at.back().map_or(now, |last| now.max(*last));
        self.read_at.push_back(begins + time_for(bytes, ASSUMED_RATE));
        (self.sent_at, self.sent_bytes) = (now, bytes);
    }

    fn ahead(&self, now: Instant) -> usize {
        self.read_at.len() - self.read_at.partition_point(|at| *at <= now)
    }
}

fn time_for(bytes: usize, rate: u64) -> Duration {
    Duration::from_micros((bytes as u64).saturating_mul(1_000_000) / rate)
}

/// The time over which a link's bytes are counted, and the longest that one message may take.
const RATE_WINDOW: Duration = Duration::from_millis(500);
/// The most bytes of one message on a link that sends little: fair to its other connections.
pub(super) const MIN_DATA: usize = 32 * 1024;
/// The most bytes of one message. 60 of them are 240 MiB, which is what the server may have to hold; it takes 16 MiB in one.
pub(super) const MAX_DATA: usize = 4 * 1024 * 1024;

/// How fast a link sends.
#[derive(Debug, Default)]
pub(super) struct SentRate {
    /// Since when bytes are counted.
    since: Instant,
    current: usize,
    /// Bytes in [`RATE_WINDOW`], before that.
    before: usize,
}

impl SentRate {
    /// So many bytes are sent.
    pub(super) fn handle_sent(&mut self, bytes: usize, now: Instant) {
        let elapsed = now - self.since;
        if elapsed >= RATE_WINDOW {
            let share = self.current as u128 * RATE_WINDOW.as_micros() / elapsed.as_micros();
            self.before = usize::try_from(share).unwrap_or(usize::MAX);
            (self.since, self.current) = (now, 0);
        }
        self.current = self.current.saturating_add(bytes);
    }

    /// The most bytes of one message of a connection: what the link sends in half a second, so that what comes behind it,
    /// and the answers to the server's pings, wait no longer than that.
    pub(super) fn max_data(&self) -> usize {
        // One that has just begun to send is not slowed down by what it sent before.
        self.before.max(self.current / 2).clamp(MIN_DATA, MAX_DATA)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After so many messages that nobody has read.
    fn ahead(messages: usize) -> SendPacing {
        let mut pacing = SendPacing::new();
        (0..messages).for_each(|_| pacing.handle_sent(MAX_DATA, Instant::from_millis(1000)));
        pacing
    }

    #[test]
    fn a_message_waits_for_more_bytes_from_the_seventeenth_on_and_a_full_one_from_the_sixty_first() {
        let now = Instant::from_millis(1000);
        let wait = |messages, is_complete| ahead(messages).due(is_complete, now) - now;
        assert_eq!([0, 1, PROMPT_MESSAGES - 1].map(|n| wait(n, false)), [Duration::ZERO; 3]);
        assert_eq!(wait(PROMPT_MESSAGES, false), WAIT_STEP);
        assert_eq!(wait(PROMPT_MESSAGES + 1, false), WAIT_STEP * 2);
        assert_eq!([PROMPT_MESSAGES, MAX_MESSAGES - 1].map(|n| wait(n, true)), [Duration::ZERO; 2]);
        let paced = Duration::from_millis(250);
        assert_eq!([MAX_MESSAGES, MAX_MESSAGES * 2].map(|n| wait(n, true)), [paced; 2]);
        assert_eq!([15, 16].map(|n| ahead(n).is_bulk(now)), [false, true]);
    }

    #[test]
    fn messages_are_counted_until_a_slow_visitor_has_read_them() {
        let (mut pacing, mut now) = (SendPacing::new(), Instant::from_millis(1000));
        for _ in 0..20 {
            pacing.handle_sent(256 * 1024, now);
        }
        for read in 0..20 {
            assert_eq!(pacing.ahead(now), 20 - read);
            assert_eq!(pacing.ahead(now + Duration::from_millis(999)), 20 - read);
            now = now + Duration::from_secs(1);
        }
        assert_eq!(pacing.ahead(now), 0);
    }

    #[test]
    fn what_is_slower_than_a_slow_visitor_is_sent_at_once() {
        let (mut pacing, mut now) = (SendPacing::new(), Instant::from_millis(1000));
        for _ in 0..1000 {
            assert_eq!(pacing.due(false, now), now);
            pacing.handle_sent(2 * 1024, now);
            now = now + Duration::from_millis(8);
        }
    }

    #[test]
    fn a_message_has_what_the_link_sends_in_half_a_second() {
        let (mut rate, mut now) = (SentRate::default(), Instant::from_millis(1000));
        assert_eq!(rate.max_data(), MIN_DATA);
        // 1000 KiB a second, in small messages, and then in such as take half a second each.
        for _ in 0..200 {
            rate.handle_sent(10 * 1024, now);
            now = now + Duration::from_millis(10);
        }
        assert_eq!(rate.max_data(), 500 * 1024);
        for _ in 0..20 {
            let bytes = rate.max_data();
            rate.handle_sent(bytes, now);
            now = now + time_for(bytes, 1000 * 1024);
        }
        assert!((450..=510).contains(&(rate.max_data() / 1024)), "{}", rate.max_data());
        rate.handle_sent(100 * 1024 * 1024, now);
        assert_eq!(rate.max_data(), MAX_DATA);
        rate.handle_sent(1, now + Duration::from_secs(3600));
        assert_eq!(rate.max_data(), MIN_DATA, "long ago");
    }
}
