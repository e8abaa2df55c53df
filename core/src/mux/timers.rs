//! Deadlines: one queue for each kind, since equal durations keep it sorted. Entries of streams that are gone are skipped.

use alloc::collections::VecDeque;
use core::time::Duration;

use super::error::{MuxError, ResetReason};
use super::{Mux, MuxConfig, Phase};
use crate::time::{Instant, sooner};

/// How long a sender waits for a window that is too small to be worth a frame.
const HOLD: Duration = Duration::from_millis(20);

type Queue = VecDeque<(Instant, usize, u32)>;

#[derive(Debug)]
pub(super) struct Timers {
    accept: Queue,
    open: Queue,
    half_closed: Queue,
    hold: Queue,
    stall: Queue,
    accept_timeout: Duration,
    open_timeout: Option<Duration>,
    half_close_idle_timeout: Duration,
    stream_stall_timeout: Option<Duration>,
    write_stall_timeout: Duration,
    keepalive: Option<(Duration, Duration)>,
    /// Since when output has waited without any being pulled.
    waiting_since: Option<Instant>,
    last_input: Instant,
    /// When the outstanding keepalive ping counts as unanswered.
    give_up: Option<Instant>,
}

impl Timers {
    pub(super) fn new(config: &MuxConfig, now: Instant) -> Self {
        Self {
            accept: Queue::new(),
            open: Queue::new(),
            half_closed: Queue::new(),
            hold: Queue::new(),
            stall: Queue::new(),
            accept_timeout: config.accept_timeout,
            open_timeout: config.open_timeout,
            half_close_idle_timeout: config.half_close_idle_timeout,
            stream_stall_timeout: config.stream_stall_timeout,
            write_stall_timeout: config.write_stall_timeout,
            keepalive: config.keepalive,
            waiting_since: None,
            last_input: now,
            give_up: None,
        }
    }

    pub(super) fn incoming(&mut self, at: usize, generation: u32, now: Instant) {
        self.accept.push_back((now + self.accept_timeout, at, generation));
    }

    pub(super) fn opened(&mut self, at: usize, generation: u32, now: Instant) {
        if let Some(timeout) = self.open_timeout {
            self.open.push_back((now + timeout, at, generation));
        }
    }

    pub(super) fn half_closed(&mut self, at: usize, generation: u32, now: Instant) {
        self.half_closed.push_back((now + self.half_close_idle_timeout, at, generation));
    }

    pub(super) fn held(&mut self, at: usize, generation: u32, now: Instant) {
        self.hold.push_back((now + HOLD, at, generation));
    }

    pub(super) fn starved(&mut self, at: usize, generation: u32, now: Instant) {
        if let Some(timeout) = self.stream_stall_timeout {
            self.stall.push_back((now + timeout, at, generation));
        }
    }

    pub(super) fn output_waits(&mut self, now: Instant) {
        self.waiting_since.get_or_insert(now);
    }

    /// Output was pulled; `more` says whether some is left.
    pub(super) fn output_pulled(&mut self, more: bool, now: Instant) {
        self.waiting_since = more.then_some(now);
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

/// Takes the oldest entry if its time has come.
fn due(queue: &mut Queue, now: Instant) -> Option<(usize, u32)> {
    let (deadline, at, generation) = *queue.front()?;
    if now < deadline {
        return None;
    }
    queue.pop_front();
    Some((at, generation))
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
            for at in 0..self.slots.all.len() {
                if !self.slots.all[at].is_free() {
                    self.tear(at, ResetReason::Shutdown, true);
                }
            }
            self.replies.go_away = Some(0);
            self.end(super::MuxEnd::Normal);
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
        let front = |queue: &Queue| queue.front().map(|(deadline, ..)| *deadline);
        let mut next = match self.phase {
            Phase::ShuttingDown(deadline) => Some(deadline),
            _ => None,
        };
        for queue in [&timers.accept, &timers.open, &timers.half_closed, &timers.hold, &timers.stall] {
            next = sooner(next, front(queue));
        }
        next = sooner(next, timers.waiting_since.map(|since| since + timers.write_stall_timeout));
        sooner(next, timers.keepalive_due())
    }

    fn is_current(&self, at: usize, generation: u32) -> bool {
        self.slots.all.get(at).is_some_and(|slot| slot.generation == generation && !slot.is_free())
    }

    fn expire_streams(&mut self) {
        while let Some((at, generation)) = due(&mut self.timers.hold, self.now) {
            if self.is_current(at, generation) {
                let slot = &mut self.slots.all[at];
                slot.holding = false;
                slot.hold_over = true;
                self.ready_if_sendable(at);
            }
        }
        while let Some((at, generation)) = due(&mut self.timers.accept, self.now) {
            if self.is_current(at, generation) && self.slots.all[at].unaccepted {
                self.tear(at, ResetReason::AcceptTimeout, true);
            }
        }
        while let Some((at, generation)) = due(&mut self.timers.open, self.now) {
            if self.is_current(at, generation) && !self.slots.all[at].acked {
                self.tear(at, ResetReason::OpenTimeout, true);
            }
        }
        self.expire_moving();
    }

    /// Deadlines that every movement of the stream puts off.
    fn expire_moving(&mut self) {
        while let Some((at, generation)) = due(&mut self.timers.half_closed, self.now) {
            if !self.is_current(at, generation) || !self.slots.all[at].is_half_closed() {
                continue;
            }
            if self.now - self.slots.all[at].moved_at >= self.timers.half_close_idle_timeout {
                self.tear(at, ResetReason::Idle, true);
            } else {
                let moved = self.slots.all[at].moved_at;
                self.timers.half_closed(at, generation, moved);
            }
        }
        while let Some((at, generation)) = due(&mut self.timers.stall, self.now) {
            let Some(timeout) = self.timers.stream_stall_timeout else { continue };
            let slot = &self.slots.all[at];
            if !self.is_current(at, generation) || slot.send_len == 0 || slot.send_window > 0 {
                continue;
            }
            if self.now - slot.moved_at >= timeout {
                self.tear(at, ResetReason::WriteStall, true);
            } else {
                let moved = slot.moved_at;
                self.timers.starved(at, generation, moved);
            }
        }
    }

    fn expire_session(&mut self) -> Result<(), MuxError> {
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
                    self.replies.ping.get_or_insert(self.rng.next_u64() as u32);
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

    /// Starts the clock of a stream that has just become half-closed.
    pub(super) fn watch_half_closed(&mut self, at: usize) {
        let slot = &self.slots.all[at];
        if slot.is_half_closed() {
            self.timers.half_closed(at, slot.generation, self.now);
        }
    }
}
