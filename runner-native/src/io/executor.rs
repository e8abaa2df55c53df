//! One executor for the process, driven by one thread per core.

use std::future::Future;
use std::num::NonZero;
use std::panic::AssertUnwindSafe;
use std::thread;

use async_executor::{Executor, Task};
use futures_util::FutureExt;

static EXECUTOR: Executor<'static> = Executor::new();

/// Runs `future` beside everything else. Detach the task to let it go; its panic then ends it alone.
pub(crate) fn spawn<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> Task<T> {
    EXECUTOR.spawn(future)
}

/// Runs `future` to its end on this thread, and everything spawned on one thread per core.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    for n in 1..cores {
        let name = format!("worker-{n}");
        let work = || loop {
            // The executor lets a panicking task's panic through to the thread that ran it.
            let run = AssertUnwindSafe(EXECUTOR.run(std::future::pending::<()>())).catch_unwind();
            if smol::block_on(run).is_ok() {
                return;
            }
        };
        if let Err(error) = thread::Builder::new().name(name).spawn(work) {
            tracing::warn!(%error, "running with fewer threads than cores");
        }
    }
    smol::block_on(EXECUTOR.run(future))
}
