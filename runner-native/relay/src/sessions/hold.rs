//! Visitors of agents that have not come back since the relay started: they wait for a while. It knows no request.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use hvym_tunnel_core::names::ShortLabel;
use hvym_tunnel_core::relay::Owner;
use hvym_tunnel_core::time::Instant;
use hvym_tunnel_net::timeout::within;

/// Requests that wait at once, a few hundred bytes and a connection each. More are told at once that nobody is there.
const MAX_HELD: usize = 1024;

/// Whose agent a visitor waits for.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum HeldFor {
    /// An identity, by its short label: which address that is, nobody knows before the agent is there.
    Address(ShortLabel),
    /// An agent of another system.
    Named(Arc<str>),
}

impl From<&Owner> for HeldFor {
    fn from(owner: &Owner) -> Self {
        match owner {
            Owner::Identity(address) => HeldFor::Address(ShortLabel::new(address)),
            Owner::Named(name) => HeldFor::Named(Arc::clone(name)),
        }
    }
}

/// Who waits for which agent.
pub(crate) struct Hold {
    until: Instant,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    held: usize,
    wakers: BTreeMap<HeldFor, Vec<Waker>>,
}

/// The place of one request. Dropped, it is free.
struct HoldGuard<'a>(&'a Hold);

impl Hold {
    /// Lets visitors wait from `now` on for so long.
    pub(crate) fn new(now: Instant, hold: Duration) -> Self {
        Self { until: now + hold, state: Mutex::default() }
    }

    /// Whether there is anything to wait for.
    pub(crate) fn is_active(&self, now: Instant) -> bool {
        now < self.until
    }

    /// Waits until the agent of `awaited` offers what `is_there` looks for, or until the time is over, or not at all if too many
    /// wait.
    pub(crate) async fn wait(&self, awaited: &HeldFor, is_there: impl Fn() -> bool, now: Instant) {
        let Some(_guard) = self.enter() else { return };
        let there = poll_fn(|cx| {
            if is_there() {
                return Poll::Ready(());
            }
            self.lock().wakers.entry(awaited.clone()).or_default().push(cx.waker().clone());
            // It may have come before the waker was there.
            if is_there() { Poll::Ready(()) } else { Poll::Pending }
        });
        let _in_time = within(self.until.saturating_duration_since(now), there).await;
    }

    /// The agent of `owner` offers something that it did not.
    pub(crate) fn handle_bound(&self, owner: &Owner) {
        let wakers = self.lock().wakers.remove(&HeldFor::from(owner));
        wakers.into_iter().flatten().for_each(Waker::wake);
    }

    fn enter(&self) -> Option<HoldGuard<'_>> {
        let mut state = self.lock();
        if state.held >= MAX_HELD {
            return None;
        }
        state.held += 1;
        Some(HoldGuard(self))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for HoldGuard<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.held -= 1;
        if state.held == 0 {
            state.wakers.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::pin::pin;
    use std::task::Context;

    use hvym_tunnel_net::runtime::Runtime;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn owner(name: &str) -> Owner {
        Owner::Named(Arc::from(name))
    }

    #[test]
    fn a_visitor_waits_until_its_agent_is_there() {
        let runtime = Runtime::new().expect("threads and descriptors");
        runtime.block_on(async {
            let hold = Hold::new(Instant::ZERO, 3600 * SECOND);
            let is_there = Cell::new(false);
            let (alice, bob) = (owner("alice"), owner("bob"));
            let held_for = HeldFor::from(&alice);
            let mut waiting = pin!(hold.wait(&held_for, || is_there.get(), Instant::ZERO));
            let mut quiet = Context::from_waker(Waker::noop());
            assert!(waiting.as_mut().poll(&mut quiet).is_pending());
            hold.handle_bound(&bob);
            assert!(waiting.as_mut().poll(&mut quiet).is_pending());
            is_there.set(true);
            hold.handle_bound(&alice);
            waiting.await;
            assert!(hold.lock().wakers.is_empty());
        });
    }

    #[test]
    fn nobody_waits_beyond_the_time_and_not_more_than_so_many() {
        let runtime = Runtime::new().expect("threads and descriptors");
        runtime.block_on(async {
            let hold = Hold::new(Instant::ZERO, SECOND);
            let [before, at] = [SECOND - Duration::from_nanos(1), SECOND].map(|after| Instant::ZERO + after);
            assert!(hold.is_active(before) && !hold.is_active(at));
            let held_for = HeldFor::from(&owner("alice"));
            hold.wait(&held_for, || false, before).await;
            assert!(hold.lock().wakers.is_empty(), "nothing is left of it");
            let mut guards: Vec<_> = std::iter::from_fn(|| hold.enter()).collect();
            assert_eq!(guards.len(), MAX_HELD);
            // It would wait for a second otherwise.
            let mut refused = pin!(hold.wait(&held_for, || false, Instant::ZERO));
            let mut quiet = Context::from_waker(Waker::noop());
            assert!(refused.as_mut().poll(&mut quiet).is_ready());
            guards.pop();
            let mut held = pin!(hold.wait(&held_for, || false, Instant::ZERO));
            assert!(held.as_mut().poll(&mut quiet).is_pending());
        });
    }
}
