//! Timers of a runtime: a point on the monotonic clock, and a future that is ready once it has passed.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use hvym_tunnel_core::time::Instant;

use super::clock::Clock;
use super::reactor::Reactor;
use super::runtime_handle::RuntimeHandle;

/// Ready once a moment has passed; never early. Dropped, it leaves nothing behind.
#[derive(Debug)]
pub struct Timer {
    at: Instant,
    /// Where it waits, and under which number.
    armed: Option<(Arc<Reactor>, u64)>,
}

impl Timer {
    /// Ready after `duration` from now.
    pub fn after(duration: Duration) -> Self {
        Self::at(Clock::new().now() + duration)
    }

    /// Ready at `at`.
    pub fn at(at: Instant) -> Self {
        Self { at, armed: None }
    }

    fn arm(&mut self, waker: &Waker) {
        let known = self.armed.as_ref();
        let before = known.and_then(|(reactor, number)| reactor.timers().replace(self.at, *number, waker));
        if let Some(before) = before {
            // Outside the lock: it may be the last reference to a task, and so to its timers.
            return drop(before);
        }
        let reactor = match self.armed.take() {
            Some((reactor, _)) => reactor,
            None => RuntimeHandle::with_current(|current| Arc::clone(&current.reactor)),
        };
        let mut timers = reactor.timers();
        let (number, is_next) = timers.insert(self.at, waker.clone());
        drop(timers);
        if is_next {
            reactor.timer_moved();
        }
        self.armed = Some((reactor, number));
    }

    #[cfg(test)]
    pub(crate) fn is_armed(&self) -> bool {
        self.armed.as_ref().is_some_and(|(reactor, number)| reactor.timers().contains(self.at, *number))
    }
}

impl Future for Timer {
    type Output = ();

    /// # Panics
    /// On a thread that is not inside a runtime, when it must wait for the first time.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if Clock::new().now() >= self.at {
            return Poll::Ready(());
        }
        self.arm(cx.waker());
        Poll::Pending
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        if let Some((reactor, number)) = &self.armed {
            let stopped = reactor.timers().remove(self.at, *number);
            // Outside the lock: a waker may be the last reference to a task.
            drop(stopped);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::Runtime;

    #[test]
    fn timers_fire_in_their_order_and_never_early() {
        let runtime = Runtime::new().expect("threads and descriptors");
        let begun = Clock::new().now();
        let fired = runtime.run(async {
            let [short, long] = [20, 40].map(|millis| Timer::after(Duration::from_millis(millis)));
            long.await;
            let now = Clock::new().now();
            short.await;
            now
        });
        assert!(fired - begun >= Duration::from_millis(40));
    }

    #[test]
    fn a_timer_that_is_set_by_another_thread_ends_a_longer_wait() {
        let runtime = Runtime::new().expect("threads and descriptors");
        let long = runtime.spawn(Timer::after(Duration::from_secs(1000)));
        runtime.run(async {});
        runtime.block_on(Timer::after(Duration::from_millis(5)));
        drop(long);
    }

    #[test]
    fn a_timer_that_is_dropped_leaves_nothing_behind() {
        let runtime = Runtime::new().expect("threads and descriptors");
        let _inside = runtime.handle().enter();
        let mut timer = Box::pin(Timer::after(Duration::from_secs(1000)));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(timer.as_mut().poll(&mut cx).is_pending());
        assert!(timer.as_mut().poll(&mut cx).is_pending());
        assert!(timer.is_armed());
        assert_eq!(runtime.handle().reactor.timers().len(), 1);
        drop(timer);
        assert_eq!(runtime.handle().reactor.timers().len(), 0);
    }
}
