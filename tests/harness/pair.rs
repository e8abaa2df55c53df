//! Two machines on one wire and one clock that jumps: whatever may happen to a link, in microseconds.

use std::fmt::Write;
use std::time::Duration;

use bytes::Bytes;
use hvym_tunnel_core::agent::Agent;
use hvym_tunnel_core::machine::{Machine, Side};
use hvym_tunnel_core::message::{Message, Transmit};
use hvym_tunnel_core::time::{Instant, UnixTime, Wall, earliest};

use crate::ends::{AgentEnd, RelayEnd};
use crate::wire::{Arrival, Wire, WireConfig};

/// More turns than this without the clock moving is a machine that never comes to rest.
const MAX_TURNS: usize = 200_000;
/// The wall clock at the start of every test: 2026-01-01T00:00:00Z.
pub const EPOCH: UnixTime = UnixTime::from_secs(1_767_225_600);

/// The wall clock of the simulated world.
pub fn wall(now: Instant) -> Wall {
    let seconds = now.as_micros() / 1_000_000;
    Wall { unix: UnixTime::from_secs(EPOCH.as_secs() + seconds), at: Instant::from_millis(seconds * 1000) }
}

/// A wall clock that is `error` seconds ahead of [`wall`], or behind it.
pub fn wall_off_by(error: i64, now: Instant) -> Wall {
    let wall = wall(now);
    Wall { unix: UnixTime::from_secs(wall.unix.as_secs().saturating_add_signed(error)), ..wall }
}

/// The WebSocket that `agent` waits for opens.
///
/// # Panics
/// When the agent waits for none.
pub fn open(agent: &mut Agent, now: Instant) {
    let attempt = agent.attempt().expect("the agent dials");
    assert!(agent.handle_open(attempt, wall(now), now), "the agent takes the socket that it asked for");
}

/// A machine, if there is one now, and the owner that does at once what it asks.
pub trait End {
    /// The kind of machine.
    type Machine: Machine;

    /// The machine; `None` when this end is not running.
    fn machine(&mut self) -> Option<&mut Self::Machine>;

    /// The owner's answer to an event.
    fn on_event(&mut self, event: <Self::Machine as Machine>::Event, now: Instant);
}

/// What becomes of a dial.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Dials {
    /// A WebSocket opens.
    Succeed,
    /// Nobody listens.
    Fail,
    /// No answer at all.
    Hang,
}

/// Two ends, driven as the laws of [`Machine`] say.
pub struct Pair<A, B> {
    /// The end that dials.
    pub agent: A,
    /// The end that is dialled.
    pub relay: B,
    /// What is between them.
    pub wire: Wire,
    /// The clock.
    pub now: Instant,
    /// What becomes of dials from now on.
    pub dials: Dials,
    /// An end that is stopped (SIGSTOP): it neither reads nor thinks, and its socket stays open.
    pub stopped: Option<Side>,
    /// Everything that was sent, and when.
    pub transcript: String,
}

impl<A: End, B: End> Pair<A, B> {
    /// Both ends at the start of time, no connection yet.
    pub fn of(agent: A, relay: B, wire: WireConfig, seed: [u8; 32]) -> Self {
        Self {
            agent,
            relay,
            wire: Wire::new(wire, seed),
            now: Instant::ZERO,
            dials: Dials::Succeed,
            stopped: None,
            transcript: String::new(),
        }
    }

    /// Everything that can happen without the clock moving. Whether anything did.
    pub fn turn(&mut self) -> bool {
        let (now, wire, log) = (self.now, &mut self.wire, &mut self.transcript);
        let mut moved = false;
        if self.stopped != Some(Side::Agent) {
            moved |= turn(Side::Agent, &mut self.agent, wire, log, now);
        }
        if self.stopped != Some(Side::Relay) {
            moved |= turn(Side::Relay, &mut self.relay, wire, log, now);
        }
        moved
    }

    /// When something will happen next, after now.
    pub fn next_at(&mut self) -> Option<Instant> {
        let mut next = None;
        if self.stopped != Some(Side::Agent) {
            let timer = self.agent.machine().and_then(|machine| machine.poll_timeout());
            next = earliest(next, earliest(self.wire.next_arrival(Side::Agent), timer));
        }
        if self.stopped != Some(Side::Relay) {
            let timer = self.relay.machine().and_then(|machine| machine.poll_timeout());
            next = earliest(next, earliest(self.wire.next_arrival(Side::Relay), timer));
        }
        next
    }
}

/// One round of a driver's four lanes for one end.
fn turn<E: End>(side: Side, end: &mut E, wire: &mut Wire, log: &mut String, now: Instant) -> bool {
    let mut moved = drain_events(end, now);
    moved |= transmit(side, end, wire, log, now);
    while let Some(arrival) = wire.receive(side, now) {
        moved = true;
        if let Some(machine) = end.machine() {
            match arrival {
                Arrival::Message(message) => machine.handle_message(message, now),
                Arrival::Close(close) => machine.handle_close(close, now),
            }
        }
        drain_events(end, now);
    }
    if let Some(machine) = end.machine()
        && machine.poll_timeout().is_some_and(|at| at <= now)
    {
        machine.handle_timeout(now);
        drain_events(end, now);
        moved = true;
    }
    moved
}

fn drain_events<E: End>(end: &mut E, now: Instant) -> bool {
    let mut moved = false;
    while let Some(event) = end.machine().and_then(Machine::poll_event) {
        end.on_event(event, now);
        moved = true;
    }
    moved
}

fn transmit<E: End>(side: Side, end: &mut E, wire: &mut Wire, log: &mut String, now: Instant) -> bool {
    let mut moved = false;
    while wire.has_room(side) || !wire.is_open(side) {
        let Some(transmit) = end.machine().and_then(Machine::poll_transmit) else { break };
        moved = true;
        if !wire.is_open(side) {
            // What a machine still says after its socket is gone goes nowhere.
            continue;
        }
        note(log, side, &transmit, now);
        match transmit {
            Transmit::Send(message) => wire.send(side, message, now),
            Transmit::Close(close) => wire.close(side, close, now),
        }
    }
    moved
}

fn note(log: &mut String, side: Side, transmit: &Transmit, now: Instant) {
    let at = now.as_micros();
    let line = match transmit {
        Transmit::Send(Message::Text(text)) => {
            writeln!(log, "{at} {side:?} {}", String::from_utf8_lossy(text))
        }
        Transmit::Send(Message::Binary(data)) => {
            writeln!(log, "{at} {side:?} {}", data_encoding::HEXLOWER.encode(data))
        }
        Transmit::Close(close) => writeln!(log, "{at} {side:?} {} {}", close.code, close.reason),
    };
    line.expect("a string takes every write");
}

impl Pair<AgentEnd, RelayEnd> {
    /// Runs until nothing is left to do at this moment.
    pub fn settle(&mut self) {
        for _ in 0..MAX_TURNS {
            let moved = self.turn();
            let dialled = self.stopped != Some(Side::Agent) && self.dial();
            if !moved && !dialled {
                return;
            }
        }
        panic!("never comes to rest at {} µs\n{}", self.now.as_micros(), self.transcript);
    }

    /// Runs for `time`, jumping from event to event.
    pub fn run(&mut self, time: Duration) {
        let end = self.now + time;
        self.run_until(end, |_| false);
        self.now = end;
        self.settle();
    }

    /// Runs until `done`, at the latest to `end`. Whether it was done.
    pub fn run_until(&mut self, end: Instant, mut done: impl FnMut(&mut Self) -> bool) -> bool {
        for _ in 0..MAX_TURNS {
            self.settle();
            if done(self) {
                return true;
            }
            match self.next_at() {
                Some(at) if at <= end => self.now = self.now.max(at),
                _ => return false,
            }
        }
        panic!("the clock never gets past {} µs", self.now.as_micros());
    }

    /// Runs until both sides have logged in and every service of the agent was answered.
    ///
    /// # Panics
    /// When that takes longer than two minutes.
    pub fn up(&mut self) {
        let end = self.now + Duration::from_secs(120);
        let up = self.run_until(end, |pair| pair.agent.machine.is_up() && pair.relay.is_up());
        assert!(up, "never up: {:?} {:?}", self.agent.events, self.relay.events);
        let latency = self.wire.config.latency;
        self.run(latency * 3);
    }

    /// Loses the transport, and lets both sides learn of it.
    pub fn cut(&mut self) {
        self.wire.cut(self.now);
        let latency = self.wire.config.latency;
        self.run(latency);
    }

    /// What the runner does with a dial that the agent asked for.
    fn dial(&mut self) -> bool {
        if self.dials == Dials::Hang {
            return false;
        }
        let Some(target) = self.agent.dialing.take() else { return false };
        if self.dials == Dials::Fail {
            let close = hvym_tunnel_core::message::Close::abnormal("connection refused");
            self.agent.machine.handle_close_from(target.attempt, close, self.now);
            return true;
        }
        self.wire.connect();
        self.relay.accept(&target, self.now);
        let wall = wall_off_by(self.agent.wall_error, self.now);
        self.agent.machine.handle_open(target.attempt, wall, self.now)
    }
}

/// `text` as a control message.
pub fn text(text: impl Into<String>) -> Message {
    Message::Text(Bytes::from(text.into()))
}
