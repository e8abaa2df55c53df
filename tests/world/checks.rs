//! What must hold in a world, whatever happens in it.

use std::time::Duration;

use hvym_tunnel_core::mux::MuxConfig;
use hvym_tunnel_core::plane::StreamCounts;
use hvym_tunnel_core::time::Instant;

use crate::agent;
use crate::copy::MAX_QUEUED;
use crate::faults::DRAIN;
use crate::links;
use crate::visitor::{HONEST_BYTES, Outcome};
use crate::visitor_kind::VisitorKind;
use crate::world::{RECOVERY, World};

/// How long an honest request may take beside what the line needs: timeouts and thinking services included.
const PATIENCE: Duration = Duration::from_secs(30);
/// What one read, one chunk's framing and one head add to what may be queued for a visitor.
const QUEUE_SLACK: usize = 64 * 1024;

impl World {
    /// What was promised holds.
    pub(crate) fn check(&mut self) {
        self.check_agents();
        self.check_visitors();
        self.check_memory();
    }

    /// No session ends but by its wire, or when it was asked to.
    fn check_agents(&mut self) {
        for node in self.processes.values_mut() {
            let until = self.trouble[node.name].session;
            for reason in std::mem::take(&mut node.downs) {
                assert!(self.now <= until, "an agent lost its session by itself: {reason}");
            }
        }
    }

    /// Every honest request is answered in time, and by its own answer, whose bytes the visitor has compared.
    fn check_visitors(&mut self) {
        let crowd = self.visitors.len() as u64;
        for visitor in &mut self.visitors {
            let trouble = self.trouble[visitor.plan.target];
            let until = if visitor.plan.kind.is_long() { trouble.tunnels } else { trouble.requests };
            let number = visitor.plan.number;
            for (at, outcome) in visitor.outcomes() {
                match outcome {
                    Outcome::Answered => self.counts.answered += 1,
                    other => {
                        let kind = visitor.plan.kind;
                        // On a slow line a request may last longer than the process that is replaced.
                        let outlasts = |since| at <= trouble.tunnels && at - since >= DRAIN;
                        let is_slow = matches!(other, Outcome::Cut { since: Some(since) } if outlasts(since));
                        assert!(
                            at <= until || is_slow,
                            "visitor {number} ({kind:?}) without a fault: {other:?} at {at:?}"
                        );
                        self.counts.excused += 1;
                    }
                }
            }
            let share = Duration::from_secs(4 * crowd * HONEST_BYTES / visitor.plan.target_rate);
            if let Some(since) = visitor.waits_since() {
                let late = since.max(until) + PATIENCE + share;
                let kind = visitor.plan.kind;
                assert!(self.now <= late, "visitor {number} ({kind:?}) waits since {since:?}");
            }
        }
    }

    /// Nobody holds more than was configured.
    fn check_memory(&self) {
        let within = |counts: StreamCounts, mux: &MuxConfig, whose: &str| {
            let unsent = mux.max_unsent + mux.ack_backlog * mux.opening_reserve.max(16 * 1024);
            assert!(counts.unread <= mux.max_unread, "{whose} holds unread {}", counts.unread);
            assert!(counts.unsent <= unsent, "{whose} holds unsent {}", counts.unsent);
        };
        let (of_agents, of_relay) = (agent::mux(), links::mux());
        for process in self.processes.values() {
            process.agent.stream_counts().for_each(|counts| within(counts, &of_agents, "an agent"));
        }
        for hosted in self.relay.sessions.values() {
            hosted.session.stream_counts().for_each(|counts| within(counts, &of_relay, "the relay"));
        }
        for served in self.relay.served.values() {
            let queued = served.queued();
            assert!(queued <= MAX_QUEUED + QUEUE_SLACK, "{queued} bytes wait for one visitor");
        }
    }

    /// After the last fault everybody is served again.
    pub(crate) fn heal(&mut self) {
        self.run(RECOVERY);
        let before: Vec<u64> = self.visitors.iter().map(|visitor| visitor.count).collect();
        self.crowd();
        self.run(PATIENCE * 4);
        for (visitor, before) in self.visitors.iter().zip(before) {
            let is_served = visitor.plan.kind != VisitorKind::Honest || visitor.count > before;
            assert!(is_served, "visitor {} is not served", visitor.plan.number);
        }
        for (number, process) in &self.processes {
            assert!(process.agent.is_up(), "the process {number} of an agent is not up");
        }
        let is_newest = |name: usize| self.relay.current.contains_key(&name);
        assert!((0..self.plan.agents.len()).all(is_newest), "an agent has no session at the relay");
    }

    /// For so long requests of an agent may fail, what lasts may be cut, and its session may end.
    pub(crate) fn excuse(&mut self, name: usize, from: Instant) {
        let until = from + RECOVERY;
        let trouble = &mut self.trouble[name];
        (trouble.requests, trouble.tunnels, trouble.session) = (until, until, until);
    }
}
