//! The timers and tasks that hyper asks for.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use hyper::rt::{Executor, Sleep, Timer};

use crate::io::executor::spawn;

/// Makes timers of the executor's clock.
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

struct Alarm(smol::Timer);

impl Future for Alarm {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(cx).map(|_| ())
    }
}

impl Sleep for Alarm {}

impl Timer for Clockwork {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        Box::pin(Alarm(smol::Timer::after(duration)))
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        Box::pin(Alarm(smol::Timer::at(deadline)))
    }
}
