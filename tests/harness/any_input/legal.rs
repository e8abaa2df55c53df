//! Acts that are legal in the state that the two ends are in: a dial, the next message, the next deadline, and what
//! owners do with a link that is up.

use std::time::Duration;

use bytes::Bytes;
use hvym_tunnel_core::dialect::{Service, StreamHeader};
use hvym_tunnel_core::link::{StreamInterest, Streams};
use hvym_tunnel_core::machine::{Machine, Side};
use hvym_tunnel_core::message::{Close, Message};
use hvym_tunnel_core::mux::StreamId;
use hvym_tunnel_core::relay::BindRefusal;
use hvym_tunnel_core::time::{Instant, earliest};

use super::{Trial, Word};
use crate::Key;
use crate::ends::{RELAY, opening};

/// What visitors write. Older dialects carry requests alone.
const REQUEST: &[u8] = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n";
/// What services write.
const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";

/// What anybody may say at any time while a link is up.
const NOTICES: [&str; 5] = [
    r#"{"type":"ping","id":7}"#,
    r#"{"type":"pong","id":1}"#,
    r#"{"type":"error","code":"c","message":"m","hint":"h"}"#,
    r#"{"type":"new"}"#,
    r#"{"type":"ping"}"#,
];

impl Trial {
    /// The act that `word` names, or the one that is legal instead.
    pub(super) fn legal(&mut self, word: Word) {
        let [kind, a, b, _] = word;
        if self.has_ended() {
            // Somebody starts the program again.
            self.retire_session();
            self.look();
            self.agent = self.setup.agent(self.now);
            self.seen.0 = 0;
            self.drain(Side::Agent);
        } else if self.setup.subject == Side::Relay && self.is_idle() {
            self.reconnect();
        } else if self.agent.dialing.is_some() {
            match kind % 16 {
                0 => self.fail_dial(),
                _ => self.dial(),
            }
        } else if self.agent.machine.attempt().is_none() {
            match kind % 4 {
                0 => self.agent.machine.network_changed(self.now),
                _ => self.advance(),
            }
        } else if !self.is_up() {
            if !self.deliver(Side::Agent) && !self.deliver(Side::Relay) {
                self.advance();
            }
        } else if kind >= 128 && (!self.to_agent.queue.is_empty() || !self.to_relay.queue.is_empty()) {
            self.pass(a);
        } else {
            self.use_link(kind % 16, a, b);
        }
    }

    /// The agent learns of the end of its session, and dials again.
    fn reconnect(&mut self) {
        self.agent.machine.handle_close(Close::abnormal("lost"), self.now);
        self.drain(Side::Agent);
        if self.agent.dialing.is_none() {
            self.agent.machine.network_changed(self.now);
            self.drain(Side::Agent);
        }
        self.dial();
    }

    fn fail_dial(&mut self) {
        let Some(target) = self.agent.dialing.take() else { return };
        self.agent.machine.handle_close_from(target.attempt, Close::abnormal("refused"), self.now);
    }

    /// The clock moves to the next deadline of either end.
    fn advance(&mut self) {
        let session = self.relay.machine.as_ref().and_then(Machine::poll_timeout);
        if let Some(at) = earliest(self.agent.machine.poll_timeout(), session) {
            self.now = self.now.max(at);
        }
        self.agent.machine.handle_timeout(self.now);
        if let Some(session) = self.relay.machine.as_mut() {
            session.handle_timeout(self.now);
        }
    }

    /// Messages arrive: one, or all that are on their way.
    fn pass(&mut self, amount: u8) {
        if amount.is_multiple_of(4) {
            let _any = self.deliver(self.setup.subject);
            return;
        }
        while self.deliver(Side::Agent) | self.deliver(Side::Relay) {
            if self.to_agent.closed || self.to_relay.closed {
                return;
            }
        }
    }

    fn use_link(&mut self, kind: u8, a: u8, b: u8) {
        let now = self.now;
        match kind {
            0..=2 => self.visit(),
            3 => self.write(Side::Relay, a, b),
            4 | 15 => self.act_on_stream(super::other(self.setup.subject), a, b % 5),
            5 | 6 => self.serve(a),
            7 => self.act_on_stream(self.setup.subject, a, b % 5),
            8 => self.write(Side::Agent, a, b),
            9 => self.reach(),
            10 => self.rebind(a),
            11 => self.answer(a),
            12 => self.advance(),
            13 => {
                let text = Bytes::from_static(NOTICES[usize::from(a) % NOTICES.len()].as_bytes());
                match self.setup.subject {
                    Side::Agent => self.agent.machine.handle_message(Message::Text(text), now),
                    Side::Relay => self.relay.session().handle_message(Message::Text(text), now),
                }
            }
            _ if a.is_multiple_of(2) => self.agent.machine.network_changed(now),
            _ => self.answer(DRAIN),
        }
    }

    /// A visitor comes; what it asks arrives.
    fn visit(&mut self) {
        let now = self.now;
        let Some(session) = self.relay.machine.as_mut() else { return };
        let Ok(id) = session.open(&opening("web"), now) else { return };
        self.visits.push(id);
        if let Ok(mut stream) = session.stream(id) {
            let _taken = stream.write(&mut Bytes::from_static(REQUEST), now);
        }
        self.drain(Side::Relay);
        while self.deliver(Side::Agent) {}
    }

    /// The live stream of `side` that is nearest to the one that `pick` names, counted from the latest.
    fn live(&mut self, side: Side, pick: u8) -> Option<StreamId> {
        let known: Vec<StreamId> = match side {
            Side::Agent => self.agent.opened().iter().map(|(id, _)| *id).collect(),
            Side::Relay => self.visits.clone(),
        };
        let mut live = known.into_iter().rev().filter(|id| match side {
            Side::Agent => self.agent.machine.stream(*id).is_ok(),
            Side::Relay => self.relay.machine.as_mut().is_some_and(|session| session.stream(*id).is_ok()),
        });
        live.nth(usize::from(pick % 3))
    }

    /// The service reads a request and answers it, and the visitor reads that.
    fn serve(&mut self, pick: u8) {
        let Some(id) = self.live(Side::Agent, pick).or_else(|| self.live(Side::Agent, 0)) else {
            return self.visit();
        };
        self.read(Side::Agent, id);
        if let Ok(mut stream) = self.agent.machine.stream(id) {
            let _taken = stream.write(&mut Bytes::from_static(RESPONSE), self.now);
        }
        self.drain(Side::Agent);
        while self.deliver(Side::Relay) {}
        if let Some(id) = self.live(Side::Relay, pick).or_else(|| self.live(Side::Relay, 0)) {
            self.read(Side::Relay, id);
        }
    }

    fn write(&mut self, side: Side, pick: u8, size: u8) {
        let Some(id) = self.live(side, pick).or_else(|| self.live(side, 0)) else { return self.visit() };
        let (mut data, now) = (Bytes::from(vec![b'x'; usize::from(size) * 200]), self.now);
        let taken = match side {
            Side::Agent => self.agent.machine.stream(id).map(|mut stream| stream.write(&mut data, now)),
            Side::Relay => self.relay.session().stream(id).map(|mut stream| stream.write(&mut data, now)),
        };
        if matches!(taken, Ok(Ok(0))) && side == self.setup.subject {
            self.tasks.wait(id, StreamInterest::Write);
        }
    }

    /// What an owner does to end a stream, or half of it.
    pub(super) fn act_on_stream(&mut self, side: Side, pick: u8, what: u8) {
        let Some(id) = self.live(side, pick).or_else(|| self.live(side, 0)) else { return self.visit() };
        match side {
            Side::Agent => operate(&mut self.agent.machine, id, what, self.now),
            Side::Relay => operate(self.relay.session(), id, what, self.now),
        }
        if side == self.setup.subject && matches!(what, 1 | 4) {
            self.tasks.wakers.wake_stream(id);
            self.tasks.wakers.remove(id);
        }
        if what == 3 {
            self.read(side, id);
        }
        self.drain(side);
        let heard = super::other(side);
        while self.deliver(heard) {}
        if let Some(id) = self.live(heard, pick) {
            self.read(heard, id);
        }
    }

    /// The agent opens a stream to the service of another identity.
    fn reach(&mut self) {
        let header = StreamHeader::reaching(Key::from_seed(RELAY).address(), "web");
        if let Ok(id) = self.agent.machine.open(&header, self.now)
            && let Ok(mut stream) = self.agent.machine.stream(id)
        {
            let _taken = stream.write(&mut Bytes::from_static(REQUEST), self.now);
        }
        self.drain(Side::Agent);
        while self.deliver(Side::Relay) {}
    }

    fn rebind(&mut self, what: u8) {
        let (agent, now) = (&mut self.agent.machine, self.now);
        match what % 8 {
            0 => (0..MANY).for_each(|n| agent.bind(Service::tcp(format!("many-{n}")), now)),
            1 => (0..MANY).for_each(|n| agent.unbind(&format!("many-{n}"), now)),
            2 => agent.bind(Service::tcp("-"), now),
            3 => agent.unbind("extra", now),
            4 => agent.unbind("web", now),
            5 => agent.bind(Service::http("web"), now),
            _ => agent.bind(Service::tcp("extra"), now),
        }
        self.drain(Side::Agent);
        while self.deliver(Side::Relay) {}
        while self.deliver(Side::Agent) {}
    }

    /// What a relay says of its own accord.
    fn answer(&mut self, what: u8) {
        let (session, now) = (self.relay.session(), self.now);
        match what % 4 {
            0 => _ = session.confirm_at(Service::tcp("extra"), "tcp://x".into(), Some(7000), now),
            1 => session.decline("extra", &BindRefusal { code: "c", error: "e".into() }, now),
            _ => session.drain("update", Duration::from_secs(10), now),
        }
        self.drain(Side::Relay);
        while self.deliver(Side::Agent) {}
    }
}

/// The announcement that the relay goes away, for [`Trial::answer`].
const DRAIN: u8 = 3;
/// More services than a session takes.
const MANY: usize = 70;

fn operate<M: Streams>(machine: &mut M, id: StreamId, what: u8, now: Instant) {
    let Ok(mut stream) = machine.stream(id) else { return };
    match what {
        0 => drop(stream.finish(now)),
        1 | 4 => stream.reset(1, now),
        2 => stream.stop(now),
        _ => drop(stream.write(&mut Bytes::new(), now)),
    }
}
