//! One direction of a connection in simulated time: a socket's buffer, a bottleneck with a rate, and a delay. It knows
//! nothing of frames.

use core::time::Duration;
use std::collections::VecDeque;

use bytes::Bytes;
use hvym_yamux::Instant;

/// What the bottleneck sends as a whole: bytes, and at high rates the part of a second, so that the time passes in steps.
const SEGMENT: usize = 1460;
const STEPS: u64 = 10_000;

/// What a connection is like, in each direction.
#[derive(Copy, Clone, Debug)]
pub struct Path {
    /// Bytes a second that the bottleneck sends.
    pub rate: u64,
    /// From the bottleneck to the other end: half of the least round trip.
    pub delay: Duration,
    /// Bytes that wait for the bottleneck, in the socket and on the way, above which the socket takes nothing.
    pub queue: usize,
}

impl Path {
    /// Half a round trip of `millis`, and a queue as long as a socket's buffer is by default.
    pub fn new(rate: u64, millis: u64) -> Self {
        Self { rate, delay: Duration::from_micros(millis * 500), queue: 256 * 1024 }
    }
}

/// One direction of a connection.
#[derive(Debug)]
pub struct Wire {
    /// May be changed at any time.
    pub path: Path,
    /// When each segment has left the bottleneck, its bytes, and whether it has left.
    segments: VecDeque<(Instant, Bytes)>,
    /// Bytes of the segments from `waiting_from` on.
    waiting: usize,
    waiting_from: usize,
    busy_until: Instant,
    is_cut: bool,
}

impl Wire {
    /// A wire that has carried nothing.
    pub fn new(path: Path) -> Self {
        Self {
            path,
            segments: VecDeque::new(),
            waiting: 0,
            waiting_from: 0,
            busy_until: Instant::ZERO,
            is_cut: false,
        }
    }

    /// Bytes that the socket takes now. 0 for ever once the wire is cut: nobody tells the sender.
    pub fn room(&mut self, now: Instant) -> usize {
        if self.is_cut {
            return 0;
        }
        while let Some((left, bytes)) = self.segments.get(self.waiting_from)
            && *left <= now
        {
            self.waiting -= bytes.len();
            self.waiting_from += 1;
        }
        self.path.queue.saturating_sub(self.waiting)
    }

    /// The socket takes these bytes.
    pub fn send(&mut self, mut bytes: Bytes, now: Instant) {
        self.waiting += bytes.len();
        self.busy_until = self.busy_until.max(now);
        let most = SEGMENT.max((self.path.rate / STEPS) as usize);
        while !bytes.is_empty() {
            let segment = bytes.split_to(bytes.len().min(most));
            let nanos = segment.len() as u64 * 1_000_000_000 / self.path.rate.max(1);
            // Whole microseconds: what is lost at high rates makes the wire a little faster.
            self.busy_until = self.busy_until + Duration::from_nanos(nanos);
            self.segments.push_back((self.busy_until, segment));
        }
    }

    /// What has arrived by now, one segment at a time.
    pub fn receive(&mut self, now: Instant) -> Option<Bytes> {
        let (left, _) = self.segments.front()?;
        if *left + self.path.delay > now {
            return None;
        }
        self.room(now);
        self.waiting_from = self.waiting_from.saturating_sub(1);
        self.segments.pop_front().map(|(_, bytes)| bytes)
    }

    /// When the next segment arrives.
    pub fn next_arrival(&self) -> Option<Instant> {
        self.segments.front().map(|(left, _)| *left + self.path.delay)
    }

    /// When the next segment makes room.
    pub fn next_room(&self) -> Option<Instant> {
        self.segments.get(self.waiting_from).filter(|_| !self.is_cut).map(|(left, _)| *left)
    }

    /// What is under way is lost, and nothing more is taken or arrives.
    pub fn cut(&mut self) {
        *self = Self { is_cut: true, ..Self::new(self.path) };
    }
}
