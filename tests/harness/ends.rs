//! The owners of an agent and of a relay's session, as tests need them: they answer at once, and remember everything.

use bytes::Bytes;
use hvym_tunnel_compat::{CompatAgent, HvymFallback};
use hvym_tunnel_core::agent::{Agent, AgentConfig, AgentEvent, AttemptId, DialTarget};
use hvym_tunnel_core::backoff::BackoffConfig;
use hvym_tunnel_core::bundle::MAX_LINKS;
use hvym_tunnel_core::dialect::{Process, Service, StreamHeader};
use hvym_tunnel_core::handshake::{
    AgentLogin, Credential, ProofInput, RelayLogin, SharedFallback, Upgrade, nonce_in_query,
};
use hvym_tunnel_core::keepalive::KeepaliveConfig;
use hvym_tunnel_core::link::{LinkConfig, StreamEvent, Streams};
use hvym_tunnel_core::mux::{MuxConfig, Read, StreamError, StreamId};
use hvym_tunnel_core::reason::DownReason;
use hvym_tunnel_core::relay::{BindRefusal, Session, SessionConfig, SessionEvent};
use hvym_tunnel_core::rng::Rng;
use hvym_tunnel_core::stellar::SigningInput;
use hvym_tunnel_core::time::Instant;

use crate::keys::Key;
use crate::pair::{End, Pair, wall, wall_off_by};
use crate::wire::WireConfig;

/// Whose key the agent of a test has.
pub const AGENT: [u8; 32] = [1; 32];
/// Whose key the relay of a test has.
pub const RELAY: [u8; 32] = [2; 32];

/// Who signs for an agent.
#[derive(Clone)]
pub enum Signer {
    /// A key, at once.
    Key(Box<Key>),
    /// Somebody who says no.
    Refuses,
    /// Somebody who never answers.
    Silent,
}

impl Signer {
    /// Signs with the key of this seed.
    pub fn key(seed: [u8; 32]) -> Self {
        Signer::Key(Box::new(Key::from_seed(seed)))
    }
}

/// An agent and its runner.
pub struct AgentEnd {
    /// The machine.
    pub machine: Agent,
    /// Who signs.
    pub signer: Signer,
    /// Everything the machine told, oldest first.
    pub events: Vec<AgentEvent>,
    /// What has been asked to be signed.
    pub asked: Vec<SigningInput>,
    /// The dial that has been asked for and is not done.
    pub dialing: Option<DialTarget>,
    /// By how many seconds its wall clock differs; the monotonic clock knows nothing of it.
    pub wall_error: i64,
}

/// Serves existing HVYM programs in clear text.
fn in_clear() -> Option<SharedFallback> {
    Some(SharedFallback::new(HvymFallback::new()))
}

/// What every agent of the tests starts from: one identity, the relay pinned, two services.
pub fn agent_config() -> AgentConfig {
    AgentConfig {
        relay: "wss://relay.example".into(),
        login: AgentLogin {
            relay_address: Some(Key::from_seed(RELAY).address()),
            ..AgentLogin::new(Key::from_seed(AGENT).address())
        },
        services: vec![Service::http("web"), Service::http("api")],
        link: LinkConfig {
            keepalive: KeepaliveConfig::default(),
            mux: MuxConfig::acceptor(),
            fallback: in_clear(),
        },
        backoff: BackoffConfig::default(),
        names: Vec::new(),
        max_links: 1,
        process: Process::default(),
    }
}

/// What every relay of the tests starts from.
pub fn session_config() -> SessionConfig {
    SessionConfig {
        login: RelayLogin::new(Key::from_seed(RELAY).address()),
        link: LinkConfig {
            keepalive: KeepaliveConfig::default(),
            mux: MuxConfig::opener(),
            fallback: in_clear(),
        },
        max_links: MAX_LINKS,
    }
}

impl AgentEnd {
    /// An agent that is about to dial.
    pub fn new(config: AgentConfig, seed: [u8; 32], now: Instant) -> Self {
        Self {
            machine: Agent::new(config, wall(now), seed, now),
            signer: Signer::key(AGENT),
            events: Vec::new(),
            asked: Vec::new(),
            dialing: None,
            wall_error: 0,
        }
    }

    /// The dials that were asked for, oldest first.
    pub fn attempts(&self) -> Vec<AttemptId> {
        fn attempt(event: &AgentEvent) -> Option<AttemptId> {
            match event {
                AgentEvent::Dial(target) => Some(target.attempt),
                _ => None,
            }
        }
        self.events.iter().filter_map(attempt).collect()
    }

    /// Why links and dials ended, oldest first, and when the next dial was to be.
    pub fn downs(&self) -> Vec<(&DownReason, Option<Instant>)> {
        fn down(event: &AgentEvent) -> Option<(&DownReason, Option<Instant>)> {
            match event {
                AgentEvent::Down { reason, retry_at } => Some((reason, *retry_at)),
                _ => None,
            }
        }
        self.events.iter().filter_map(down).collect()
    }

    /// Streams that the relay opened, oldest first.
    pub fn opened(&self) -> Vec<(StreamId, StreamHeader)> {
        let opened = |event: &AgentEvent| match event {
            AgentEvent::Stream(StreamEvent::Opened { id, header: opening }) => {
                Some((*id, (**opening).clone()))
            }
            _ => None,
        };
        self.events.iter().filter_map(opened).collect()
    }

    /// The services that the relay has confirmed, oldest first.
    pub fn bound(&self) -> Vec<&str> {
        fn bound(event: &AgentEvent) -> Option<&str> {
            match event {
                AgentEvent::Bound { service, .. } => Some(service),
                _ => None,
            }
        }
        self.events.iter().filter_map(bound).collect()
    }
}

impl End for AgentEnd {
    type Machine = Agent;

    fn machine(&mut self) -> Option<&mut Agent> {
        Some(&mut self.machine)
    }

    fn on_event(&mut self, event: AgentEvent, now: Instant) {
        self.events.push(event.clone());
        match event {
            AgentEvent::Dial(target) => self.dialing = Some(target),
            AgentEvent::Down { .. } => self.dialing = None,
            AgentEvent::Sign(input) => {
                self.asked.push(input.clone());
                match &self.signer {
                    Signer::Key(key) => {
                        let input = input.reissued(wall_off_by(self.wall_error, now).unix);
                        let signature = key.sign(&input);
                        self.machine.handle_signature(&input, Some(signature), now);
                    }
                    Signer::Refuses => self.machine.handle_signature(&input, None, now),
                    Signer::Silent => {}
                }
            }
            _ => {}
        }
    }
}

/// The name by which agents of the tests dial.
pub const HOST: &str = "relay.example";

/// The upgrade request of a dial, as the relay of the tests takes it: by whatever name, and with a proof of its key over the nonce.
pub fn upgrade(target: &DialTarget, seed: [u8; 32]) -> Upgrade {
    upgrade_at(&Key::from_seed(RELAY), &target.host, target, seed)
}

/// The same, of the relay `key`, which takes itself to be dialled as `host`.
pub fn upgrade_at(key: &Key, host: &str, target: &DialTarget, seed: [u8; 32]) -> Upgrade {
    let bearer = target.bearer.as_ref().map(|token| Credential::Bearer(token.as_str().to_owned()));
    let upgrade = Upgrade::new(host).with_credential(bearer.unwrap_or_default());
    match nonce(target) {
        Some(nonce) => {
            let challenge = Rng::new(seed).token::<32>();
            upgrade.with_proof(key.prove(ProofInput::new(nonce, &challenge, host, key.address())))
        }
        None => upgrade,
    }
}

/// The agent's nonce.
pub fn nonce(target: &DialTarget) -> Option<&str> {
    nonce_in_query(target.relay.split_once('?')?.1)
}

/// A relay with room for one session.
pub struct RelayEnd {
    /// What the next session demands.
    pub config: SessionConfig,
    /// The session of the latest WebSocket.
    pub machine: Option<Session>,
    /// Everything that all sessions told, oldest first.
    pub events: Vec<SessionEvent>,
    /// Why nobody is let in.
    pub refusal: Option<DownReason>,
    /// Whether the owner answers who asks to come in.
    pub answers: bool,
    /// Why services are not confirmed.
    pub declines: Option<BindRefusal>,
    /// How many WebSockets were accepted.
    pub accepted: u32,
    /// As [`AgentEnd::wall_error`], for sessions that begin from now on.
    pub wall_error: i64,
    /// Agents log in by token, as this one does. Each is admitted and offers the service `web`.
    pub guest: Option<CompatAgent>,
    seed: [u8; 32],
}

impl RelayEnd {
    /// A relay that nobody has dialled yet.
    pub fn new(config: SessionConfig, seed: [u8; 32]) -> Self {
        Self {
            config,
            machine: None,
            events: Vec::new(),
            refusal: None,
            answers: true,
            declines: None,
            accepted: 0,
            wall_error: 0,
            guest: None,
            seed,
        }
    }

    /// A WebSocket was accepted, which this dial asked for.
    pub fn accept(&mut self, target: &DialTarget, now: Instant) {
        self.accepted += 1;
        let mut seed = self.seed;
        seed[..4].copy_from_slice(&self.accepted.to_be_bytes());
        if let Some(guest) = &self.guest {
            let link = self.config.link.clone();
            self.machine = Some(hvym_tunnel_compat::session(link, guest.clone(), seed, now));
            return;
        }
        let wall = wall_off_by(self.wall_error, now);
        self.machine = Some(Session::new(self.config.clone(), upgrade(target, seed), wall, seed, now));
    }

    /// The session.
    ///
    /// # Panics
    /// When nobody has dialled.
    pub fn session(&mut self) -> &mut Session {
        self.machine.as_mut().expect("somebody has dialled")
    }

    /// Whether streams may flow.
    pub fn is_up(&self) -> bool {
        self.machine.as_ref().is_some_and(Session::is_up)
    }

    /// Why sessions ended, oldest first.
    pub fn closings(&self) -> Vec<&DownReason> {
        fn closing(event: &SessionEvent) -> Option<&DownReason> {
            match event {
                SessionEvent::Closed(reason) => Some(reason),
                _ => None,
            }
        }
        self.events.iter().filter_map(closing).collect()
    }
}

impl End for RelayEnd {
    type Machine = Session;

    fn machine(&mut self) -> Option<&mut Session> {
        self.machine.as_mut()
    }

    fn on_event(&mut self, event: SessionEvent, now: Instant) {
        self.events.push(event.clone());
        let (refusal, declines, answers) = (self.refusal.clone(), self.declines.clone(), self.answers);
        let session = self.session();
        match event {
            SessionEvent::Admit(_) if !answers => {}
            SessionEvent::Admit(verified) => match refusal {
                Some(reason) => session.refuse(reason, now),
                None => session.admit(format!("https://{}.relay.example", verified.address().label()), now),
            },
            SessionEvent::Authenticate(_) => session.admit_token("agent".into(), Service::http("web"), now),
            SessionEvent::Bind(service) => match declines {
                Some(refusal) => session.decline(&service.name, &refusal, now),
                None => {
                    let url = format!("https://{}.relay.example", service.name);
                    session.confirm(service, url, now);
                }
            },
            _ => {}
        }
    }
}

/// An agent and a relay that know each other, not connected yet.
pub fn pair() -> Pair<AgentEnd, RelayEnd> {
    pair_with(agent_config(), session_config(), WireConfig::default(), [7; 32])
}

/// The same, of these parts.
pub fn pair_with(
    agent: AgentConfig,
    relay: SessionConfig,
    wire: WireConfig,
    seed: [u8; 32],
) -> Pair<AgentEnd, RelayEnd> {
    let agent = AgentEnd::new(agent, seed, Instant::ZERO);
    Pair::of(agent, RelayEnd::new(relay, seed), wire, seed)
}

/// What reading a stream came to.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// More may come.
    Open,
    /// The other side ended its half.
    Finished,
    /// Torn, lost or gone.
    Broken(StreamError),
}

/// Reads everything that has arrived.
pub fn read(machine: &mut impl Streams, id: StreamId, now: Instant) -> (Vec<u8>, Outcome) {
    let mut all = Vec::new();
    loop {
        let outcome = match machine.stream(id) {
            Ok(mut stream) => stream.read(usize::MAX, now),
            Err(closed) => Err(StreamError::Closed(closed)),
        };
        match outcome {
            Ok(Read::Data(data)) => all.extend_from_slice(&data),
            Ok(Read::Empty) => return (all, Outcome::Open),
            Ok(Read::Finished) => return (all, Outcome::Finished),
            Err(error) => return (all, Outcome::Broken(error)),
        }
    }
}

/// Writes as much of `data` as there is room for, and says how much.
///
/// # Panics
/// When the stream takes nothing any more.
pub fn write(machine: &mut impl Streams, id: StreamId, data: &[u8], now: Instant) -> usize {
    let mut data = Bytes::copy_from_slice(data);
    machine.stream(id).expect("live").write(&mut data, now).expect("open for writing")
}

/// Ends this side's half.
///
/// # Panics
/// When the stream is gone.
pub fn finish(machine: &mut impl Streams, id: StreamId, now: Instant) {
    machine.stream(id).expect("live").finish(now).expect("not torn");
}

/// What a relay says a stream to `service` is for.
pub fn opening(service: &str) -> StreamHeader {
    StreamHeader { service: service.into(), ..StreamHeader::default() }
}
