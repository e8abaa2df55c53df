//! What the leader of a runtime waits for: sockets, timers and wake-ups of tasks, in one wait.

use std::cell::Cell;
use std::io;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};
use std::time::Duration;

use super::clock::Clock;
use super::poller::{PollEvents, Poller};
use super::timer_queue::TimerQueue;

/// Nothing happened since the leader looked last.
const QUIET: u8 = 0;
/// There is something to do.
const CALLED: u8 = 1;
/// The leader waits for the poller, and a wake-up must end that wait.
const WAITING: u8 = 2;

thread_local! {
    /// The reactor that this thread leads, by its address.
    static LEADS: Cell<usize> = const { Cell::new(0) };
}

/// The poller and the timers of one runtime. As a waker it wakes the leader.
#[derive(Debug)]
pub(crate) struct Reactor {
    pub(crate) poller: Poller,
    timers: Mutex<TimerQueue>,
    state: AtomicU8,
}

impl Reactor {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { poller: Poller::new()?, timers: Mutex::default(), state: AtomicU8::new(QUIET) })
    }

    pub(crate) fn timers(&self) -> MutexGuard<'_, TimerQueue> {
        self.timers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Before a leader's first look at its tasks: whatever comes from now on is new.
    pub(crate) fn begin(&self) {
        self.state.store(QUIET, Ordering::SeqCst);
    }

    /// Waits until there is something to do, and wakes the tasks that it concerns. For the leader alone.
    pub(crate) fn wait(&self, events: &mut PollEvents) {
        let is_quiet =
            self.state.compare_exchange(QUIET, WAITING, Ordering::SeqCst, Ordering::SeqCst).is_ok();
        let next = self.timers().next();
        let timeout = match next {
            _ if !is_quiet => Some(Duration::ZERO),
            Some(at) => Some(at.saturating_duration_since(Clock::new().now())),
            None => None,
        };
        events.wait(&self.poller, timeout);
        // A wake-up from now on, mostly by the tasks below, need not interrupt a wait.
        self.state.store(CALLED, Ordering::SeqCst);
        events.dispatch();
        if next.is_some() {
            let expired = self.timers().expired(Clock::new().now());
            // Outside the lock: a waker may be the last reference to a task, and so to its timers.
            expired.into_values().for_each(Waker::wake);
        }
        self.state.store(QUIET, Ordering::SeqCst);
    }

    /// The leader is to look at its tasks.
    pub(crate) fn notify(&self) {
        if self.state.swap(CALLED, Ordering::SeqCst) == WAITING {
            self.poller.notify();
        }
    }

    /// There is a timer that fires before all others. The leader itself looks before it waits.
    pub(crate) fn timer_moved(&self) {
        if LEADS.get() != self.address() {
            self.notify();
        }
    }

    /// Whether the leader waits for the poller, with nothing to do.
    pub(crate) fn is_waiting(&self) -> bool {
        self.state.load(Ordering::SeqCst) == WAITING
    }

    /// Marks this thread as its leader until the guard is dropped.
    pub(crate) fn leading(&self) -> Leading {
        LEADS.set(self.address());
        Leading
    }

    fn address(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }
}

/// See [`Reactor::leading`].
pub(crate) struct Leading;

impl Drop for Leading {
    fn drop(&mut self) {
        LEADS.set(0);
    }
}

impl Wake for Reactor {
    fn wake(self: Arc<Self>) {
        self.notify();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.notify();
    }
}
