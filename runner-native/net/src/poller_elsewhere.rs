//! The poller of a runtime on systems other than Linux, where the reactor of `async-io` reports on sockets: the leader of the
//! runtime only waits for a notification.

use std::io;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Whether the leader was notified since it waited last.
#[derive(Debug, Default)]
pub(crate) struct Poller {
    is_notified: Mutex<bool>,
    changed: Condvar,
}

impl Poller {
    /// # Errors
    /// None here.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self::default())
    }

    /// Ends a wait, or the next one if there is none.
    pub(crate) fn notify(&self) {
        *self.is_notified.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_one();
    }
}

/// A wait brings nothing here: tasks are woken by the other reactor.
#[derive(Debug)]
pub(crate) struct PollEvents;

impl PollEvents {
    pub(crate) fn new() -> Self {
        Self
    }

    /// Waits for at most `timeout`; `None` is without limit.
    pub(crate) fn wait(&mut self, poller: &Poller, timeout: Option<Duration>) {
        let notified = poller.is_notified.lock().unwrap_or_else(PoisonError::into_inner);
        let waits = |is_notified: &mut bool| !*is_notified;
        let mut notified = match timeout {
            Some(timeout) => {
                let waited = poller.changed.wait_timeout_while(notified, timeout, waits);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
            None => poller.changed.wait_while(notified, waits).unwrap_or_else(PoisonError::into_inner),
        };
        *notified = false;
    }

    pub(crate) fn dispatch(&mut self) {}
}
