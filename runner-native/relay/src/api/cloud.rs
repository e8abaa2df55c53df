//! Routes of CloudToLocalLLM's web application: health, and the status of the account's own desktop.
//!
//! The token of the login service names the account; it is verified on each request.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, StatusCode};
use hvym_tunnel_core::relay::Owner;
use percent_encoding::percent_decode_str;
use serde::Serialize;

use super::credential::bearer;
use super::{hvym, json, stamp};
use crate::compat_agents::{CloudAccount, CloudTokenError};
use crate::metrics::RequestCounts;
use crate::relay_state::RelayState;
use crate::sessions::AgentSession;
use crate::upstream::response_body::Answer;

/// Rates of successful and of timed-out requests, percent, beyond which a health check fails.
const ENOUGH_ANSWERED: f64 = 90.0;
const TOO_MANY_LATE: f64 = 10.0;
/// The same for the mean time to a response. Language models begin within seconds.
const TOO_SLOW: Duration = Duration::from_secs(30);

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Alive {
    status: &'static str,
    timestamp: String,
    tunnel_system: &'static str,
    service: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Connections {
    total: usize,
    connected_users: usize,
    total_created: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Requests {
    total: u64,
    successful: u64,
    failed: u64,
    timeout: u64,
    pending: u64,
    #[serde(flatten)]
    rates: Rates,
}

/// Percent.
#[derive(Copy, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct Rates {
    success_rate: f64,
    timeout_rate: f64,
}

/// Milliseconds.
#[derive(Copy, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct Performance {
    average_response_time: f64,
}

#[derive(Serialize)]
struct System {
    connections: Connections,
    requests: Requests,
    performance: Performance,
    timestamp: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Checks {
    tunnel_creation_system_operational: bool,
    connection_performance_ok: bool,
    success_rate_ok: bool,
    timeout_rate_ok: bool,
    average_response_time_ok: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Health {
    status: &'static str,
    architecture: &'static str,
    tunnel_creation_available: bool,
    checks: Checks,
    #[serde(flatten)]
    system: System,
}

/// One account. Fields of a connected desktop are omitted if it is not connected.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct User {
    user_id: String,
    connected: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_ping: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pending_requests: Option<u64>,
}

#[derive(Serialize)]
struct UserHealth {
    #[serde(flatten)]
    user: User,
    timestamp: String,
}

#[derive(Serialize)]
struct Status {
    user: User,
    system: System,
    timestamp: String,
}

#[derive(Serialize)]
struct Metrics {
    #[serde(flatten)]
    status: Status,
    performance: MetricsPerformance,
}

#[derive(Serialize)]
struct MetricsPerformance {
    #[serde(flatten)]
    time: Performance,
    #[serde(flatten)]
    rates: Rates,
}

fn now() -> String {
    stamp::javascript(SystemTime::now())
}

/// `/api/health`.
pub(super) fn alive() -> Answer {
    json::public(&Alive {
        status: "healthy",
        timestamp: now(),
        tunnel_system: "websocket",
        service: "cloudtolocalllm-api",
    })
}

/// An error in the format of the routes below `/api/tunnel`.
pub(super) fn fault(status: StatusCode, code: &'static str, message: &str) -> Answer {
    #[derive(Serialize)]
    struct ErrorBody<'a> {
        error: Inner<'a>,
    }
    #[derive(Serialize)]
    struct Inner<'a> {
        code: &'static str,
        message: &'a str,
        timestamp: String,
    }
    json::with(status, &ErrorBody { error: Inner { code, message, timestamp: now() } })
}

/// The error for a missing or invalid token.
pub(super) fn unknown(error: &CloudTokenError) -> Answer {
    match error {
        CloudTokenError::Missing => {
            let text = "Authorization header with Bearer token is required";
            fault(StatusCode::UNAUTHORIZED, "AUTH_TOKEN_MISSING", text)
        }
        CloudTokenError::Invalid(_) | CloudTokenError::Nameless => {
            fault(StatusCode::FORBIDDEN, "AUTH_TOKEN_INVALID", &error.to_string())
        }
    }
}

/// The account of the bearer token.
pub(super) fn account(state: &RelayState, fields: &HeaderMap) -> Result<CloudAccount, CloudTokenError> {
    state.live.get().compat_agents.account(bearer(fields).ok_or(CloudTokenError::Missing)?)
}

/// Answers below `/api/tunnel/`; `rest` is the rest of the path. `None`: not a path of CloudToLocalLLM.
pub(super) fn answer(state: &RelayState, rest: &str, fields: &HeaderMap) -> Option<Answer> {
    let user = rest.strip_prefix("health/").filter(|user| !user.contains('/'));
    if user.is_none() && !["health", "status", "metrics"].contains(&rest) {
        return None;
    }
    let account = match account(state, fields) {
        Ok(account) => account,
        Err(error) => return Some(unknown(&error)),
    };
    if let Some(user) = user {
        return Some(user_health(state, user, &account));
    }
    let status = || Status { user: User::new(state, &account), system: System::new(state), timestamp: now() };
    Some(match rest {
        "health" => json::answer(&Health::new(state)),
        "status" => json::answer(&status()),
        _ => {
            let status = status();
            let (time, rates) = (status.system.performance, status.system.requests.rates);
            json::answer(&Metrics { status, performance: MetricsPerformance { time, rates } })
        }
    })
}

fn user_health(state: &RelayState, user: &str, account: &CloudAccount) -> Answer {
    #[derive(Serialize)]
    struct Denied {
        error: &'static str,
        message: &'static str,
    }
    if !is(user, account) {
        let denied = Denied { error: "Access denied", message: "You can only check your own tunnel status" };
        return json::with(StatusCode::FORBIDDEN, &denied);
    }
    json::answer(&UserHealth { user: User::new(state, account), timestamp: now() })
}

/// Whether this part of a path is the account.
pub(super) fn is(user: &str, account: &CloudAccount) -> bool {
    percent_decode_str(user).decode_utf8().is_ok_and(|user| user == account.subject)
}

impl User {
    fn new(state: &RelayState, account: &CloudAccount) -> Self {
        let lives = state.sessions.sessions_of(&Owner::Named(account.name.clone()));
        let live = lives.into_iter().find(|live| hvym::present(live).is_some());
        let heard = |live: &AgentSession| stamp::javascript(hvym::last_heard(state, live));
        Self {
            user_id: account.subject.clone(),
            connected: live.is_some(),
            last_ping: live.as_ref().map(heard),
            pending_requests: live.as_ref().map(|live| live.record.metrics.counts().pending),
        }
    }
}

impl System {
    fn new(state: &RelayState) -> Self {
        let total = state.sessions.all().iter().filter(|live| hvym::present(live).is_some()).count();
        let counts = state.metrics.counts();
        Self {
            connections: Connections { total, connected_users: total, total_created: state.metrics.joined() },
            requests: Requests {
                total: counts.total,
                successful: counts.successful,
                failed: counts.failed,
                timeout: counts.timeout,
                pending: counts.pending,
                rates: Rates::new(&counts),
            },
            performance: Performance {
                average_response_time: Duration::from_micros(counts.average_micros).as_secs_f64() * 1000.0,
            },
            timestamp: now(),
        }
    }
}

impl Rates {
    /// Of the completed requests.
    fn new(counts: &RequestCounts) -> Self {
        let ended = (counts.successful + counts.failed).max(1) as f64;
        let percent = |count: u64| count as f64 * 100.0 / ended;
        Self { success_rate: percent(counts.successful), timeout_rate: percent(counts.timeout) }
    }
}

impl Health {
    fn new(state: &RelayState) -> Self {
        let system = System::new(state);
        let (requests, time) = (&system.requests, system.performance.average_response_time);
        let checks = Checks {
            tunnel_creation_system_operational: !state.logins.is_full(),
            connection_performance_ok: true,
            success_rate_ok: requests.failed == 0 || requests.rates.success_rate >= ENOUGH_ANSWERED,
            timeout_rate_ok: requests.rates.timeout_rate <= TOO_MANY_LATE,
            average_response_time_ok: time <= TOO_SLOW.as_secs_f64() * 1000.0,
        };
        let is_well = checks.tunnel_creation_system_operational
            && checks.success_rate_ok
            && checks.timeout_rate_ok
            && checks.average_response_time_ok;
        Self {
            status: if is_well { "healthy" } else { "degraded" },
            architecture: "on-demand",
            tunnel_creation_available: checks.tunnel_creation_system_operational,
            checks,
            system,
        }
    }
}
