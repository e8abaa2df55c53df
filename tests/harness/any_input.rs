//! An agent or a session under test, an honest peer, and what may happen to the one under test, from any bytes.
//!
//! Four of five acts are legal in the state that the two are in, so that links come up and carry streams; the fifth is
//! anything. The rules that are broken panic with a sentence. Fuzzers and property tests run the same function.

mod legal;
mod repair;
mod setup;
mod wild;

use std::collections::VecDeque;
use std::task::Waker;

use hvym_tunnel_core::agent::{Agent, AgentEvent};
use hvym_tunnel_core::dialect::{Frame, Process, Proto, ShownProof, Signal};
use hvym_tunnel_core::handshake::Credential;
use hvym_tunnel_core::link::{StreamEvent, StreamInterest, StreamWakers, Streams};
use hvym_tunnel_core::machine::{Machine, Side};
use hvym_tunnel_core::message::{Close, Message, Transmit};
use hvym_tunnel_core::mux::{Read, StreamId};
use hvym_tunnel_core::plane::MessageLimits;
use hvym_tunnel_core::reason::Retry;
use hvym_tunnel_core::relay::{LinkId, Session, SessionEvent};
use hvym_tunnel_core::time::Instant;
use hvym_yamux_testing::statistics::Kinds;

use crate::ends::{AgentEnd, RelayEnd};
use crate::pair::{End, wall};
use setup::{SECRET, Setup, System};

/// More than any machine may want to say about one input: a flood would be cut off long before.
const MAX_OUTPUT: usize = 2_000;
/// Acts of one run. More would repeat what these reach.
const MAX_ACTS: usize = 120;
/// The most services that a session may have.
const MAX_SERVICES: usize = 64;
/// One act of five is anything.
const WILD: usize = 5;

/// Four bytes: an act and its arguments.
type Word = [u8; 4];

/// What one end has said and the other has not heard yet.
#[derive(Default)]
struct Lane {
    queue: VecDeque<Transmit>,
    /// Whether the end has said its last word on this socket.
    closed: bool,
}

/// Tasks of the end under test that wait for streams.
struct Tasks {
    wakers: StreamWakers,
    /// Streams that were ever waited for.
    known: Vec<StreamId>,
}

impl Tasks {
    const fn new() -> Self {
        Self { wakers: StreamWakers::new(), known: Vec::new() }
    }

    fn wait(&mut self, id: StreamId, interest: StreamInterest) {
        self.wakers.register(id, interest, Waker::noop());
        self.known.push(id);
    }

    /// Every handle is dropped.
    fn end(mut self) {
        self.known.into_iter().for_each(|id| self.wakers.remove(id));
        assert!(self.wakers.is_empty(), "wakers of streams that nobody waited for");
    }
}

/// Both ends, and what is under way between them.
struct Trial {
    setup: Setup,
    agent: AgentEnd,
    relay: RelayEnd,
    now: Instant,
    to_agent: Lane,
    to_relay: Lane,
    /// Streams that the relay knows, oldest first.
    visits: Vec<StreamId>,
    tasks: Tasks,
    /// How many events of each end were looked at.
    seen: (usize, usize),
    kinds: Kinds,
    /// Acts at a time when the end under test could do nothing any more.
    idle: usize,
}

/// What one run came to.
pub struct Run {
    /// The kinds of events that occurred.
    pub kinds: Kinds,
    /// All acts.
    pub acts: usize,
    /// Acts at a time when the end under test could do nothing any more.
    pub idle: usize,
}

/// Does to the end `subject` what `data` says: four bytes of a setup, then four for each act. At the end an honest peer
/// and one dial are enough.
///
/// # Panics
/// A rule is broken.
pub fn run(subject: Side, data: &[u8]) -> Run {
    let word = |bytes: &[u8]| std::array::from_fn(|at| bytes.get(at).copied().unwrap_or_default());
    let mut trial = Trial::new(Setup::of(subject, word(data)));
    let acts = data.get(4..).unwrap_or_default().chunks(4).take(MAX_ACTS);
    let count = acts.len();
    for (number, act) in acts.enumerate() {
        let act: Word = word(act);
        trial.idle += usize::from(trial.is_idle());
        if number % WILD == WILD - 1 {
            trial.wild(act);
        } else {
            trial.legal(act);
        }
        trial.drain(other(subject));
        // A driver may be late.
        if !act[3].is_multiple_of(5) {
            trial.drain(subject);
            trial.look();
            trial.check();
        }
    }
    let (kinds, idle) = (trial.kinds.clone(), trial.idle);
    std::mem::replace(&mut trial.tasks, Tasks::new()).end();
    trial.repair();
    Run { kinds, acts: count, idle }
}

/// The first byte names the end under test; the rest is for [`run`].
///
/// # Panics
/// A rule is broken.
pub fn run_either(data: &[u8]) {
    let (first, rest) = data.split_first().unwrap_or((&0, &[]));
    let subject = if first.is_multiple_of(2) { Side::Agent } else { Side::Relay };
    let _run = run(subject, rest);
}

fn other(side: Side) -> Side {
    match side {
        Side::Agent => Side::Relay,
        Side::Relay => Side::Agent,
    }
}

/// Drains an end as a driver would; what it says must be well-formed and bounded.
fn drain<E: End>(end: &mut E, lane: &mut Lane, now: Instant) {
    let mut said = 0;
    loop {
        while let Some(event) = end.machine().and_then(Machine::poll_event) {
            end.on_event(event, now);
        }
        let Some(transmit) = end.machine().and_then(Machine::poll_transmit) else { return };
        said += 1;
        assert!(said < MAX_OUTPUT, "an output without end");
        assert!(!lane.closed, "{transmit:?} after the close");
        if let Transmit::Close(close) = &transmit {
            assert!(
                close.reason.len() <= Close::MAX_REASON_BYTES && close.code >= 1000 && close.code != 1006
            );
            lane.closed = true;
        }
        lane.queue.push_back(transmit);
    }
}

impl Trial {
    fn new(setup: Setup) -> Self {
        let (agent, relay) = (setup.agent(Instant::ZERO), setup.relay());
        let mut trial = Self {
            setup,
            agent,
            relay,
            now: Instant::ZERO,
            to_agent: Lane::default(),
            to_relay: Lane::default(),
            visits: Vec::new(),
            tasks: Tasks::new(),
            seen: (0, 0),
            kinds: Kinds::new(),
            idle: 0,
        };
        trial.drain(Side::Agent);
        trial
    }

    fn drain(&mut self, side: Side) {
        match side {
            Side::Agent => drain(&mut self.agent, &mut self.to_relay, self.now),
            Side::Relay => drain(&mut self.relay, &mut self.to_agent, self.now),
        }
    }

    fn is_up(&self) -> bool {
        self.agent.machine.is_up() && self.relay.is_up()
    }

    /// The agent has reported an end after which it never dials.
    fn has_ended(&self) -> bool {
        let last = self.agent.downs().last().map(|(reason, at)| (reason.retry(), *at));
        matches!(last, Some((Retry::Never, None))) && self.agent.machine.poll_timeout().is_none()
    }

    /// Whether the end under test can do nothing any more.
    fn is_idle(&self) -> bool {
        match self.setup.subject {
            Side::Agent => self.has_ended(),
            Side::Relay => {
                self.relay.machine.is_some() && self.relay.closings().len() == self.relay.accepted as usize
            }
        }
    }

    /// A WebSocket opens for the dial that the agent asked for, if there is one.
    fn dial(&mut self) {
        let Some(target) = self.agent.dialing.take() else { return };
        self.retire_session();
        self.relay.accept(&target, self.now);
        let config = &self.relay.config;
        assert_eq!(*config, config.clone(), "a copy of the settings differs");
        assert!(!format!("{config:?}").contains(SECRET), "a token is shown");
        if let Some(token) = target.bearer {
            let shown = format!("{:?}", Credential::Bearer(token.as_str().to_owned()));
            assert!(!shown.contains(token.as_str()), "{shown}");
        }
        (self.to_agent, self.to_relay) = (Lane::default(), Lane::default());
        self.visits.clear();
        let used = self.agent.machine.handle_open(target.attempt, wall(self.now), self.now);
        assert!(
            used || self.agent.machine.attempt() != Some(target.attempt),
            "the socket that was asked for"
        );
    }

    /// The transport of the session ends, if it has not; every session has one end.
    fn retire_session(&mut self) {
        let Some(session) = self.relay.machine.as_mut() else { return };
        session.handle_close_from(LinkId::FIRST, Close::abnormal("lost"), self.now);
        self.drain(Side::Relay);
        assert_eq!(self.relay.closings().len(), self.relay.accepted as usize, "ends of sessions");
        assert_eq!(self.relay.session().poll_timeout(), None, "a session that ended has a timer");
    }

    /// The oldest thing on its way to `side` arrives. Whether there was one.
    fn deliver(&mut self, side: Side) -> bool {
        let lane = if side == Side::Agent { &mut self.to_agent } else { &mut self.to_relay };
        let Some(transmit) = lane.queue.pop_front() else { return false };
        match (side, transmit) {
            (Side::Agent, Transmit::Send(message)) => {
                let message = self.on_the_way(message);
                let Some(attempt) = self.agent.machine.attempt() else { return true };
                self.agent.machine.handle_message_from(attempt, message, self.now);
            }
            (Side::Agent, Transmit::Close(close)) => {
                let Some(attempt) = self.agent.machine.attempt() else { return true };
                self.agent.machine.handle_close_from(attempt, close, self.now);
            }
            (Side::Relay, Transmit::Send(message)) => {
                let message = self.on_the_way(message);
                let Some(session) = self.relay.machine.as_mut() else { return true };
                session.handle_message_from(LinkId::FIRST, message, self.now);
            }
            (Side::Relay, Transmit::Close(close)) => {
                let Some(session) = self.relay.machine.as_mut() else { return true };
                session.handle_close_from(LinkId::FIRST, close, self.now);
            }
        }
        self.drain(side);
        true
    }

    /// Programs of the HVYM dialect name no data plane; otherwise a message stays as it is.
    fn on_the_way(&self, message: Message) -> Message {
        if self.setup.system != System::Hvym {
            return message;
        }
        let signal = match Frame::decode(message.clone()) {
            Ok(Frame::Signal(signal)) => *signal,
            Ok(Frame::Mux(_)) | Err(_) => return message,
        };
        let without = match signal {
            Signal::AuthChallenge { challenge_id, challenge, server_address, .. } => Signal::AuthChallenge {
                challenge_id,
                challenge,
                server_address,
                mux: Vec::new(),
                version: None,
                shown: ShownProof::default(),
            },
            Signal::AuthResponse { challenge_id, jwt, .. } => Signal::AuthResponse {
                challenge_id,
                jwt,
                mux: None,
                version: None,
                join: None,
                streams: None,
                process: Process::default(),
            },
            _ => return message,
        };
        Frame::Signal(Box::new(without)).encode()
    }

    /// Reads what has arrived, or waits for it.
    fn read(&mut self, side: Side, id: StreamId) {
        let now = self.now;
        let outcome = match side {
            Side::Agent => self.agent.machine.stream(id).map(|mut stream| stream.read(usize::MAX, now)),
            Side::Relay => self.relay.session().stream(id).map(|mut stream| stream.read(usize::MAX, now)),
        };
        match outcome {
            Ok(Ok(Read::Data(data))) => {
                assert!(!data.is_empty(), "data of no length");
                self.kinds.insert(if side == self.setup.subject { "data" } else { "data at the peer" });
            }
            Ok(Ok(Read::Finished)) => _ = self.kinds.insert("end of a half"),
            Ok(Ok(Read::Empty)) if side == self.setup.subject => {
                self.tasks.wait(id, StreamInterest::Read);
            }
            Ok(_) | Err(_) => {}
        }
    }

    /// What the runner does about new events, and what is counted of them.
    fn look(&mut self) {
        let subject = self.setup.subject;
        for event in self.agent.events.split_off(self.seen.0) {
            let name = match &event {
                AgentEvent::Up(_) => "up",
                AgentEvent::Bound { .. } => "bound",
                AgentEvent::Draining { .. } => "draining",
                AgentEvent::Down { retry_at: Some(_), .. } => "down",
                AgentEvent::Down { retry_at: None, .. } => "ended",
                AgentEvent::Latency(_) => "latency",
                AgentEvent::Stream(StreamEvent::Opened { .. }) => "stream",
                _ => "other",
            };
            self.kinds.insert(name);
            if subject == Side::Agent {
                self.wake(Agent::split_event(event.clone()).ok(), matches!(event, AgentEvent::Down { .. }));
            }
            self.agent.events.push(event);
        }
        for event in self.relay.events.split_off(self.seen.1) {
            assert!(!format!("{event:?}").contains(SECRET), "a token is shown");
            let name = match &event {
                SessionEvent::Admit(_) | SessionEvent::Authenticate(_) => "admission",
                SessionEvent::Bind(_) => "bind",
                SessionEvent::Closed(_) => "closed",
                _ => "other",
            };
            self.kinds.insert(name);
            if let SessionEvent::Stream(StreamEvent::Opened { id, .. }) = &event {
                self.visits.push(*id);
                self.kinds.insert("stream of the agent");
            }
            if subject == Side::Relay {
                self.wake(Session::split_event(event.clone()).ok(), matches!(event, SessionEvent::Closed(_)));
            }
            self.relay.events.push(event);
        }
        self.seen = (self.agent.events.len(), self.relay.events.len());
    }

    fn wake(&mut self, event: Option<StreamEvent>, is_end: bool) {
        if is_end {
            self.tasks.wakers.wake_all();
        }
        let Some(event) = event else { return };
        self.tasks.wakers.wake(&event);
        if let StreamEvent::Reset(id, _) = event {
            self.kinds.insert("reset");
            self.tasks.wakers.remove(id);
        }
    }

    /// What holds at any time.
    fn check(&self) {
        let agent = &self.agent.machine;
        assert_eq!(agent.plane().is_some(), agent.is_up(), "a link has a data plane once it is up");
        assert!(agent.is_up() || !agent.has_output(), "output of streams without a link");
        assert!(
            agent.is_up() || limits(agent, MessageLimits::AGENT_LOGIN) == MessageLimits::AGENT_LOGIN,
            "a stranger may send large messages"
        );
        assert!(agent.failures() as usize <= self.agent.downs().len(), "more failures than ends");
        let Some(session) = &self.relay.machine else { return };
        assert!(session.last_received() <= self.now, "something arrived in the future");
        assert!(session.is_up() || !session.has_output(), "output of streams without a link");
        assert!(
            session.is_up() || limits(session, MessageLimits::LOGIN) == MessageLimits::LOGIN,
            "a stranger may send large messages"
        );
        assert!(!session.is_sealed(), "sealed without a key");
        assert!(session.services().len() <= MAX_SERVICES, "too many services");
        assert!(
            session.service(None).is_none_or(|service| service.proto != Proto::Tcp),
            "no page at the address"
        );
        for service in session.services() {
            assert_eq!(session.service_for_identities(&service.name), Some(service), "two of one name");
            assert_eq!(session.service(Some(&service.name)).is_some(), service.public, "{service:?}");
        }
    }
}

fn limits(machine: &impl Streams, none: MessageLimits) -> MessageLimits {
    machine.main_socket().map_or(none, |socket| machine.limits(socket))
}
