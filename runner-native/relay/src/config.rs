//! The options of a relay, checked.
//!
//! Knows no flag, no variable and no secret; it says which settings contradict each other.

mod compat_agents;
mod limits;

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;

use ipnet::IpNet;
use thiserror::Error;

pub use compat_agents::{CloudKeys, CloudOptions, GuestOptions, GuestsError, TunelyOptions, TunelyTunnel};
pub use hvym_tunnel_net::config::KeepaliveSettings;
use hvym_tunnel_net::target::{RelayUrl, ServiceName};
pub use limits::Limits;

/// The port a relay listens on and an agent dials unless told otherwise: HVYM on a telephone's keys. No tunnel
/// in the field uses it.
pub const DEFAULT_PORT: u16 = 4896;

// Fields: one for each option of the command line.
/// What `relay` does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RelayOptions {
    /// Where visitors and agents arrive. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// The domain whose sub-domains are the agents' addresses, lower case.
    pub domain: String,
    /// `http` or `https` in the URLs that people are told; a proxy in front may make it differ from what is listened for.
    pub public_scheme: PublicScheme,
    /// The port in the URLs that people are told; `None` is the one really listened on.
    pub public_port: Option<u16>,
    /// The ports that services which carry bytes are given; `None`: such services are refused.
    pub tcp_ports: Option<RangeInclusive<u16>>,
    /// Certificate and key, to speak TLS without a proxy in front.
    pub tls: Option<TlsFiles>,
    /// The services agents may bind; empty is every service.
    pub services: Vec<ServiceName>,
    /// Whether a bearer token is answered by a challenge, so that none can be replayed.
    pub require_challenge: bool,
    /// The origins whose pages may connect as agents; empty is every origin. A login needs a signature, and no cookie
    /// counts for one, so that a foreign page gains nothing by itself: a list keeps strangers from using the relay.
    pub origins: Vec<String>,
    /// What happens when an identity connects twice.
    pub policy: Policy,
    /// When a silent link is dead.
    pub keepalive: KeepaliveSettings,
    /// Proxies in front of the relay, which are believed for whom they saw.
    pub trusted_proxies: Vec<IpNet>,
    /// How much it takes.
    pub limits: Limits,
    /// The agents of other systems that it serves.
    pub guests: GuestOptions,
}

impl RelayOptions {
    /// What comes before and after a host name in the URLs that people are told, when `port` is listened on.
    /// `host` is the relay's domain or a sub-domain of it.
    pub fn public_url(&self, host: &str, port: u16) -> String {
        let port = self.public_port.unwrap_or(port);
        let scheme = self.public_scheme;
        if port == scheme.usual_port() {
            format!("{scheme}://{host}")
        } else {
            format!("{scheme}://{host}:{port}")
        }
    }

    /// What an agent gives as `--relay`, when `port` is listened on.
    pub fn agent_url(&self, port: u16) -> RelayUrl {
        RelayUrl {
            tls: self.public_scheme == PublicScheme::Https,
            host: self.domain.clone(),
            port: self.public_port.unwrap_or(port),
            path: RelayUrl::DEFAULT_PATH.to_owned(),
        }
    }

    /// Whether the options make sense together.
    ///
    /// # Errors
    /// The first contradiction.
    pub fn check(&self) -> Result<(), ConfigError> {
        let label = |label: &str| {
            matches!(label.len(), 1..=63)
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
        };
        if self.domain.len() > MAX_DOMAIN_CHARACTERS || !self.domain.split('.').all(label) {
            return Err(ConfigError::Domain(self.domain.clone()));
        }
        if self.tls.is_some() && self.public_scheme == PublicScheme::Http {
            return Err(ConfigError::TlsButHttp);
        }
        Ok(())
    }
}

/// A host name has at most 253 characters, and `<service>.<address>.` takes up to 121 of them.
const MAX_DOMAIN_CHARACTERS: usize = 253 - 121;

/// How visitors reach a relay.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum PublicScheme {
    /// Readable on the way: for this machine and for tests.
    Http,
    /// With TLS, by the relay itself or by a proxy in front of it.
    Https,
}

impl PublicScheme {
    /// The port that a URL of this scheme need not name.
    pub const fn usual_port(self) -> u16 {
        match self {
            PublicScheme::Http => 80,
            PublicScheme::Https => 443,
        }
    }
}

impl fmt::Display for PublicScheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PublicScheme::Http => "http",
            PublicScheme::Https => "https",
        })
    }
}

/// A certificate chain and its private key, both PEM.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TlsFiles {
    /// The chain, leaf first.
    pub certificate: PathBuf,
    /// The leaf's private key.
    pub key: PathBuf,
}

/// What happens when an identity that has a live link connects again.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub enum Policy {
    /// The newer link replaces the older: an agent back from sleep has its name at once.
    #[default]
    Takeover,
    /// The older link stays until it ends.
    Reject,
}

/// Options that are well formed, but contradict each other.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum ConfigError {
    /// Agents' addresses could not be put in front of it.
    #[error(
        "{0:?} cannot be a relay's domain: labels of a to z, 0 to 9 and -, {MAX_DOMAIN_CHARACTERS} characters at most"
    )]
    Domain(String),
    /// The URLs would lead nowhere.
    #[error("with a certificate the relay speaks TLS, so its public URLs cannot be http")]
    TlsButHttp,
}

/// Where a relay listens unless told otherwise: on this machine only.
pub const fn default_listen() -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), DEFAULT_PORT)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn relay(domain: &str) -> RelayOptions {
        RelayOptions {
            listen: default_listen(),
            domain: domain.to_owned(),
            public_scheme: PublicScheme::Http,
            public_port: None,
            tcp_ports: None,
            tls: None,
            services: Vec::new(),
            require_challenge: false,
            origins: Vec::new(),
            policy: Policy::Takeover,
            keepalive: KeepaliveSettings::default(),
            trusted_proxies: Vec::new(),
            limits: Limits::default(),
            guests: GuestOptions::default(),
        }
    }

    #[test]
    fn a_domain_leaves_room_for_the_longest_service_of_an_agent() {
        let long = ["a".repeat(63), "b".repeat(63), "c".repeat(4)].join(".");
        assert_eq!(long.len(), MAX_DOMAIN_CHARACTERS);
        assert_eq!(relay(&long).check(), Ok(()));
        for domain in [&format!("{long}d"), "", "a..b", "a.", "-a", "a_b", "A", "a:1", "*.a"] {
            assert_eq!(relay(domain).check(), Err(ConfigError::Domain(domain.to_owned())));
        }
    }

    #[test]
    fn public_urls_name_a_port_only_when_it_is_not_the_usual_one() {
        let here = relay("localhost");
        assert_eq!(here.public_url("x.localhost", 4896), "http://x.localhost:4896");
        assert_eq!(here.public_url("x.localhost", 80), "http://x.localhost");
        assert_eq!(here.agent_url(4896).to_string(), "ws://localhost:4896");
        let proxied = RelayOptions {
            public_scheme: PublicScheme::Https,
            public_port: Some(443),
            ..relay("tunnel.example")
        };
        assert_eq!(proxied.public_url("x.tunnel.example", 4896), "https://x.tunnel.example");
        assert_eq!(proxied.agent_url(4896).to_string(), "wss://tunnel.example");
    }

    #[test]
    fn a_relay_that_speaks_tls_has_no_http_urls() {
        let tls = Some(TlsFiles { certificate: "cert.pem".into(), key: "key.pem".into() });
        assert_eq!(RelayOptions { tls, ..relay("tunnel.example") }.check(), Err(ConfigError::TlsButHttp));
    }
}
