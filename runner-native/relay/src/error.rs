//! Why a relay does not start.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use hvym_tunnel_acme::AcmeError;
use thiserror::Error;

use crate::compat_agents::KeysError;
use crate::config::{ConfigError, GuestsError};
use crate::registry::AgentListFileError;
use crate::revocations::RevocationsError;
use crate::tls::TlsError;

/// Why a relay does not start.
#[derive(Clone, PartialEq, Debug, Error)]
#[non_exhaustive]
pub enum RelayError {
    /// The options contradict each other.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The list of agents.
    #[error(transparent)]
    Agents(#[from] AgentListFileError),
    /// The file of bans in the state folder. Without it, those who are banned would be let in.
    #[error("the bans in the state folder cannot be read: {0}")]
    Bans(String),
    /// The file of claimed names in the state folder. Without it, names would go to others.
    #[error("the claimed names in the state folder cannot be read: {0}")]
    Names(String),
    /// The control socket.
    #[error("cannot take commands at {}: {message}", path.display())]
    Control {
        /// Where it was to be.
        path: PathBuf,
        /// The system's message.
        message: String,
    },
    /// The file of the agents of other systems.
    #[error(transparent)]
    Guests(#[from] GuestsError),
    /// The address is in use, not of this machine, or a port below 1024 without the privilege.
    #[error("cannot listen at {at}: {message}")]
    Listen {
        /// The address to listen at.
        at: SocketAddr,
        /// The system's kind of error.
        kind: io::ErrorKind,
        /// The system's message.
        message: String,
    },
    /// The certificate or key cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The revoked delegations cannot be read.
    #[error(transparent)]
    Revocations(#[from] RevocationsError),
    /// The state folder cannot be used, or the DNS server cannot listen.
    #[error(transparent)]
    Acme(#[from] AcmeError),
    /// There is no folder for what must outlive a restart.
    #[error("there is no folder to keep certificates in")]
    StateFolder,
    /// The other relays, or the store that they share.
    #[error("cannot serve with other relays: {0}")]
    Cluster(String),
    /// The keys that verify tokens of older systems cannot be used.
    #[error(transparent)]
    Keys(#[from] KeysError),
}

impl RelayError {
    pub(crate) fn listen(at: SocketAddr, error: &io::Error) -> Self {
        RelayError::Listen { at, kind: error.kind(), message: error.to_string() }
    }
}
