//! Timers that may fire a little late: for timeouts of seconds, of which every request has some and which almost never
//! fire. All that fall into one tick wake the runtime once.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hvym_tunnel_core::time::Instant;

use super::clock::Clock;
use super::timer::Timer;

/// How late a timer may be. Timeouts of seconds do not notice, and four wake-ups a second, while any is set, cost
/// nothing that can be measured.
const TICK: Duration = Duration::from_millis(250);

/// Ready once the time has come, at most a quarter of a second late and never early.
#[derive(Debug)]
pub struct CoarseTimer(Timer);

impl CoarseTimer {
    /// Ready after `limit` from now.
    pub fn after(limit: Duration) -> Self {
        Self::at(Clock::new().now() + limit)
    }

    /// Ready at `at`.
    pub fn at(at: Instant) -> Self {
        let tick = u64::try_from(TICK.as_micros()).unwrap_or(u64::MAX);
        let ticks = at.as_micros().div_ceil(tick);
        Self(Timer::at(Instant::from_micros(ticks.saturating_mul(tick))))
    }
}

impl Future for CoarseTimer {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::Runtime;

    #[test]
    fn a_coarse_timer_fires_and_never_early() {
        let runtime = Runtime::new().expect("threads and descriptors");
        let limit = Duration::from_millis(300);
        let begun = Clock::new().now();
        runtime.block_on(CoarseTimer::after(limit));
        assert!(Clock::new().now() - begun >= limit);
    }
}
