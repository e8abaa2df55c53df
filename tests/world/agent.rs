//! An agent and its service: every stream that the relay opens is a connection to the service.

use std::collections::{BTreeMap, BTreeSet};

use hvym_tunnel_core::agent::{Agent, AgentEvent, DialTarget};
use hvym_tunnel_core::link::{StreamEvent, Streams};
use hvym_tunnel_core::machine::Machine;
use hvym_tunnel_core::mux::{Read, StreamId};
use hvym_tunnel_core::reason::DownReason;
use hvym_tunnel_core::rng::Rng;
use hvym_tunnel_core::time::Instant;
use hvym_tunnel_tests::ends::{Signer, agent_config};
use hvym_tunnel_tests::keys::Key;
use hvym_tunnel_tests::pair::wall;

use crate::service::{ServiceKind, Serving, Unsent};

/// A stream and the service's side of it.
struct Carried {
    serving: Serving,
    unsent: Unsent,
    is_finished: bool,
}

/// An agent.
pub(crate) struct AgentNode {
    pub(crate) agent: Agent,
    kind: ServiceKind,
    key: [u8; 32],
    streams: BTreeMap<StreamId, Carried>,
    dirty: BTreeSet<StreamId>,
    rng: Rng,
    /// The dial that was asked for.
    pub(crate) dialing: Option<DialTarget>,
    /// Links that ended, and why.
    pub(crate) downs: Vec<DownReason>,
    pub(crate) ups: u64,
}

impl AgentNode {
    pub(crate) fn new(number: usize, kind: ServiceKind, mut rng: Rng, now: Instant) -> Self {
        let key = [number as u8 + 10; 32];
        Self {
            agent: start(key, &mut rng, now),
            kind,
            key,
            streams: BTreeMap::new(),
            dirty: BTreeSet::new(),
            rng,
            dialing: None,
            downs: Vec::new(),
            ups: 0,
        }
    }

    /// The process dies, and another one is started.
    pub(crate) fn restart(&mut self, now: Instant) {
        self.agent = start(self.key, &mut self.rng, now);
        self.streams.clear();
        (self.dirty, self.dialing) = (BTreeSet::new(), None);
    }

    /// Takes its events, and moves what can be moved between streams and service.
    pub(crate) fn turn(&mut self, now: Instant) {
        if self.agent.poll_timeout().is_some_and(|at| at <= now) {
            self.agent.handle_timeout(now);
        }
        self.drain(now);
        let due =
            self.streams.iter().filter(|(_, carried)| carried.serving.next().is_some_and(|at| at <= now));
        self.dirty.extend(due.map(|(id, _)| *id).collect::<Vec<_>>());
        while let Some(id) = self.dirty.pop_first() {
            self.pump(id, now);
        }
        self.drain(now);
    }

    fn drain(&mut self, now: Instant) {
        while let Some(event) = self.agent.poll_event() {
            match event {
                AgentEvent::Dial(target) => self.dialing = Some(target),
                AgentEvent::Sign(input) => {
                    let Signer::Key(key) = Signer::key(self.key) else { unreachable!("a key was made") };
                    let input = input.reissued(wall(now).unix);
                    let signature = key.sign(&input);
                    self.agent.handle_signature(&input, Some(signature), now);
                }
                AgentEvent::Up(_) => self.ups += 1,
                AgentEvent::Down { reason, .. } => {
                    self.downs.push(reason);
                    self.streams.clear();
                }
                AgentEvent::Stream(StreamEvent::Opened { id, .. }) => {
                    let carried = Carried {
                        serving: Serving::new(self.kind),
                        unsent: Unsent::default(),
                        is_finished: false,
                    };
                    self.streams.insert(id, carried);
                    self.dirty.insert(id);
                }
                AgentEvent::Stream(StreamEvent::Readable(id) | StreamEvent::Writable(id)) => {
                    self.dirty.insert(id);
                }
                AgentEvent::Stream(StreamEvent::Reset(id, _)) => drop(self.streams.remove(&id)),
                _ => {}
            }
        }
    }

    fn pump(&mut self, id: StreamId, now: Instant) {
        let Some(carried) = self.streams.get_mut(&id) else { return };
        let Ok(mut stream) = self.agent.stream(id) else { return drop(self.streams.remove(&id)) };
        loop {
            let mut moved = false;
            while carried.serving.wants_data() {
                match stream.read(16 * 1024, now) {
                    Ok(Read::Data(data)) => carried.serving.handle_data(&data, &mut self.rng, now),
                    Ok(Read::Finished) => {
                        carried.serving.handle_end();
                        break;
                    }
                    Ok(Read::Empty) => break,
                    Err(_) => return drop(self.streams.remove(&id)),
                }
                moved = true;
            }
            loop {
                if carried.unsent.is_empty() {
                    let Some(output) = carried.serving.output(&mut self.rng, now) else { break };
                    *carried.unsent.get() = output;
                }
                let before = carried.unsent.get().len();
                match stream.write(carried.unsent.get(), now) {
                    Ok(_) if before > 0 && carried.unsent.get().len() == before => return,
                    Ok(_) => moved = true,
                    Err(_) => return drop(self.streams.remove(&id)),
                }
            }
            if !moved {
                break;
            }
        }
        if carried.serving.is_finished() && !std::mem::replace(&mut carried.is_finished, true) {
            let _ended = stream.finish(now);
        }
    }

    /// When it wants a turn. An answer that has begun waits for room, and not for the clock.
    pub(crate) fn next(&self, now: Instant) -> Option<Instant> {
        let serving =
            self.streams.values().filter_map(|carried| carried.serving.next()).filter(|at| *at > now);
        serving.chain(self.agent.poll_timeout()).min()
    }
}

fn start(key: [u8; 32], rng: &mut Rng, now: Instant) -> Agent {
    let mut config = agent_config();
    config.login.identity = Key::from_seed(key).address();
    config.services.truncate(1);
    config.link.fallback = None;
    Agent::new(config, wall(now), rng.fork(), now)
}
