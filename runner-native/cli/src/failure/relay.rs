//! Errors of a relay.

use std::io;
use std::net::SocketAddr;

use hvym_tunnel_relay::config::{ConfigError, GuestsError};
use hvym_tunnel_relay::{AcmeError, KeysError, RelayError};

use crate::exit::{Exit, ExitError};

const DNS_PORT: u16 = 53;

impl From<RelayError> for ExitError {
    fn from(error: RelayError) -> ExitError {
        let hint = match &error {
            RelayError::Config(error) => return error.clone().into(),
            RelayError::Guests(error) => return error.clone().into(),
            RelayError::Listen { at, kind, .. } => listen_hint(*at, *kind),
            RelayError::Acme(AcmeError::Listen { at, kind, .. }) => listen_hint(*at, *kind),
            RelayError::Acme(AcmeError::Store(_)) | RelayError::StateFolder => {
                "name a folder that this user can write, as --state-dir /var/lib/hvym-tunnel"
            }
            RelayError::Keys(KeysError::AdminKey(_) | KeysError::ShortAdminKey { .. }) => {
                "make one that only this user can read: (umask 077; openssl rand -hex 32 > FILE)"
            }
            RelayError::Keys(_) => "save what the login service publishes at /.well-known/jwks.json",
            RelayError::Tls(_) => {
                "both files must be PEM; the certificate's file holds the whole chain, its own first"
            }
            _ => return ExitError::new(Exit::Config, error.to_string()),
        };
        ExitError::new(Exit::Config, error.to_string()).with_hint(hint)
    }
}

/// What to do when a port cannot be listened at.
fn listen_hint(at: SocketAddr, kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::AddrInUse if at.port() == DNS_PORT => {
            "a resolver of this machine has it, as systemd-resolved: listen at the public address alone, \
             as --dns-listen 203.0.113.7:53"
        }
        io::ErrorKind::AddrInUse => "something listens there already: stop it, or choose another port",
        io::ErrorKind::AddrNotAvailable => "no network interface of this machine has this address",
        io::ErrorKind::PermissionDenied => {
            "ports below 1024 need a right: sudo setcap cap_net_bind_service=+ep /path/to/hvym-tunnel, or in a unit of \
             systemd AmbientCapabilities=CAP_NET_BIND_SERVICE"
        }
        _ => "choose another address or port",
    }
}

impl From<ConfigError> for ExitError {
    fn from(error: ConfigError) -> ExitError {
        let hint = match &error {
            ConfigError::Domain(_) => "for example --domain tunnel.example",
            ConfigError::TlsButHttp => "leave out --public-scheme",
            ConfigError::Email(_) => "for example --acme you@mail.example",
            ConfigError::NoPublicDomain(_) => "add --domain with a domain that is yours, as tunnel.example",
            ConfigError::AcmeDirectory => "for example --acme-directory https://ca.example/directory",
            ConfigError::DnsWithoutAcme => "add --acme with your e-mail address, or leave out --dns-listen",
            ConfigError::PublicIp => {
                "add --public-ip with the address by which the world reaches this machine"
            }
            ConfigError::NoHttps => "add --acme, --tls-cert, or --public-scheme https; or leave it out",
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
