//! The whole world: who there is, and what happens when.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

use hvym_tunnel_core::rng::Rng;
use hvym_tunnel_core::time::Instant;

use crate::agent::AgentNode;
use crate::hosted::SessionKey;
use crate::line::{LineConfig, Pipe, PipeEnd};
use crate::links::{LinkWire, WireKey};
use crate::plan::Plan;
use crate::relay::Relay;
use crate::visitor::Visitor;
use crate::visitor_kind::VisitorKind;

/// A process of an agent, in the order in which they were started.
pub(crate) type ProcessKey = usize;

/// Who acts at a moment.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Node {
    Visitor(usize),
    Conn(usize),
    Wire(WireKey),
    Session(SessionKey),
    Process(ProcessKey),
}

/// More turns than this without the clock moving is a machine that never comes to rest.
const MAX_TURNS: u32 = 100_000;
/// How often what was promised is compared with what is.
const CHECK: Duration = Duration::from_secs(1);
/// How long after a fault an agent may be away, and requests may fail.
pub(crate) const RECOVERY: Duration = Duration::from_secs(90);

/// Counts of what happened, so that a world in which nothing happens is seen.
#[derive(Copy, Clone, Default, Debug)]
pub(crate) struct Counts {
    pub(crate) answered: u64,
    pub(crate) excused: u64,
    pub(crate) faults: u64,
    pub(crate) ups: u64,
    pub(crate) asked: u64,
    /// The most links that one agent had at once.
    pub(crate) most_links: usize,
}

/// Until when an agent is excused.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Trouble {
    /// Its requests may fail.
    pub(crate) requests: Instant,
    /// What lasts may be cut.
    pub(crate) tunnels: Instant,
    /// Its session may end.
    pub(crate) session: Instant,
}

/// Everything there is.
pub(crate) struct World {
    // Fields: who there is, the clock with what comes next, and what was promised.
    pub(crate) plan: Plan,
    pub(crate) rng: Rng,
    pub(crate) now: Instant,
    pub(crate) relay: Relay,
    /// The relay cannot be reached before.
    pub(crate) relay_returns: Instant,
    pub(crate) processes: BTreeMap<ProcessKey, AgentNode>,
    pub(crate) next_process: ProcessKey,
    pub(crate) wires: BTreeMap<WireKey, LinkWire>,
    pub(crate) next_wire: WireKey,
    pub(crate) visitors: Vec<Visitor>,
    pub(crate) trouble: Vec<Trouble>,
    pub(crate) counts: Counts,
    agenda: Agenda,
}

/// What comes next.
struct Agenda {
    queue: BinaryHeap<Reverse<(Instant, Node)>>,
    due: BTreeMap<Node, Instant>,
    checked: Instant,
    /// Turns since the clock moved.
    turns: u32,
}

impl World {
    pub(crate) fn new(plan: &Plan) -> Self {
        let mut bytes = [1; 32];
        bytes[..8].copy_from_slice(&plan.seed.to_le_bytes());
        let now = Instant::ZERO;
        let until = now + RECOVERY;
        let trouble = Trouble { requests: until, tunnels: until, session: now };
        let agenda = Agenda { queue: BinaryHeap::new(), due: BTreeMap::new(), checked: now, turns: 0 };
        let mut world = Self {
            rng: Rng::new(bytes),
            now,
            relay: Relay::new(),
            relay_returns: now,
            processes: BTreeMap::new(),
            next_process: 0,
            wires: BTreeMap::new(),
            next_wire: 0,
            visitors: plan.visitors.iter().map(|plan| Visitor::new(plan.clone())).collect(),
            trouble: vec![trouble; plan.agents.len()],
            counts: Counts::default(),
            agenda,
            plan: plan.clone(),
        };
        for name in 0..plan.agents.len() {
            world.start_process(name);
        }
        world
    }

    /// Another process of an agent.
    pub(crate) fn start_process(&mut self, name: usize) -> ProcessKey {
        self.next_process += 1;
        let node = AgentNode::new(name, self.plan.agents[name], Rng::new(self.rng.fork()), self.now);
        self.processes.insert(self.next_process, node);
        self.wake(Node::Process(self.next_process), self.now);
        self.next_process
    }

    /// A process is over: its services are gone.
    pub(crate) fn end_process(&mut self, number: ProcessKey) {
        if let Some(mut process) = self.processes.remove(&number) {
            self.count_process(&mut process);
        }
    }

    fn count_process(&mut self, process: &mut AgentNode) {
        self.counts.ups += std::mem::take(&mut process.ups);
        self.counts.most_links = self.counts.most_links.max(process.most_links);
    }

    pub(crate) fn wake(&mut self, node: Node, at: Instant) {
        let at = at.max(self.now);
        let due = self.agenda.due.entry(node).or_insert(Instant::from_micros(u64::MAX));
        if at < *due {
            *due = at;
            self.agenda.queue.push(Reverse((at, node)));
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
        while let Some(Reverse((at, node))) = self.agenda.queue.peek().copied()
            && at <= end
        {
            self.agenda.queue.pop();
            if self.agenda.due.get(&node) != Some(&at) {
                continue;
            }
            self.agenda.due.remove(&node);
            self.agenda.turns = if at > self.now { 0 } else { self.agenda.turns + 1 };
            assert!(self.agenda.turns < MAX_TURNS, "{node:?} never comes to rest at {at:?}");
            self.now = at;
            match node {
                Node::Visitor(index) => self.visitor(index),
                Node::Conn(index) => self.conn(index),
                Node::Wire(key) => self.wire(key),
                Node::Session(key) => self.session(key),
                Node::Process(number) => self.process(number),
            }
            self.settle();
            if self.now - self.agenda.checked >= CHECK {
                self.agenda.checked = self.now;
                self.check();
            }
        }
        self.now = end;
        self.check();
    }

    fn visitor(&mut self, index: usize) {
        let now = self.now;
        let visitor = &mut self.visitors[index];
        // A connection is new when the last one is gone at the relay too.
        if visitor.pipe.is_none() && self.relay.serves(index) {
            let later = now + Duration::from_millis(50);
            if visitor.acts_at.is_some() {
                visitor.wake_at(later);
                self.wake(Node::Visitor(index), later);
            }
            return self.wake(Node::Conn(index), now);
        }
        if visitor.pipe.is_none() && now < self.relay_returns && visitor.acts_at.is_some() {
            visitor.wake_at(self.relay_returns);
            return self.wake(Node::Visitor(index), self.relay_returns);
        }
        let moves = visitor.pipe.as_ref().map_or(0, |pipe| pipe.moves);
        let opened = visitor.turn(now);
        let tcp = (visitor.plan.kind == VisitorKind::Tcp).then_some(visitor.plan.target);
        if opened && !self.relay.visit(index, visitor.plan.address, tcp, now) {
            visitor.refused(now);
        }
        let visitor = &mut self.visitors[index];
        let acts_at = visitor.acts_at;
        let Some(pipe) = &mut visitor.pipe else {
            // What it left behind is at the relay.
            self.wake(Node::Conn(index), now);
            return self.wake_some(Node::Visitor(index), acts_at);
        };
        let (moved, delay) = (pipe.moves != moves, pipe.delay());
        let (here, there) = (pipe.next(PipeEnd::Visitor), pipe.next(PipeEnd::Relay));
        let reads_later = visitor.plan.kind.reads_later();
        self.wake_some(Node::Visitor(index), acts_at);
        self.wake_some(Node::Visitor(index), here.filter(|_| !reads_later));
        self.wake_some(Node::Conn(index), there);
        if moved || opened {
            self.wake(Node::Conn(index), now + delay);
        }
    }

    fn conn(&mut self, index: usize) {
        let now = self.now;
        let visitor = &mut self.visitors[index];
        let mut none = Pipe::new(LineConfig { delay: Duration::ZERO, rate: 1, window: 0 });
        let pipe = visitor.pipe.as_mut().unwrap_or_else(|| {
            none.reset(PipeEnd::Visitor, now);
            &mut none
        });
        let moves = pipe.moves;
        self.relay.pump(index, pipe, now);
        let moved = pipe.moves != moves;
        let (here, there, delay) = (pipe.next(PipeEnd::Visitor), pipe.next(PipeEnd::Relay), pipe.delay());
        let reads_later = visitor.plan.kind.reads_later();
        if visitor.pipe.is_some() {
            self.wake_some(Node::Visitor(index), here.filter(|_| !reads_later));
            if self.relay.serves(index) {
                self.wake_some(Node::Conn(index), there.filter(|at| *at > now));
            }
            if moved && !reads_later {
                self.wake(Node::Visitor(index), now + delay);
            }
        }
        let next = self.relay.next_of(index);
        self.wake_some(Node::Conn(index), next);
    }

    /// Looks at whatever something has happened for.
    pub(crate) fn settle(&mut self) {
        for index in std::mem::take(&mut self.relay.dirty) {
            self.wake(Node::Conn(index), self.now);
        }
        for key in std::mem::take(&mut self.relay.touched) {
            self.wake(Node::Session(key), self.now);
        }
        for index in std::mem::take(&mut self.relay.gone) {
            self.visitors[index].on_gone(self.now);
            self.wake_some(Node::Visitor(index), self.visitors[index].acts_at);
        }
    }

    /// Visitors begin to act.
    pub(crate) fn crowd(&mut self) {
        for index in 0..self.visitors.len() {
            let at = self.now + self.visitors[index].plan.starts;
            self.visitors[index].come_at(at);
            self.wake(Node::Visitor(index), at);
        }
    }

    /// All visitors leave.
    pub(crate) fn hush(&mut self) {
        for index in 0..self.visitors.len() {
            self.visitors[index].rest(self.now);
            self.wake(Node::Conn(index), self.now);
        }
    }

    pub(crate) fn counts(mut self) -> Counts {
        for (_, mut process) in std::mem::take(&mut self.processes) {
            self.count_process(&mut process);
        }
        let asked = self.visitors.iter().map(|visitor| visitor.count).sum();
        Counts { asked, ..self.counts }
    }
}
