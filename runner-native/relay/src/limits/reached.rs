//! The streams between agents, counted by [`ReachLimits`] until they are dropped.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hvym_tunnel_core::relay::{ReachError, ReachLimits};
use hvym_tunnel_core::stellar::Address;

/// The counters of a relay.
#[derive(Default)]
pub(crate) struct ReachedStreams(Mutex<ReachLimits>);

/// One stream, counted until it is dropped.
pub(crate) struct ReachedStream {
    counts: Arc<ReachedStreams>,
    caller: Address,
    owner: Address,
}

impl ReachedStreams {
    /// One stream more of `caller` at `owner`.
    ///
    /// # Errors
    /// The limit that it would exceed.
    pub(crate) fn enter(
        self: &Arc<Self>,
        caller: Address,
        owner: Address,
    ) -> Result<ReachedStream, ReachError> {
        self.lock().open(caller, owner)?;
        Ok(ReachedStream { counts: Arc::clone(self), caller, owner })
    }

    fn lock(&self) -> MutexGuard<'_, ReachLimits> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ReachedStream {
    /// Whether more than half of the owner's streams are taken.
    pub(crate) fn is_pressed(&self) -> bool {
        self.counts.lock().is_pressed(&self.owner)
    }
}

impl Drop for ReachedStream {
    fn drop(&mut self) {
        self.counts.lock().close(self.caller, self.owner);
    }
}
