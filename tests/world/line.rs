//! One direction of a simulated connection: a delay, a rate, and a window that its reader opens by reading.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use hvym_tunnel_core::time::Instant;

/// What a direction is like.
#[derive(Copy, Clone, Debug)]
pub(crate) struct LineConfig {
    pub(crate) delay: Duration,
    /// Bytes per second.
    pub(crate) rate: u64,
    /// Bytes that may be under way or unread; beyond it the sender's socket takes nothing.
    pub(crate) window: usize,
}

/// One direction. An item has a size in bytes.
pub(crate) struct Line<T> {
    pub(crate) config: LineConfig,
    items: VecDeque<(Instant, T, usize)>,
    held: usize,
    /// When the last byte that was sent has left the sender.
    free: Instant,
}

impl<T> Line<T> {
    pub(crate) fn new(config: LineConfig) -> Self {
        Self { config, items: VecDeque::new(), held: 0, free: Instant::ZERO }
    }

    pub(crate) fn room(&self) -> usize {
        self.config.window.saturating_sub(self.held)
    }

    pub(crate) fn send(&mut self, item: T, bytes: usize, now: Instant) {
        let time = Duration::from_micros(bytes as u64 * 1_000_000 / self.config.rate);
        self.free = self.free.max(now) + time;
        self.held += bytes;
        self.items.push_back((self.free + self.config.delay, item, bytes));
    }

    pub(crate) fn receive(&mut self, now: Instant) -> Option<T> {
        if self.items.front()?.0 > now {
            return None;
        }
        let (_, item, bytes) = self.items.pop_front()?;
        self.held -= bytes;
        Some(item)
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.items.front().map(|(at, ..)| *at)
    }

    pub(crate) fn clear(&mut self) {
        self.items.clear();
        (self.held, self.free) = (0, Instant::ZERO);
    }
}

/// What travels over a TCP connection.
#[derive(Debug)]
enum Piece {
    Data(Bytes),
    End,
    Reset,
}

/// What reading came to.
#[derive(Debug)]
pub(crate) enum Received {
    Data(Bytes),
    /// The other side ended its half.
    End,
    Reset,
    Nothing,
}

/// The end of a pipe.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum PipeEnd {
    Visitor,
    Relay,
}

/// A simulated TCP connection of a visitor.
pub(crate) struct Pipe {
    to_relay: Line<Piece>,
    to_visitor: Line<Piece>,
    /// Counts what was sent and received, so that whoever waits is woken only for a reason.
    pub(crate) moves: u64,
}

impl Pipe {
    pub(crate) fn new(config: LineConfig) -> Self {
        Self { to_relay: Line::new(config), to_visitor: Line::new(config), moves: 0 }
    }

    fn from(&mut self, end: PipeEnd) -> &mut Line<Piece> {
        if end == PipeEnd::Visitor { &mut self.to_relay } else { &mut self.to_visitor }
    }

    fn to(&mut self, end: PipeEnd) -> &mut Line<Piece> {
        if end == PipeEnd::Visitor { &mut self.to_visitor } else { &mut self.to_relay }
    }

    /// Sends as much as there is room for, and says how much.
    pub(crate) fn send(&mut self, from: PipeEnd, data: &Bytes, now: Instant) -> usize {
        let line = self.from(from);
        let count = data.len().min(line.room());
        if count > 0 {
            line.send(Piece::Data(data.slice(..count)), count, now);
            self.moves += 1;
        }
        count
    }

    pub(crate) fn finish(&mut self, from: PipeEnd, now: Instant) {
        self.from(from).send(Piece::End, 0, now);
        self.moves += 1;
    }

    /// What is under way to `from` is lost; what it sent before arrives.
    pub(crate) fn reset(&mut self, from: PipeEnd, now: Instant) {
        self.to(from).clear();
        self.from(from).send(Piece::Reset, 0, now);
        self.moves += 1;
    }

    /// Whether a reset has arrived, however much is to be read before it.
    pub(crate) fn is_reset(&mut self, to: PipeEnd, now: Instant) -> bool {
        self.to(to).items.back().is_some_and(|(at, piece, _)| matches!(piece, Piece::Reset) && *at <= now)
    }

    /// The next piece, of at most `max` bytes.
    pub(crate) fn receive(&mut self, to: PipeEnd, max: usize, now: Instant) -> Received {
        let line = self.to(to);
        let piece = line.receive(now);
        self.moves += u64::from(piece.is_some());
        let line = self.to(to);
        match piece {
            None => Received::Nothing,
            Some(Piece::Data(mut data)) => {
                let rest = data.split_off(max.min(data.len()));
                if !rest.is_empty() {
                    line.held += rest.len();
                    let bytes = rest.len();
                    line.items.push_front((now, Piece::Data(rest), bytes));
                }
                Received::Data(data)
            }
            Some(Piece::End) => Received::End,
            Some(Piece::Reset) => Received::Reset,
        }
    }

    /// When something arrives there.
    pub(crate) fn next(&mut self, to: PipeEnd) -> Option<Instant> {
        self.to(to).next()
    }

    pub(crate) fn delay(&self) -> Duration {
        self.to_relay.config.delay
    }
}
