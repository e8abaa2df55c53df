//! Alarms that may ring a little late: for limits of seconds, of which every request has some and which almost never
//! come. Setting and stopping one costs no system call; the timers of the reactor cost several.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use hvym_tunnel_core::time::Instant;

use super::clock::Clock;
use super::executor::spawn;

/// How late an alarm may be. Nobody who waits for seconds notices, and four wake-ups a second, while somebody waits, cost
/// nothing that can be measured.
const TICK: Duration = Duration::from_millis(250);

/// Rings once the time has come, at most [`TICK`] late.
#[derive(Debug)]
pub struct CoarseTimer {
    /// The first tick at which it rings.
    tick: u64,
    /// Under which number somebody waits for it.
    waits: Option<u64>,
}

#[derive(Debug)]
struct Board {
    /// By tick, then by number.
    waiting: BTreeMap<(u64, u64), Waker>,
    next: u64,
    is_ticking: bool,
}

static BOARD: Mutex<Board> = Mutex::new(Board { waiting: BTreeMap::new(), next: 0, is_ticking: false });

fn board() -> MutexGuard<'static, Board> {
    BOARD.lock().unwrap_or_else(PoisonError::into_inner)
}

fn ticks(at: Instant) -> u64 {
    at.as_micros() / u64::try_from(TICK.as_micros()).unwrap_or(u64::MAX)
}

impl CoarseTimer {
    /// Rings after this long.
    pub fn after(limit: Duration) -> Self {
        // The end of the tick in which the time comes: never early.
        Self { tick: ticks(Clock::new().now() + limit).saturating_add(1), waits: None }
    }
}

impl Future for CoarseTimer {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if ticks(Clock::new().now()) >= self.tick {
            return Poll::Ready(());
        }
        let mut board = board();
        let number = self.waits.unwrap_or(board.next);
        if self.waits.is_none() {
            board.next += 1;
            self.waits = Some(number);
        }
        let old = board.waiting.get_mut(&(self.tick, number));
        match old {
            Some(waker) => waker.clone_from(cx.waker()),
            None => {
                board.waiting.insert((self.tick, number), cx.waker().clone());
            }
        }
        if !std::mem::replace(&mut board.is_ticking, true) {
            drop(board);
            spawn(run()).detach();
        }
        Poll::Pending
    }
}

impl Drop for CoarseTimer {
    fn drop(&mut self) {
        if let Some(number) = self.waits {
            let stopped = board().waiting.remove(&(self.tick, number));
            // Outside the lock: a waker may be the last that holds a task.
            drop(stopped);
        }
    }
}

/// Wakes those whose time has come, for as long as there are any who wait.
async fn run() {
    loop {
        smol::Timer::after(TICK).await;
        let now = ticks(Clock::new().now());
        let mut board = board();
        let later = board.waiting.split_off(&(now.saturating_add(1), 0));
        let due = std::mem::replace(&mut board.waiting, later);
        board.is_ticking = !board.waiting.is_empty();
        let goes_on = board.is_ticking;
        drop(board);
        due.into_values().for_each(Waker::wake);
        if !goes_on {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executor::block_on;

    #[test]
    fn an_alarm_rings_and_never_early() {
        let limit = Duration::from_millis(300);
        let begun = Clock::new().now();
        block_on(CoarseTimer::after(limit));
        assert!(Clock::new().now() - begun >= limit);
    }

    #[test]
    fn an_alarm_that_is_stopped_leaves_nothing_behind() {
        let mut alarm = Box::pin(CoarseTimer::after(Duration::from_secs(1000)));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(alarm.as_mut().poll(&mut cx).is_pending());
        assert!(alarm.as_mut().poll(&mut cx).is_pending());
        let key = (alarm.tick, alarm.waits.expect("it waits"));
        assert!(board().waiting.contains_key(&key));
        drop(alarm);
        assert!(!board().waiting.contains_key(&key));
    }
}
