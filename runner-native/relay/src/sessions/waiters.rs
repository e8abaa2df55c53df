//! Visitors who wait until another session serves what they are for. It knows no session.

use std::sync::{Arc, Weak};
use std::task::Waker;

/// Those who wait for one owner's sessions.
#[derive(Default)]
pub(super) struct Waiters(Vec<Weak<Waker>>);

impl Waiters {
    /// Wakes `waker` at the next change, unless the ticket that is returned was dropped before.
    pub(super) fn add(&mut self, waker: &Waker) -> Arc<Waker> {
        // Those who gave up are forgotten whenever the list would grow.
        if self.0.len() == self.0.capacity() {
            self.0.retain(|waiter| waiter.strong_count() > 0);
        }
        let waiter = Arc::new(waker.clone());
        self.0.push(Arc::downgrade(&waiter));
        waiter
    }

    /// Those to wake, without the lock that guards this.
    pub(super) fn into_wakers(self) -> impl Iterator<Item = Arc<Waker>> {
        self.0.into_iter().filter_map(|waiter| waiter.upgrade())
    }
}
