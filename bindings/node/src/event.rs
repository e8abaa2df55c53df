//! Events as JSON objects with their kind in the member `kind`: those of the package's tunnel, and answers about services.

use hvym_tunnel_agent::event::AgentStatus;
use hvym_tunnel_agent::{AgentError, AgentEvent};
use hvym_tunnel_net::observer::StreamStart;
use serde_json::{Value, json};

use crate::down::{down_code, down_hint};
use crate::error::of_end;

/// The event; `None` for those that nobody is told.
pub(crate) fn json(event: &AgentEvent) -> Option<Value> {
    Some(match event {
        AgentEvent::Online { .. } | AgentEvent::Reconnected { .. } => json!({ "kind": "up" }),
        AgentEvent::Disconnected { reason, retry_in, .. } => json!({
            "kind": "down",
            "code": down_code(reason),
            "message": reason.to_string(),
            "hint": down_hint(reason),
            "retryIn": retry_in.as_secs_f64() * 1000.0,
        }),
        AgentEvent::ServiceBound(service) => {
            json!({ "kind": "bound", "service": service.service, "url": service.url })
        }
        AgentEvent::ServiceRefused { service, code, message } => {
            json!({ "kind": "refused", "service": service, "code": code, "message": message })
        }
        AgentEvent::ServiceTakenOver { service, by } => {
            json!({ "kind": "unbound", "service": service, "by": by })
        }
        AgentEvent::Notice { code, message, hint } => {
            json!({ "kind": "notice", "code": code, "message": message, "hint": hint })
        }
        AgentEvent::Latency(round_trip) => {
            json!({ "kind": "latency", "milliseconds": round_trip.as_secs_f64() * 1000.0 })
        }
        _ => return None,
    })
}

/// What the event `up` is made of.
pub(crate) fn status(status: &AgentStatus) -> Value {
    let services = status.services.iter();
    json!({
        "relay": status.relay.map(|relay| relay.to_string()),
        "url": status.url,
        "services": services.map(|service| json!({ "service": service.service, "url": service.url })).collect::<Vec<_>>(),
    })
}

/// A stream that somebody opened.
pub(crate) fn stream(start: &StreamStart<'_>) -> Value {
    let from = start.from.map(|from| from.to_string());
    json!({ "kind": "stream", "service": start.service, "visitor": start.visitor, "from": from })
}

/// The last event. Without a code the end was asked for.
pub(crate) fn end(outcome: Result<(), AgentError>) -> Value {
    match outcome.as_ref().map_err(of_end) {
        Ok(()) => json!({ "kind": "end" }),
        Err((code, message, hint)) => {
            json!({ "kind": "end", "code": code, "message": message, "hint": hint })
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hvym_tunnel_core::reason::DownReason;

    use super::*;

    #[test]
    fn a_lost_link_says_when_the_next_attempt_is_in_milliseconds() {
        let (reason, retry_in) = (DownReason::Silent, Duration::from_millis(1500));
        let event = AgentEvent::Disconnected { reason, problem: None, retry_in, attempt: 1 };
        let said = json(&event).expect("it is told");
        assert_eq!((&said["code"], &said["retryIn"]), (&json!("relay_silent"), &json!(1500.0)));
    }

    #[test]
    fn an_end_that_was_asked_for_has_no_code() {
        assert_eq!(end(Ok(())), json!({ "kind": "end" }));
        let lost = end(Err(AgentError::Ended(DownReason::SignerRefused)));
        assert_eq!(lost["code"], "signer_refused");
    }
}
