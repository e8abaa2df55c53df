//! The timers and tasks that hyper asks for.

use std::pin::Pin;
use std::time::{Duration, Instant};

use hyper::rt::{Executor, Sleep, Timer};

use crate::io::alarm::Alarm;
use crate::io::executor::spawn;

/// Makes alarms that may ring a little late.
pub(super) struct Clockwork;

/// Runs tasks beside everything else: hyper has one for each request of HTTP/2.
#[derive(Copy, Clone)]
pub(super) struct Tasks;

impl<F> Executor<F> for Tasks
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, task: F) {
        spawn(task).detach();
    }
}

impl Sleep for Alarm {}

impl Timer for Clockwork {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        Box::pin(Alarm::after(duration))
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        Box::pin(Alarm::after(deadline.saturating_duration_since(Instant::now())))
    }
}
