//! What the routes say and take, as types. Times are seconds since 1970.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Something was not done.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ErrorReport {
    /// Why, for a person.
    pub(super) error: String,
}

/// It was done.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct DoneReport {
    /// What was done, for a person.
    pub(super) done: String,
}

/// Sessions were ended.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct EndedReport {
    /// How many.
    pub(super) ended: usize,
}

// Fields: those of a status that people look at first.
/// The relay.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct StatusReport {
    /// The version of the program.
    pub(super) version: &'static str,
    /// Its address, which agents can pin.
    pub(super) address: String,
    /// The domain below which agents have their names.
    pub(super) domain: String,
    /// Its own public URL.
    pub(super) url: String,
    /// When it began.
    pub(super) started: u64,
    /// Whether it takes nothing new and will end.
    pub(super) draining: bool,
    /// Agents that are logged in: identities and names.
    pub(super) agents: usize,
    /// Their sessions.
    pub(super) sessions: usize,
    /// Open connections, of visitors and agents.
    pub(super) connections: usize,
    /// Requests for agents since the start.
    pub(super) requests: u64,
    /// Those that wait for the head of their response.
    pub(super) pending_requests: u64,
    /// Those that got no response of their service.
    pub(super) failed_requests: u64,
}

/// What the relay did in the last hour.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct HistoryReport {
    /// Length of an interval.
    pub(super) interval_seconds: u64,
    /// The oldest first.
    pub(super) points: Vec<HistoryPoint>,
}

/// One interval.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct HistoryPoint {
    /// When it ended.
    pub(super) at: u64,
    /// Agents that were logged in at its end.
    pub(super) agents: usize,
    /// Open connections at its end, of visitors and agents.
    pub(super) connections: usize,
    /// Requests for agents in it.
    pub(super) requests: u64,
    /// Those that got no response of their service.
    pub(super) failed_requests: u64,
    /// Agents that were not let in.
    pub(super) refused_logins: u64,
    /// Bytes to agents.
    pub(super) bytes_in: u64,
    /// Bytes from agents.
    pub(super) bytes_out: u64,
}

/// Who is logged in.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct AgentsReport {
    /// Each once, however many sessions it has.
    pub(super) agents: Vec<AgentReport>,
}

/// One agent.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct AgentReport {
    /// Its address, or the name of an agent that has a token.
    pub(super) agent: String,
    /// The system that its program is of.
    pub(super) system: &'static str,
    /// When its first session logged in.
    pub(super) since: u64,
    /// How many sessions it has.
    pub(super) sessions: usize,
    /// Its services.
    pub(super) services: Vec<String>,
    /// Where its first service is reached.
    pub(super) url: String,
}

/// The sessions that are logged in.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct SessionsReport {
    /// In the order in which they connected.
    pub(super) sessions: Vec<SessionReport>,
}

// Fields: those by which an operator finds out what one agent does.
/// One session.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct SessionReport {
    /// Its number, as long as the relay runs.
    pub(super) id: u64,
    /// Whose.
    pub(super) agent: String,
    /// The key that acts for the owner by a delegation.
    pub(super) key: Option<String>,
    /// The system that its program is of.
    pub(super) system: &'static str,
    /// The version that the program sent.
    pub(super) version: Option<String>,
    /// The IP address that it comes from, as a trusted proxy says it.
    pub(super) from: String,
    /// When it logged in.
    pub(super) since: u64,
    /// For how many seconds nothing has come from it.
    pub(super) silent_seconds: f64,
    /// Its services.
    pub(super) services: Vec<String>,
    /// Its links.
    pub(super) links: usize,
    /// The streams on them.
    pub(super) streams: usize,
    /// The least round trip of late, milliseconds.
    pub(super) round_trip_ms: Option<f64>,
    /// Requests for its services.
    pub(super) requests: u64,
    /// Those that got no response.
    pub(super) failed_requests: u64,
    /// The mean time until the head of a response, milliseconds.
    pub(super) average_ms: f64,
    /// Bytes to it.
    pub(super) bytes_in: u64,
    /// Bytes from it.
    pub(super) bytes_out: u64,
}

/// The services.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ServicesReport {
    /// Ordered by agent and name.
    pub(super) services: Vec<ServiceReport>,
}

/// One service of one agent.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ServiceReport {
    /// Whose.
    pub(super) agent: String,
    /// Its name.
    pub(super) service: String,
    /// What it carries: `http`, `h2` or `tcp`.
    pub(super) protocol: &'static str,
    /// Whether visitors reach it, and not identities alone.
    pub(super) public: bool,
    /// Where visitors reach it.
    pub(super) url: Option<String>,
    /// The sessions that serve it.
    pub(super) sessions: usize,
}

/// Names beside those made of addresses.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct NamesReport {
    /// Ordered.
    pub(super) names: Vec<NameReport>,
}

/// How somebody came to a name.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum NameOrigin {
    /// An identity claimed it.
    Claimed,
    /// The operator gave it.
    Configured,
}

/// One name.
#[derive(PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, JsonSchema)]
pub(super) struct NameReport {
    /// A label below the domain, or a whole host name.
    pub(super) name: String,
    /// How its owner came to it.
    pub(super) origin: NameOrigin,
    /// The identity that claimed it.
    pub(super) agent: Option<String>,
    /// Whether its owner is logged in.
    pub(super) connected: bool,
}

/// Who is banned.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct BansReport {
    /// Identities, then networks.
    pub(super) bans: Vec<BanReport>,
}

/// One ban.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct BanReport {
    /// An address G..., or a network.
    pub(super) subject: String,
    /// When it ends; absent if it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) until: Option<u64>,
    /// For the banned, and for the operator.
    pub(super) reason: String,
}

/// A ban that is wanted.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewBan {
    /// An address G..., an IP address, or a network as 192.0.2.0/24.
    pub(super) subject: String,
    /// For how long; for ever if it is not said.
    pub(super) seconds: Option<u64>,
    /// For the banned, 100 characters at most.
    #[serde(default)]
    pub(super) reason: String,
}

/// Sessions that are to end.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewKick {
    /// All of this agent: an address, or the name of an agent that has a token.
    pub(super) agent: Option<String>,
    /// The one of this number.
    pub(super) session: Option<u64>,
    /// For its owner, 100 characters at most.
    #[serde(default)]
    pub(super) reason: String,
}

/// An end that is wanted.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewDrain {
    /// How long what is under way may take; the relay's own `drain_timeout` if it is not said.
    pub(super) seconds: Option<u64>,
}

/// The limits, by name.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct LimitsReport {
    /// Each under the name of its option.
    pub(super) limits: BTreeMap<&'static str, LimitReport>,
}

/// One limit.
#[derive(Copy, Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub(super) struct LimitReport {
    /// How much there may be; absent where nothing is limited.
    pub(super) max: Option<f64>,
    /// How much there is, where that is one number for the whole relay.
    pub(super) used: Option<f64>,
}

/// The options.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ConfigReport {
    /// By group, as their options are called. Files with secrets are named, not shown.
    pub(super) options: BTreeMap<&'static str, Value>,
}

/// The latest records of the audit log.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct AuditReport {
    /// The newest first.
    pub(super) records: Vec<AuditEntry>,
}

/// One record.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct AuditEntry {
    /// When.
    pub(super) at: u64,
    /// What it is about.
    pub(super) action: &'static str,
    /// The agent, as far as it is known.
    pub(super) agent: Option<String>,
    /// Where the other side connected from.
    pub(super) peer: Option<String>,
    /// Why, or what, for a person. It may contain what a stranger sent.
    pub(super) detail: String,
    /// Records of this kind that were left out before it, because they came too fast.
    pub(super) suppressed: u64,
}
