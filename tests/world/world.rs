//! The whole world: who there is, what happens to it, and what must hold whatever happens.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

use hvym_proxy::limits::{VisitorLimitsConfig, VisitorRate, VisitorShare};
use hvym_proxy::pool::PoolConfig;
use hvym_tunnel_core::rng::Rng;
use hvym_tunnel_core::time::Instant;

use crate::agent::AgentNode;
use crate::line::{LineConfig, PipeEnd};
use crate::links::LinkWire;
use crate::relay::{Relay, SessionKey};
use crate::service::ServiceKind;
use crate::visitor::{HONEST_BYTES, Outcome, Visitor, VisitorKind};

/// Who acts at a moment.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Node {
    Visitor(usize),
    Conn(usize),
    Link(SessionKey),
    Agent(usize),
}

/// What may be different from one world to the next.
#[derive(Clone, Debug)]
pub(crate) struct WorldConfig {
    pub(crate) agents: usize,
    pub(crate) visitors: usize,
    pub(crate) pool: PoolConfig,
    pub(crate) limits: VisitorLimitsConfig,
    /// Only honest visitors and services.
    pub(crate) is_peaceful: bool,
}

impl Default for WorldConfig {
    fn default() -> Self {
        let rate = VisitorRate { burst: 1000, per_second: 100 };
        Self {
            agents: 2,
            visitors: 24,
            pool: PoolConfig::DEFAULT,
            limits: VisitorLimitsConfig {
                connections: 10_000,
                requests: 4096,
                service_requests: 2048,
                visitor: VisitorShare {
                    connections: 64,
                    connection_rate: rate,
                    requests: 64,
                    service_requests: 64,
                    service_tunnels: 32,
                    reset_rate: rate,
                },
            },
            is_peaceful: false,
        }
    }
}

/// More turns than this without the clock moving is a machine that never comes to rest.
const MAX_TURNS: u32 = 100_000;
/// How often what was promised is compared with what is.
const CHECK: Duration = Duration::from_secs(1);
/// How long after a fault an agent may be away, and requests may fail.
const RECOVERY: Duration = Duration::from_secs(180);
/// How long an honest request may take beside what the line needs: timeouts and thinking services included.
const PATIENCE: Duration = Duration::from_secs(30);

/// Counts of what happened, so that a world in which nothing happens is seen.
#[derive(Copy, Clone, Default, Debug)]
pub(crate) struct Counts {
    pub(crate) answered: u64,
    pub(crate) excused: u64,
    pub(crate) faults: u64,
    pub(crate) ups: u64,
    pub(crate) asked: u64,
}

/// Everything there is.
pub(crate) struct World {
    // Fields: who there is, the clock with what comes next, and what was promised.
    pub(crate) rng: Rng,
    pub(crate) now: Instant,
    pub(crate) relay: Relay,
    pub(crate) agents: Vec<AgentNode>,
    pub(crate) lines: Vec<LineConfig>,
    pub(crate) links: BTreeMap<SessionKey, LinkWire>,
    visitors: Vec<Visitor>,
    queue: BinaryHeap<Reverse<(Instant, Node)>>,
    due: BTreeMap<Node, Instant>,
    /// Until when each agent is excused.
    pub(crate) trouble: Vec<Instant>,
    checked: Instant,
    /// Turns since the clock moved.
    turns: u32,
    counts: Counts,
}

impl World {
    pub(crate) fn new(seed: u64, config: &WorldConfig) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let mut rng = Rng::new(bytes);
        let now = Instant::ZERO;
        let mut world = Self {
            relay: Relay::new(config.pool, config.limits),
            agents: Vec::new(),
            lines: Vec::new(),
            links: BTreeMap::new(),
            visitors: Vec::new(),
            queue: BinaryHeap::new(),
            due: BTreeMap::new(),
            trouble: vec![now + RECOVERY; config.agents],
            checked: now,
            turns: 0,
            counts: Counts::default(),
            now,
            rng: Rng::new(rng.fork()),
        };
        for number in 0..config.agents {
            let kind = ServiceKind::ALL[if config.is_peaceful { 0 } else { (rng.next_u64() % 5) as usize }];
            world.agents.push(AgentNode::new(number, kind, Rng::new(rng.fork()), now));
            let rate = [32_000, 125_000, 1_250_000, 12_500_000][(rng.next_u64() % 4) as usize];
            let delay = Duration::from_millis(1 + rng.next_u64() % 150);
            let window = (rate as f64 * delay.as_secs_f64() * 4.0) as usize;
            world.lines.push(LineConfig { delay, rate, window: window.max(64 * 1024) });
            world.wake(Node::Agent(number), now);
        }
        for number in 0..config.visitors {
            let kind = if config.is_peaceful { VisitorKind::Honest } else { kind(rng.next_u64()) };
            let line = LineConfig {
                delay: Duration::from_millis(1 + rng.next_u64() % 100),
                rate: 1_250_000,
                window: 128 * 1024,
            };
            let target = (rng.next_u64() % config.agents as u64) as usize;
            world.visitors.push(Visitor::new(kind, number, target, line, Rng::new(rng.fork())));
        }
        world
    }

    pub(crate) fn wake(&mut self, node: Node, at: Instant) {
        let at = at.max(self.now);
        let due = self.due.entry(node).or_insert(at);
        if at <= *due {
            *due = at;
            self.queue.push(Reverse((at, node)));
        }
    }

    pub(crate) fn wake_some(&mut self, node: Node, at: Option<Instant>) {
        if let Some(at) = at {
            self.wake(node, at);
        }
    }

    /// Runs for `time`, from event to event.
    pub(crate) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(Reverse((at, node))) = self.queue.peek().copied()
            && at <= end
        {
            self.queue.pop();
            if self.due.get(&node) != Some(&at) {
                continue;
            }
            self.due.remove(&node);
            self.turns = if at > self.now { 0 } else { self.turns + 1 };
            assert!(self.turns < MAX_TURNS, "{node:?} never comes to rest at {at:?}");
            self.now = at;
            match node {
                Node::Visitor(number) => self.visitor(number),
                Node::Conn(number) => self.conn(number),
                Node::Link(key) => self.link(key),
                Node::Agent(number) => self.agent(number),
            }
            self.dirty();
            if self.now - self.checked >= CHECK {
                self.check();
            }
        }
        self.now = end;
        self.check();
    }

    fn visitor(&mut self, number: usize) {
        let now = self.now;
        let visitor = &mut self.visitors[number];
        // A connection is new when the last one is gone at the relay too.
        if visitor.pipe.is_none() && self.relay.serves(number) {
            visitor.wake_at(now + Duration::from_millis(50));
            return self.wake(Node::Visitor(number), now + Duration::from_millis(50));
        }
        let moves = visitor.pipe.as_ref().map_or(0, |pipe| pipe.moves);
        let opened = visitor.turn(now);
        if opened && !self.relay.visit(number, now) {
            self.visitors[number].rest(now);
        }
        let visitor = &mut self.visitors[number];
        let acts_at = visitor.acts_at;
        let Some(pipe) = &mut visitor.pipe else {
            // What it left behind is at the relay.
            self.wake(Node::Conn(number), now);
            return self.wake_some(Node::Visitor(number), acts_at);
        };
        let (moved, delay) = (pipe.moves != moves, pipe.delay());
        let (here, there) = (pipe.next(PipeEnd::Visitor), pipe.next(PipeEnd::Relay));
        let reads_later = matches!(visitor.kind, VisitorKind::Stalled | VisitorKind::Slow(_));
        self.wake_some(Node::Visitor(number), acts_at);
        self.wake_some(Node::Visitor(number), here.filter(|_| !reads_later));
        self.wake_some(Node::Conn(number), there);
        if moved || opened {
            self.wake(Node::Conn(number), now + delay);
        }
    }

    fn conn(&mut self, number: usize) {
        let now = self.now;
        let visitor = &mut self.visitors[number];
        let mut none = crate::line::Pipe::new(LineConfig { delay: Duration::ZERO, rate: 1, window: 0 });
        let pipe = visitor.pipe.as_mut().unwrap_or_else(|| {
            none.reset(PipeEnd::Visitor, now);
            &mut none
        });
        let moves = pipe.moves;
        let touched = self.relay.pump(number, pipe, now);
        let moved = pipe.moves != moves;
        let (here, there, delay) = (pipe.next(PipeEnd::Visitor), pipe.next(PipeEnd::Relay), pipe.delay());
        let is_patient = matches!(visitor.kind, VisitorKind::Stalled | VisitorKind::Slow(_));
        if visitor.pipe.is_some() {
            self.wake_some(Node::Visitor(number), here.filter(|_| !is_patient));
            if self.relay.serves(number) {
                self.wake_some(Node::Conn(number), there.filter(|at| *at > now));
            }
            if moved && !is_patient {
                self.wake(Node::Visitor(number), now + delay);
            }
        }
        let next = self.relay.next_of(number);
        self.wake_some(Node::Conn(number), next);
        touched.into_iter().for_each(|key| self.wake(Node::Link(key), now));
    }

    /// Looks at the connections for which something has happened.
    fn dirty(&mut self) {
        while let Some(number) = self.relay.next_dirty() {
            self.wake(Node::Conn(number), self.now);
        }
        for number in std::mem::take(&mut self.relay.gone) {
            self.visitors[number].on_gone(self.now);
            self.wake_some(Node::Visitor(number), self.visitors[number].acts_at);
        }
    }

    fn agent(&mut self, number: usize) {
        let now = self.now;
        self.agents[number].turn(now);
        self.dial(number);
        let next = self.agents[number].next(now);
        self.wake_some(Node::Agent(number), next);
        let own: Vec<SessionKey> =
            self.links.iter().filter(|(_, wire)| wire.agent == number).map(|(key, _)| *key).collect();
        own.into_iter().for_each(|key| self.transmit_agent(key));
    }

    /// What was promised holds.
    fn check(&mut self) {
        self.checked = self.now;
        for (number, node) in self.agents.iter_mut().enumerate() {
            for reason in std::mem::take(&mut node.downs) {
                assert!(self.now <= self.trouble[number], "a link ended by itself: {reason}");
            }
        }
        let crowd = self.visitors.len() as u64;
        for visitor in &mut self.visitors {
            let (line, trouble) = (self.lines[visitor.target], self.trouble[visitor.target]);
            for (at, outcome) in visitor.outcomes() {
                match outcome {
                    Outcome::Answered => self.counts.answered += 1,
                    other => {
                        assert!(at <= trouble, "visitor {} without a fault: {other:?}", visitor.number);
                        self.counts.excused += 1;
                    }
                }
            }
            let share = Duration::from_secs(4 * crowd * HONEST_BYTES / line.rate);
            if let Some(since) = visitor.asks_since().filter(|_| visitor.kind == VisitorKind::Honest) {
                let late = since.max(trouble) + PATIENCE + share;
                assert!(self.now <= late, "visitor {} waits since {since:?}", visitor.number);
            }
        }
    }

    /// Something breaks.
    pub(crate) fn fault(&mut self) {
        self.counts.faults += 1;
        let random = self.rng.next_u64();
        let number = (random >> 32) as usize % self.agents.len();
        self.trouble[number] = self.now + RECOVERY;
        let now = self.now;
        let link = self.links.iter().rev().find(|(_, wire)| wire.agent == number).map(|(key, _)| *key);
        match random % 5 {
            0 => self.cut(link),
            1 => {
                if let Some(wire) = link.and_then(|key| self.links.get_mut(&key)) {
                    wire.is_dead = true;
                    wire.to_agent.clear();
                    wire.to_relay.clear();
                }
            }
            2 => {
                self.cut(link);
                self.agents[number].restart(now);
            }
            3 => self.agents[number].agent.network_changed(now),
            _ => {
                if let Some(hosted) = link.and_then(|key| self.relay.sessions.get_mut(&key)) {
                    hosted.session.drain("update", Duration::from_secs(10), now);
                }
            }
        }
        self.wake(Node::Agent(number), now);
        link.into_iter().for_each(|key| self.wake(Node::Link(key), now));
    }

    /// Visitors begin to act.
    pub(crate) fn crowd(&mut self) {
        for number in 0..self.visitors.len() {
            let at = self.now + Duration::from_millis(self.rng.next_u64() % 5000);
            self.visitors[number].wake_at(at);
            self.wake(Node::Visitor(number), at);
        }
    }

    /// All visitors leave.
    pub(crate) fn hush(&mut self) {
        for number in 0..self.visitors.len() {
            self.visitors[number].rest(self.now);
            self.wake(Node::Conn(number), self.now);
        }
    }

    /// After the last fault everybody is served again.
    pub(crate) fn heal(&mut self) {
        self.run(RECOVERY);
        let before: Vec<u64> = self.visitors.iter().map(|visitor| visitor.count).collect();
        self.crowd();
        self.run(PATIENCE * 4);
        for (visitor, before) in self.visitors.iter().zip(before) {
            let is_served = visitor.kind != VisitorKind::Honest || visitor.count > before;
            assert!(is_served, "visitor {} is not served", visitor.number);
        }
        assert!(self.agents.iter().all(|node| node.agent.is_up()), "an agent is not up");
    }

    pub(crate) fn counts(&self) -> Counts {
        let ups = self.agents.iter().map(|node| node.ups).sum();
        let asked = self.visitors.iter().map(|visitor| visitor.count).sum();
        Counts { ups, asked, ..self.counts }
    }

    pub(crate) fn chance(&mut self, one_in: u64) -> bool {
        self.rng.next_u64().is_multiple_of(one_in)
    }
}

/// Half of all visitors are honest.
fn kind(random: u64) -> VisitorKind {
    match random % 14 {
        0 => VisitorKind::Slow(16 * 1024),
        1 => VisitorKind::Slow(1000),
        2 => VisitorKind::Stalled,
        3 | 4 => VisitorKind::Aborting,
        5 => VisitorKind::Hostile,
        6 => VisitorKind::Garbage,
        7 => VisitorKind::Dribbling,
        _ => VisitorKind::Honest,
    }
}
