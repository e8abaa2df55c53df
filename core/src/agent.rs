//! The agent: one identity, one relay, at most one link at a time, and the way back when it is lost.
//!
//! `Dial -> Link -> Down -> wait -> Dial`, for ever, unless a [`DownReason`] says that dialling again is no use.

mod event;

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use crate::backoff::{Backoff, BackoffConfig};
use crate::dialect::{Service, Signal, StreamHeader};
use crate::handshake::{AgentLogin, AuthMode, Endpoint, Login};
use crate::link::{Link, LinkConfig, LinkEvent, OpenStreamError, Stream, StreamEvent, Streams};
use crate::machine::{Machine, Side};
use crate::message::{Close, Message, Transmit};
use crate::mux::{ClosedStream, StreamId};
use crate::plane::PlaneInfo;
use crate::reason::{DownReason, Retry};
use crate::rng::{Rng, Seed};
use crate::stellar::{Signature, SigningInput, Token};
use crate::time::{Instant, UnixTime, Wall};

pub use event::{AgentEvent, AttemptId, Target};

/// How long a dial may take before the agent counts it as failed: DNS, TCP, TLS and the upgrade together.
pub const DIAL_TIMEOUT: Duration = Duration::from_secs(20);
/// Agents that a relay sends away come back within this, each at its own moment.
const GOING_AWAY_DELAY: Duration = Duration::from_secs(1);

/// What an agent is, and what it offers.
#[derive(Clone, PartialEq, Debug)]
pub struct AgentConfig {
    /// Where the relay is; handed to the runner as it is.
    pub relay: String,
    /// What to log in with. Its `services` are filled from [`AgentConfig::services`].
    pub login: AgentLogin,
    /// What to offer, in order; the first is what the bare address reaches.
    pub services: Vec<Service>,
    /// Keepalive and stream limits.
    pub link: LinkConfig,
    /// How to wait between dials.
    pub backoff: BackoffConfig,
}

/// Makes the logins of an agent whose relay speaks another protocol, one for each link.
pub trait LoginFactory: Send {
    /// The login over a WebSocket that just opened. What comes is for `service`, the first that the agent offers; it
    /// is bound by the login itself.
    fn login(&self, service: &Service, now: Instant) -> Box<dyn Login>;
}

enum State {
    /// The runner signs the bearer token of the next dial.
    SigningBearer { input: SigningInput, deadline: Instant },
    /// The runner opens a WebSocket.
    Dialing { deadline: Instant },
    /// There is one.
    Linked { link: Box<Link>, up_since: Option<Instant> },
    /// Until the next dial.
    Waiting { until: Instant },
    /// For good.
    Stopped,
}

/// The owner of local services: dials, logs in, binds, and comes back.
pub struct Agent {
    config: AgentConfig,
    /// Makes the login of each link, where it is not the native one.
    logins: Option<Box<dyn LoginFactory>>,
    rng: Rng,
    wall: Wall,
    /// The latest dial. Its number is also the epoch of its link's streams.
    attempt: AttemptId,
    backoff: Backoff,
    /// The owner was told that the clocks disagree, and no login has succeeded since.
    clock_noticed: bool,
    state: State,
    /// What the last link still has to say, after it ended.
    pending: VecDeque<Transmit>,
    events: VecDeque<AgentEvent>,
}

impl Agent {
    /// An agent that dials at once.
    pub fn new(config: AgentConfig, wall: Wall, seed: Seed, now: Instant) -> Self {
        let mut agent = Self::idle(config, wall, seed);
        agent.dial(now);
        agent
    }

    /// An agent whose links begin with the logins that `logins` makes. It offers the first service, and its identity is
    /// not used.
    pub fn with_logins(
        config: AgentConfig,
        logins: Box<dyn LoginFactory>,
        wall: Wall,
        seed: Seed,
        now: Instant,
    ) -> Self {
        let mut agent = Self::idle(config, wall, seed);
        // Nothing is signed, least of all ahead of the dial.
        agent.config.login.mode = AuthMode::Challenge;
        agent.logins = Some(logins);
        agent.dial(now);
        agent
    }

    fn idle(config: AgentConfig, wall: Wall, seed: Seed) -> Self {
        let mut agent = Self {
            logins: None,
            backoff: Backoff::new(config.backoff),
            config,
            rng: Rng::new(seed),
            wall,
            attempt: AttemptId(0),
            clock_noticed: false,
            state: State::Stopped,
            pending: VecDeque::new(),
            events: VecDeque::new(),
        };
        agent.name_services();
        agent
    }

    /// The WebSocket asked for by the [`AgentEvent::Dial`] of this attempt is open. `wall` is the wall clock now, for the
    /// token. Returns whether the agent has anything to send on it; if not, drop the socket: it is of an earlier attempt.
    #[must_use = "a socket that is not used has to be dropped"]
    pub fn handle_open(&mut self, attempt: AttemptId, wall: Wall, now: Instant) -> bool {
        match self.state {
            State::Dialing { .. } if attempt == self.attempt => {}
            State::SigningBearer { .. } | State::Dialing { .. } | State::Linked { .. } => return false,
            // Later than `DIAL_TIMEOUT`, or after the end: the peer is told at once that the socket is not used.
            State::Waiting { .. } | State::Stopped => {
                self.pending = VecDeque::from([Transmit::Close(DownReason::Finished.close())]);
                return true;
            }
        }
        self.wall = wall;
        self.pending.clear();
        let link = self.begin(wall, now);
        self.state = State::Linked { link: Box::new(link), up_since: None };
        self.drain_link(now);
        true
    }

    /// The dial that is under way, or that the link came of; `None` between two attempts.
    pub fn attempt(&self) -> Option<AttemptId> {
        matches!(self.state, State::Dialing { .. } | State::Linked { .. }).then_some(self.attempt)
    }

    /// The signer answered the [`AgentEvent::Sign`] that carried `input`, as it was or reissued; `None` is a no. An answer that comes when its
    /// link is gone does nothing, so a slow signer cannot spoil the next login.
    pub fn handle_signature(&mut self, input: &SigningInput, signature: Option<Signature>, now: Instant) {
        match &mut self.state {
            State::SigningBearer { input: asked, .. } if input.answers(asked) => {
                let token = signature
                    .ok_or(DownReason::SignerRefused)
                    .and_then(|s| input.clone().into_token(s).map_err(|_| DownReason::SignerMismatch));
                match token {
                    Ok(token) => self.dial_with(Some(token), now),
                    Err(reason) => self.down(reason, Duration::ZERO, now),
                }
            }
            State::Linked { link, .. } => {
                link.handle_signature(input, signature, now);
                self.drain_link(now);
            }
            _ => {}
        }
    }

    /// Facts about the data plane, once the link is up.
    pub fn plane(&self) -> Option<PlaneInfo> {
        match &self.state {
            State::Linked { link, .. } => link.plane(),
            _ => None,
        }
    }

    /// Offers a service, now and after every reconnection. One of the same name is replaced, in its place.
    pub fn bind(&mut self, service: Service, now: Instant) {
        self.tell_if_up(bind_signal(&service), now);
        match self.config.services.iter_mut().find(|known| known.name == service.name) {
            Some(known) => *known = service,
            None => self.config.services.push(service),
        }
        self.name_services();
    }

    /// Withdraws a service. Its streams go on.
    pub fn unbind(&mut self, name: &str, now: Instant) {
        self.tell_if_up(Signal::Unbind { service: name.into() }, now);
        self.config.services.retain(|known| known.name != name);
        self.name_services();
    }

    /// Opens a stream to the service of another identity: see [`StreamHeader::reaching`]. What comes back begins with a
    /// [`OpenResult`](crate::dialect::OpenResult); writing need not wait for it.
    pub fn open(&mut self, header: &StreamHeader, now: Instant) -> Result<StreamId, OpenStreamError> {
        match &mut self.state {
            State::Linked { link, .. } => link.open(header, now),
            _ => Err(OpenStreamError::NotUp),
        }
    }

    /// The machine slept, or the network changed: dial now instead of waiting, or ask the relay for a sign of life.
    pub fn network_changed(&mut self, now: Instant) {
        match &mut self.state {
            State::Waiting { .. } => {
                self.backoff.reset();
                self.dial(now);
            }
            State::Linked { .. } => self.with_link(now, |link| link.probe(now)),
            _ => {}
        }
    }

    /// Ends the link and never dials again.
    pub fn close(&mut self, now: Instant) {
        match &mut self.state {
            State::Stopped => {}
            State::Linked { .. } => self.with_link(now, |link| link.end(DownReason::Finished, now)),
            _ => self.down(DownReason::Finished, Duration::ZERO, now),
        }
    }

    /// Whether a link is up.
    pub fn is_up(&self) -> bool {
        matches!(&self.state, State::Linked { link, .. } if link.is_up())
    }

    /// Failures in a row.
    pub fn failures(&self) -> u32 {
        self.backoff.failures()
    }

    fn name_services(&mut self) {
        self.config.login.services = self.config.services.iter().map(|s| s.name.clone()).collect();
    }

    /// During the login the relay takes nothing but the answer; what is bound is said once it is over.
    fn tell_if_up(&mut self, signal: Signal, now: Instant) {
        if self.is_up() {
            self.with_link(now, |link| link.send(signal, now));
        }
    }

    fn with_link(&mut self, now: Instant, act: impl FnOnce(&mut Link)) {
        if let State::Linked { link, .. } = &mut self.state {
            act(link);
            self.drain_link(now);
        }
    }

    /// The link over a WebSocket that just opened.
    fn begin(&mut self, wall: Wall, now: Instant) -> Link {
        let (config, seed) = (self.config.link.clone(), self.rng.fork());
        if let Some(logins) = &self.logins {
            let service = self.config.services.first().cloned().unwrap_or_else(|| Service::http(""));
            let login = logins.login(&service, now);
            return Link::with_login(Side::Agent, config, login, self.attempt.0, seed, now);
        }
        Link::agent(config, self.config.login.clone(), wall, self.attempt.0, seed, now)
    }

    fn dial(&mut self, now: Instant) {
        match (self.config.login.mode, self.config.login.relay_address) {
            (AuthMode::Bearer, Some(relay)) => {
                let input = self.config.login.claims(relay, self.wall, now).signing_input();
                self.events.push_back(AgentEvent::Sign(input.clone()));
                self.state = State::SigningBearer { input, deadline: now + DIAL_TIMEOUT };
            }
            // A bearer token needs an audience; without one the relay's challenge names it.
            (AuthMode::Bearer, None) | (AuthMode::Challenge, _) => self.dial_with(None, now),
        }
    }

    fn dial_with(&mut self, bearer: Option<Token>, now: Instant) {
        self.attempt = AttemptId(self.attempt.0.wrapping_add(1));
        self.state = State::Dialing { deadline: now + DIAL_TIMEOUT };
        let (attempt, relay) = (self.attempt, self.config.relay.clone());
        self.events.push_back(AgentEvent::Dial(Target { attempt, relay, bearer }));
    }

    fn down(&mut self, reason: DownReason, lived: Duration, now: Instant) {
        let retry_at = match reason.retry() {
            Retry::Never => None,
            Retry::Soon => Some(now + self.backoff.soon(GOING_AWAY_DELAY, lived, &mut self.rng)),
            Retry::Backoff => Some(now + self.backoff.next_delay(lived, &mut self.rng)),
        };
        self.notice_clock(&reason, now);
        self.state = retry_at.map_or(State::Stopped, |until| State::Waiting { until });
        self.events.push_back(AgentEvent::Down { reason, retry_at });
    }

    /// Says once which clock is wrong by how much, when the relay refused a token for its times.
    fn notice_clock(&mut self, reason: &DownReason, now: Instant) {
        let DownReason::TokenTime { relay_time, error, .. } = reason else { return };
        if core::mem::replace(&mut self.clock_noticed, true) {
            return;
        }
        let (ours, theirs) = (self.wall.unix_at(now).as_secs(), relay_time.map(UnixTime::as_secs));
        let message = match theirs {
            Some(theirs) if ours > theirs => {
                format!("this machine's clock is {} s ahead of the relay's; I try again", ours - theirs)
            }
            Some(theirs) if ours < theirs => {
                format!("this machine's clock is {} s behind the relay's; I try again", theirs - ours)
            }
            _ => format!("this machine's clock and the relay's disagree; I try again: {error}"),
        };
        let hint = reason.hint().map(String::from);
        self.events.push_back(AgentEvent::Notice { code: String::from("clock"), message, hint });
    }

    fn drain_link(&mut self, now: Instant) {
        while let State::Linked { link, .. } = &mut self.state
            && let Some(event) = link.poll_event()
        {
            self.on_link(event, now);
        }
    }

    fn on_link(&mut self, event: LinkEvent, now: Instant) {
        let event = match event {
            LinkEvent::Sign(input) => AgentEvent::Sign(input),
            LinkEvent::Up(endpoint) => return self.on_up(endpoint, now),
            LinkEvent::Stream(event) => AgentEvent::Stream(event),
            LinkEvent::Latency(rtt) => AgentEvent::Latency(rtt),
            LinkEvent::Down(reason) => return self.on_down(reason, now),
            LinkEvent::Signal(Signal::BindOk { service, url, .. }) => AgentEvent::Bound { service, url },
            LinkEvent::Signal(Signal::BindFailed { service, code, error }) => {
                AgentEvent::BindRefused { service, code, error }
            }
            LinkEvent::Signal(Signal::Drain { reason, deadline_ms }) => {
                AgentEvent::Draining { reason, deadline: Duration::from_millis(deadline_ms) }
            }
            LinkEvent::Signal(Signal::Error { code, message, hint }) => {
                AgentEvent::Notice { code, message, hint }
            }
            // What only a relay is told.
            LinkEvent::Signal(_)
            | LinkEvent::Admit(_)
            | LinkEvent::Authenticate(_)
            | LinkEvent::OpenReady => {
                return;
            }
        };
        self.events.push_back(event);
    }

    fn on_up(&mut self, endpoint: Endpoint, now: Instant) {
        let bound = self.bound_by_login(&endpoint);
        self.events.push_back(AgentEvent::Up(endpoint));
        self.events.extend(bound);
        let State::Linked { link, up_since } = &mut self.state else { return };
        *up_since = Some(now);
        self.clock_noticed = false;
        for service in &self.config.services {
            link.send(bind_signal(service), now);
        }
    }

    /// The service that a login of another protocol has bound: no message does it.
    fn bound_by_login(&self, endpoint: &Endpoint) -> Option<AgentEvent> {
        let service = self.logins.as_ref().and(endpoint.services.first().cloned())?;
        Some(AgentEvent::Bound { service, url: Some(endpoint.url.clone()) })
    }

    fn on_down(&mut self, reason: DownReason, now: Instant) {
        let State::Linked { link, up_since } = &mut self.state else { return };
        while let Some(transmit) = link.poll_transmit() {
            self.pending.push_back(transmit);
        }
        let lived = up_since.map_or(Duration::ZERO, |since| now - since);
        self.down(reason, lived, now);
    }
}

fn bind_signal(service: &Service) -> Signal {
    Signal::Bind {
        service: service.name.clone(),
        local_port: service.local_port,
        proto: Some(service.proto),
        public: service.public,
    }
}

impl Machine for Agent {
    type Event = AgentEvent;
    type Socket = AttemptId;

    fn is_current(&self, attempt: AttemptId) -> bool {
        self.attempt() == Some(attempt)
    }

    fn handle_message(&mut self, message: Message, now: Instant) {
        self.with_link(now, |link| link.handle_message(message, now));
    }

    fn handle_close(&mut self, close: Close, now: Instant) {
        self.pending.clear();
        match &mut self.state {
            State::Dialing { .. } => {
                let reason = match DownReason::from_close(&close) {
                    // The upgrade itself was refused for what it brought.
                    refused @ DownReason::Authentication(_) => refused,
                    _ => DownReason::Unreachable(close.reason.into_owned()),
                };
                self.down(reason, Duration::ZERO, now);
            }
            State::Linked { .. } => self.with_link(now, |link| link.handle_close(close, now)),
            _ => {}
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        match &mut self.state {
            State::SigningBearer { deadline, .. } if now >= *deadline => {
                let reason = DownReason::TimedOut(String::from("the signer did not answer the login"));
                self.down(reason, Duration::ZERO, now);
            }
            State::Dialing { deadline } if now >= *deadline => {
                let reason = DownReason::Unreachable(String::from("no answer within 20 s"));
                self.down(reason, Duration::ZERO, now);
            }
            State::Waiting { until } if now >= *until => self.dial(now),
            State::Linked { .. } => self.with_link(now, |link| link.handle_timeout(now)),
            _ => {}
        }
    }

    fn poll_transmit(&mut self) -> Option<Transmit> {
        if let Some(transmit) = self.pending.pop_front() {
            return Some(transmit);
        }
        match &mut self.state {
            State::Linked { link, .. } => link.poll_transmit(),
            _ => None,
        }
    }

    fn poll_event(&mut self) -> Option<AgentEvent> {
        if self.events.is_empty()
            && let State::Linked { link, .. } = &self.state
        {
            // Between two inputs only streams have news: what writing and sending made of them.
            let now = link.now();
            self.drain_link(now);
        }
        self.events.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        match &self.state {
            State::SigningBearer { deadline, .. } | State::Dialing { deadline } => Some(*deadline),
            State::Linked { link, .. } => link.poll_timeout(),
            State::Waiting { until } => Some(*until),
            State::Stopped => None,
        }
    }
}

impl Streams for Agent {
    fn stream(&mut self, id: StreamId) -> Result<Stream<'_>, ClosedStream> {
        match &mut self.state {
            State::Linked { link, .. } => link.stream(id),
            _ => Err(ClosedStream),
        }
    }

    fn has_output(&self) -> bool {
        matches!(&self.state, State::Linked { link, .. } if link.has_output())
    }

    fn split_event(event: AgentEvent) -> Result<StreamEvent, AgentEvent> {
        match event {
            AgentEvent::Stream(event) => Ok(event),
            other => Err(other),
        }
    }

    fn max_message_bytes(&self) -> Option<usize> {
        self.plane().and_then(|info| info.max_message_bytes)
    }
}
