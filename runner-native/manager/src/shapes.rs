//! What the API says, as types: the shapes of the Tunnel Manager, and what this program adds to them.

mod history;
mod join;
mod service;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::alerts::AlertKind;
use crate::health::CheckState;
use crate::quality::Quality;

pub use self::history::{HistoryPoint, HistoryRange, HistoryReport};
pub use self::join::{JoinForward, JoinRequest};
pub use self::service::NewService;

/// How well everything is.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum HealthState {
    /// Every connection is there, and none is poor.
    Healthy,
    /// Some are not, or are poor.
    Degraded,
    /// None is there.
    Unhealthy,
}

/// `GET /api/health`
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub struct HealthReport {
    /// How well everything is.
    pub status: HealthState,
    /// Now.
    pub timestamp: String,
    /// Seconds since the start.
    pub uptime: u64,
    /// The version of this program.
    pub version: String,
    /// 0 to 100: the share of connections that are there, less their errors and slowness.
    pub score: f64,
}

/// `GET /api/status`
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub struct StatusReport {
    /// All links together.
    pub tunnel_manager: TunnelManagerReport,
    /// Relays and services, by name.
    pub connections: BTreeMap<String, ConnectionReport>,
    /// The fastest of those that are there.
    pub best_connection: Option<String>,
    /// Now.
    pub timestamp: String,
    /// The links to relays.
    pub links: Vec<LinkReport>,
    /// The services.
    pub services: Vec<ServiceReport>,
}

/// All links together.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub struct TunnelManagerReport {
    /// Whether a link is wanted, and started.
    pub running: bool,
    /// Whether one of those is not connected.
    pub connecting: bool,
    /// Why one of them is not.
    pub error: Option<String>,
}

/// What a connection leads to.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ConnectionKind {
    /// Ollama on this machine.
    Ollama,
    /// A server of CloudToLocalLLM.
    Cloud,
    /// An HTTP service.
    Http,
    /// Any other service.
    Tcp,
    /// A relay.
    Relay,
}

/// One connection that is checked.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub struct ConnectionReport {
    /// What it leads to.
    #[serde(rename = "type")]
    pub kind: ConnectionKind,
    /// Whether the last check succeeded.
    pub connected: bool,
    /// What the checks say.
    pub state: CheckState,
    /// Where it leads.
    pub endpoint: String,
    /// What a service says of its version.
    pub version: Option<String>,
    /// The models that it serves.
    pub models: Vec<String>,
    /// Milliseconds that the last check took.
    pub latency: f64,
    /// When it ended.
    pub last_check: Option<String>,
    /// How good the connection is.
    pub quality: Quality,
    /// Why the last check failed.
    pub error: Option<String>,
}

/// `GET /api/connections`
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub struct ConnectionsReport {
    /// All of them, by name.
    pub connections: Vec<NamedConnectionReport>,
    /// How many.
    pub total_connections: usize,
    /// How many of them are there.
    pub active_connections: usize,
    /// Now.
    pub timestamp: String,
}

/// One connection in a list.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub struct NamedConnectionReport {
    /// Its name.
    pub name: String,
    /// The same as in the status.
    #[serde(flatten)]
    pub connection: ConnectionReport,
    /// One line for a person.
    pub status_description: String,
    /// Whether a person should look at it.
    pub needs_attention: bool,
}

/// The state of a link, in the words of the Metavinci desktop.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TunnelState {
    /// Nobody wants it.
    Disconnected,
    /// It is dialled for the first time.
    Connecting,
    /// The login is under way.
    Authenticating,
    /// Visitors can come.
    Connected,
    /// It was lost, or could not be had, and is tried again.
    Reconnecting,
    /// It ended for a reason that dialling again does not change.
    Error,
}

/// A link to a relay.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub struct LinkReport {
    /// Its name.
    pub name: String,
    /// Where it is dialled.
    pub relay: String,
    /// The relay's address, if it is set.
    pub relay_address: Option<String>,
    /// Who logs in.
    pub address: String,
    /// Its state.
    pub state: TunnelState,
    /// Since when it is connected, or is not.
    pub since: String,
    /// Attempts since it was lost.
    pub attempts: u32,
    /// Milliseconds until the next one.
    pub retry_in_ms: Option<u64>,
    /// Milliseconds of the last ping.
    pub round_trip_ms: Option<f64>,
    /// Why the last attempt failed, or the link ended.
    pub last_error: Option<String>,
}

/// A service.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub struct ServiceReport {
    /// Its name.
    pub name: String,
    /// The link by which it is reached.
    pub link: String,
    /// The local place.
    pub target: String,
    /// Where it is reached, while it is.
    pub url: Option<String>,
    /// Where it was reached last, in this process or an earlier one.
    pub last_url: Option<String>,
    /// The port of a TCP service at the relay.
    pub port: Option<u16>,
    /// Whether visitors may come.
    pub public: bool,
    /// The identities that may, if it is not public.
    pub allow: Vec<String>,
    /// Requests and connections so far.
    pub requests: u64,
    /// Bytes from visitors.
    pub bytes_in: u64,
    /// Bytes to visitors.
    pub bytes_out: u64,
}

/// `GET /api/metrics`
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub struct MetricsReport {
    /// Requests of this API.
    pub api_server: ApiServerMetrics,
    /// Requests of visitors, and this process.
    pub tunnel_metrics: TunnelMetrics,
    /// How long requests and checks take.
    pub latency: LatencyReport,
    /// Bytes of visitors.
    pub throughput: ThroughputReport,
    /// Failed requests, 0 to 1, of the last five to ten minutes.
    pub error_rate: f64,
    /// How long connections were there.
    pub uptime_percent: UptimeReport,
    /// Failed requests by their kind.
    pub errors: BTreeMap<String, u64>,
    /// Now.
    pub timestamp: String,
}

/// Requests of this API.
#[derive(Clone, PartialEq, Debug, Default, Serialize, JsonSchema)]
pub struct ApiServerMetrics {
    /// All.
    pub total_requests: u64,
    /// Those with a status below 400.
    pub successful_requests: u64,
    /// The others.
    pub error_requests: u64,
    /// 0 to 1.
    pub success_rate: f64,
    /// When the last one came.
    pub last_request: Option<String>,
}

/// Requests of visitors, and this process.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TunnelMetrics {
    /// Connections that are there.
    pub connected_count: usize,
    /// All connections.
    pub total_connections: usize,
    /// When this process started.
    pub start_time: String,
    /// Requests of visitors.
    pub total_requests: u64,
    /// Those that did not fail.
    pub successful_requests: u64,
    /// Those that did.
    pub failed_requests: u64,
    /// Lately.
    pub requests_per_second: f64,
    /// Milliseconds, of requests of the last five to ten minutes; of checks if there were none.
    pub average_latency: f64,
    /// Why the last check failed that did.
    pub last_error: Option<String>,
    /// Resident memory, MiB.
    #[serde(rename = "memoryUsageMB")]
    pub memory_usage_mb: f64,
    /// Percent of one core, lately.
    pub cpu_usage_percent: f64,
}

/// Milliseconds, of the last five to ten minutes.
#[derive(Copy, Clone, PartialEq, Debug, Default, Serialize, JsonSchema)]
pub struct Percentiles {
    /// Half were as fast.
    pub p50: Option<f64>,
    /// 95 of a hundred were.
    pub p95: Option<f64>,
    /// 99 were.
    pub p99: Option<f64>,
}

/// How long requests and checks take.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub struct LatencyReport {
    /// Requests of visitors.
    #[serde(flatten)]
    pub overall: Percentiles,
    /// Checks of each connection.
    pub connections: BTreeMap<String, Percentiles>,
}

/// Bytes of visitors, lately.
#[derive(Copy, Clone, PartialEq, Debug, Default, Serialize, JsonSchema)]
pub struct ThroughputReport {
    /// From them.
    pub bytes_in_per_s: f64,
    /// To them.
    pub bytes_out_per_s: f64,
}

/// Percent of the time that connections were there, of that in which they were checked.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub struct UptimeReport {
    /// Of all, in the last 24 hours.
    #[serde(rename = "24h")]
    pub day: Option<f64>,
    /// Of all, in the last 7 days.
    #[serde(rename = "7d")]
    pub week: Option<f64>,
    /// Of each, in the last 24 hours.
    pub connections: BTreeMap<String, Option<f64>>,
}

/// `POST /api/tunnel/start`, `stop` and `restart`, and whatever else was done.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub struct DoneReport {
    /// What was done.
    pub message: String,
    /// Always `success`.
    pub status: &'static str,
    /// Now.
    pub timestamp: String,
}

/// `GET /api/version`
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub struct VersionReport {
    /// The version of this program.
    pub tunnel_manager: String,
    /// The version of the Tunnel Manager's part of this API.
    pub api_version: &'static str,
    /// Counts builds of one version.
    pub build: u32,
    /// What it was built of, if that is known.
    pub commit: Option<&'static str>,
    /// When, if that is known.
    pub built_at: Option<&'static str>,
    /// Of the tunnel.
    pub protocol_versions: Vec<u32>,
    /// Which parts of CloudToLocalLLM this stands in for.
    pub compatible: BTreeMap<&'static str, &'static str>,
    /// Now.
    pub timestamp: String,
}

/// Why a request was not answered as asked.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub struct ErrorReport {
    /// For a person.
    pub error: String,
    /// The status again.
    pub status_code: u16,
    /// Now.
    pub timestamp: String,
}

/// 500: something went wrong while doing what was asked.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub struct InternalErrorReport {
    /// Always the same.
    pub error: &'static str,
    /// What went wrong.
    pub message: String,
    /// Now.
    pub timestamp: String,
}

/// One request of a visitor. What follows `?` in its path may be secret, and is not kept.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub struct RequestReport {
    /// When it was answered.
    pub timestamp: String,
    /// By which link it came.
    pub link: String,
    /// For which service.
    pub service: String,
    /// Its method.
    pub method: String,
    /// Its path.
    pub path: String,
    /// What the visitor got.
    pub status: u16,
    /// Milliseconds.
    pub duration_ms: f64,
    /// Bytes of the response's body.
    pub bytes: Option<u64>,
}

/// An alert.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub struct AlertReport {
    /// Its number.
    pub id: u64,
    /// What it is about.
    pub kind: AlertKind,
    /// The connection, or `memory` or `cpu`.
    pub subject: String,
    /// What is wrong.
    pub message: String,
    /// When it was raised.
    pub raised_at: String,
    /// When it was over.
    pub cleared_at: Option<String>,
    /// Whether a person knows of it.
    pub acknowledged: bool,
    /// Whether it lasted so long that something was tried.
    pub escalated: bool,
}

/// `GET /api/v1/alerts`
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub struct AlertsReport {
    /// Those that hold.
    pub active: Vec<AlertReport>,
    /// Those that are over, the latest first; 200 at most.
    pub history: Vec<AlertReport>,
}

/// `GET /api/v1/services`
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub struct ServicesReport {
    /// All of them.
    pub services: Vec<ServiceReport>,
}

/// `GET /api/v1/requests`
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub struct RequestsReport {
    /// The last hundred, the latest first.
    pub requests: Vec<RequestReport>,
}

/// Which link is meant.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LinkSelection {
    /// Its name; all of them without it.
    pub name: Option<String>,
}
