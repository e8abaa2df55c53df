//! One executor for the process. One thread does the work, as long as it can; the others help when it cannot.
//!
//! A wake-up that crosses threads costs more than most of the work here, and what one thread does in a row it reads and
//! writes in few, large pieces. So a second thread is worth its price only when the first has no time left.

use std::future::Future;
use std::num::NonZero;
use std::panic::AssertUnwindSafe;
use std::sync::Once;
use std::thread;

use async_executor::{Executor, Task};
use futures_util::FutureExt;

static EXECUTOR: Executor<'static> = Executor::new();
static STARTED: Once = Once::new();

/// Runs `future` beside everything else. Detach the task to let it go; its panic then ends it alone.
pub fn spawn<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> Task<T> {
    EXECUTOR.spawn(future)
}

/// Runs `future` to its end on this thread, and everything spawned on others.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    STARTED.call_once(start);
    smol::block_on(future)
}

/// Runs `future` to its end where everything else runs.
pub fn run<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> T {
    block_on(spawn(future))
}

fn start() {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    for n in 1..=cores {
        let name = format!("worker-{n}");
        let work = move || if n == 1 { workers::first() } else { workers::other() };
        if let Err(error) = thread::Builder::new().name(name).spawn(work) {
            tracing::warn!(%error, "running with fewer threads than cores");
        }
    }
}

/// Runs tasks until the `end`. The executor lets a panicking task's panic through to the thread that ran it.
async fn work<E: Future>(end: impl Fn() -> E) {
    while AssertUnwindSafe(EXECUTOR.run(end())).catch_unwind().await.is_err() {}
}

#[cfg(target_os = "linux")]
mod workers {
    use std::future::Future;
    use std::future::pending;
    use std::pin::pin;
    use std::sync::LazyLock;
    use std::time::{Duration, Instant};

    use rustix::time::{ClockId, clock_gettime};
    use smol::Timer;
    use smol::channel::{Receiver, Sender, bounded};

    use crate::readiness::Hearing;

    /// How often the first thread looks whether it is overloaded. Shorter, and a single burst would call for help.
    const LOOK: Duration = Duration::from_millis(20);
    /// How long help stays, if it is called once.
    const STINT: Duration = Duration::from_secs(1);

    static HELP: LazyLock<(Sender<()>, Receiver<()>)> = LazyLock::new(|| bounded(1));

    /// Does everything, and hears of all sockets.
    pub(super) fn first() {
        let mut forever = pin!(super::work(pending::<()>));
        let mut strain = Strain { at: Instant::now(), used: used() };
        Hearing::new().serve(
            |cx| {
                let _never = forever.as_mut().poll(cx);
            },
            || strain.look(),
        )
    }

    /// Helps when it is called.
    pub(super) fn other() {
        while HELP.1.recv_blocking().is_ok() {
            smol::block_on(super::work(|| Timer::after(STINT)));
        }
    }

    /// Whether one thread is enough. The kernel's word for it: a thread that waits for a core needs no second thread.
    struct Strain {
        at: Instant,
        used: Duration,
    }

    impl Strain {
        fn look(&mut self) {
            let passed = self.at.elapsed();
            if passed < LOOK {
                return;
            }
            let used = used();
            if is_strain(used.saturating_sub(self.used), passed) {
                let _called_already = HELP.0.try_send(());
            }
            (self.at, self.used) = (Instant::now(), used);
        }
    }

    /// Whether a thread that ran for `used` of the time had hardly a pause.
    fn is_strain(used: Duration, passed: Duration) -> bool {
        used * 10 >= passed * 9
    }

    /// Processor time of this thread.
    fn used() -> Duration {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_thread_that_waits_for_a_core_or_for_work_is_not_strained() {
            let [little, much, all] = [50, 90, 100].map(Duration::from_millis);
            assert!(is_strain(all, all) && is_strain(much, all));
            assert!(!is_strain(little, all) && !is_strain(Duration::ZERO, all));
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod workers {
    use std::future::pending;

    /// Does its share, and hears of sockets.
    pub(super) fn first() {
        smol::block_on(super::work(pending::<()>));
    }

    /// Does its share.
    pub(super) fn other() {
        first();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_that_panics_ends_alone() {
        let broken = spawn(async { panic!("a bug in one task") });
        let whole = run(async { "whole" });
        assert_eq!(whole, "whole");
        assert!(std::panic::catch_unwind(AssertUnwindSafe(|| block_on(broken))).is_err());
        assert_eq!(run(async { "still whole" }), "still whole");
    }
}
