//! The agent: one identity, one relay, one session over one or several links, and the way back when it is lost.
//!
//! `Dial -> Link -> Down -> wait -> Dial`, for ever, unless a [`DownReason`] says that dialling again is no use. A link that
//! is to be replaced is so by one mechanism, whatever the cause: dial another, open streams there, let the old one drain.

mod dialer;
mod event;
mod growth;
mod link_events;
mod machine;
mod notices;
mod states;
mod wall_clock;

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use crate::backoff::{Backoff, BackoffConfig};
use crate::bundle::{Bundle, MAX_LINKS};
use crate::dialect::{Process, Service, SessionRole, SessionTerms, Signal, StreamHeader};
use crate::handshake::{AgentLogin, AuthMode, Login};
use crate::link::{LinkConfig, OpenStreamError};
use crate::machine::{Machine, TransitionRow};
use crate::mux::StreamId;
use crate::plane::{PlaneInfo, StreamCounts};
use crate::reason::DownReason;
use crate::rng::{Rng, Seed};
use crate::stellar::delegation::DelegationId;
use crate::stellar::{Scope, Signature, SigningInput};
use crate::time::{Instant, UnixTime, Wall};

use dialer::Dialer;
use growth::Growth;
use notices::NoticeBudget;
use states::{AgentAction, AgentInput, AgentPhase, rows};
use wall_clock::OwnClock;

pub use dialer::DIAL_TIMEOUT;
pub use event::{AgentEvent, AttemptId, DialTarget};

/// What an agent is, and what it offers.
#[derive(Clone, PartialEq, Debug)]
pub struct AgentConfig {
    /// Where the relay is; handed to the runner as it is.
    pub relay: String,
    /// What to log in with. Its `services` are filled from [`AgentConfig::services`].
    pub login: AgentLogin,
    /// What to offer, in order; the first is what the bare address reaches.
    pub services: Vec<Service>,
    /// Names to ask the relay for, ahead of the services.
    pub names: Vec<String>,
    /// Keepalive and stream limits.
    pub link: LinkConfig,
    /// How to wait between dials.
    pub backoff: BackoffConfig,
    /// The links that may take streams at once, as far as the relay allows as many. Above one, a link that is to be replaced
    /// is so before it ends.
    pub max_links: u32,
    /// What the relay is told of this program. Without an instance the agent makes one.
    pub process: Process,
}

impl AgentConfig {
    /// An agent that offers nothing yet, with the usual limits.
    pub fn new(relay: impl Into<String>, login: AgentLogin) -> Self {
        Self {
            relay: relay.into(),
            login,
            services: Vec::new(),
            names: Vec::new(),
            link: LinkConfig::agent(),
            backoff: BackoffConfig::default(),
            max_links: MAX_LINKS,
            process: Process::default(),
        }
    }
}

/// Makes the logins of an agent whose relay speaks another protocol, one for each link.
pub trait LoginFactory: Send {
    /// The login over a WebSocket that just opened. What comes is for `service`, the first that the agent offers; it
    /// is bound by the login itself.
    fn login(&self, service: &Service, now: Instant) -> Box<dyn Login>;
}

/// The owner of local services: dials, logs in, binds, and comes back.
pub struct Agent {
    config: AgentConfig,
    /// Makes the login of each link, where it is not the native one.
    logins: Option<Box<dyn LoginFactory>>,
    rng: Rng,
    clock: OwnClock,
    dialer: Dialer,
    bundle: Bundle,
    /// The session of the newest link, while there is one.
    session: Option<SessionTerms>,
    growth: Growth,
    notices: NoticeBudget,
    /// The owner ends the agent; what is under way may finish.
    is_stopping: bool,
    /// The owner was told that nothing proves who the relay is.
    is_warned: bool,
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

    fn idle(mut config: AgentConfig, wall: Wall, seed: Seed) -> Self {
        let mut rng = Rng::new(seed);
        config.process.instance.get_or_insert_with(|| rng.token::<16>());
        let mut agent = Self {
            logins: None,
            dialer: Dialer::new(Backoff::new(config.backoff)),
            config,
            rng,
            clock: OwnClock::new(wall),
            bundle: Bundle::default(),
            session: None,
            growth: Growth::new(),
            notices: NoticeBudget::new(),
            is_stopping: false,
            is_warned: false,
            events: VecDeque::new(),
        };
        agent.update_token_services();
        agent
    }

    /// The WebSocket asked for by the [`AgentEvent::Dial`] of this attempt is open. `wall` is the wall clock now, for the
    /// token. Returns whether the agent has anything to send on it; if not, drop the socket: it is of an earlier attempt.
    #[must_use = "a socket that is not used has to be dropped"]
    pub fn handle_open(&mut self, attempt: AttemptId, wall: Wall, now: Instant) -> bool {
        let is_current = attempt == self.dialer.attempt;
        match self.dialer.advance(if is_current { AgentInput::Opened } else { AgentInput::StaleOpened }) {
            AgentAction::StartLink => {
                self.start_link(wall, now);
                true
            }
            AgentAction::CloseSocket => {
                let mut link = Box::new(self.new_link(wall, now));
                link.end(DownReason::Finished, now);
                while link.poll_event().is_some() {}
                self.bundle.forget_ended();
                self.bundle.push(attempt.0, link);
                true
            }
            _ => false,
        }
    }

    /// The dial that is under way, or that the link came of which control messages go over; `None` between two attempts.
    pub fn attempt(&self) -> Option<AttemptId> {
        if self.dialer.phase == AgentPhase::Dialing {
            return Some(self.dialer.attempt);
        }
        self.bundle.main().filter(|member| !member.link.is_ended()).map(|member| AttemptId(member.id))
    }

    /// The signer answered the [`AgentEvent::Sign`] that carried `input`, as it was or reissued; `None` is a refusal. An
    /// answer to an earlier request does nothing, so a slow signer cannot end the next login.
    pub fn handle_signature(&mut self, input: &SigningInput, signature: Option<Signature>, now: Instant) {
        if !self.dialer.token_request.as_ref().is_some_and(|asked| input.answers(asked)) {
            for member in self.bundle.iter_mut() {
                member.link.handle_signature(input, signature, now);
            }
            return self.drain_links(now);
        }
        let token = signature.ok_or(DownReason::SignerRefused).and_then(|signature| {
            input.clone().into_token(signature).map_err(|_| DownReason::SignerMismatch)
        });
        match token {
            Ok(token) => self.request_dial(AgentInput::TokenSigned, Some(token), now),
            Err(reason) => self.attempt_failed(reason, now),
        }
    }

    /// The transition table of the agent: a row for each phase and kind of input.
    pub fn transitions() -> Vec<TransitionRow> {
        rows()
    }

    /// Dials this URL from the next dial on. The links that are up, and a dial that is under way, stay.
    pub fn set_relay(&mut self, relay: impl Into<String>) {
        self.config.relay = relay.into();
    }

    /// Facts about the data plane, once the link is up.
    pub fn plane(&self) -> Option<PlaneInfo> {
        self.bundle.main().and_then(|member| member.link.plane())
    }

    /// The links that are up.
    pub fn links(&self) -> usize {
        self.bundle.up()
    }

    /// Offers a service, now and after every reconnection. One of the same name is replaced, in its place. An agent that said
    /// that it only calls says so no more, unless its logins are good for nothing else.
    pub fn bind(&mut self, service: Service, now: Instant) {
        self.send_if_up(bind_signal(&service), now);
        if self.config.login.scope == Scope::Agent {
            self.config.process.role = SessionRole::Agent;
        }
        match self.config.services.iter_mut().find(|known| known.name == service.name) {
            Some(known) => *known = service,
            None => self.config.services.push(service),
        }
        self.update_token_services();
    }

    /// Withdraws a service. Its streams go on.
    pub fn unbind(&mut self, name: &str, now: Instant) {
        self.send_if_up(Signal::Unbind { service: name.into() }, now);
        self.forget_service(name);
    }

    fn forget_service(&mut self, name: &str) {
        self.config.services.retain(|known| known.name != name);
        self.update_token_services();
    }

    /// Has the relay take a delegation of this identity for revoked, which would be over at `until`. An
    /// [`AgentEvent::Revoked`] or [`AgentEvent::RevokeRefused`] follows. Nothing happens unless a link is up.
    pub fn revoke(&mut self, id: DelegationId, until: Option<UnixTime>, now: Instant) {
        let (id, until) = (id.to_string(), until.map(UnixTime::as_secs));
        self.send_if_up(Signal::Revoke { id, until }, now);
    }

    /// Opens a stream to the service of another identity: see [`StreamHeader::reaching`]. What comes back begins with a
    /// [`OpenResult`](crate::dialect::OpenResult); writing need not wait for it.
    pub fn open(&mut self, header: &StreamHeader, now: Instant) -> Result<StreamId, OpenStreamError> {
        self.bundle.open(header, now)
    }

    /// The machine slept, or the network changed: dial now instead of waiting, or ask the relay for a sign of life and dial
    /// another link, which replaces those of the old network.
    pub fn network_changed(&mut self, now: Instant) {
        if self.bundle.up() == 0 && self.dialer.phase == AgentPhase::Waiting {
            self.dialer.backoff.reset();
            return self.dial(now);
        }
        if self.dialer.advance(AgentInput::Probe) == AgentAction::ProbeLinks {
            let replaces = self.can_join();
            for member in self.bundle.iter_mut() {
                member.link.probe(now);
                member.is_retiring |= replaces;
            }
            self.drain_links(now);
        }
    }

    /// Ends all links and never dials again.
    pub fn close(&mut self, now: Instant) {
        self.is_stopping = true;
        if self.bundle.iter().all(|member| member.link.is_ended()) {
            return self.stop_dialing();
        }
        if self.dialer.advance(AgentInput::StopLinks) == AgentAction::EndLinks {
            for member in self.bundle.iter_mut() {
                member.link.end(DownReason::Finished, now);
            }
            self.drain_links(now);
        }
    }

    /// Goes away without losing what is under way: tells the relay, which opens no streams here any more. Those that it has
    /// opened meanwhile are served. The agent ends when the last stream has ended, or after `limit`, and never dials again.
    pub fn drain(&mut self, limit: Duration, now: Instant) {
        self.is_stopping = true;
        if self.bundle.up() == 0 {
            return self.close(now);
        }
        for member in self.bundle.iter_mut() {
            member.link.shutdown(DownReason::Finished, now + limit, now);
        }
        self.drain_links(now);
    }

    /// Ends the link of this attempt, if it is up, and begins another: the relay has lost the session without ending it.
    pub fn log_in_again(&mut self, attempt: AttemptId, now: Instant) {
        if let Some(member) = self.bundle.get_mut(attempt.0).filter(|member| member.link.is_up()) {
            member.link.end(DownReason::Lost("the relay forgot this agent".to_string()), now);
        }
        self.drain_links(now);
    }

    /// What the streams of each link hold.
    pub fn stream_counts(&self) -> impl Iterator<Item = StreamCounts> {
        self.bundle.iter().map(|member| member.link.stream_counts())
    }

    /// Whether a link is up.
    pub fn is_up(&self) -> bool {
        self.bundle.up() > 0
    }

    /// Failures in a row.
    pub fn failures(&self) -> u32 {
        self.dialer.backoff.failures()
    }

    /// Whether the relay takes another link of this session.
    fn can_join(&self) -> bool {
        self.config.max_links > 1 && self.session.as_ref().is_some_and(|terms| terms.session.is_some())
    }

    fn update_token_services(&mut self) {
        self.config.login.services = self.config.services.iter().map(|s| s.name.clone()).collect();
    }

    /// During the login the relay takes nothing but the answer; what is bound is said once it is over.
    fn send_if_up(&mut self, signal: Signal, now: Instant) {
        if let Some(link) = self.bundle.control() {
            link.send(signal, now);
            self.drain_links(now);
        }
    }
}

/// The message that asks for a service.
fn bind_signal(service: &Service) -> Signal {
    Signal::Bind {
        service: service.name.clone(),
        local_port: service.local_port,
        proto: Some(service.proto),
        public: service.public,
        on_conflict: Some(service.on_conflict),
    }
}
