//! Deadlines: one heap for all streams, at most one entry for each place and clock.
//!
//! Setting a clock that is set already costs nothing and moving a deadline back costs nothing: whoever takes an entry
//! out looks at what the stream in that place says now, and puts the entry back if its time has not come. So the heap
//! is bounded by the places, however many streams come and go.

use alloc::collections::BinaryHeap;
use core::cmp::Reverse;
use core::time::Duration;

use super::error::{MuxError, ResetReason};
use super::slot::Slot;
use super::{Mux, MuxConfig, Phase};
use crate::instant::{Instant, earliest};

/// How long a sender waits for a window that is too small to be worth a frame.
const HOLD: Duration = Duration::from_millis(20);

/// What a stream may wait for.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Clock {
    /// A window that is worth a frame.
    Hold,
    /// The application, to accept it.
    Accept,
    /// The peer, to acknowledge it.
    Open,
    /// Anything to move, half-closed.
    HalfClosed,
    /// Any window.
    Stall,
}

impl Clock {
    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

#[derive(Debug)]
pub(super) struct Timers {
    streams: BinaryHeap<Reverse<(Instant, Clock, u32)>>,
    accept_timeout: Duration,
    open_timeout: Option<Duration>,
    half_close_idle_timeout: Duration,
    stream_stall_timeout: Option<Duration>,
    write_stall_timeout: Duration,
    keepalive: Option<(Duration, Duration)>,
    /// Since when output has waited without any being pulled.
    waiting_since: Option<Instant>,
    /// Some was pulled since then, at a time nobody told.
    pulled: bool,
    last_input: Instant,
    /// When the outstanding keepalive ping counts as unanswered.
    give_up: Option<Instant>,
}

impl Timers {
    pub(super) fn new(config: &MuxConfig, now: Instant) -> Self {
        Self {
            streams: BinaryHeap::new(),
            accept_timeout: config.accept_timeout,
            open_timeout: config.open_timeout,
            half_close_idle_timeout: config.half_close_idle_timeout,
            stream_stall_timeout: config.stream_stall_timeout,
            write_stall_timeout: config.write_stall_timeout,
            keepalive: config.keepalive,
            waiting_since: None,
            pulled: false,
            last_input: now,
            give_up: None,
        }
    }

    /// When `clock` runs out for this stream; `None` if it waits for no such thing.
    fn deadline(&self, slot: &Slot, clock: Clock, now: Instant) -> Option<Instant> {
        if slot.is_free() || slot.reset.is_some() {
            return None;
        }
        let (waits, since, timeout) = match clock {
            Clock::Hold => (slot.holding, now, Some(Duration::ZERO)),
            Clock::Accept => (slot.unaccepted, slot.opened_at, Some(self.accept_timeout)),
            Clock::Open => (slot.outbound && !slot.acked, slot.opened_at, self.open_timeout),
            Clock::HalfClosed => (slot.is_half_closed(), slot.moved_at, Some(self.half_close_idle_timeout)),
            Clock::Stall => (slot.is_starved(), slot.starved_at, self.stream_stall_timeout),
        };
        if waits { timeout.map(|timeout| since + timeout) } else { None }
    }

    pub(super) fn output_waits(&mut self, now: Instant) {
        self.waiting_since.get_or_insert(now);
    }

    /// Output was pulled; `more` says whether some is left.
    pub(super) fn output_pulled(&mut self, more: bool, now: Instant) {
        self.pulled = more;
        self.waiting_since = more.then(|| self.waiting_since.unwrap_or(now));
    }

    pub(super) fn input(&mut self, now: Instant) {
        self.last_input = now;
        self.give_up = None;
    }

    fn keepalive_due(&self) -> Option<Instant> {
        let (interval, _) = self.keepalive?;
        Some(self.give_up.unwrap_or(self.last_input + interval))
    }
}

impl Mux {
    /// Acts on every deadline that has passed. Early, late and repeated calls are harmless.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), MuxError> {
        self.tick(now);
        if self.is_ended() {
            return Ok(());
        }
        self.expire_streams();
        if let Phase::ShuttingDown(deadline) = self.phase
            && self.now >= deadline
        {
            self.cut_off();
        }
        if self.is_ended() {
            return Ok(());
        }
        self.expire_session()
    }

    /// When to call [`Mux::handle_timeout`]; `None` is never.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.is_ended() {
            return None;
        }
        let timers = &self.timers;
        let mut next = match self.phase {
            Phase::ShuttingDown(deadline) => Some(deadline),
            _ => None,
        };
        next = earliest(next, timers.streams.peek().map(|Reverse((deadline, ..))| *deadline));
        next = earliest(next, timers.waiting_since.map(|since| since + timers.write_stall_timeout));
        earliest(next, timers.keepalive_due())
    }

    /// Starts a clock, unless the place has an entry for it: that one comes earlier, and is put off when it comes.
    pub(super) fn watch(&mut self, at: usize, clock: Clock) {
        let slot = &mut self.slots.all[at];
        let timeout = match clock {
            Clock::Hold => Some(HOLD),
            Clock::Accept => Some(self.timers.accept_timeout),
            Clock::Open => self.timers.open_timeout,
            Clock::HalfClosed => Some(self.timers.half_close_idle_timeout),
            Clock::Stall => self.timers.stream_stall_timeout,
        };
        if slot.clocks & clock.bit() == 0
            && let Some(timeout) = timeout
        {
            slot.clocks |= clock.bit();
            self.timers.streams.push(Reverse((self.now + timeout, clock, at as u32)));
        }
    }

    /// Starts the clock of a stream that has just become half-closed.
    pub(super) fn watch_half_closed(&mut self, at: usize) {
        let slot = &mut self.slots.all[at];
        if slot.is_half_closed() {
            slot.moved_at = self.now;
            self.watch(at, Clock::HalfClosed);
        }
    }

    /// Starts the clock of a stream whose data has just begun to wait for any window.
    pub(super) fn watch_starved(&mut self, at: usize) {
        self.slots.all[at].starved_at = self.now;
        self.watch(at, Clock::Stall);
    }

    fn expire_streams(&mut self) {
        while let Some(&Reverse((deadline, clock, place))) = self.timers.streams.peek()
            && deadline <= self.now
        {
            self.timers.streams.pop();
            let at = place as usize;
            let slot = &mut self.slots.all[at];
            slot.clocks &= !clock.bit();
            match self.timers.deadline(slot, clock, self.now) {
                None => {}
                Some(later) if later > self.now => {
                    slot.clocks |= clock.bit();
                    self.timers.streams.push(Reverse((later, clock, place)));
                }
                Some(_) => self.expire(at, clock),
            }
        }
    }

    fn expire(&mut self, at: usize, clock: Clock) {
        let reason = match clock {
            Clock::Hold => {
                self.slots.all[at].holding = false;
                self.slots.all[at].hold_over = true;
                return self.ready_if_sendable(at);
            }
            Clock::Accept => ResetReason::AcceptTimeout,
            Clock::Open => ResetReason::OpenTimeout,
            Clock::HalfClosed => ResetReason::Idle,
            Clock::Stall => ResetReason::WriteStall,
        };
        self.tear(at, reason, true);
    }

    fn expire_session(&mut self) -> Result<(), MuxError> {
        if core::mem::take(&mut self.timers.pulled) {
            self.timers.waiting_since = Some(self.now);
        }
        let stalled =
            self.timers.waiting_since.is_some_and(|at| self.now >= at + self.timers.write_stall_timeout);
        let verdict = if stalled {
            Err(MuxError::WriteStall)
        } else if let Some((_, timeout)) = self.timers.keepalive
            && self.timers.keepalive_due().is_some_and(|due| self.now >= due)
        {
            match self.timers.give_up {
                Some(_) => Err(MuxError::KeepAlive),
                None => {
                    self.timers.give_up = Some(self.now + timeout);
                    self.replies.ping.get_or_insert(self.random.next_u64() as u32);
                    self.timers.output_waits(self.now);
                    Ok(())
                }
            }
        } else {
            Ok(())
        };
        if let Err(error) = verdict {
            self.fail(error);
        }
        verdict
    }
}
