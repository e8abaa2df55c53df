//! The threads that run tasks, as a value: started by [`Runtime::new`], and gone without a trace after
//! [`Runtime::shutdown`].
//!
//! Tasks, timers and sockets belong to the runtime of the thread that makes them. The runtime's own threads and
//! [`Runtime::block_on`] are inside it; everybody else enters it by [`RuntimeHandle::enter`]. Knows no protocol.

use std::future::Future;
use std::io;
use std::num::NonZero;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use async_executor::Executor;

use super::reactor::Reactor;
use super::workers::Workers;

pub use super::runtime_handle::{Entered, RuntimeHandle, Task, spawn};

/// Threads at least: as many tasks less one may fail to yield before nothing is done any more. A thread that has nothing
/// to do costs its stack.
const MIN_THREADS: usize = 4;
/// How long a runtime that is dropped waits for tasks that do not yield.
const DROP_LIMIT: Duration = Duration::from_secs(5);

/// Running threads, one of which waits for sockets and timers. Dropped, it shuts down.
///
/// Every task ends with it: those that run are let go on to their next `.await`, then all futures are dropped.
#[derive(Debug)]
pub struct Runtime {
    handle: RuntimeHandle,
    /// Gone once it was shut down; dropping the last one drops every task.
    executor: Option<Arc<Executor<'static>>>,
    workers: Arc<Workers>,
}

impl Runtime {
    /// Starts a thread for each core, and at least four.
    ///
    /// # Errors
    /// The system has no descriptor for the poller, or no thread.
    pub fn new() -> io::Result<Self> {
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        Self::with_threads(cores.max(MIN_THREADS))
    }

    /// Starts `threads` threads, of which one works alone as long as it has the time. At least two, so that one can take
    /// over when a task of the other does not yield.
    ///
    /// # Errors
    /// The system has no descriptor for the poller, or no thread.
    pub fn with_threads(threads: usize) -> io::Result<Self> {
        let executor = Arc::new(Executor::new());
        let reactor = Arc::new(Reactor::new()?);
        let handle = RuntimeHandle::new(&executor, Arc::clone(&reactor));
        let workers = Workers::start(threads.max(2), &handle, &executor, reactor)?;
        Ok(Self { handle, executor: Some(executor), workers })
    }

    /// What tasks and other threads use it by.
    pub fn handle(&self) -> &RuntimeHandle {
        &self.handle
    }

    /// See [`RuntimeHandle::spawn`].
    pub fn spawn<T: Send + 'static>(&self, future: impl Future<Output = T> + Send + 'static) -> Task<T> {
        self.handle.spawn(future)
    }

    /// Runs `future` to its end on this thread, inside the runtime.
    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        let _inside = self.handle.enter();
        smol::future::block_on(future)
    }

    /// Runs `future` to its end on the runtime's threads.
    pub fn run<T: Send + 'static>(&self, future: impl Future<Output = T> + Send + 'static) -> T {
        self.block_on(self.spawn(future))
    }

    /// Ends all threads and drops all tasks. `false`: a task did not yield within `limit`; its thread is left behind, and
    /// ends when it does.
    pub fn shutdown(mut self, limit: Duration) -> bool {
        self.end(limit)
    }

    fn end(&mut self, limit: Duration) -> bool {
        let Some(executor) = self.executor.take() else { return true };
        let ended = self.workers.stop(limit);
        // What futures do when they are dropped belongs to this runtime too.
        let _inside = self.handle.enter();
        drop(executor);
        ended
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        if !self.end(DROP_LIMIT) {
            tracing::info!("a task does not yield: its thread is left behind");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::AssertUnwindSafe;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Arc, mpsc};
    use std::time::Instant;

    use super::*;
    use crate::timer::Timer;

    fn runtime() -> Runtime {
        Runtime::new().expect("threads and descriptors")
    }

    #[test]
    fn a_task_that_panics_ends_alone() {
        let runtime = runtime();
        let broken = runtime.spawn(async { panic!("a bug in one task") });
        assert_eq!(runtime.run(async { "whole" }), "whole");
        assert!(std::panic::catch_unwind(AssertUnwindSafe(|| runtime.block_on(broken))).is_err());
        assert_eq!(runtime.run(async { "still whole" }), "still whole");
    }

    #[test]
    fn no_wake_up_is_lost_when_a_thread_that_was_replaced_comes_back() {
        const ROUNDS: usize = 5;
        const WAKE_UPS: usize = 50;
        // There is no timer here: only a wake-up ends the wait of the thread that leads.
        const LIMIT: Duration = Duration::from_secs(20);
        let runtime = Runtime::with_threads(2).expect("threads and descriptors");
        // A thread that comes back gets a core late.
        let is_over = Arc::new(AtomicBool::new(false));
        for _ in 0..2 * std::thread::available_parallelism().map_or(1, usize::from) {
            let is_over = Arc::clone(&is_over);
            std::thread::spawn(move || while !is_over.load(Ordering::Relaxed) {});
        }
        for _ in 0..ROUNDS {
            let (release, held) = mpsc::channel::<()>();
            let (started, starts) = mpsc::channel();
            let stuck = runtime.spawn(async move {
                started.send(()).expect("the test waits");
                held.recv()
            });
            starts.recv().expect("it starts");
            // The other thread leads when this was done.
            runtime.run(async {});
            drop(release);
            for _ in 0..WAKE_UPS {
                let (done, ends) = mpsc::channel();
                runtime.spawn(async move { done.send(()) }).detach();
                ends.recv_timeout(LIMIT).expect("the leader was woken");
            }
            runtime.block_on(stuck).expect_err("it was released by the end");
        }
        is_over.store(true, Ordering::Relaxed);
    }

    #[test]
    fn a_task_that_does_not_yield_stops_nobody_else() {
        let runtime = Runtime::with_threads(2).expect("threads and descriptors");
        let (release, held) = mpsc::channel::<()>();
        let (started, starts) = mpsc::channel();
        // A blocked thread and one that computes are the same to the others: both never come back to the poller.
        let stuck = runtime.spawn(async move {
            started.send(()).expect("the test waits");
            held.recv()
        });
        starts.recv().expect("it starts");
        let begun = Instant::now();
        for _ in 0..3 {
            runtime.run(async { Timer::after(Duration::from_millis(1)).await });
        }
        let (mut ours, mut theirs) = crate::tcp::tests::pair(&runtime);
        std::io::Write::write_all(&mut theirs, b"x").expect("somebody reads");
        let read = runtime.run(async move {
            let mut byte = [0];
            futures_util::AsyncReadExt::read_exact(&mut ours, &mut byte).await.map(|()| byte)
        });
        assert_eq!(read.expect("a byte"), *b"x");
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
        release.send(()).expect("it waits");
        assert!(runtime.block_on(stuck).is_ok());
    }

    #[test]
    fn a_shutdown_drops_every_task_and_ends_every_thread() {
        struct Dropped(mpsc::Sender<()>);
        impl Drop for Dropped {
            fn drop(&mut self) {
                let _listening = self.0.send(());
            }
        }
        let runtime = runtime();
        let (sender, dropped) = mpsc::channel();
        for _ in 0..3 {
            let held = Dropped(sender.clone());
            let handle = runtime.handle().clone();
            let task = async move {
                let _held = (held, handle);
                std::future::pending::<()>().await;
            };
            runtime.spawn(task).detach();
        }
        let workers = Arc::downgrade(&runtime.workers);
        assert!(runtime.shutdown(Duration::from_secs(10)));
        drop(sender);
        assert_eq!(dropped.iter().count(), 3);
        assert!(workers.upgrade().is_none(), "a thread still holds it");
    }

    #[test]
    fn what_is_spawned_after_the_shutdown_is_dropped() {
        let runtime = runtime();
        let handle = runtime.handle().clone();
        assert!(runtime.shutdown(Duration::from_secs(10)));
        let (sender, receiver) = mpsc::channel::<()>();
        handle.spawn(async move { drop(sender) }).detach();
        assert!(receiver.recv().is_err());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn many_runtimes_in_a_row_leave_no_descriptor_behind() {
        let ours = || {
            // Other tests of this process come and go: only pollers and event counters are counted.
            let links = std::fs::read_dir("/proc/self/fd").expect("procfs").flatten();
            links.filter_map(|link| std::fs::read_link(link.path()).ok()).count()
        };
        let runtime = runtime();
        let before = runtime.run(async move { ours() });
        for _ in 0..50 {
            let other = Runtime::with_threads(2).expect("threads and descriptors");
            other.run(async { Timer::after(Duration::from_millis(1)).await });
            assert!(other.shutdown(Duration::from_secs(10)));
        }
        // Each has two descriptors; other tests hold some dozens at most.
        assert!(ours() < before + 50, "descriptors are left behind");
    }
}
