//! Errors of a relay.

use std::io;

use hvym_tunnel_relay::RelayError;
use hvym_tunnel_relay::config::{ConfigError, GuestsError};

use crate::exit::{Exit, ExitError};

impl From<RelayError> for ExitError {
    fn from(error: RelayError) -> ExitError {
        let hint = match &error {
            RelayError::Config(error) => return error.clone().into(),
            RelayError::Guests(error) => return error.clone().into(),
            RelayError::Listen { kind, .. } => match kind {
                io::ErrorKind::AddrInUse => {
                    "something listens there already: stop it, or choose another --listen"
                }
                io::ErrorKind::AddrNotAvailable => "no network interface of this machine has this address",
                io::ErrorKind::PermissionDenied => {
                    "ports below 1024 need a right: choose another, or grant it"
                }
                _ => "choose another --listen",
            },
            RelayError::Keys(_) => "save what the login service publishes at /.well-known/jwks.json",
            RelayError::Tls(_) => {
                "both files must be PEM; the certificate's file holds the whole chain, its own first"
            }
            _ => return ExitError::new(Exit::Config, error.to_string()),
        };
        ExitError::new(Exit::Config, error.to_string()).with_hint(hint)
    }
}

impl From<ConfigError> for ExitError {
    fn from(error: ConfigError) -> ExitError {
        let hint = match &error {
            ConfigError::Domain(_) => "for example --domain tunnel.example",
            ConfigError::TlsButHttp => "leave out --public-scheme",
            _ => return ExitError::new(Exit::Config, error.to_string()),
        };
        ExitError::new(Exit::Config, error.to_string()).with_hint(hint)
    }
}

impl From<GuestsError> for ExitError {
    fn from(error: GuestsError) -> ExitError {
        ExitError::new(Exit::Config, error.to_string())
    }
}
