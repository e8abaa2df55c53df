//! The links of the world: dialled, read, written, cut and forgotten.

use hvym_tunnel_core::agent::AttemptId;
use hvym_tunnel_core::machine::Machine;
use hvym_tunnel_core::message::{Close, Message, Transmit};
use hvym_tunnel_core::mux::MuxConfig;
use hvym_tunnel_core::reason::DownReason;
use hvym_tunnel_core::relay::{LinkId, Session};
use hvym_tunnel_core::time::{Instant, earliest};
use hvym_tunnel_tests::ends::{session_config, upgrade};
use hvym_tunnel_tests::pair::wall;
use hvym_tunnel_tests::wire::Arrival;

use crate::hosted::SessionKey;
use crate::line::Line;
use crate::world::{Node, ProcessKey, World};

/// Which WebSocket, in the order in which they were opened.
pub(crate) type WireKey = usize;

const MIB: usize = 1024 * 1024;

/// The streams of a session of the relay, with less room than usual, so that a few dozen visitors are a crowd.
pub(crate) fn mux() -> MuxConfig {
    MuxConfig::opener().with(|mux| {
        mux.max_outbound_streams = 256;
        mux.max_stream_window = MIB as u32;
        mux.window_growth_budget = 4 * MIB;
        mux.max_unread = 8 * MIB;
        mux.max_group_unread = 2 * MIB;
    })
}

/// The WebSocket of one link.
pub(crate) struct LinkWire {
    pub(crate) process: ProcessKey,
    pub(crate) attempt: AttemptId,
    pub(crate) session: SessionKey,
    pub(crate) link: LinkId,
    pub(crate) to_relay: Line<Arrival>,
    pub(crate) to_agent: Line<Arrival>,
    pub(crate) is_open_at_agent: bool,
    pub(crate) is_open_at_relay: bool,
    /// Nothing arrives any more, and nobody is told.
    pub(crate) is_dead: bool,
    /// It broke, or the process at one of its ends died.
    pub(crate) is_faulted: bool,
}

impl LinkWire {
    /// When something arrives at either end.
    fn next(&self) -> Option<Instant> {
        earliest(self.to_agent.next(), self.to_relay.next())
    }
}

/// A link may end in good order, or because another session replaced its own.
fn is_orderly(close: &Close) -> bool {
    close.code == 1000 || close.code == 4009 || close.code == 4010
}

impl World {
    /// What the runner does with a dial that the agent asked for.
    pub(crate) fn dial(&mut self, number: ProcessKey) {
        let now = self.now;
        let Some(process) = self.processes.get_mut(&number) else { return };
        let Some(target) = process.dialing.take() else { return };
        if now < self.relay_returns {
            process.agent.handle_close_from(target.attempt, Close::abnormal("connection refused"), now);
            return self.wake(Node::Process(number), now);
        }
        let mut config = session_config();
        config.link.mux = mux();
        let seed = self.rng.fork();
        let session = Session::new(config, upgrade(&target, seed), wall(now), seed, now);
        let key = self.relay.accept(process.name, number, session);
        let line = self.plan.agents[process.name].line;
        let is_taken = process.agent.handle_open(target.attempt, wall(now), now);
        assert!(is_taken, "an agent takes the socket that it asked for");
        let wire = LinkWire {
            process: number,
            attempt: target.attempt,
            session: key,
            link: LinkId::FIRST,
            to_relay: Line::new(line),
            to_agent: Line::new(line),
            is_open_at_agent: true,
            is_open_at_relay: true,
            is_dead: false,
            is_faulted: false,
        };
        self.next_wire += 1;
        self.wires.insert(self.next_wire, wire);
        self.wake(Node::Process(number), now);
        self.wake(Node::Session(key), now);
    }

    /// Both ends of a link read what has arrived.
    pub(crate) fn wire(&mut self, key: WireKey) {
        let now = self.now;
        let Some(wire) = self.wires.get_mut(&key) else { return };
        let number = wire.process;
        while let Some(arrival) = wire.to_agent.receive(now) {
            let agent = self.processes.get_mut(&number).map(|process| &mut process.agent);
            match (arrival, agent) {
                (Arrival::Message(message), Some(agent)) => {
                    agent.handle_message_from(wire.attempt, message, now);
                }
                (Arrival::Close(close), Some(agent)) => {
                    wire.is_open_at_agent = false;
                    agent.handle_close_from(wire.attempt, close, now);
                }
                (_, None) => {}
            }
        }
        while let Some(wire) = self.wires.get_mut(&key)
            && let Some(arrival) = wire.to_relay.receive(now)
        {
            let (session, link) = (wire.session, wire.link);
            // What comes for a session that has ended is read by nobody.
            let Some(hosted) = self.relay.sessions.get_mut(&session) else { continue };
            match arrival {
                Arrival::Message(message) => hosted.session.handle_message_from(link, message, now),
                Arrival::Close(close) => {
                    wire.is_open_at_relay = false;
                    hosted.session.handle_close_from(link, close, now);
                }
            }
            self.relay.drain(session, now);
            self.settle_joined();
        }
        let at = self.wires.get(&key).map(|wire| wire.session);
        at.into_iter().for_each(|at| self.session(at));
        self.process(number);
        // What an end has sent that is gone since arrives all the same, and nobody else looks for it.
        self.wake_some(Node::Wire(key), self.wires.get(&key).and_then(LinkWire::next));
        self.forget_wire(key);
    }

    /// Links that joined another session are its own from now on.
    fn settle_joined(&mut self) {
        for joined in std::mem::take(&mut self.relay.joined) {
            for wire in self.wires.values_mut().filter(|wire| wire.session == joined.newcomer) {
                (wire.session, wire.link) = (joined.session, joined.link);
            }
        }
    }

    /// A session looks at the clock, and sends what it has.
    pub(crate) fn session(&mut self, key: SessionKey) {
        let now = self.now;
        let Some(hosted) = self.relay.sessions.get_mut(&key) else { return };
        if hosted.session.poll_timeout().is_some_and(|at| at <= now) {
            hosted.session.handle_timeout(now);
        }
        self.relay.drain(key, now);
        self.settle_joined();
        let Some(hosted) = self.relay.sessions.get_mut(&key) else { return };
        let mut arrivals = Vec::new();
        for (at, wire) in self.wires.iter_mut().filter(|(_, wire)| wire.session == key) {
            // The socket is closed whether or not there is room to say why.
            while wire.to_agent.room() > 0 || hosted.ended.is_some() {
                let Some(transmit) = hosted.session.poll_transmit_to(wire.link) else { break };
                if !wire.is_open_at_relay {
                    continue;
                }
                let (arrival, bytes) = arrival(transmit);
                if let Arrival::Close(close) = &arrival {
                    assert!(wire.is_faulted || is_orderly(close), "the relay ended a link: {close:?}");
                    wire.is_open_at_relay = false;
                }
                if !wire.is_dead {
                    wire.to_agent.send(arrival, bytes, now);
                }
            }
            let is_current = hosted.session.is_current(wire.link) && hosted.ended.is_none();
            if !is_current && std::mem::take(&mut wire.is_open_at_relay) {
                drop_socket(&mut wire.to_agent, wire.is_dead, now);
            }
            arrivals.extend(wire.to_agent.next().map(|next| (*at, next)));
        }
        arrivals.into_iter().for_each(|(at, next)| self.wake(Node::Wire(at), next));
        let Some(hosted) = self.relay.sessions.get(&key) else { return };
        if let Some(reason) = &hosted.ended {
            // A further link that is one too many was never one of a session.
            let is_refused = matches!(reason, DownReason::UnknownSession(_));
            let is_excused = is_refused || now <= self.trouble[hosted.agent].session;
            assert!(is_excused, "a session ended by itself: {reason}");
            self.relay.sessions.remove(&key);
        } else {
            let next = self.relay.next_of_session(key);
            self.wake_some(Node::Session(key), next);
        }
    }

    /// A process of an agent looks at the clock, does what its services do, and sends what it has.
    pub(crate) fn process(&mut self, number: ProcessKey) {
        let now = self.now;
        let Some(process) = self.processes.get_mut(&number) else { return };
        process.turn(now);
        self.dial(number);
        let Some(process) = self.processes.get_mut(&number) else { return };
        let mut arrivals = Vec::new();
        for (at, wire) in self.wires.iter_mut().filter(|(_, wire)| wire.process == number) {
            while wire.to_relay.room() > 0 || process.is_over {
                let Some(transmit) = process.agent.poll_transmit_to(wire.attempt) else { break };
                if !wire.is_open_at_agent {
                    continue;
                }
                let (arrival, bytes) = arrival(transmit);
                if let Arrival::Close(close) = &arrival {
                    assert!(wire.is_faulted || is_orderly(close), "an agent ended a link: {close:?}");
                    wire.is_open_at_agent = false;
                }
                if !wire.is_dead {
                    wire.to_relay.send(arrival, bytes, now);
                }
            }
            let is_current = process.agent.is_current(wire.attempt) && !process.is_over;
            if !is_current && std::mem::take(&mut wire.is_open_at_agent) {
                drop_socket(&mut wire.to_relay, wire.is_dead, now);
            }
            arrivals.extend(wire.to_relay.next().map(|next| (*at, next)));
        }
        arrivals.into_iter().for_each(|(at, next)| self.wake(Node::Wire(at), next));
        let Some(process) = self.processes.get(&number) else { return };
        let next = process.next();
        if process.is_over {
            self.end_process(number);
        } else {
            self.wake_some(Node::Process(number), next);
        }
    }

    /// Forgets a link of which nothing is left.
    fn forget_wire(&mut self, key: WireKey) {
        let Some(wire) = self.wires.get(&key) else { return };
        let is_over_at_relay = !wire.is_open_at_relay || !self.relay.sessions.contains_key(&wire.session);
        let is_over_at_agent = !wire.is_open_at_agent || !self.processes.contains_key(&wire.process);
        if wire.next().is_none() && is_over_at_relay && is_over_at_agent {
            self.wires.remove(&key);
        }
    }
}

/// A socket that its machine has forgotten is dropped, of which the other end learns.
fn drop_socket(line: &mut Line<Arrival>, is_dead: bool, now: Instant) {
    if !is_dead {
        line.send(Arrival::Close(Close::abnormal("connection reset")), 0, now);
    }
}

fn arrival(transmit: Transmit) -> (Arrival, usize) {
    match transmit {
        Transmit::Send(message) => {
            let bytes = message.payload().len() + 8;
            // What a socket delivers is never a slice of what the sender holds.
            let message = match message {
                Message::Text(text) => Message::Text(bytes::Bytes::copy_from_slice(&text)),
                Message::Binary(data) => Message::Binary(bytes::Bytes::copy_from_slice(&data)),
            };
            (Arrival::Message(message), bytes)
        }
        Transmit::Close(close) => (Arrival::Close(close), 0),
    }
}
