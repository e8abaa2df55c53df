//! Errors of agents and forwards.

use hvym_tunnel_agent::settings::{CompatSettings, CompatSystem};
use hvym_tunnel_agent::{AgentError, AuthorityRole, FolderError};
use hvym_tunnel_core::names::UrlError;
use hvym_tunnel_core::reason::DownReason;
use hvym_tunnel_net::dial_error::DialProblem;

use super::dial::link_hint;
use super::settings::wanted;
use crate::exit::{Exit, ExitError};

/// The end of an agent that logged in by `compat`, where a refusal means something else than at a relay of ours.
pub(crate) fn ended(error: AgentError, compat: Option<&CompatSettings>) -> ExitError {
    match (&error, compat) {
        (AgentError::Ended(reason), Some(compat)) => {
            let hint = compat_hint(compat, reason).or(reason.hint());
            with_hint(ExitError::new(exit(reason), reason.to_string()), hint)
        }
        _ => error.into(),
    }
}

impl From<AgentError> for ExitError {
    fn from(error: AgentError) -> ExitError {
        let config = |hint: &str| ExitError::new(Exit::Config, error.to_string()).with_hint(hint);
        match error {
            AgentError::Settings(error) => error.into(),
            AgentError::Folder(ref folder) => match folder {
                FolderError::NotFolder(_) => config("expose the folder that it lies in"),
                FolderError::Missing { .. } => {
                    config("a port is written 3000, a place host:3000, a folder ./site")
                }
                _ => ExitError::new(Exit::Config, error.to_string()),
            },
            AgentError::Authorities { role, .. } => {
                let option = match role {
                    AuthorityRole::Relay => "--relay-ca",
                    AuthorityRole::Service => "--ca-file",
                };
                config(&format!("{option} names a PEM file with the certificate of an authority"))
            }
            AgentError::Delegation(error) => error.into(),
            AgentError::RevokeRefused { .. } => ExitError::new(Exit::Refused, error.to_string()),
            AgentError::KnownRelays(error) => error.into(),
            AgentError::Proxy(_) => config("correct it, unset it, or name the relay in NO_PROXY"),
            AgentError::Token(message) => ExitError::new(Exit::Refused, message),
            AgentError::Upstream(_) => ExitError::new(Exit::UpstreamUnreachable, error.to_string())
                .with_hint("start it first, or leave out --require-upstream"),
            AgentError::ServiceRefused { ref code, .. } => {
                let (exit, hint) = if code == "name_taken" {
                    (
                        Exit::NameConflict,
                        "stop it, choose another name, or share by --on-conflict pool on both",
                    )
                } else {
                    (Exit::Refused, "choose another name with --service, or ask the relay's operator")
                };
                ExitError::new(exit, error.to_string()).with_hint(hint)
            }
            AgentError::Url(ref url) => {
                ExitError::new(Exit::Refused, error.to_string()).with_hint(url_hint(url))
            }
            AgentError::TakenOver { .. } => ExitError::new(Exit::NameConflict, error.to_string())
                .with_hint("stop one of the two, or start both with --on-conflict pool or standby"),
            AgentError::Unsupported(feature) => {
                let option = wanted(feature);
                let message =
                    format!("this relay is an existing HVYM server, and {option} cannot be had from one");
                ExitError::new(Exit::Config, message).with_hint("leave it out, or use a relay of hvym-tunnel")
            }
            AgentError::Ended(reason) => {
                with_hint(ExitError::new(exit(&reason), reason.to_string()), reason.hint())
            }
            AgentError::Unreachable { ref reason, ref problem } => {
                unreachable(&error, Some(reason), problem.as_ref())
            }
            AgentError::GaveUp { ref last, ref problem, .. } => {
                unreachable(&error, last.as_ref(), problem.as_ref())
            }
            AgentError::Listen { .. } => config("choose another port, or leave it out for a free one"),
            other => ExitError::new(Exit::Unexpected, other.to_string()),
        }
    }
}

/// There is no link, for this reason.
fn unreachable(error: &AgentError, reason: Option<&DownReason>, problem: Option<&DialProblem>) -> ExitError {
    let hint = reason.and_then(|reason| link_hint(reason, problem));
    with_hint(ExitError::new(Exit::RelayUnreachable, error.to_string()), hint.as_deref())
}

fn url_hint(error: &UrlError) -> &'static str {
    if error.is_foreign() {
        "dial the relay by its domain, or give --relay-address G..., as its operator told you, to let it name another"
    } else {
        "do not trust this relay"
    }
}

fn exit(reason: &DownReason) -> Exit {
    match reason {
        DownReason::Replaced | DownReason::Conflict | DownReason::TokenInUse { known: true } => {
            Exit::NameConflict
        }
        DownReason::Authentication(_)
        | DownReason::NotAllowed(_)
        | DownReason::Delegation { .. }
        | DownReason::TokenInUse { .. }
        | DownReason::WrongRelay { .. }
        | DownReason::RelayKeyChanged { .. }
        | DownReason::WrongHost { .. }
        | DownReason::RelayUnproven(_)
        | DownReason::SignerRefused
        | DownReason::SignerMismatch => Exit::Refused,
        _ => Exit::Unexpected,
    }
}

/// What to do when a server of an older system ends the link for this reason, where that is not what it would be at a relay
/// of ours.
fn compat_hint(compat: &CompatSettings, reason: &DownReason) -> Option<&'static str> {
    let force = compat.force && compat.system == CompatSystem::Tunely;
    Some(match reason {
        DownReason::Authentication(_) => "check the token, and that its tunnel is there and enabled",
        DownReason::TokenInUse { known: false } if force => {
            "check the token, and that its tunnel is there and enabled"
        }
        DownReason::TokenInUse { known: true } => "stop the other agent, or take its place with --force",
        DownReason::TokenInUse { known: false } => {
            "check the token; if another agent is connected with it, --force takes its place"
        }
        DownReason::Replaced | DownReason::Conflict => "stop one of the two, or give each a token of its own",
        _ => return None,
    })
}

fn with_hint(failure: ExitError, hint: Option<&str>) -> ExitError {
    match hint {
        Some(hint) => failure.with_hint(hint),
        None => failure,
    }
}
