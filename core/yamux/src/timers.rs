//! Deadlines: one heap for all streams, with at most one entry for each slot and timer.
//!
//! Arming an armed timer and moving a deadline back cost nothing: whoever takes an entry from the heap asks the stream
//! in that slot, and puts the entry back if its time has not come. So the heap is bounded by the number of slots,
//! however many streams come and go.

use alloc::collections::BinaryHeap;
use core::cmp::Reverse;
use core::time::Duration;

use crate::config::MuxConfig;
use crate::instant::{Instant, earliest};
use crate::send::WriterWait;
use crate::stream_state::{StreamState, StreamTimer};

/// How long a writer waits for a window that is worth a frame.
const SWS_DELAY: Duration = Duration::from_millis(20);

/// An entry of the heap: when, what, and the slot, in 16 bytes.
pub(crate) type Deadline = (Instant, StreamTimer, u32);

/// The deadlines of a session.
#[derive(Debug)]
pub(crate) struct Timers {
    streams: BinaryHeap<Reverse<Deadline>>,
    accept_timeout: Duration,
    open_timeout: Option<Duration>,
    half_close_idle_timeout: Duration,
    stream_stall_timeout: Option<Duration>,
    write_stall_timeout: Duration,
    keepalive: Option<(Duration, Duration)>,
    /// Since when output has been pending without any being pulled.
    output_pending_since: Option<Instant>,
    /// Some output was pulled, and more left, by a poll, which does not know the time: it counts as pulled as late as it can
    /// have been.
    output_pulled: bool,
    /// Output was pulled, and more was left, by this time.
    output_taken_at: Option<Instant>,
    last_received: Instant,
    /// When the outstanding keepalive ping counts as unanswered.
    keepalive_deadline: Option<Instant>,
}

impl Timers {
    pub(crate) fn new(config: &MuxConfig, now: Instant) -> Self {
        Self {
            streams: BinaryHeap::new(),
            accept_timeout: config.accept_timeout,
            open_timeout: config.open_timeout,
            half_close_idle_timeout: config.half_close_idle_timeout,
            stream_stall_timeout: config.stream_stall_timeout,
            write_stall_timeout: config.write_stall_timeout,
            keepalive: config.keepalive,
            output_pending_since: None,
            output_pulled: false,
            output_taken_at: None,
            last_received: now,
            keepalive_deadline: None,
        }
    }

    /// The duration of a timer; `None` is for ever.
    fn timeout(&self, timer: StreamTimer) -> Option<Duration> {
        match timer {
            StreamTimer::SwsDelay => Some(SWS_DELAY),
            StreamTimer::Accept => Some(self.accept_timeout),
            StreamTimer::Open => self.open_timeout,
            StreamTimer::HalfClosed => Some(self.half_close_idle_timeout),
            StreamTimer::Stall => self.stream_stall_timeout,
        }
    }

    /// Arms a timer of a stream, unless its slot has an entry: that one is earlier, and is put off when it is taken.
    pub(crate) fn arm(&mut self, stream: &mut StreamState, key: usize, timer: StreamTimer, now: Instant) {
        if !stream.timers.contains(timer)
            && let Some(timeout) = self.timeout(timer)
        {
            stream.timers.insert(timer);
            self.streams.push(Reverse((now + timeout, timer, key as u32)));
        }
    }

    /// Puts back an entry that was taken too early.
    pub(crate) fn put_off(&mut self, stream: &mut StreamState, later: Deadline) {
        stream.timers.insert(later.1);
        self.streams.push(Reverse(later));
    }

    /// The next entry whose time has come.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<Deadline> {
        let Reverse((deadline, ..)) = self.streams.peek()?;
        if *deadline > now {
            return None;
        }
        self.streams.pop().map(|Reverse(entry)| entry)
    }

    /// When `timer` runs out for this stream; `None` if the stream waits for no such thing.
    pub(crate) fn deadline(&self, stream: &StreamState, timer: StreamTimer, now: Instant) -> Option<Instant> {
        if stream.is_free() || stream.reset.is_some() {
            return None;
        }
        let (waits, since) = match timer {
            // The only timer that is never put off.
            StreamTimer::SwsDelay => {
                return (stream.send.writer_wait(0) == WriterWait::LargerWindow).then_some(now);
            }
            StreamTimer::Accept => (stream.opening.unaccepted, stream.opening.at),
            StreamTimer::Open => (stream.opening.outbound && !stream.opening.acked, stream.opening.at),
            StreamTimer::HalfClosed => (stream.is_half_closed(), stream.progress_at),
            StreamTimer::Stall => (stream.send.is_stalled(), stream.send.stalled_at()),
        };
        if waits { self.timeout(timer).map(|timeout| since + timeout) } else { None }
    }

    /// Output is pending.
    pub(crate) fn output_pending(&mut self, now: Instant) {
        self.output_pending_since.get_or_insert(now);
    }

    /// Output was pulled; `more` says whether some is left.
    pub(crate) fn output_pulled(&mut self, more: bool, now: Instant) {
        self.output_pulled = more;
        self.output_pending_since = more.then(|| self.output_pending_since.unwrap_or(now));
    }

    /// Time has passed: what was pulled before was pulled by now.
    pub(crate) fn time_passed(&mut self, now: Instant) {
        if core::mem::take(&mut self.output_pulled) {
            self.output_pending_since = Some(now);
            self.output_taken_at = Some(now);
        }
    }

    /// Whether output has been pending for too long.
    pub(crate) fn is_write_stalled(&self, now: Instant) -> bool {
        self.stall_due(now).is_some_and(|due| now >= due)
    }

    fn stall_due(&self, now: Instant) -> Option<Instant> {
        let since = if self.output_pulled { Some(now) } else { self.output_pending_since };
        since.map(|since| since + self.write_stall_timeout)
    }

    /// The peer has shown that it lives.
    pub(crate) fn received(&mut self, now: Instant) {
        self.last_received = now;
        self.keepalive_deadline = None;
    }

    fn keepalive_due(&self) -> Option<Instant> {
        let (interval, _) = self.keepalive?;
        Some(self.keepalive_deadline.unwrap_or(self.last_received + interval))
    }

    /// What the keepalive asks for now. A transport that is full takes more only when the peer has received some, so that
    /// puts off the verdict: the answer waits behind the rest.
    pub(crate) fn keepalive(&mut self, now: Instant) -> PingAction {
        let Some((_, timeout)) = self.keepalive else { return PingAction::None };
        if let Some(deadline) = self.keepalive_deadline
            && self.output_pending_since.is_some()
            && let Some(taken) = if self.output_pulled { Some(now) } else { self.output_taken_at }
            && taken + timeout > deadline
        {
            self.keepalive_deadline = Some(taken + timeout);
        }
        match (self.keepalive_due(), self.keepalive_deadline) {
            (Some(due), Some(_)) if now >= due => PingAction::GiveUp,
            (Some(due), None) if now >= due => {
                self.keepalive_deadline = Some(now + timeout);
                PingAction::Ping
            }
            _ => PingAction::None,
        }
    }

    /// The earliest deadline of the session and its streams.
    pub(crate) fn next(&self, now: Instant) -> Option<Instant> {
        let streams = self.streams.peek().map(|Reverse((deadline, ..))| *deadline);
        earliest(streams, earliest(self.stall_due(now), self.keepalive_due()))
    }
}

/// What the keepalive asks for.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum PingAction {
    None,
    /// Nothing was received for the interval.
    Ping,
    /// The ping was not answered in time.
    GiveUp,
}
