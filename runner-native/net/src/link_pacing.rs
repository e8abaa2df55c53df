//! How much of a link's output its socket may hold unsent, and how much is handed to it at once. Knows no socket and no clock.
//!
//! What a socket holds leaves in its order, so a small answer waits behind all of it. What waits in the multiplexer does not
//! hold the answer up. So a socket that is slower than what wants to pass gets as much as it sends in a few milliseconds,
//! and one that takes all gets much, which needs fewer system calls.

use std::time::Duration;

use hvym_tunnel_core::time::Instant;

/// The least that a socket may hold unsent: the smallest batch of the multiplexer, 33 ms at 1 Mbit/s.
pub(crate) const LEAST_UNSENT: usize = 4 * 1024;
/// The most: 2 ms at 1 Gbit/s. A link that slows down from one moment to the next holds no more than this up.
pub(crate) const MOST_UNSENT: usize = 256 * 1024;
/// The most that is handed over at once: a batch of the multiplexer, which has room for the headers beside 64 KiB that were
/// read at once. Without it each such read would leave in two messages.
pub(crate) const LARGEST_BATCH: usize = 64 * 1024 + 64;
/// What a socket may hold unsent until it is known how fast it is.
const FIRST_UNSENT: usize = 128 * 1024;
/// A socket that needs longer than this to send what it holds holds too much: a person notices nothing below 10 ms.
const LONG: Duration = Duration::from_millis(10);
/// One that needs less than this holds too little: it wakes its process more than five hundred times a second.
const SHORT: Duration = Duration::from_millis(2);

/// What one socket may hold.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) struct LinkPacing {
    unsent: usize,
    /// Since when it takes nothing.
    blocked_at: Option<Instant>,
}

impl LinkPacing {
    pub(crate) fn new() -> Self {
        Self { unsent: FIRST_UNSENT, blocked_at: None }
    }

    /// Bytes that the kernel may hold unsent (`TCP_NOTSENT_LOWAT`).
    pub(crate) fn unsent(&self) -> usize {
        self.unsent
    }

    /// Bytes that may be handed over at once: as much as the socket may hold, and no more than one batch.
    pub(crate) fn batch(&self) -> usize {
        self.unsent.min(LARGEST_BATCH)
    }

    /// Whether the socket is so slow that it is worth a system call to ask it whether it wants more, instead of writing
    /// until it takes nothing: the kernel fills up a last segment of 64 KiB beyond the limit.
    pub(crate) fn is_slow(&self) -> bool {
        self.unsent <= LARGEST_BATCH
    }

    /// The socket takes nothing more.
    pub(crate) fn handle_blocked(&mut self, now: Instant) {
        self.blocked_at.get_or_insert(now);
    }

    /// The socket wants more, which it does when all but half of what it may hold is sent. Whether [`Self::unsent`] changed.
    pub(crate) fn handle_writable(&mut self, now: Instant) -> bool {
        let Some(blocked_at) = self.blocked_at.take() else { return false };
        let before = self.unsent;
        match now - blocked_at {
            took if took > LONG => self.unsent = (before / 2).max(LEAST_UNSENT),
            took if took < SHORT => self.unsent = (before * 2).min(MOST_UNSENT),
            _ => {}
        }
        self.unsent != before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The limit after the socket was blocked for these times in turn, milliseconds.
    fn after(blocked: impl IntoIterator<Item = u64>) -> usize {
        let (mut pacing, mut now) = (LinkPacing::new(), Instant::from_millis(1000));
        for millis in blocked {
            pacing.handle_blocked(now);
            now = now + Duration::from_millis(millis);
            // Another look in between changes nothing.
            pacing.handle_blocked(now);
            let before = pacing.unsent();
            assert_eq!(pacing.handle_writable(now), pacing.unsent() != before);
            assert!(!pacing.handle_writable(now), "it was not blocked again");
        }
        pacing.unsent()
    }

    #[test]
    fn a_slow_socket_may_hold_little_and_a_fast_one_much() {
        assert_eq!(after([]), FIRST_UNSENT);
        assert_eq!(after([2, 10, 5]), FIRST_UNSENT);
        assert_eq!(after([11]), FIRST_UNSENT / 2);
        assert_eq!(after([11; 10]), LEAST_UNSENT);
        assert_eq!(after([1]), FIRST_UNSENT * 2);
        assert_eq!(after([1; 10]), MOST_UNSENT);
        assert_eq!(after([1, 11]), FIRST_UNSENT);
    }

    #[test]
    fn a_batch_is_what_the_socket_may_hold_and_never_more_than_the_largest() {
        let batches = [0, 1, 2, 3, 4, 5, 6].map(|count| {
            let mut pacing = LinkPacing::new();
            for millis in 0..count {
                pacing.handle_blocked(Instant::from_millis(100 * millis));
                pacing.handle_writable(Instant::from_millis(100 * millis + 50));
            }
            assert_eq!(pacing.is_slow(), count > 0);
            pacing.batch() / 1024
        });
        assert_eq!(batches, [64, 64, 32, 16, 8, 4, 4]);
    }

    #[test]
    fn a_link_of_any_rate_settles_where_what_it_holds_takes_milliseconds() {
        for mbit in [1_u64, 10, 50, 100, 400] {
            let (mut pacing, mut now) = (LinkPacing::new(), Instant::ZERO);
            for _ in 0..20 {
                pacing.handle_blocked(now);
                // Half of it is sent before the socket takes more.
                now = now + Duration::from_micros(pacing.unsent() as u64 / 2 * 8 / mbit);
                pacing.handle_writable(now);
            }
            let holds = Duration::from_micros(pacing.unsent() as u64 / 2 * 8 / mbit);
            let settled = (SHORT..=LONG).contains(&holds);
            assert!(settled || pacing.unsent() == LEAST_UNSENT, "{mbit} Mbit/s: {pacing:?}, {holds:?}");
        }
    }
}
