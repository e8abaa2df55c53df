//! What becomes of the visitors of an agent that goes away: they wait for the session that follows.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

/// Whether a session's agent has said that it goes away, and which session follows.
pub(crate) struct Succession<S> {
    is_leaving: AtomicBool,
    state: Mutex<State<S>>,
}

struct State<S> {
    next: Option<S>,
    waiting: Vec<Waker>,
}

impl<S: Clone> Succession<S> {
    /// Nobody goes away, and nobody follows.
    pub(super) fn new() -> Self {
        Self {
            is_leaving: AtomicBool::new(false),
            state: Mutex::new(State { next: None, waiting: Vec::new() }),
        }
    }

    /// The agent goes away.
    pub(super) fn begin(&self) {
        self.is_leaving.store(true, Ordering::Release);
    }

    /// Whether the agent goes away, or went away in good order.
    pub(super) fn is_leaving(&self) -> bool {
        self.is_leaving.load(Ordering::Acquire)
    }

    /// The session that follows is there.
    pub(super) fn settle(&self, next: S) {
        let waiting = {
            let mut state = self.lock();
            state.next = Some(next);
            std::mem::take(&mut state.waiting)
        };
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Waits for the session that follows.
    pub(super) async fn next(&self) -> S {
        poll_fn(|cx| {
            let mut state = self.lock();
            match &state.next {
                Some(next) => Poll::Ready(next.clone()),
                None => {
                    state.waiting.push(cx.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }

    fn lock(&self) -> MutexGuard<'_, State<S>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
