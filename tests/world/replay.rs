//! A trace of the real relay (`--trace`) as a plan: its visitors come, ask for as much and leave when they did, and its links
//! break when they did.
//!
//! What a trace says of visitors is what their HTTP/1.1 connections carried; what passed over upgraded connections is not in it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

use crate::line::LineConfig;
use crate::plan::{AgentPlan, Fault, PING_INTERVAL, Plan, Step, TracedExchange, VisitorPlan};
use crate::service::ServiceKind;
use crate::visitor_kind::VisitorKind;

/// When the trace begins: the agent is there by then.
const BEGINNING: Duration = Duration::from_secs(5);
/// What the links of a trace were like, as far as it does not say.
const LINE: LineConfig =
    LineConfig { delay: Duration::from_millis(1), rate: 12_500_000, window: 1024 * 1024 };

/// A line of a trace.
#[derive(Deserialize)]
struct Line {
    #[serde(default)]
    at: u64,
    event: String,
    visitor: Option<u64>,
    #[serde(default)]
    bytes: u64,
}

/// What the trace says of a visitor.
struct Traced {
    arrived: u64,
    exchanges: Vec<TracedExchange>,
    left: u64,
}

/// The plan of a trace.
///
/// # Panics
/// A line is none of a trace.
pub(crate) fn plan(trace: &str) -> Plan {
    let mut visitors: BTreeMap<u64, Traced> = BTreeMap::new();
    let mut lost = Vec::new();
    let mut end = 0;
    for text in trace.lines() {
        let line: Line = serde_json::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        end = line.at.max(end);
        match line.visitor {
            Some(number) => {
                let first = Traced { arrived: line.at, exchanges: Vec::new(), left: u64::MAX };
                visitors.entry(number).or_insert(first).add(&line);
            }
            None if line.event == "lost" => lost.push(line.at),
            None => {}
        }
    }
    let visitors = visitors.into_values().filter(|traced| !traced.exchanges.is_empty());
    Plan {
        seed: 0,
        agents: vec![AgentPlan {
            service: ServiceKind::Honest,
            line: LINE,
            max_links: 8,
            ping_interval: PING_INTERVAL,
        }],
        visitors: visitors.enumerate().map(|(number, traced)| traced.plan(number)).collect(),
        steps: steps(&lost, end),
    }
}

impl Traced {
    fn add(&mut self, line: &Line) {
        let since = Duration::from_micros(line.at - self.arrived);
        match (&*line.event, self.exchanges.last_mut()) {
            ("received", Some(last)) if last.response == 0 => last.request += line.bytes,
            ("received", _) => {
                self.exchanges.push(TracedExchange { at: since, request: line.bytes, response: 0 });
            }
            ("sent", Some(last)) => last.response += line.bytes,
            ("left", _) => self.left = line.at,
            _ => {}
        }
    }

    fn plan(self, number: usize) -> VisitorPlan {
        VisitorPlan {
            number,
            kind: VisitorKind::Traced,
            address: 0x0a00_0000 + number as u32,
            target: 0,
            line: LINE,
            starts: Duration::from_micros(self.arrived),
            target_rate: LINE.rate,
            seed: [number as u8; 32],
            exchanges: self.exchanges.into(),
            leaves: Duration::from_micros(self.left.saturating_sub(self.arrived)),
        }
    }
}

fn steps(lost: &[u64], end: u64) -> Vec<Step> {
    let mut steps = vec![Step::Run(BEGINNING), Step::Crowd];
    let mut now = 0;
    for at in lost {
        steps.extend([Step::Run(Duration::from_micros(at - now)), Step::Fault(Fault::CutLink, 0)]);
        now = *at;
    }
    steps.extend([Step::Run(Duration::from_micros(end - now) + Duration::from_secs(30)), Step::Hush]);
    steps
}

/// What honest visitors of a plan have to be answered.
pub(crate) fn answers(plan: &Plan) -> usize {
    plan.visitors.iter().flat_map(|visitor| &*visitor.exchanges).filter(|one| one.response > 0).count()
}
