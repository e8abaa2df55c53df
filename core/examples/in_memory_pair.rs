//! An agent and a relay's session in one process, on a simulated clock: a login, a stream, a lost connection, and the way
//! back. Sockets and clocks are queues and numbers here; in a program they are the runner's.

use bytes::Bytes;
use ed25519_dalek::{Signer, SigningKey};
use hvym_tunnel_core::agent::{Agent, AgentConfig, AgentEvent, DialTarget};
use hvym_tunnel_core::dialect::{Service, StreamHeader};
use hvym_tunnel_core::handshake::{AgentLogin, ProofInput, RelayLogin, Upgrade, nonce_in_query};
use hvym_tunnel_core::link::{StreamEvent, Streams};
use hvym_tunnel_core::machine::Machine;
use hvym_tunnel_core::message::{Close, Transmit};
use hvym_tunnel_core::mux::{Read, StreamId};
use hvym_tunnel_core::relay::{Session, SessionConfig, SessionEvent};
use hvym_tunnel_core::stellar::{Address, Signature};
use hvym_tunnel_core::time::{Instant, UnixTime, Wall};

/// 2026-01-01T00:00:00Z, when the simulated clock is at zero.
const EPOCH: u64 = 1_767_225_600;

/// Both ends, and the clock.
struct World {
    agent: Agent,
    key: SigningKey,
    session: Option<Session>,
    relay: SigningKey,
    now: Instant,
    /// Streams that the agent was told of.
    opened: Vec<StreamId>,
}

impl World {
    fn new() -> Self {
        let key = SigningKey::from_bytes(&[1; 32]);
        let relay = SigningKey::from_bytes(&[2; 32]);
        let login = AgentLogin { relay_address: Some(address(&relay)), ..AgentLogin::new(address(&key)) };
        let config = AgentConfig {
            services: vec![Service::http("web")],
            ..AgentConfig::new("wss://relay.example", login)
        };
        let now = Instant::ZERO;
        let agent = Agent::new(config, wall(now), [3; 32], now);
        Self { agent, key, session: None, relay, now, opened: Vec::new() }
    }

    /// Everything that can happen without the clock moving.
    fn settle(&mut self) {
        loop {
            let mut changed = false;
            while let Some(event) = self.agent.poll_event() {
                changed = true;
                self.on_agent(event);
            }
            while let Some(event) = self.session.as_mut().and_then(Machine::poll_event) {
                changed = true;
                self.on_session(event);
            }
            while let Some(transmit) = self.agent.poll_transmit() {
                changed = true;
                let Some(session) = &mut self.session else { continue };
                match transmit {
                    Transmit::Send(message) => session.handle_message(message, self.now),
                    Transmit::Close(close) => session.handle_close(close, self.now),
                }
            }
            while let Some(transmit) = self.session.as_mut().and_then(Machine::poll_transmit) {
                changed = true;
                match transmit {
                    Transmit::Send(message) => self.agent.handle_message(message, self.now),
                    Transmit::Close(close) => self.agent.handle_close(close, self.now),
                }
            }
            if !changed {
                return;
            }
        }
    }

    fn on_agent(&mut self, event: AgentEvent) {
        let now = self.now;
        match event {
            AgentEvent::Dial(target) => {
                println!("agent: dials {}", target.relay);
                let config = SessionConfig::new(RelayLogin::new(address(&self.relay)));
                // A fresh seed for each session; a program takes the operating system's entropy.
                let seed = [u8::try_from(now.as_micros() % 251).unwrap_or(0); 32];
                let upgrade = self.upgrade(&target);
                self.session = Some(Session::new(config, upgrade, wall(now), seed, now));
                assert!(self.agent.handle_open(target.attempt, wall(now), now));
            }
            AgentEvent::Sign(input) => {
                let input = input.reissued(wall(now).unix_at(now));
                let signature = Signature(self.key.sign(input.as_bytes()).to_bytes());
                self.agent.handle_signature(&input, Some(signature), now);
            }
            AgentEvent::Stream(StreamEvent::Opened { id, header }) => {
                println!("agent: a stream to {}", header.service);
                self.opened.push(id);
            }
            AgentEvent::Stream(StreamEvent::Readable(id)) => self.answer(id),
            AgentEvent::Bound { service, url } => println!("agent: {service} is at {url:?}"),
            AgentEvent::Down { reason, retry_at } => {
                println!("agent: down, {reason}; next dial at {retry_at:?}")
            }
            _ => {}
        }
    }

    /// The upgrade request as the relay's runner sees it: its host is one of the relay's names, and its nonce is answered.
    fn upgrade(&self, target: &DialTarget) -> Upgrade {
        let query = target.relay.split_once('?').map_or("", |(_, query)| query);
        let nonce = nonce_in_query(query).expect("an agent has a nonce");
        // A program takes 32 bytes of the operating system's entropy.
        let challenge = "prove it";
        let input = ProofInput::new(nonce, challenge, &target.host, address(&self.relay));
        let signature = Signature(self.relay.sign(input.as_bytes()).to_bytes());
        Upgrade::new(target.host.as_str()).with_proof(input.into_proof(signature))
    }

    fn on_session(&mut self, event: SessionEvent) {
        let (now, Some(session)) = (self.now, &mut self.session) else { return };
        match event {
            SessionEvent::Admit(verified) => {
                println!("relay: {} proved who it is", verified.address());
                session.admit(format!("https://{}.relay.example", verified.address().label()), now);
            }
            SessionEvent::Bind(service) => {
                let url = format!("https://{}.relay.example", service.name);
                session.confirm(service, url, now);
            }
            _ => {}
        }
    }

    /// The agent's service: it says back what it was told.
    fn answer(&mut self, id: StreamId) {
        let Ok(mut stream) = self.agent.stream(id) else { return };
        while let Ok(Read::Data(mut data)) = stream.read(usize::MAX, self.now) {
            let written = stream.write(&mut data, self.now);
            assert!(written.is_ok() && data.is_empty(), "a few bytes always fit");
        }
    }

    /// A visitor of the relay: opens a stream, says something and returns the answer.
    fn visit(&mut self, words: &'static [u8]) -> Bytes {
        let (now, session) = (self.now, self.session.as_mut().expect("a session"));
        let header = StreamHeader { service: "web".into(), ..StreamHeader::default() };
        let id = session.open(&header, now).expect("a free stream");
        let mut stream = session.stream(id).expect("a live stream");
        stream.write(&mut Bytes::from_static(words), now).expect("an open stream");
        self.settle();
        // The agent's service reads what came with the opening.
        for id in std::mem::take(&mut self.opened) {
            self.answer(id);
        }
        self.settle();
        let session = self.session.as_mut().expect("a session");
        match session.stream(id).expect("a live stream").read(usize::MAX, now) {
            Ok(Read::Data(data)) => data,
            other => panic!("no answer: {other:?}"),
        }
    }
}

fn address(key: &SigningKey) -> Address {
    Address::from_public_key(key.verifying_key().to_bytes())
}

fn wall(now: Instant) -> Wall {
    Wall { unix: UnixTime::from_secs(EPOCH + now.as_micros() / 1_000_000), at: now }
}

fn main() {
    let mut world = World::new();
    world.settle();
    assert!(world.agent.is_up());
    assert_eq!(world.visit(b"hello"), "hello");

    println!("the connection is lost");
    world.session = None;
    world.agent.handle_close(Close::abnormal("reset"), world.now);
    world.settle();
    assert!(!world.agent.is_up());

    // Nothing happens before the time of the next dial: the clock jumps there.
    world.now = world.agent.poll_timeout().expect("an agent comes back");
    world.agent.handle_timeout(world.now);
    world.settle();
    assert!(world.agent.is_up());
    assert_eq!(world.visit(b"still here"), "still here");
    println!("up again after {} ms", world.now.as_micros() / 1000);
}
