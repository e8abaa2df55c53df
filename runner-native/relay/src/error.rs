//! Why a relay does not start.

use std::io;
use std::net::SocketAddr;

use thiserror::Error;

use crate::compat_agents::KeysError;
use crate::config::{ConfigError, GuestsError};
use crate::tls::TlsError;

/// Why a relay does not start.
#[derive(Clone, PartialEq, Debug, Error)]
#[non_exhaustive]
pub enum RelayError {
    /// Its settings contradict each other.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The file of the agents of other systems.
    #[error(transparent)]
    Guests(#[from] GuestsError),
    /// The address is taken, not ours, or below 1024 without the right.
    #[error("cannot listen at {at}: {message}")]
    Listen {
        /// Where.
        at: SocketAddr,
        /// What the system says.
        kind: io::ErrorKind,
        /// The same in words.
        message: String,
    },
    /// Certificate or key.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// What tokens of older systems are checked with.
    #[error(transparent)]
    Keys(#[from] KeysError),
}

impl RelayError {
    pub(crate) fn listen(at: SocketAddr, error: &io::Error) -> Self {
        RelayError::Listen { at, kind: error.kind(), message: error.to_string() }
    }
}
