//! Errors as Python exceptions, each with a code that programs may rely on and a text for people.

use hvym_tunnel_agent::AgentError;
use hvym_tunnel_core::reason::DownReason;
use hvym_tunnel_net::key::KeyError;
use hvym_tunnel_relay::RelayError;
use pyo3::prelude::*;

/// An exception of the package with this code.
pub(crate) fn exception(py: Python<'_>, code: &str, message: impl ToString) -> PyErr {
    let made = py
        .import("hvym_tunnel.errors")
        .and_then(|errors| errors.getattr("from_code"))
        .and_then(|from_code| from_code.call1((code, message.to_string())));
    match made {
        Ok(exception) => PyErr::from_value(exception),
        Err(error) => error,
    }
}

/// A value that was given and is wrong.
pub(crate) fn invalid(py: Python<'_>, message: impl ToString) -> PyErr {
    exception(py, "invalid", message)
}

pub(crate) fn of_key(py: Python<'_>, error: &KeyError) -> PyErr {
    let code = match error {
        KeyError::NotFound { .. } => "identity_not_found",
        KeyError::TooOpen { .. } => "identity_too_open",
        KeyError::Exists { .. } => "identity_exists",
        KeyError::NotSecret { .. } | KeyError::Public { .. } => "not_a_secret",
        _ => "identity",
    };
    exception(py, code, error)
}

pub(crate) fn of_agent(py: Python<'_>, error: &AgentError) -> PyErr {
    exception(py, agent_code(error), error)
}

pub(crate) fn of_relay(py: Python<'_>, error: &RelayError) -> PyErr {
    let code = match error {
        RelayError::Listen { .. } => "listen",
        RelayError::Config(_) => "settings",
        _ => "relay",
    };
    exception(py, code, error)
}

/// What programs know an agent's error by.
pub(crate) fn agent_code(error: &AgentError) -> &'static str {
    match error {
        AgentError::Settings(_)
        | AgentError::Folder(_)
        | AgentError::Authorities { .. }
        | AgentError::Proxy(_)
        | AgentError::KnownRelays(_)
        | AgentError::Token(_)
        | AgentError::Delegation(_) => "settings",
        AgentError::Upstream(_) => "upstream",
        AgentError::ServiceRefused { .. } => "service_refused",
        AgentError::TakenOver { .. } => "taken_over",
        AgentError::Unsupported(_) => "unsupported",
        AgentError::Ended(reason) => down_code(reason),
        AgentError::Unreachable { .. } | AgentError::GaveUp { .. } => "unreachable",
        AgentError::UnknownService(_) => "unknown_service",
        AgentError::Closed => "closed",
        _ => "agent",
    }
}

/// What programs know the end of a link by.
pub(crate) fn down_code(reason: &DownReason) -> &'static str {
    match reason {
        DownReason::Finished | DownReason::ClosedByPeer => "closed",
        DownReason::Unreachable(_) => "unreachable",
        DownReason::Lost(_) | DownReason::Silent => "lost",
        DownReason::Authentication(_) | DownReason::Delegation { .. } => "authentication",
        DownReason::TokenTime { .. } => "clock",
        DownReason::NotAllowed(_) => "not_allowed",
        DownReason::TokenInUse { .. } | DownReason::Conflict => "in_use",
        DownReason::Replaced => "replaced",
        DownReason::RateLimited(_) => "rate_limited",
        DownReason::GoingAway => "going_away",
        DownReason::Overloaded(_) => "overloaded",
        DownReason::TimedOut(_) => "timed_out",
        DownReason::WrongRelay { .. }
        | DownReason::RelayKeyChanged { .. }
        | DownReason::WrongHost { .. }
        | DownReason::RelayUnproven(_) => "wrong_relay",
        _ => "protocol",
    }
}
