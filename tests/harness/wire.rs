//! One simulated WebSocket between an agent and a relay: latency, room, cuts, loss. It knows neither side's protocol.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use hvym_tunnel_core::machine::Side;
use hvym_tunnel_core::message::{Close, Message};
use hvym_tunnel_core::rng::Rng;
use hvym_tunnel_core::time::Instant;

/// How the borders of `Binary` messages are moved on the way. They carry no meaning, so nothing may change.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Recut {
    /// As they were sent.
    Whole,
    /// Into pieces of this many bytes.
    Every(usize),
    /// Into pieces of random length.
    Anywhere,
}

/// What a wire is like.
#[derive(Copy, Clone, Debug)]
pub struct WireConfig {
    /// From sending to arrival.
    pub latency: Duration,
    /// What becomes of the borders of `Binary` messages.
    pub recut: Recut,
    /// Bytes that may be under way in one direction; beyond it the sender's socket takes nothing.
    pub room: usize,
    /// Bytes a second that leave the socket of either end; `None` is no limit.
    pub rate: Option<u64>,
    /// Closes never arrive, as when a machine loses its power.
    pub loses_closes: bool,
}

impl Default for WireConfig {
    fn default() -> Self {
        Self {
            latency: Duration::from_millis(20),
            recut: Recut::Whole,
            room: 1024 * 1024,
            rate: None,
            loses_closes: false,
        }
    }
}

/// What arrives at an end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Arrival {
    /// A message.
    Message(Message),
    /// The end of the transport.
    Close(Close),
}

#[derive(Default)]
struct End {
    /// Whether this end still has its socket.
    open: bool,
    arriving: VecDeque<(Instant, Arrival)>,
    bytes: usize,
    /// When the last byte under way leaves the other end's socket.
    busy_until: Instant,
}

/// A WebSocket, or the place where the next one will be.
pub struct Wire {
    /// May be changed at any time.
    pub config: WireConfig,
    rng: Rng,
    agent: End,
    relay: End,
}

fn other(side: Side) -> Side {
    match side {
        Side::Agent => Side::Relay,
        Side::Relay => Side::Agent,
    }
}

impl Wire {
    /// No connection yet.
    pub fn new(config: WireConfig, seed: [u8; 32]) -> Self {
        Self { config, rng: Rng::new(seed), agent: End::default(), relay: End::default() }
    }

    /// A fresh connection; whatever the last one still carried is gone.
    pub fn connect(&mut self) {
        self.agent = End { open: true, ..End::default() };
        self.relay = End { open: true, ..End::default() };
    }

    /// Whether `side` has a socket.
    pub fn is_open(&self, side: Side) -> bool {
        self.end(side).open
    }

    /// Whether the socket of `from` takes another message.
    pub fn has_room(&self, from: Side) -> bool {
        self.end(from).open && self.end(other(from)).bytes < self.config.room
    }

    /// Sends a message, or the pieces of one.
    pub fn send(&mut self, from: Side, message: Message, now: Instant) {
        match message {
            Message::Binary(mut data) => {
                while !data.is_empty() {
                    let n = self.piece(data.len());
                    self.put(from, Message::Binary(data.split_to(n)), now);
                }
            }
            text => self.put(from, text, now),
        }
    }

    /// `from` closes its socket. The other end learns of it, unless closes are lost.
    pub fn close(&mut self, from: Side, close: Close, now: Instant) {
        *self.end_mut(from) = End::default();
        if !self.config.loses_closes {
            self.arrive(other(from), Arrival::Close(close), now);
        }
    }

    /// The transport breaks: what is under way is lost, and both ends learn of it.
    pub fn cut(&mut self, now: Instant) {
        for side in [Side::Agent, Side::Relay] {
            self.end_mut(side).arriving.clear();
            self.end_mut(side).bytes = 0;
            self.arrive(side, Arrival::Close(Close::abnormal("connection reset")), now);
        }
    }

    /// Everything that is under way to `to`, and nothing else, is lost.
    pub fn drop_arrivals(&mut self, to: Side) {
        let end = self.end_mut(to);
        end.arriving.clear();
        end.bytes = 0;
    }

    /// What has arrived at `to` by `now`, one at a time. After a close the socket is gone.
    pub fn receive(&mut self, to: Side, now: Instant) -> Option<Arrival> {
        let end = self.end_mut(to);
        if !end.open || end.arriving.front()?.0 > now {
            return None;
        }
        let (_, arrival) = end.arriving.pop_front()?;
        match &arrival {
            Arrival::Message(message) => end.bytes -= message.payload().len(),
            Arrival::Close(_) => *end = End::default(),
        }
        Some(arrival)
    }

    /// When the next thing arrives at `to`.
    pub fn next_arrival(&self, to: Side) -> Option<Instant> {
        let end = self.end(to);
        end.arriving.front().filter(|_| end.open).map(|(at, _)| *at)
    }

    fn piece(&mut self, length: usize) -> usize {
        match self.config.recut {
            Recut::Whole => length,
            Recut::Every(n) => n.clamp(1, length),
            Recut::Anywhere => 1 + (self.rng.next_u64() as usize) % length,
        }
    }

    fn put(&mut self, from: Side, message: Message, now: Instant) {
        // What a socket delivers is never a slice of what the sender holds.
        let message = match message {
            Message::Text(text) => Message::Text(Bytes::copy_from_slice(&text)),
            Message::Binary(data) => Message::Binary(Bytes::copy_from_slice(&data)),
        };
        self.end_mut(other(from)).bytes += message.payload().len();
        self.arrive(other(from), Arrival::Message(message), now);
    }

    fn arrive(&mut self, to: Side, arrival: Arrival, now: Instant) {
        let (latency, rate) = (self.config.latency, self.config.rate);
        let end = self.end_mut(to);
        let mut leaves = now;
        if let (Some(rate), Arrival::Message(message)) = (rate, &arrival) {
            let micros = message.payload().len() as u64 * 1_000_000 / rate;
            leaves = now.max(end.busy_until) + Duration::from_micros(micros);
            end.busy_until = leaves;
        }
        let at = leaves + latency;
        let after = end.arriving.back().map_or(at, |(last, _)| at.max(*last));
        end.arriving.push_back((after, arrival));
    }

    fn end(&self, side: Side) -> &End {
        match side {
            Side::Agent => &self.agent,
            Side::Relay => &self.relay,
        }
    }

    fn end_mut(&mut self, side: Side) -> &mut End {
        match side {
            Side::Agent => &mut self.agent,
            Side::Relay => &mut self.relay,
        }
    }
}
