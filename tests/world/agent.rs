//! A process of an agent, and its services: every stream that the relay opens is a connection to one.

use std::collections::{BTreeMap, BTreeSet};

use hvym_tunnel_core::agent::{Agent, AgentEvent, DialTarget};
use hvym_tunnel_core::link::{StreamEvent, Streams};
use hvym_tunnel_core::machine::Machine;
use hvym_tunnel_core::mux::{MuxConfig, Read, StreamId};
use hvym_tunnel_core::reason::DownReason;
use hvym_tunnel_core::rng::Rng;
use hvym_tunnel_core::time::{Instant, earliest};
use hvym_tunnel_tests::ends::{Signer, agent_config};
use hvym_tunnel_tests::keys::Key;
use hvym_tunnel_tests::pair::wall;

use crate::plan::AgentPlan;
use crate::service::{Serving, TCP, Unsent};

/// A stream and the service's side of it.
struct Carried {
    serving: Serving,
    unsent: Unsent,
    is_finished: bool,
}

/// A process of an agent.
pub(crate) struct AgentNode {
    pub(crate) agent: Agent,
    /// The agent that it is: the number of its plan.
    pub(crate) name: usize,
    plan: AgentPlan,
    streams: BTreeMap<StreamId, Carried>,
    dirty: BTreeSet<StreamId>,
    /// When services have something to say.
    due: BTreeSet<(Instant, StreamId)>,
    rng: Rng,
    /// The dial that was asked for.
    pub(crate) dialing: Option<DialTarget>,
    /// Sessions that ended, and why.
    pub(crate) downs: Vec<DownReason>,
    /// It dials no more.
    pub(crate) is_over: bool,
    pub(crate) ups: u64,
    /// The most links at once.
    pub(crate) most_links: usize,
}

/// Less than the usual limit of what is unsent, so that a few dozen visitors are a crowd.
pub(crate) fn mux() -> MuxConfig {
    MuxConfig::acceptor().with(|mux| {
        mux.max_inbound_streams = 256;
        mux.max_unsent = 1536 * 1024;
    })
}

impl AgentNode {
    pub(crate) fn new(name: usize, plan: AgentPlan, mut rng: Rng, now: Instant) -> Self {
        let mut config = agent_config();
        config.login.identity = Key::from_seed(seed(name)).address();
        config.services.truncate(1);
        config.link.fallback = None;
        config.link.mux = mux();
        config.link.keepalive.ping_interval = plan.ping_interval;
        config.max_links = plan.max_links;
        Self {
            agent: Agent::new(config, wall(now), rng.fork(), now),
            name,
            plan,
            streams: BTreeMap::new(),
            dirty: BTreeSet::new(),
            due: BTreeSet::new(),
            rng,
            dialing: None,
            downs: Vec::new(),
            is_over: false,
            ups: 0,
            most_links: 0,
        }
    }

    /// Takes its events, and moves what can be moved between streams and service.
    pub(crate) fn turn(&mut self, now: Instant) {
        if self.agent.poll_timeout().is_some_and(|at| at <= now) {
            self.agent.handle_timeout(now);
        }
        self.drain(now);
        while let Some((at, id)) = self.due.first().copied()
            && at <= now
        {
            self.due.pop_first();
            self.dirty.insert(id);
        }
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
                    let Signer::Key(key) = Signer::key(seed(self.name)) else {
                        unreachable!("a key was made")
                    };
                    let input = input.reissued(wall(now).unix);
                    let signature = key.sign(&input);
                    self.agent.handle_signature(&input, Some(signature), now);
                }
                AgentEvent::Up(_) => self.ups += 1,
                AgentEvent::Links(links) => {
                    self.most_links = self.most_links.max(links);
                    // Streams may have gone with a link, which only asking for them shows.
                    self.dirty.extend(self.streams.keys().copied());
                }
                AgentEvent::Down { reason, retry_at } => {
                    self.downs.push(reason);
                    self.streams.clear();
                    (self.is_over, self.dialing) = (retry_at.is_none(), None);
                }
                AgentEvent::Stream(StreamEvent::Opened { id, header }) => {
                    let serving =
                        if header.service == TCP { Serving::tcp() } else { Serving::new(self.plan.service) };
                    let carried = Carried { serving, unsent: Unsent::default(), is_finished: false };
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
        // An answer that has begun waits for room, and not for the clock.
        self.due.extend(carried.serving.next().filter(|at| *at > now).map(|at| (at, id)));
    }

    /// When it wants a turn.
    pub(crate) fn next(&self) -> Option<Instant> {
        earliest(self.due.first().map(|(at, _)| *at), self.agent.poll_timeout())
    }
}

fn seed(name: usize) -> [u8; 32] {
    [name as u8 + 10; 32]
}
