//! The threads that all agents of this process share. They live until it ends.

use std::sync::{Mutex, PoisonError};

use hvym_tunnel_net::runtime::{Runtime, RuntimeHandle};

use crate::error::{self, Error};

static SHARED: Mutex<Option<RuntimeHandle>> = Mutex::new(None);

/// The runtime of this process, started if there is none.
///
/// # Errors
/// The system has no thread or descriptor left.
pub(crate) fn shared() -> Result<RuntimeHandle, Error> {
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(handle) = &*shared {
        return Ok(handle.clone());
    }
    let runtime = Runtime::new().map_err(|error| error::new("system", error))?;
    let handle = runtime.handle().clone();
    // Never dropped: the end of a process does not wait for its agents.
    std::mem::forget(runtime);
    *shared = Some(handle.clone());
    Ok(handle)
}
