//! Why an agent cannot start, or ended.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use hvym_tunnel_core::names::UrlError;
use hvym_tunnel_core::reason::DownReason;
use hvym_tunnel_net::dial_error::DialProblem;
use hvym_tunnel_net::known_relays::KnownRelaysError;
use hvym_tunnel_net::proxy::NotAProxy;
use hvym_tunnel_net::target::ServiceName;
use thiserror::Error;

use crate::delegation::DelegationFileError;
use crate::event::ConnectError;
use crate::settings::{Feature, SettingsError};

/// Why an agent cannot start, or ended.
#[derive(Clone, PartialEq, Debug, Error)]
#[non_exhaustive]
pub enum AgentError {
    /// Settings contradict each other.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// A folder that cannot be served.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// A file of certificate authorities cannot be used.
    #[error("cannot use {}: {reason}", path.display())]
    Authorities {
        /// Whose certificates it is for.
        role: AuthorityRole,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// An environment variable names no usable proxy.
    #[error(transparent)]
    Proxy(#[from] NotAProxy),
    /// The file of known relays cannot be used.
    #[error(transparent)]
    KnownRelays(#[from] KnownRelaysError),
    /// The token cannot be sent in a header.
    #[error("{0}")]
    Token(String),
    /// A local service does not answer.
    #[error(transparent)]
    Upstream(#[from] ConnectError),
    /// The relay took none of the services.
    #[error("the relay does not take the service {service}: {message}")]
    ServiceRefused {
        /// The last one that it refused.
        service: String,
        /// The relay's code for the reason.
        code: String,
        /// The relay's text for a person.
        message: String,
    },
    /// The relay named a URL that is not to be shown to anybody.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// Other agents of the same identity serve all of the services by now.
    #[error("another agent of this identity serves {service} now{}", by_program(by.as_deref()))]
    TakenOver {
        /// The last one that was taken over.
        service: String,
        /// Which program has it, if that allowed to tell.
        by: Option<String>,
    },
    /// The relay is one of an older system and does not have what was asked for.
    #[error("this relay is of an older system, which does not have {0}")]
    Unsupported(Feature),
    /// The agent cannot act by the delegation that it was given.
    #[error(transparent)]
    Delegation(#[from] DelegationFileError),
    /// The relay does not revoke a delegation.
    #[error("the relay does not revoke the delegation: {message}")]
    RevokeRefused {
        /// The relay's code for the reason.
        code: String,
        /// The relay's text for a person.
        message: String,
    },
    /// The link ended for a reason that dialling again does not change.
    #[error("{0}")]
    Ended(DownReason),
    /// The relay could not be reached, and the settings disable retries.
    #[error("{reason}")]
    Unreachable {
        /// Why.
        reason: DownReason,
        /// What stands in the way, if there was no connection.
        problem: Option<DialProblem>,
    },
    /// The relay was out of reach for too long.
    #[error("not connected within {} s: {}", limit.as_secs_f64(), last.as_ref().map_or_else(
        || "the relay did not answer".to_owned(), DownReason::to_string))]
    GaveUp {
        /// The limit of the settings.
        limit: Duration,
        /// Why the last attempt failed; `None` if none came to an end.
        last: Option<DownReason>,
        /// What stood in its way, if there was no connection.
        problem: Option<DialProblem>,
    },
    /// Local connections cannot be taken there.
    #[error("cannot listen at {at}: {reason}")]
    Listen {
        /// Where.
        at: SocketAddr,
        /// The system's message.
        reason: String,
    },
    /// There is no service of this name.
    #[error("there is no service {0}")]
    UnknownService(ServiceName),
    /// The agent has ended.
    #[error("the agent has ended")]
    Closed,
}

fn by_program(label: Option<&str>) -> String {
    label.map(|label| format!(" ({label})")).unwrap_or_default()
}

/// Whose certificates a file of authorities is for.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum AuthorityRole {
    /// The relay's.
    Relay,
    /// A local service's.
    Service,
}

/// Why a folder cannot be served.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum FolderError {
    /// Its absolute path is unknown.
    #[error("cannot expose {}: {reason}", path.display())]
    NoPath {
        /// As it was given.
        path: PathBuf,
        /// The system's message.
        reason: String,
    },
    /// There is a file.
    #[error("{} is not a folder", .0.display())]
    NotFolder(PathBuf),
    /// There is nothing, or nothing that may be read.
    #[error("there is no folder {}: {reason}", path.display())]
    Missing {
        /// As it was given.
        path: PathBuf,
        /// The system's message.
        reason: String,
    },
}
