//! A door between threads: who comes to it waits until somebody opens it, for all and for good.

use std::sync::{Arc, Condvar, Mutex, PoisonError};

use crate::program::PATIENCE;

/// Closed at first. Clones are the same door.
#[derive(Clone, Default, Debug)]
pub struct Door(Arc<(Mutex<bool>, Condvar)>);

impl Door {
    /// Lets everybody through from now on.
    pub fn open(&self) {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.1.notify_all();
    }

    /// Waits until it is open.
    ///
    /// # Panics
    /// When nobody opens it.
    pub fn pass(&self) {
        let open = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.0.1.wait_timeout_while(open, PATIENCE, |open| !*open);
        let (open, _) = waited.unwrap_or_else(PoisonError::into_inner);
        assert!(*open, "nobody opened the door");
    }
}
