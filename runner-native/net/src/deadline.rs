//! One deadline that moves on with everything that happens: its timer is set again only when it comes sooner, or has fired.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Waker};

use hvym_tunnel_core::time::Instant;

use super::coarse_timer::CoarseTimer;

/// The timer of a deadline. Of a task that is woken for other reasons too, and reads the clock once each time.
#[derive(Debug, Default)]
pub struct Deadline {
    armed: Option<(Instant, Waker, CoarseTimer)>,
}

impl Deadline {
    /// Whether `at` has come. If it has not, the task of `cx` is woken when it does, at most a quarter of a second late, and
    /// now and then sooner.
    pub fn is_due(&mut self, at: Option<Instant>, now: Instant, cx: &mut Context<'_>) -> bool {
        let Some(at) = at else {
            self.armed = None;
            return false;
        };
        if at <= now {
            return true;
        }
        let is_armed = |(armed, waker, _): &(Instant, Waker, CoarseTimer)| {
            now < *armed && *armed <= at && waker.will_wake(cx.waker())
        };
        if self.armed.as_ref().is_some_and(is_armed) {
            return false;
        }
        let mut timer = CoarseTimer::at(at);
        if Pin::new(&mut timer).poll(cx).is_ready() {
            return true;
        }
        self.armed = Some((at, cx.waker().clone(), timer));
        false
    }
}
