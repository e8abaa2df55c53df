//! Errors of a relay.

use std::io;

use hvym_tunnel_relay::StartError;
use hvym_tunnel_relay::config::{ConfigError, GuestsError};

use crate::exit::{Exit, ExitError};

impl From<StartError> for ExitError {
    fn from(error: StartError) -> ExitError {
        let hint = match &error {
            StartError::Listen { error, .. } => match error.kind() {
                io::ErrorKind::AddrInUse => {
                    "something listens there already: stop it, or choose another --listen"
                }
                io::ErrorKind::AddrNotAvailable => "no network interface of this machine has this address",
                io::ErrorKind::PermissionDenied => {
                    "ports below 1024 need a right: choose another, or grant it"
                }
                _ => "choose another --listen",
            },
            StartError::Keys(_) => "save what the login service publishes at /.well-known/jwks.json",
            StartError::Tls(_) => {
                "both files must be PEM; the certificate's file holds the whole chain, its own first"
            }
        };
        ExitError::new(Exit::Config, error.to_string()).with_hint(hint)
    }
}

impl From<ConfigError> for ExitError {
    fn from(error: ConfigError) -> ExitError {
        let hint = match &error {
            ConfigError::Domain(_) => "for example --domain tunnel.example",
            ConfigError::TlsButHttp => "leave out --public-scheme",
        };
        ExitError::new(Exit::Config, error.to_string()).with_hint(hint)
    }
}

impl From<GuestsError> for ExitError {
    fn from(error: GuestsError) -> ExitError {
        ExitError::new(Exit::Config, error.to_string())
    }
}
