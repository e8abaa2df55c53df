//! The status and the events of a relay as JSON objects.

use hvym_tunnel_relay::{RelayEvent, RelayHandle};
use serde_json::{Value, json};

use crate::code;

/// Where it is reached, and its counters.
pub fn status(relay: &RelayHandle) -> Value {
    let (status, (url, agent_url)) = (relay.status(), relay.urls());
    json!({
        "address": relay.address().to_string(),
        "listen": relay.local_addr().to_string(),
        "url": url,
        "agent_url": agent_url,
        "sessions": status.sessions,
        "connections": status.connections,
        "requests": status.requests,
        "pending_requests": status.pending_requests,
        "failed_requests": status.failed_requests,
        "lagged": status.lagged_events,
    })
}

/// The event as a JSON object with its kind in the member `event`; one of a kind that is not known here has that alone.
pub fn event(event: &RelayEvent) -> Value {
    match event {
        RelayEvent::AgentJoined { owner, url, peer, .. } => {
            json!({ "event": "agent_joined", "owner": owner.to_string(), "url": url, "peer": peer.to_string() })
        }
        RelayEvent::AgentLeft { owner, reason, .. } => json!({
            "event": "agent_left",
            "owner": owner.to_string(),
            "code": code::of_end(reason),
            "reason": reason.to_string(),
        }),
        _ => json!({ "event": "other" }),
    }
}
