//! What a world consists of and what happens in it, made from a seed, as data of which parts can be left out.

use std::sync::Arc;
use std::time::Duration;

use hvym_tunnel_core::rng::Rng;

use crate::line::LineConfig;
use crate::service::ServiceKind;
use crate::visitor_kind::VisitorKind;

/// Busy times in the life of a world; between them nobody visits.
const BUSY: u32 = 2;
/// Stretches of a busy time, of which each may end with a fault.
const STRETCHES: u32 = 6;
const STRETCH: Duration = Duration::from_secs(10);
/// Rates of the lines of agents, bytes a second: from 256 kbit/s to 100 Mbit/s.
const RATES: [u64; 4] = [32_000, 125_000, 1_250_000, 12_500_000];
/// The usual interval of pings.
pub(crate) const PING_INTERVAL: Duration = Duration::from_secs(10);
/// What the socket and the path of a slow line may hold, seconds.
const DEEP_QUEUE: u64 = 9;

/// An agent and its service.
#[derive(Copy, Clone, Debug)]
pub(crate) struct AgentPlan {
    pub(crate) service: ServiceKind,
    pub(crate) line: LineConfig,
    pub(crate) max_links: u32,
    /// After how long without input it asks for a sign of life.
    pub(crate) ping_interval: Duration,
}

/// A visitor.
#[derive(Clone, Debug)]
pub(crate) struct VisitorPlan {
    pub(crate) number: usize,
    pub(crate) kind: VisitorKind,
    /// By which the relay tells visitors apart; several connections may come from one.
    pub(crate) address: u32,
    /// The agent that it visits.
    pub(crate) target: usize,
    pub(crate) line: LineConfig,
    /// How long after the beginning of a busy time it comes.
    pub(crate) starts: Duration,
    /// What its agent's line carries, bytes a second.
    pub(crate) target_rate: u64,
    pub(crate) seed: [u8; 32],
    /// What it asks for, if that was recorded, and how long after it came it leaves.
    pub(crate) exchanges: Arc<[TracedExchange]>,
    pub(crate) leaves: Duration,
}

/// A request and its response, as they were recorded.
#[derive(Copy, Clone, Debug)]
pub(crate) struct TracedExchange {
    /// Since the visitor came.
    pub(crate) at: Duration,
    /// Bytes with the head.
    pub(crate) request: u64,
    /// Bytes with the head; 0 for a request that was broken off.
    pub(crate) response: u64,
}

/// Something breaks, or is replaced.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    /// One link breaks, and both ends learn of it.
    CutLink,
    /// Nothing arrives over one link any more, and nobody is told.
    DeadLink,
    /// All links of the agent break.
    CutAgent,
    /// The process of the agent dies, and another one is started.
    KillAgent,
    /// The agent is replaced by another process, and drains.
    RestartAgent,
    /// The agent learns that its network changed.
    ChangeNetwork,
    /// The relay asks the agent for another session.
    DrainSession,
    /// The relay dies, and is back after so many seconds.
    KillRelay(u64),
}

/// What happens next.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    /// Visitors begin to act.
    Crowd,
    /// Time passes.
    Run(Duration),
    /// Something happens to the agent of this number.
    Fault(Fault, usize),
    /// All visitors leave.
    Hush,
}

/// A whole world.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) agents: Vec<AgentPlan>,
    pub(crate) visitors: Vec<VisitorPlan>,
    pub(crate) steps: Vec<Step>,
}

impl Plan {
    /// The world of a seed, which lives for `hours`.
    pub(crate) fn of_seed(seed: u64, is_peaceful: bool, hours: u64) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let mut rng = Rng::new(bytes);
        let count = if is_peaceful { 2 } else { 1 + below(&mut rng, 3) };
        let agents: Vec<_> = (0..count).map(|_| agent(&mut rng, is_peaceful)).collect();
        let mut plan = Self { seed, agents, visitors: Vec::new(), steps: Vec::new() };
        for _ in 0..6 + below(&mut rng, 18) {
            let kind = if is_peaceful { VisitorKind::Honest } else { kind(&mut rng) };
            let target = below(&mut rng, count) as usize;
            plan.visit(kind, target, None, &mut rng);
        }
        if !is_peaceful && below(&mut rng, 2) == 0 {
            plan.mob(&mut rng);
        }
        plan.steps = steps(&mut rng, plan.agents.len() as u64, hours);
        plan
    }

    /// One visitor more, of an address of its own unless one is given.
    fn visit(&mut self, kind: VisitorKind, target: usize, address: Option<u32>, rng: &mut Rng) {
        let number = self.visitors.len();
        let line = LineConfig {
            delay: Duration::from_millis(1 + below(rng, 100)),
            rate: 1_250_000,
            window: 128 * 1024,
        };
        self.visitors.push(VisitorPlan {
            number,
            kind,
            address: address.unwrap_or(0x0a00_0000 + number as u32),
            target,
            line,
            starts: Duration::from_millis(below(rng, 5000)),
            target_rate: self.agents[target].line.rate,
            seed: rng.fork(),
            exchanges: Arc::default(),
            leaves: Duration::MAX,
        });
    }

    /// Many visitors of one kind at one agent.
    fn mob(&mut self, rng: &mut Rng) {
        let (kind, size, is_one) = match below(rng, 6) {
            0 => (VisitorKind::Stalled, 24 + below(rng, 33), true),
            // As many as the limit of unsent data of an agent is for.
            1 => (VisitorKind::Stalled, 24 + below(rng, 4), false),
            2 => (VisitorKind::Dribbling, 24 + below(rng, 33), true),
            3 => (VisitorKind::Silent, 24 + below(rng, 33), true),
            4 => (VisitorKind::Flooding, 24 + below(rng, 33), false),
            _ => (VisitorKind::Bulk, 8 + below(rng, 9), false),
        };
        if kind == VisitorKind::Bulk {
            return self.downloads(size, rng);
        }
        let target = below(rng, self.agents.len() as u64) as usize;
        for _ in 0..size {
            self.visit(kind, target, is_one.then_some(0x0b00_0000), rng);
        }
    }

    /// Downloads that begin at once at an agent of their own behind a slow line, so that their windows are used up at once:
    /// nothing but answers to pings comes to the agent for long.
    fn downloads(&mut self, count: u64, rng: &mut Rng) {
        let line = LineConfig {
            delay: Duration::from_millis(1 + below(rng, 150)),
            rate: RATES[0],
            window: (RATES[0] * DEEP_QUEUE) as usize,
        };
        // Shorter than the interval in which the other end measures the round trip.
        let ping_interval = Duration::from_secs(4);
        self.agents.push(AgentPlan { service: ServiceKind::Honest, line, max_links: 1, ping_interval });
        for _ in 0..count {
            self.visit(VisitorKind::Bulk, self.agents.len() - 1, None, rng);
            self.visitors.iter_mut().last().into_iter().for_each(|last| last.starts = Duration::from_secs(6));
        }
    }
}

fn below(rng: &mut Rng, bound: u64) -> u64 {
    rng.next_u64() % bound
}

fn agent(rng: &mut Rng, is_peaceful: bool) -> AgentPlan {
    let service = ServiceKind::ALL[if is_peaceful { 0 } else { below(rng, 5) as usize }];
    let rate = RATES[below(rng, 4) as usize];
    let delay = Duration::from_millis(1 + below(rng, 150));
    let path = (rate as f64 * delay.as_secs_f64() * 4.0) as usize;
    let is_deep = rate == RATES[0] && below(rng, 2) == 0;
    let window = if is_deep { (rate * DEEP_QUEUE) as usize } else { path.max(64 * 1024) };
    let line = LineConfig { delay, rate, window };
    AgentPlan { service, line, max_links: 1 + below(rng, 4) as u32, ping_interval: PING_INTERVAL }
}

/// More than half of all visitors are honest.
fn kind(rng: &mut Rng) -> VisitorKind {
    match below(rng, 24) {
        0..=8 => VisitorKind::Honest,
        9 | 10 => VisitorKind::Reader(16 * 1024),
        11 | 12 => VisitorKind::Chatting,
        13 => VisitorKind::Tcp,
        14 => VisitorKind::Bulk,
        15 => VisitorKind::Crawling(1000),
        16 => VisitorKind::Stalled,
        17 => VisitorKind::Silent,
        18 | 19 => VisitorKind::Aborting,
        20 => VisitorKind::Flooding,
        21 => VisitorKind::Hostile,
        22 => VisitorKind::Garbage,
        _ => VisitorKind::Dribbling,
    }
}

fn steps(rng: &mut Rng, agents: u64, hours: u64) -> Vec<Step> {
    let mut steps = vec![Step::Run(Duration::from_secs(5))];
    for _ in 0..BUSY {
        steps.push(Step::Crowd);
        for _ in 0..STRETCHES {
            steps.push(Step::Run(STRETCH));
            if below(rng, 3) == 0 {
                steps.push(Step::Fault(fault(rng), below(rng, agents) as usize));
            }
        }
        steps.push(Step::Hush);
        steps.push(Step::Run(Duration::from_secs(hours * 3600) / BUSY));
    }
    steps
}

fn fault(rng: &mut Rng) -> Fault {
    match below(rng, 8) {
        0 => Fault::CutLink,
        1 => Fault::DeadLink,
        2 => Fault::CutAgent,
        3 => Fault::KillAgent,
        4 => Fault::RestartAgent,
        5 => Fault::ChangeNetwork,
        6 => Fault::DrainSession,
        _ => Fault::KillRelay(below(rng, 40)),
    }
}
