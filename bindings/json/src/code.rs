//! Errors as words that programs may rely on. The texts of errors are for people, and may change.

use hvym_tunnel_agent::AgentError;
use hvym_tunnel_core::reason::DownReason;
use hvym_tunnel_net::key::KeyError;
use hvym_tunnel_relay::RelayError;

/// A value that was given and is wrong.
pub const INVALID: &str = "invalid";
/// The system has no thread, descriptor or randomness left.
pub const SYSTEM: &str = "system";

/// What programs know an error about an identity by.
pub fn of_key(error: &KeyError) -> &'static str {
    match error {
        KeyError::NotFound { .. } => "identity_not_found",
        KeyError::TooOpen { .. } => "identity_too_open",
        KeyError::Exists { .. } => "identity_exists",
        KeyError::NotSecret { .. } | KeyError::Public { .. } => "not_a_secret",
        _ => "identity",
    }
}

/// What programs know a relay's error by.
pub fn of_relay(error: &RelayError) -> &'static str {
    match error {
        RelayError::Listen { .. } => "listen",
        RelayError::Config(_) => "settings",
        _ => "relay",
    }
}

/// What programs know an agent's error by.
pub fn of_agent(error: &AgentError) -> &'static str {
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
        AgentError::Ended(reason) => of_end(reason),
        AgentError::Unreachable { .. } | AgentError::GaveUp { .. } => "unreachable",
        AgentError::UnknownService(_) => "unknown_service",
        AgentError::Closed => "closed",
        _ => "agent",
    }
}

/// What programs know the end of a link by.
pub fn of_end(reason: &DownReason) -> &'static str {
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
