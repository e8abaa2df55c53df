//! The threads that all agents and relays of this process share, and what becomes of them in a forked child.
//!
//! A fork copies one thread alone, so nothing of the parent's runs in a child: what a child inherited is closed there and is
//! never dropped, since its locks may be held by threads that do not exist. What a child starts gets new threads.

use std::process;
use std::sync::{Mutex, PoisonError};

use hvym_tunnel_json::code;
use hvym_tunnel_net::runtime::{Runtime, RuntimeHandle};
use pyo3::prelude::*;

use crate::error::exception;

/// The runtime, and the process it was started in.
static RUNTIME: Mutex<Option<(u32, RuntimeHandle)>> = Mutex::new(None);

/// The runtime of this process. It lives until the process ends, and calls no Python code, so the interpreter need not wait
/// for it.
///
/// # Errors
/// The system has no thread or descriptor left.
pub(crate) fn runtime(py: Python<'_>) -> PyResult<RuntimeHandle> {
    // Never held while another thread may fork: the interpreter's lock is held meanwhile.
    let mut shared = RUNTIME.lock().unwrap_or_else(PoisonError::into_inner);
    let own = process::id();
    if let Some((pid, handle)) = &*shared
        && *pid == own
    {
        return Ok(handle.clone());
    }
    let runtime = Runtime::new().map_err(|error| exception(py, code::SYSTEM, error))?;
    let handle = runtime.handle().clone();
    std::mem::forget(runtime);
    std::mem::forget(shared.replace((own, handle.clone())));
    Ok(handle)
}

/// A value of the process that made it. In a forked child it is out of reach, and is left as it is.
pub(crate) struct OwnedByProcess<T> {
    pid: u32,
    value: Option<T>,
}

impl<T> OwnedByProcess<T> {
    pub(crate) fn new(value: T) -> Self {
        Self { pid: process::id(), value: Some(value) }
    }

    /// The value.
    ///
    /// # Errors
    /// This is a forked child.
    pub(crate) fn get(&self, py: Python<'_>) -> PyResult<&T> {
        let own = self.pid == process::id();
        let value = self.value.as_ref().filter(|_| own);
        value.ok_or_else(|| exception(py, "forked", "it belongs to the process that forked this one"))
    }
}

impl<T> Drop for OwnedByProcess<T> {
    fn drop(&mut self) {
        if self.pid != process::id() {
            std::mem::forget(self.value.take());
        }
    }
}
