//! Receive windows: when to grant more, and when a stream deserves a larger one.

use core::time::Duration;

use super::Mux;
use super::frame::INITIAL_WINDOW;
use super::slot::{Rx, Todo};
use crate::instant::Instant;

/// Round trips below this say nothing, and would let windows grow on a loopback where it does not help.
const LEAST_RTT: Duration = Duration::from_millis(1);
/// How often the round trip is measured while bulk data arrives.
const PROBE_INTERVAL: Duration = Duration::from_secs(10);
/// Measurements that are remembered; the least of them counts, so that a delayed answer fakes nothing.
const SAMPLES: usize = 6;

/// The round trip of this session, measured by pings while it matters.
#[derive(Debug, Default)]
pub(super) struct Rtt {
    samples: [Option<Duration>; SAMPLES],
    next: usize,
    /// The last two pings without an answer, and when they were pulled: a keepalive may follow a measurement.
    asked: [Option<(u32, Instant)>; 2],
    asked_at: Option<Instant>,
}

impl Rtt {
    pub(super) fn least(&self) -> Option<Duration> {
        self.samples.iter().flatten().min().copied()
    }

    /// Whether it is time to measure again.
    fn is_due(&self, now: Instant) -> bool {
        self.asked_at.is_none_or(|at| now - at >= PROBE_INTERVAL)
    }

    pub(super) fn asked(&mut self, value: u32, now: Instant) {
        self.asked = [Some((value, now)), self.asked[0]];
        self.asked_at = Some(now);
    }

    /// Whether `value` answers an outstanding ping.
    pub(super) fn answered(&mut self, value: u32, now: Instant) -> bool {
        let asked = self.asked.iter_mut().find(|asked| asked.is_some_and(|(asked, _)| asked == value));
        let Some((_, at)) = asked.and_then(Option::take) else { return false };
        self.samples[self.next % SAMPLES] = Some(now - at);
        self.next = self.next.wrapping_add(1);
        true
    }
}

impl Mux {
    /// What a slot's peer may be granted now.
    pub(super) fn grantable(&self, at: usize) -> u32 {
        let slot = &self.slots.all[at];
        let taken = slot.credit.saturating_add(slot.unread).saturating_add(self.parser.unarrived(at));
        slot.window.saturating_sub(taken)
    }

    /// After a read: grants more once half a window has been used up, and grows a window that limits its stream.
    pub(super) fn grant_if_due(&mut self, at: usize) {
        let slot = &self.slots.all[at];
        if slot.rx != Rx::Open || slot.reset.is_some() || slot.todo.has(Todo::WINDOW) {
            return;
        }
        if self.grantable(at) < slot.window / 2 {
            return;
        }
        self.grow(at);
        self.slots.all[at].granted_at = self.now;
        if self.rtt.is_due(self.now) && self.replies.ping.is_none() {
            self.replies.ping = Some(self.random.next_u64() as u32);
        }
        self.plan(at, Todo::WINDOW);
    }

    /// Half a window within two round trips: the window, not the peer or the reader, is what limits the stream.
    fn grow(&mut self, at: usize) {
        let Some(rtt) = self.rtt.least() else { return };
        let slot = &mut self.slots.all[at];
        let since = self.now - slot.granted_at;
        if since >= rtt.max(LEAST_RTT).saturating_mul(2) {
            return;
        }
        let budget = self.config.window_budget.saturating_sub(self.counts.grown);
        let room = self.config.max_stream_window.saturating_sub(slot.window);
        let more = slot.window.min(room).min(u32::try_from(budget).unwrap_or(u32::MAX));
        slot.window = slot.window.saturating_add(more);
        self.counts.grown += more as usize;
        debug_assert!(slot.window >= INITIAL_WINDOW);
    }
}
