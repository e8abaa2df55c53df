//! The status and the events of an agent as JSON objects.

use std::time::Duration;

use hvym_tunnel_agent::AgentEvent;
use hvym_tunnel_agent::event::{
    AgentStatus, BoundService, ConnectionFailure, ConnectionRecord, LinkState, RequestRecord,
};
use serde_json::{Value, json};

use crate::code;

/// How things stand.
pub fn status(status: &AgentStatus) -> Value {
    let services = status.services.iter().map(|service| {
        json!({ "service": service.service, "target": service.target.to_string(), "url": service.url })
    });
    json!({
        "address": status.address.to_string(),
        "link": link_state(status.link),
        "was_online": status.was_online,
        "services": services.collect::<Vec<_>>(),
        "streams": status.streams,
        "lagged": status.lagged,
    })
}

/// The event as a JSON object with its kind in the member `event`; one of a kind that is not known here has that alone.
pub fn event(event: &AgentEvent) -> Value {
    link(event).or_else(|| service(event)).unwrap_or_else(|| json!({ "event": "other" }))
}

/// The state of a link, in one word.
fn link_state(state: LinkState) -> &'static str {
    match state {
        LinkState::Connecting => "connecting",
        LinkState::Authenticating => "authenticating",
        LinkState::Online => "connected",
        _ => "reconnecting",
    }
}

/// Events of the link to the relay.
fn link(event: &AgentEvent) -> Option<Value> {
    Some(match event {
        AgentEvent::Online { services } => {
            json!({ "event": "online", "services": services.iter().map(bound).collect::<Vec<_>>() })
        }
        AgentEvent::Disconnected { reason, retry_in, attempt, .. } => json!({
            "event": "disconnected",
            "code": code::of_end(reason),
            "reason": reason.to_string(),
            "retry_in": retry_in.as_secs_f64(),
            "attempt": attempt,
        }),
        AgentEvent::Reconnected { url, after } => {
            json!({ "event": "reconnected", "url": url, "after": after.as_secs_f64() })
        }
        AgentEvent::Notice { code, message, hint } => {
            json!({ "event": "notice", "code": code, "message": message, "hint": hint })
        }
        AgentEvent::RelayDraining => json!({ "event": "relay_draining" }),
        AgentEvent::Latency(round_trip) => json!({ "event": "latency", "seconds": seconds(*round_trip) }),
        AgentEvent::Draining { deadline } => json!({ "event": "draining", "deadline": seconds(*deadline) }),
        AgentEvent::Named { name, url } => json!({ "event": "named", "name": name, "url": url }),
        AgentEvent::NameRefused { name, code, message } => {
            json!({ "event": "name_refused", "name": name, "code": code, "message": message })
        }
        _ => return None,
    })
}

/// Events of services, their visitors and the identities that reach them.
fn service(event: &AgentEvent) -> Option<Value> {
    Some(match event {
        AgentEvent::ServiceBound(service) => json!({ "event": "service_bound", "service": bound(service) }),
        AgentEvent::ServiceRefused { service, code, message } => {
            json!({ "event": "service_refused", "service": service, "code": code, "message": message })
        }
        AgentEvent::ServiceTakenOver { service, by } => {
            json!({ "event": "service_taken_over", "service": service, "by": by })
        }
        AgentEvent::Request(record) => request(record),
        AgentEvent::Connection(record) => connection(record),
        AgentEvent::PeerAdmitted { service, from, .. } => {
            json!({ "event": "peer_admitted", "service": service, "from": from.to_string() })
        }
        AgentEvent::PeerRefused { service, from, .. } => {
            json!({ "event": "peer_refused", "service": service, "from": from.to_string() })
        }
        AgentEvent::UpstreamUnreachable { service, target, error } => json!({
            "event": "upstream_unreachable",
            "service": service,
            "target": target.to_string(),
            "reason": error.to_string(),
        }),
        AgentEvent::UpstreamReachable { service, target } => {
            json!({ "event": "upstream_reachable", "service": service, "target": target.to_string() })
        }
        _ => return None,
    })
}

fn bound(service: &BoundService) -> Value {
    json!({
        "service": service.service,
        "url": service.url,
        "target": service.target.to_string(),
        "private": service.private,
    })
}

/// The query of a request is left out: what follows `?` may be secret.
fn request(record: &RequestRecord) -> Value {
    json!({
        "event": "request",
        "service": &*record.service,
        "visitor": record.visitor,
        "method": record.method,
        "path": record.target.split('?').next(),
        "status": record.status,
        "seconds": seconds(record.duration),
        "response_bytes": record.response_bytes,
    })
}

fn connection(record: &ConnectionRecord) -> Value {
    let failure = record.failure.as_ref().map(|failure| match failure {
        ConnectionFailure::Unreachable(error) => error.to_string(),
        _ => "cut off".to_owned(),
    });
    json!({
        "event": "connection",
        "service": &*record.service,
        "visitor": record.visitor,
        "from": record.from.map(|from| from.to_string()),
        "received": record.received,
        "sent": record.sent,
        "seconds": seconds(record.duration),
        "failure": failure,
    })
}

fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}
