//! The agent: one identity, one relay, at most one link at a time, and the way back when it is lost.
//!
//! `Dial -> Link -> Down -> wait -> Dial`, for ever, unless a [`DownReason`] says that dialling again is no use.

mod event;
mod link_events;
mod machine;
mod states;
mod wall_clock;

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use crate::backoff::{Backoff, BackoffConfig};
use crate::dialect::{Service, Signal, StreamHeader};
use crate::handshake::{AgentLogin, AuthMode, Login};
use crate::link::{Link, LinkConfig, OpenStreamError};
use crate::machine::{Side, TransitionRow};
use crate::message::Transmit;
use crate::mux::StreamId;
use crate::plane::PlaneInfo;
use crate::reason::{DownReason, Retry};
use crate::rng::{Rng, Seed};
use crate::stellar::{Signature, SigningInput, Token};
use crate::time::{Instant, Wall};

use states::{AgentAction, AgentInput, AgentPhase, rows};
use wall_clock::OwnClock;

pub use event::{AgentEvent, AttemptId, DialTarget};

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

impl AgentConfig {
    /// An agent that offers nothing yet, with the usual limits.
    pub fn new(relay: impl Into<String>, login: AgentLogin) -> Self {
        Self {
            relay: relay.into(),
            login,
            services: Vec::new(),
            link: LinkConfig::agent(),
            backoff: BackoffConfig::default(),
        }
    }
}

/// Makes the logins of an agent whose relay speaks another protocol, one for each link.
pub trait LoginFactory: Send {
    /// The login over a WebSocket that just opened. What comes is for `service`, the first that the agent offers; it
    /// is bound by the login itself.
    fn login(&self, service: &Service, now: Instant) -> Box<dyn Login>;
}

/// A link, and since when it is up.
struct Connection {
    link: Box<Link>,
    up_since: Option<Instant>,
}

/// The owner of local services: dials, logs in, binds, and comes back.
pub struct Agent {
    config: AgentConfig,
    /// Makes the login of each link, where it is not the native one.
    logins: Option<Box<dyn LoginFactory>>,
    rng: Rng,
    clock: OwnClock,
    /// The latest dial. Its number is also the epoch of its link's streams.
    attempt: AttemptId,
    backoff: Backoff,
    phase: AgentPhase,
    /// When the signature or the WebSocket is given up, or the next dial is due.
    timer: Option<Instant>,
    /// The claims of the token of the next dial, while they are being signed.
    token_request: Option<SigningInput>,
    /// The link of [`AgentPhase::Linked`].
    connection: Option<Connection>,
    /// Output of the last link that is still to be sent after its end.
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
            clock: OwnClock::new(wall),
            attempt: AttemptId(0),
            phase: AgentPhase::Initial,
            timer: None,
            token_request: None,
            connection: None,
            pending: VecDeque::new(),
            events: VecDeque::new(),
        };
        agent.update_token_services();
        agent
    }

    /// The WebSocket asked for by the [`AgentEvent::Dial`] of this attempt is open. `wall` is the wall clock now, for the
    /// token. Returns whether the agent has anything to send on it; if not, drop the socket: it is of an earlier attempt.
    #[must_use = "a socket that is not used has to be dropped"]
    pub fn handle_open(&mut self, attempt: AttemptId, wall: Wall, now: Instant) -> bool {
        let is_current = attempt == self.attempt;
        match self.advance(if is_current { AgentInput::Opened } else { AgentInput::StaleOpened }) {
            AgentAction::StartLink => {
                self.clock.wall = wall;
                self.pending.clear();
                self.timer = None;
                let link = Box::new(self.new_link(wall, now));
                self.connection = Some(Connection { link, up_since: None });
                self.drain_link(now);
                true
            }
            AgentAction::CloseSocket => {
                self.pending = VecDeque::from([Transmit::Close(DownReason::Finished.close())]);
                true
            }
            _ => false,
        }
    }

    /// The dial that is under way, or that the link came of; `None` between two attempts.
    pub fn attempt(&self) -> Option<AttemptId> {
        matches!(self.phase, AgentPhase::Dialing | AgentPhase::Linked).then_some(self.attempt)
    }

    /// The signer answered the [`AgentEvent::Sign`] that carried `input`, as it was or reissued; `None` is a refusal. An
    /// answer to an earlier request does nothing, so a slow signer cannot end the next login.
    pub fn handle_signature(&mut self, input: &SigningInput, signature: Option<Signature>, now: Instant) {
        if !self.token_request.as_ref().is_some_and(|asked| input.answers(asked)) {
            return self.with_link(now, |link| link.handle_signature(input, signature, now));
        }
        let token = signature.ok_or(DownReason::SignerRefused).and_then(|signature| {
            input.clone().into_token(signature).map_err(|_| DownReason::SignerMismatch)
        });
        match token {
            Ok(token) => self.request_dial(AgentInput::TokenSigned, Some(token), now),
            Err(reason) => self.fail(reason, now),
        }
    }

    /// The transition table of the agent: a row for each phase and kind of input.
    pub fn transitions() -> Vec<TransitionRow> {
        rows()
    }

    /// Facts about the data plane, once the link is up.
    pub fn plane(&self) -> Option<PlaneInfo> {
        self.connection.as_ref().and_then(|connection| connection.link.plane())
    }

    /// Offers a service, now and after every reconnection. One of the same name is replaced, in its place.
    pub fn bind(&mut self, service: Service, now: Instant) {
        self.send_if_up(bind_signal(&service), now);
        match self.config.services.iter_mut().find(|known| known.name == service.name) {
            Some(known) => *known = service,
            None => self.config.services.push(service),
        }
        self.update_token_services();
    }

    /// Withdraws a service. Its streams go on.
    pub fn unbind(&mut self, name: &str, now: Instant) {
        self.send_if_up(Signal::Unbind { service: name.into() }, now);
        self.config.services.retain(|known| known.name != name);
        self.update_token_services();
    }

    /// Opens a stream to the service of another identity: see [`StreamHeader::reaching`]. What comes back begins with a
    /// [`OpenResult`](crate::dialect::OpenResult); writing need not wait for it.
    pub fn open(&mut self, header: &StreamHeader, now: Instant) -> Result<StreamId, OpenStreamError> {
        match &mut self.connection {
            Some(connection) => connection.link.open(header, now),
            None => Err(OpenStreamError::NotUp),
        }
    }

    /// The machine slept, or the network changed: dial now instead of waiting, or ask the relay for a sign of life.
    pub fn network_changed(&mut self, now: Instant) {
        if self.phase == AgentPhase::Waiting {
            self.backoff.reset();
            self.dial(now);
        } else if self.advance(AgentInput::Probe) == AgentAction::ProbeLink {
            self.with_link(now, |link| link.probe(now));
        }
    }

    /// Ends the link and never dials again.
    pub fn close(&mut self, now: Instant) {
        match self.advance(AgentInput::Stop) {
            AgentAction::EndLink => self.with_link(now, |link| link.end(DownReason::Finished, now)),
            AgentAction::ReportDown => self.report_down(DownReason::Finished, None),
            _ => {}
        }
    }

    /// Whether a link is up.
    pub fn is_up(&self) -> bool {
        self.connection.as_ref().is_some_and(|connection| connection.link.is_up())
    }

    /// Failures in a row.
    pub fn failures(&self) -> u32 {
        self.backoff.failures()
    }

    fn update_token_services(&mut self) {
        self.config.login.services = self.config.services.iter().map(|s| s.name.clone()).collect();
    }

    /// During the login the relay takes nothing but the answer; what is bound is said once it is over.
    fn send_if_up(&mut self, signal: Signal, now: Instant) {
        if self.is_up() {
            self.with_link(now, |link| link.send(signal, now));
        }
    }

    fn with_link(&mut self, now: Instant, act: impl FnOnce(&mut Link)) {
        if let Some(connection) = &mut self.connection {
            act(&mut connection.link);
            self.drain_link(now);
        }
    }

    /// Takes the transition for `input`. The caller performs the action.
    fn advance(&mut self, input: AgentInput) -> AgentAction {
        let (to, action) = self.phase.on(input);
        self.phase = to;
        action
    }

    /// The link over a WebSocket that just opened.
    fn new_link(&mut self, wall: Wall, now: Instant) -> Link {
        let (config, seed) = (self.config.link.clone(), self.rng.fork());
        if let Some(logins) = &self.logins {
            let service = self.config.services.first().cloned().unwrap_or_else(|| Service::http(""));
            let login = logins.login(&service, now);
            return Link::with_login(Side::Agent, config, login, self.attempt.0, seed, now);
        }
        Link::agent(config, self.config.login.clone(), wall, self.attempt.0, seed, now)
    }

    fn dial(&mut self, now: Instant) {
        // Without an audience there can be no token ahead of the dial: the relay's challenge names it.
        let audience = self.config.login.relay_address.filter(|_| self.config.login.mode == AuthMode::Bearer);
        let Some(relay) = audience else { return self.request_dial(AgentInput::DialDue, None, now) };
        if self.advance(AgentInput::TokenDue) == AgentAction::RequestSignature {
            let input = self.config.login.claims(relay, self.clock.wall, now).signing_input();
            self.events.push_back(AgentEvent::Sign(input.clone()));
            self.token_request = Some(input);
            self.timer = Some(now + DIAL_TIMEOUT);
        }
    }

    fn request_dial(&mut self, input: AgentInput, bearer: Option<Token>, now: Instant) {
        if self.advance(input) == AgentAction::RequestDial {
            self.token_request = None;
            self.timer = Some(now + DIAL_TIMEOUT);
            self.attempt = AttemptId(self.attempt.0.wrapping_add(1));
            let (attempt, relay) = (self.attempt, self.config.relay.clone());
            self.events.push_back(AgentEvent::Dial(DialTarget { attempt, relay, bearer }));
        }
    }

    /// The attempt or the link ended for `reason`.
    fn fail(&mut self, reason: DownReason, now: Instant) {
        let retry = reason.retry();
        let input = match retry {
            Retry::Never => AgentInput::FinalFailure,
            Retry::Soon | Retry::Backoff => AgentInput::TransientFailure,
        };
        if self.advance(input) != AgentAction::ReportDown {
            return;
        }
        let up_since = self.connection.as_ref().and_then(|connection| connection.up_since);
        let lived = up_since.map_or(Duration::ZERO, |since| now - since);
        let retry_at = match retry {
            Retry::Never => None,
            Retry::Soon => Some(now + self.backoff.soon(GOING_AWAY_DELAY, lived, &mut self.rng)),
            Retry::Backoff => Some(now + self.backoff.next_delay(lived, &mut self.rng)),
        };
        let notice = self.clock.notice(&reason, now);
        self.events.extend(notice);
        self.report_down(reason, retry_at);
    }

    fn report_down(&mut self, reason: DownReason, retry_at: Option<Instant>) {
        self.connection = None;
        self.token_request = None;
        self.timer = retry_at;
        self.events.push_back(AgentEvent::Down { reason, retry_at });
    }
}

/// The message that asks for a service.
fn bind_signal(service: &Service) -> Signal {
    Signal::Bind {
        service: service.name.clone(),
        local_port: service.local_port,
        proto: Some(service.proto),
        public: service.public,
    }
}
