//! The timers and the task executor that hyper asks for.

use std::pin::Pin;
use std::time::{Duration, Instant};

use hyper::rt::{Executor, Sleep, Timer};

use crate::coarse_timer::CoarseTimer;
use crate::runtime::spawn;

/// Timers that may fire a little late; see [`CoarseTimer`].
pub struct HyperTimer;

/// Spawns tasks on the workers: hyper has one for each request of HTTP/2.
#[derive(Copy, Clone)]
pub struct HyperExecutor;

impl<F> Executor<F> for HyperExecutor
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, task: F) {
        spawn(task).detach();
    }
}

impl Sleep for CoarseTimer {}

impl Timer for HyperTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        Box::pin(CoarseTimer::after(duration))
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        Box::pin(CoarseTimer::after(deadline.saturating_duration_since(Instant::now())))
    }
}
