//! What is read of the request log and of the audit log.

use http::{Request, StatusCode};
use hvym_tunnel_registry::{MAX_LISTED_BODY_CHARACTERS, StoredLog};
use serde::Serialize;

use super::super::{json, stamp};
use super::caller::{self, Requester};
use super::manage::refused;
use super::request_json::number;
use super::{invalid_key, not_found, view};
use crate::http1::request_body::RequestBody;
use crate::relay_state::RelayState;
use crate::upstream::response_body::Answer;
use crate::visitor::Visitor;

/// Entries at once: the least, what is told if nobody asks, and the most. An answer has some megabytes then.
const LIMITS: (u32, u32, u32) = (1, 50, 1000);

#[derive(Serialize, Default)]
struct Logs {
    total: i64,
    logs: Vec<Log>,
}

/// One request, as Tunely's tools read it.
#[derive(Serialize)]
struct Log {
    id: i64,
    timestamp: String,
    tunnel_domain: String,
    method: String,
    path: String,
    request_headers: Option<String>,
    request_body: Option<String>,
    status_code: Option<u16>,
    response_headers: Option<String>,
    response_body: Option<String>,
    error: Option<String>,
    duration_ms: i64,
}

#[derive(Serialize)]
struct Entry {
    id: i64,
    created_at: String,
    action: String,
    domain: Option<String>,
    detail: Option<String>,
    source_ip: Option<String>,
}

/// `GET /api/tunnels/{domain}/logs`.
pub(super) async fn logs(state: &RelayState, domain: &str, query: Option<&str>) -> Answer {
    let limit = number(query, "limit", LIMITS);
    let part = limit.and_then(|limit| Ok((limit, number(query, "offset", (0, 0, u32::MAX))?)));
    let (limit, offset) = match part {
        Ok(part) => part,
        Err(answer) => return answer,
    };
    if view::tunnel(state, domain).is_none() {
        return not_found();
    }
    let Some(registry) = &state.plugins.tunnels else { return json::answer(&Logs::default()) };
    match registry.logs(domain, limit, offset).await {
        Ok(page) => {
            let logs = page.logs.into_iter().map(Log::from).collect();
            json::answer(&Logs { total: page.total, logs })
        }
        Err(error) => refused(&error),
    }
}

/// `GET /api/audit`, for the operator.
pub(in super::super) async fn audit(visitor: &Visitor, request: &Request<RequestBody>) -> Answer {
    match caller::authenticate(visitor, request.headers(), false) {
        Ok(Requester::Operator) => {}
        Ok(Requester::Owner(_)) => return invalid_key(),
        Err(answer) => return answer,
    }
    all_changes(&visitor.state, request.uri().query()).await
}

/// The changes of all tunnels.
pub(in super::super) async fn all_changes(state: &RelayState, query: Option<&str>) -> Answer {
    let limit = match number(query, "limit", LIMITS) {
        Ok(limit) => limit,
        Err(answer) => return answer,
    };
    let Some(registry) = &state.plugins.tunnels else {
        return json::with(StatusCode::OK, &[(); 0]);
    };
    match registry.audit_log(limit).await {
        Ok(entries) => {
            let entry = |entry: hvym_tunnel_registry::AuditEntry| Entry {
                id: entry.id,
                created_at: stamp::without_zone(view::moment(entry.created_at)),
                action: entry.action,
                domain: entry.domain,
                detail: entry.detail,
                source_ip: entry.source_ip,
            };
            json::answer(&entries.into_iter().map(entry).collect::<Vec<_>>())
        }
        Err(error) => refused(&error),
    }
}

impl From<StoredLog> for Log {
    fn from(StoredLog { id, request }: StoredLog) -> Self {
        let listed = |body: Option<String>| {
            body.map(|mut body| {
                if let Some((end, _)) = body.char_indices().nth(MAX_LISTED_BODY_CHARACTERS) {
                    body.truncate(end);
                }
                body
            })
        };
        Self {
            id,
            timestamp: stamp::without_zone(view::moment(request.at)),
            tunnel_domain: request.domain.to_string(),
            method: request.method,
            path: request.path,
            request_headers: request.request_headers,
            request_body: listed(request.request_body),
            status_code: request.status_code,
            response_headers: request.response_headers,
            response_body: listed(request.response_body),
            error: request.error,
            duration_ms: request.duration_ms,
        }
    }
}
