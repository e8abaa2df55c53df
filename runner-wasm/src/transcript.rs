//! A simulated agent and relay session, with logins, streams and lost links, and the transcript of all their messages,
//! events and times.
//!
//! It uses the core only, so that a test can compare the transcript of a native build with that of a browser.

use std::fmt::Write;
use std::time::Duration;

use bytes::Bytes;
use ed25519_dalek::{Signer, SigningKey};
use hvym_tunnel_core::agent::{Agent, AgentConfig, AgentEvent, DialTarget};
use hvym_tunnel_core::backoff::BackoffConfig;
use hvym_tunnel_core::dialect::{Process, Service, StreamHeader};
use hvym_tunnel_core::handshake::{AgentLogin, ProofInput, RelayLogin, Upgrade, nonce_in_query};
use hvym_tunnel_core::keepalive::KeepaliveConfig;
use hvym_tunnel_core::link::{LinkConfig, StreamEvent, Streams};
use hvym_tunnel_core::machine::Machine;
use hvym_tunnel_core::message::{Close, Transmit};
use hvym_tunnel_core::mux::{MuxConfig, Read, StreamId};
use hvym_tunnel_core::relay::{Session, SessionConfig, SessionEvent};
use hvym_tunnel_core::rng::Rng;
use hvym_tunnel_core::stellar::{Address, Signature};
use hvym_tunnel_core::time::{Instant, UnixTime, Wall, earliest};

/// The wall clock at the beginning: 2026-01-01T00:00:00Z.
const EPOCH: u64 = 1_767_225_600;
/// Streams of one round. More than fit into one batch, so that the transcript shows the order in which they are scheduled.
const STREAMS: usize = 20;

struct Simulation {
    now: Instant,
    key: SigningKey,
    relay: SigningKey,
    agent: Agent,
    session: Option<Session>,
    seed: [u8; 32],
    text: String,
}

/// The transcript for `seed`.
pub(crate) fn record(seed: u8) -> String {
    let mut simulation = Simulation::new(seed);
    for round in 0..3_u8 {
        simulation.advance(Duration::from_secs(70));
        simulation.open_streams(round);
        simulation.advance(Duration::from_secs(25));
        let now = simulation.now;
        if let Some(mut session) = simulation.session.take() {
            session.handle_close(Close::abnormal("cut"), now);
        }
        simulation.agent.handle_close(Close::abnormal("cut"), now);
    }
    simulation.advance(Duration::from_secs(70));
    simulation.agent.close(simulation.now);
    simulation.advance(Duration::from_secs(5));
    simulation.text
}

fn address(key: &SigningKey) -> Address {
    Address::from_public_key(key.verifying_key().to_bytes())
}

impl Simulation {
    fn new(seed: u8) -> Self {
        let key = SigningKey::from_bytes(&[seed; 32]);
        let relay = SigningKey::from_bytes(&[seed ^ 0x80; 32]);
        let config = AgentConfig {
            relay: "wss://relay.example".to_owned(),
            login: AgentLogin { relay_address: Some(address(&relay)), ..AgentLogin::new(address(&key)) },
            services: vec![Service::http("web"), Service::http("api")],
            link: LinkConfig {
                keepalive: KeepaliveConfig::default(),
                mux: MuxConfig::low_memory(),
                fallback: None,
            },
            backoff: BackoffConfig::default(),
            names: Vec::new(),
            max_links: 1,
            process: Process::default(),
        };
        let now = Instant::ZERO;
        let agent = Agent::new(config, wall(now), [seed; 32], now);
        Self { now, key, relay, agent, session: None, seed: [seed; 32], text: String::new() }
    }

    /// Advances the clock by `time`, stopping at each deadline.
    fn advance(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            while self.exchange() {}
            let session = self.session.as_ref().and_then(Machine::poll_timeout);
            let Some(at) = earliest(self.agent.poll_timeout(), session).filter(|at| *at <= end) else {
                break;
            };
            self.now = self.now.max(at);
            self.agent.handle_timeout(self.now);
            if let Some(session) = &mut self.session {
                session.handle_timeout(self.now);
            }
        }
        self.now = end;
    }

    /// Handles all pending events and transmits of both sides once. Returns whether there were any.
    fn exchange(&mut self) -> bool {
        let mut moved = false;
        while let Some(event) = self.agent.poll_event() {
            moved = true;
            self.log("agent", &event);
            self.on_agent(event);
        }
        while let Some(event) = self.session.as_mut().and_then(Machine::poll_event) {
            moved = true;
            self.log("relay", &event);
            self.on_session(event);
        }
        while let Some(transmit) = self.agent.poll_transmit() {
            moved = true;
            self.log("agent sends", &transmit);
            let now = self.now;
            match (transmit, &mut self.session) {
                (Transmit::Send(message), Some(session)) => session.handle_message(message, now),
                (Transmit::Close(close), Some(session)) => session.handle_close(close, now),
                (_, None) => {}
            }
        }
        while let Some(transmit) = self.session.as_mut().and_then(Machine::poll_transmit) {
            moved = true;
            self.log("relay sends", &transmit);
            match transmit {
                Transmit::Send(message) => self.agent.handle_message(message, self.now),
                Transmit::Close(close) => self.agent.handle_close(close, self.now),
            }
        }
        moved
    }

    fn on_agent(&mut self, event: AgentEvent) {
        let now = self.now;
        match event {
            AgentEvent::Dial(target) => {
                self.seed[0] = self.seed[0].wrapping_add(1);
                let login = RelayLogin::new(address(&self.relay));
                let link = LinkConfig {
                    keepalive: KeepaliveConfig::default(),
                    mux: MuxConfig::opener(),
                    fallback: None,
                };
                let config = SessionConfig { login, link, max_links: 1 };
                let upgrade = self.upgrade(&target);
                self.session = Some(Session::new(config, upgrade, wall(now), self.seed, now));
                assert!(self.agent.handle_open(target.attempt, wall(now), now), "the only dial");
            }
            AgentEvent::Sign(input) => {
                let signature = Signature(self.key.sign(input.as_bytes()).to_bytes());
                self.agent.handle_signature(&input, Some(signature), now);
            }
            AgentEvent::Stream(StreamEvent::Opened { id, .. } | StreamEvent::Readable(id)) => self.echo(id),
            _ => {}
        }
    }

    /// The upgrade request that `target` leads to, with the relay's proof.
    fn upgrade(&self, target: &DialTarget) -> Upgrade {
        let upgrade = Upgrade::new(target.host.as_str());
        let query = target.relay.split_once('?').map_or("", |(_, query)| query);
        let Some(nonce) = nonce_in_query(query) else { return upgrade };
        let challenge = Rng::new(self.seed).token::<32>();
        let input = ProofInput::new(nonce, &challenge, &target.host, address(&self.relay));
        let signature = Signature(self.relay.sign(input.as_bytes()).to_bytes());
        upgrade.with_proof(input.into_proof(signature))
    }

    fn on_session(&mut self, event: SessionEvent) {
        let now = self.now;
        let Some(session) = &mut self.session else { return };
        match event {
            SessionEvent::Admit(verified) => {
                session.admit(format!("https://{}", verified.address().label()), now);
            }
            SessionEvent::Bind(service) => _ = session.confirm(service, "https://there".to_owned(), now),
            SessionEvent::Stream(StreamEvent::Readable(id)) => {
                while let Ok(mut stream) = session.stream(id)
                    && let Ok(Read::Data(_)) = stream.read(usize::MAX, now)
                {}
            }
            _ => {}
        }
    }

    /// Opens streams of different sizes from the relay's side.
    fn open_streams(&mut self, round: u8) {
        let now = self.now;
        let Some(session) = &mut self.session else { return };
        for size in 1..=STREAMS {
            let header = StreamHeader { service: "web".to_owned(), ..StreamHeader::default() };
            let Ok(id) = session.open(&header, now) else { continue };
            let Ok(mut stream) = session.stream(id) else { continue };
            let mut body = Bytes::from(vec![round; 1000 * size]);
            let written = stream.write(&mut body, now);
            let finished = stream.finish(now);
            self.text.push_str(&format!("open {id:?} {written:?} {finished:?}\n"));
        }
    }

    fn echo(&mut self, id: StreamId) {
        while let Ok(mut stream) = self.agent.stream(id) {
            match stream.read(usize::MAX, self.now) {
                Ok(Read::Data(mut data)) => {
                    let _taken = stream.write(&mut data, self.now);
                }
                Ok(Read::Finished) => {
                    let _sent = stream.finish(self.now);
                    return;
                }
                Ok(Read::Empty) | Err(_) => return,
            }
        }
    }

    fn log(&mut self, source: &str, entry: &dyn std::fmt::Debug) {
        writeln!(self.text, "{} {source} {entry:?}", self.now.as_micros())
            .expect("a string takes every write");
    }
}

fn wall(now: Instant) -> Wall {
    Wall { unix: UnixTime::from_secs(EPOCH + now.as_micros() / 1_000_000), at: now }
}
