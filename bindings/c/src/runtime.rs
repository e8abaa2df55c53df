//! The threads that all handles of this process share. They start with the first handle and end with the last.

use std::process;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use hvym_tunnel_json::code;
use hvym_tunnel_net::runtime::Runtime;

use crate::error::Error;

/// The process that started the threads, and the threads. A forked child inherits the memory of a runtime without its threads.
static SHARED: Mutex<(u32, Weak<Runtime>)> = Mutex::new((0, Weak::new()));

/// The runtime of this process, started if there is none.
///
/// # Errors
/// The system has no thread or descriptor left.
pub(crate) fn shared() -> Result<Arc<Runtime>, Error> {
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    let own = process::id();
    if let Some(runtime) = shared.1.upgrade().filter(|_| shared.0 == own) {
        return Ok(runtime);
    }
    let started = without_signals(Runtime::new).map_err(|error| Error::new(code::SYSTEM, error))?;
    let runtime = Arc::new(started);
    *shared = (own, Arc::downgrade(&runtime));
    Ok(runtime)
}

/// Does `start` with all signals blocked, which the threads that it starts inherit: handlers of the program run on its own threads, and
/// a write to a closed connection is an error and no SIGPIPE, which would end a program that does not ignore it. Signals of faults
/// stay, since they are for the thread that commits them.
#[cfg(unix)]
fn without_signals<T>(start: impl FnOnce() -> std::io::Result<T>) -> std::io::Result<T> {
    use nix::sys::signal::{SigSet, SigmaskHow, Signal};

    const FAULTS: [Signal; 6] =
        [Signal::SIGSEGV, Signal::SIGBUS, Signal::SIGFPE, Signal::SIGILL, Signal::SIGTRAP, Signal::SIGABRT];
    let mut blocked = SigSet::all();
    FAULTS.into_iter().for_each(|fault| blocked.remove(fault));
    let before = blocked.thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
    let started = start();
    before.thread_set_mask()?;
    started
}

#[cfg(not(unix))]
fn without_signals<T>(start: impl FnOnce() -> std::io::Result<T>) -> std::io::Result<T> {
    start()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handles_share_one_runtime_and_the_next_handle_has_another() {
        let first = shared().expect("threads");
        assert!(Arc::ptr_eq(&first, &shared().expect("threads")));
        let ended = Arc::downgrade(&first);
        drop(first);
        assert!(ended.upgrade().is_none(), "nothing else keeps it");
        assert!(shared().is_ok());
    }
}
