//! How many links an agent wants: one, more while they hold streams back, and fewer when they no longer do. It dials none.

use core::time::Duration;

use crate::time::Instant;

/// Between two links more: what the last one changed shows by then.
const GROWTH_INTERVAL: Duration = Duration::from_secs(1);
/// After a link more could not be had.
const PAUSE: Duration = Duration::from_secs(60);
/// A link that no stream has needed for so long is given up; the next one after as long again. Longer than the pause of a person
/// who reads a page, so that it is not dialled anew for each.
const SURPLUS_AFTER: Duration = Duration::from_secs(60);

/// The links that are wanted.
pub(super) struct Growth {
    target: usize,
    /// When the links were too few last.
    needed: Instant,
    /// When the next one more may be wanted.
    next: Instant,
}

impl Growth {
    pub(super) fn new() -> Self {
        Self { target: 1, needed: Instant::ZERO, next: Instant::ZERO }
    }

    /// The links that are to take new streams.
    pub(super) fn target(&self) -> usize {
        self.target
    }

    /// A session begins, or is over.
    pub(super) fn reset(&mut self) {
        self.target = 1;
    }

    /// So many links are left.
    pub(super) fn shrink_to(&mut self, links: usize) {
        self.target = links.clamp(1, self.target);
    }

    /// A link more could not be had, beside so many.
    pub(super) fn pause(&mut self, links: usize, now: Instant) {
        self.shrink_to(links);
        self.next = now + PAUSE;
    }

    /// The links hold streams back; there should be `wanted`, and may be `allowed`.
    pub(super) fn need(&mut self, wanted: usize, allowed: usize, now: Instant) {
        self.needed = now;
        if wanted > self.target && now >= self.next {
            self.target = wanted.min(allowed).max(self.target);
            self.next = now + GROWTH_INTERVAL;
        }
    }

    /// Whether one link is to be given up now.
    pub(super) fn take_surplus(&mut self, now: Instant) -> bool {
        let is_due = self.poll_timeout().is_some_and(|at| now >= at);
        if is_due {
            self.target -= 1;
            self.needed = now;
        }
        is_due
    }

    /// When a link may be one too many.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        (self.target > 1).then_some(self.needed + SURPLUS_AFTER)
    }
}
