//! How a library ends what it has begun: a token that tells any number of tasks at once, and a tracker that knows when the
//! last of them is done.

use std::convert::Infallible;
use std::sync::{Mutex, PoisonError};

use smol::channel::{Receiver, Sender, bounded};

/// Something that happens once, and that any number of tasks may wait for, before or after. Clones are the same one.
#[derive(Clone, Debug)]
pub struct CancellationToken {
    sender: Sender<Infallible>,
    receiver: Receiver<Infallible>,
}

impl CancellationToken {
    /// It has not happened.
    pub fn new() -> Self {
        let (sender, receiver) = bounded(1);
        Self { sender, receiver }
    }

    /// It happens now, unless it has already.
    pub fn cancel(&self) {
        self.sender.close();
    }

    /// Whether it has happened.
    pub fn is_cancelled(&self) -> bool {
        self.sender.is_closed()
    }

    /// Waits until it has happened.
    pub async fn cancelled(&self) {
        let _closed = self.receiver.recv().await;
    }
}

impl Default for CancellationToken {
    fn default() -> Self {
        Self::new()
    }
}

/// Counts tasks until it is closed, and can then be waited on until all of them are done.
#[derive(Debug)]
pub struct TaskTracker {
    /// Gone once the tracker is closed.
    open: Mutex<Option<Sender<Infallible>>>,
    /// Ends when the last guard is dropped.
    guards: Receiver<Infallible>,
}

/// One task that a [`TaskTracker`] counts, until it is dropped.
#[derive(Clone, Debug)]
pub struct TaskGuard {
    _held: Sender<Infallible>,
}

impl TaskTracker {
    /// No tasks yet.
    pub fn new() -> Self {
        let (sender, guards) = bounded(1);
        Self { open: Mutex::new(Some(sender)), guards }
    }

    /// Counts one more; `None` after it was closed.
    pub fn enter(&self) -> Option<TaskGuard> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.clone().map(|held| TaskGuard { _held: held })
    }

    /// Counts no more from now on.
    pub fn close(&self) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Waits until the tracker is closed and every guard is dropped.
    pub async fn empty(&self) {
        // Nothing can be sent, so this is the moment the last sender goes.
        let _gone = self.guards.recv().await;
    }
}

impl Default for TaskTracker {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn a_tracker_is_empty_when_it_is_closed_and_every_guard_is_dropped() {
        let tracker = TaskTracker::new();
        let guard = tracker.enter().expect("an open tracker");
        tracker.close();
        assert!(tracker.enter().is_none());
        assert!(tracker.empty().now_or_never().is_none());
        drop(guard.clone());
        assert!(tracker.empty().now_or_never().is_none());
        drop(guard);
        assert!(tracker.empty().now_or_never().is_some());
    }

    #[test]
    fn a_token_tells_those_who_come_late_too() {
        let token = CancellationToken::new();
        assert!(token.cancelled().now_or_never().is_none() && !token.is_cancelled());
        token.clone().cancel();
        assert!(token.cancelled().now_or_never().is_some() && token.is_cancelled());
        assert!(token.cancelled().now_or_never().is_some());
    }
}
