//! The links of the world: dialled, read, written, cut and forgotten.

use hvym_tunnel_core::agent::AttemptId;
use hvym_tunnel_core::handshake::Credential;
use hvym_tunnel_core::machine::Machine;
use hvym_tunnel_core::message::{Close, Message, Transmit};
use hvym_tunnel_core::relay::Session;
use hvym_tunnel_tests::ends::session_config;
use hvym_tunnel_tests::pair::wall;
use hvym_tunnel_tests::wire::Arrival;

use crate::hosted::SessionKey;
use crate::line::Line;
use crate::world::{Node, World};

/// The WebSocket of one link.
pub(crate) struct LinkWire {
    pub(crate) agent: usize,
    pub(crate) attempt: AttemptId,
    pub(crate) to_relay: Line<Arrival>,
    pub(crate) to_agent: Line<Arrival>,
    is_open_at_agent: bool,
    is_open_at_relay: bool,
    /// Nothing arrives any more, and nobody is told.
    pub(crate) is_dead: bool,
}

impl World {
    /// What the runner does with a dial that the agent asked for.
    pub(crate) fn dial(&mut self, number: usize) {
        let Some(target) = self.agents[number].dialing.take() else { return };
        let now = self.now;
        let session = Session::new(session_config(), &Credential::None, wall(now), self.rng.fork(), now);
        let key = self.relay.accept(number, session);
        let line = self.lines[number];
        let wire = LinkWire {
            agent: number,
            attempt: target.attempt,
            to_relay: Line::new(line),
            to_agent: Line::new(line),
            is_open_at_agent: true,
            is_open_at_relay: true,
            is_dead: false,
        };
        self.links.insert(key, wire);
        let is_taken = self.agents[number].agent.handle_open(target.attempt, wall(now), now);
        assert!(is_taken, "an agent takes the socket that it asked for");
        self.wake(Node::Agent(number), now);
        self.wake(Node::Link(key), now);
    }

    /// Both ends of a link read what has arrived, and send what they have.
    pub(crate) fn link(&mut self, key: SessionKey) {
        let now = self.now;
        let Some(wire) = self.links.get_mut(&key) else { return };
        let number = wire.agent;
        while let Some(arrival) = wire.to_agent.receive(now) {
            let agent = &mut self.agents[number].agent;
            match arrival {
                Arrival::Message(message) => agent.handle_message_from(wire.attempt, message, now),
                Arrival::Close(close) => {
                    wire.is_open_at_agent = false;
                    agent.handle_close_from(wire.attempt, close, now);
                }
            }
        }
        if let Some(hosted) = self.relay.sessions.get_mut(&key) {
            while let Some(arrival) = wire.to_relay.receive(now) {
                match arrival {
                    Arrival::Message(message) => hosted.session.handle_message(message, now),
                    Arrival::Close(close) => {
                        wire.is_open_at_relay = false;
                        hosted.session.handle_close(close, now);
                    }
                }
            }
            if hosted.session.poll_timeout().is_some_and(|at| at <= now) {
                hosted.session.handle_timeout(now);
            }
        } else {
            // What comes for a session that has ended is read by nobody.
            while wire.to_relay.receive(now).is_some() {}
        }
        self.relay.drain(key, now);
        self.transmit_relay(key);
        self.agents[number].turn(now);
        self.dial(number);
        self.transmit_agent(key);
        let next = self.agents[number].next(now);
        self.wake_some(Node::Agent(number), next);
        let hosted = self.relay.sessions.get(&key);
        let next = hosted.and_then(|hosted| hosted.session.poll_timeout());
        self.wake_some(Node::Link(key), next);
        let next = self.relay.next_of_pool(key);
        self.wake_some(Node::Link(key), next);
        self.bury(key);
    }

    fn transmit_relay(&mut self, key: SessionKey) {
        let now = self.now;
        let Some(wire) = self.links.get_mut(&key) else { return };
        let Some(hosted) = self.relay.sessions.get_mut(&key) else { return };
        while wire.to_agent.room() > 0 {
            let Some(transmit) = hosted.session.poll_transmit() else { break };
            if !wire.is_open_at_relay {
                continue;
            }
            let (arrival, bytes) = arrival(transmit);
            wire.is_open_at_relay = !matches!(arrival, Arrival::Close(_));
            if !wire.is_dead {
                wire.to_agent.send(arrival, bytes, now);
            }
        }
        let at = wire.to_agent.next();
        self.wake_some(Node::Link(key), at);
    }

    pub(crate) fn transmit_agent(&mut self, key: SessionKey) {
        let now = self.now;
        let Some(wire) = self.links.get_mut(&key) else { return };
        let node = &mut self.agents[wire.agent];
        let is_current = self.links.range(key + 1..).all(|(_, later)| later.agent != self.links[&key].agent);
        let Some(wire) = self.links.get_mut(&key).filter(|_| is_current) else { return };
        while wire.to_relay.room() > 0 {
            let Some(transmit) = node.agent.poll_transmit() else { break };
            if !wire.is_open_at_agent {
                continue;
            }
            let (arrival, bytes) = arrival(transmit);
            wire.is_open_at_agent = !matches!(arrival, Arrival::Close(_));
            if !wire.is_dead {
                wire.to_relay.send(arrival, bytes, now);
            }
        }
        let at = wire.to_relay.next();
        self.wake_some(Node::Link(key), at);
    }

    /// Forgets a link of which nothing is left.
    fn bury(&mut self, key: SessionKey) {
        let Some(wire) = self.links.get(&key) else { return };
        let hosted = self.relay.sessions.get(&key);
        let number = wire.agent;
        if let Some(reason) = hosted.and_then(|hosted| hosted.ended.as_ref()) {
            assert!(self.now <= self.trouble[number], "a link ended by itself: {reason}");
            self.relay.forget(key);
        }
        if !self.relay.sessions.contains_key(&key)
            && wire.to_agent.next().is_none()
            && wire.to_relay.next().is_none()
        {
            self.links.remove(&key);
        }
    }

    /// The transport of a link breaks: what is under way is lost, and both ends learn of it.
    pub(crate) fn cut(&mut self, link: Option<SessionKey>) {
        let Some(wire) = link.and_then(|key| self.links.get_mut(&key)) else { return };
        for line in [&mut wire.to_agent, &mut wire.to_relay] {
            line.clear();
            line.send(Arrival::Close(Close::abnormal("connection reset")), 0, self.now);
        }
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
