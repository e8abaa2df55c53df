//! What the two long-running commands are told to do, checked: the options of `expose` and of `relay`.
//!
//! Knows no flag, no variable and no secret; it says where settings live and which settings contradict each other.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use hvym_tunnel_core::stellar::Address;
use ipnet::IpNet;
use thiserror::Error;

use crate::cli::exit::{Exit, Failure};
use crate::relay::Limits;
use crate::target::{Binding, RelayUrl, ServiceName};

/// The port a relay listens on and an agent dials unless told otherwise: HVYM on a telephone's keys. No tunnel
/// in the field uses it.
pub(crate) const DEFAULT_PORT: u16 = 4896;

/// What `expose` does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ExposeOptions {
    /// Whom to dial; `None` is a relay of its own, for this machine alone.
    pub relay: Option<RelayUrl>,
    /// The relay's identity. When known, an agent signs for no other; when not, the first relay that answers is
    /// believed.
    pub relay_address: Option<Address>,
    /// A certificate authority (PEM) to trust beside the public ones, for a relay with a certificate of its own.
    pub relay_ca: Option<PathBuf>,
    /// Whether plain `ws://` may leave this machine.
    pub plain_relay: bool,
    /// How to prove the identity.
    pub auth: Auth,
    /// What is exposed, never empty. The first is the one reached at the bare address.
    pub bindings: Vec<Binding>,
    /// What services see as `Host`; `None` is what visitors sent. For services that refuse the public name.
    pub(crate) host_header: Option<String>,
    /// Whether to stop (exit 7) when nothing listens at a target at the start.
    pub require_upstream: bool,
    /// When to dial again.
    pub retry: Retry,
    /// When a silent link is dead.
    pub keepalive: Keepalive,
}

/// How an agent proves who it is.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub(crate) enum Auth {
    /// It signs what the relay asks: a recording of it is worthless.
    #[default]
    Challenge,
    /// It sends a token with the upgrade: one round trip less, but a token can be replayed until it expires.
    Bearer,
}

/// When an agent dials again, and when it gives up.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) struct Retry {
    /// Whether a relay that cannot be reached is dialled again; if not, the agent stops (exit 6).
    pub again: bool,
    /// Give up (exit 6) when the relay has been out of reach for this long, at the start or later.
    pub give_up_after: Option<Duration>,
    /// The longest first delay. Too short, and a relay that restarts meets all its agents at once.
    pub initial: Duration,
    /// The longest delay. Too long, and agents stay away after the relay is back.
    pub max: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Retry {
            again: true,
            give_up_after: None,
            initial: Duration::from_secs(1),
            max: Duration::from_secs(60),
        }
    }
}

/// When a silent link is dead.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) struct Keepalive {
    /// Ask after this long without a sign of life. Too long, and proxies on the way drop the link first.
    pub interval: Duration,
    /// Give up after this much longer. Too short, and a slow network looks dead.
    pub timeout: Duration,
}

impl Default for Keepalive {
    fn default() -> Self {
        Keepalive { interval: Duration::from_secs(10), timeout: Duration::from_secs(5) }
    }
}

impl ExposeOptions {
    /// Whether the options make sense together.
    ///
    /// # Errors
    /// The first contradiction.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        if let Some(relay) = &self.relay
            && !(relay.tls || self.plain_relay || relay.is_loopback())
        {
            return Err(ConfigError::PlainRelay(relay.clone()));
        }
        if self.auth == Auth::Bearer && self.relay.is_some() && self.relay_address.is_none() {
            return Err(ConfigError::BearerForNobody);
        }
        if self.retry.initial > self.retry.max {
            return Err(ConfigError::Backoff);
        }
        for (index, binding) in self.bindings.iter().enumerate() {
            if self.bindings[..index].iter().any(|earlier| earlier.service == binding.service) {
                return Err(ConfigError::Twice(binding.service.clone()));
            }
        }
        Ok(())
    }
}

/// What `relay` does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct RelayOptions {
    /// Where visitors and agents arrive. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// The domain whose sub-domains are the agents' addresses, lower case.
    pub domain: String,
    /// `http` or `https` in the URLs that people are told; a proxy in front may make it differ from what is listened for.
    pub public_scheme: PublicScheme,
    /// The port in the URLs that people are told; `None` is the one really listened on.
    pub public_port: Option<u16>,
    /// Certificate and key, to speak TLS without a proxy in front.
    pub tls: Option<TlsFiles>,
    /// The services agents may bind; empty is every service.
    pub services: Vec<ServiceName>,
    /// Whether a bearer token is answered by a challenge, so that none can be replayed.
    pub require_challenge: bool,
    /// What happens when an identity connects twice.
    pub policy: Policy,
    /// When a silent link is dead.
    pub keepalive: Keepalive,
    /// Proxies in front of the relay, which are believed for whom they saw.
    pub(crate) trusted_proxies: Vec<IpNet>,
    /// How much it takes.
    pub(crate) limits: Limits,
}

impl RelayOptions {
    /// What comes before and after a host name in the URLs that people are told, when `port` is listened on.
    /// `host` is the relay's domain or a sub-domain of it.
    pub(crate) fn public_url(&self, host: &str, port: u16) -> String {
        let port = self.public_port.unwrap_or(port);
        let scheme = self.public_scheme;
        if port == scheme.usual_port() {
            format!("{scheme}://{host}")
        } else {
            format!("{scheme}://{host}:{port}")
        }
    }

    /// What an agent gives as `--relay`, when `port` is listened on.
    pub(crate) fn agent_url(&self, port: u16) -> RelayUrl {
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
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
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
pub(crate) enum PublicScheme {
    /// Readable on the way: for this machine and for tests.
    Http,
    /// With TLS, by the relay itself or by a proxy in front of it.
    Https,
}

impl PublicScheme {
    /// The port that a URL of this scheme need not name.
    pub(crate) const fn usual_port(self) -> u16 {
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
pub(crate) struct TlsFiles {
    /// The chain, leaf first.
    pub certificate: PathBuf,
    /// The leaf's private key.
    pub key: PathBuf,
}

/// What happens when an identity that has a live link connects again.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub(crate) enum Policy {
    /// The newer link replaces the older: an agent back from sleep has its name at once.
    #[default]
    Takeover,
    /// The older link stays until it ends.
    Reject,
}

/// Options that are well formed, but contradict each other or the world.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub(crate) enum ConfigError {
    /// Anybody on the way could read what visitors send.
    #[error("{0} is not encrypted and leads away from this machine")]
    PlainRelay(RelayUrl),
    /// A token names its reader before the relay says who it is.
    #[error("--auth bearer makes a token for one relay, so it needs to know which")]
    BearerForNobody,
    /// The first delay would be over the limit.
    #[error("--backoff-initial is longer than --backoff-max")]
    Backoff,
    /// Two targets under one name.
    #[error("the service {0} is bound twice")]
    Twice(ServiceName),
    /// Agents' addresses could not be put in front of it.
    #[error(
        "{0:?} cannot be a relay's domain: labels of a to z, 0 to 9 and -, {MAX_DOMAIN_CHARACTERS} characters at most"
    )]
    Domain(String),
    /// The URLs would lead nowhere.
    #[error("with a certificate the relay speaks TLS, so its public URLs cannot be http")]
    TlsButHttp,
    /// There is no place for settings.
    #[error("there is no home folder ({0} is not set), so no default place for the identity")]
    NoHome(&'static str),
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Failure {
        let hint = match &error {
            ConfigError::PlainRelay(_) => "use wss://, or --plain-relay on a network you trust",
            ConfigError::BearerForNobody => "add --relay-address G..., or use --auth challenge",
            ConfigError::Backoff => "raise --backoff-max or lower --backoff-initial",
            ConfigError::Twice(_) => "give each service its own name: --service NAME, --bind NAME=TARGET",
            ConfigError::Domain(_) => "for example --domain tunnel.example",
            ConfigError::TlsButHttp => "leave out --public-scheme",
            ConfigError::NoHome(_) => "name the file with --identity",
        };
        Failure::new(Exit::Config, error.to_string()).with_hint(hint)
    }
}

/// Where a relay listens unless told otherwise: on this machine only.
pub(crate) const fn default_listen() -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), DEFAULT_PORT)
}

/// The program's own folder among the person's settings; it need not exist.
///
/// # Errors
/// [`ConfigError::NoHome`] names the variable that would have said where.
pub(crate) fn folder() -> Result<PathBuf, ConfigError> {
    // An empty or relative value counts as none (XDG Base Directory specification).
    let variable = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = if cfg!(windows) {
        variable("APPDATA").ok_or(ConfigError::NoHome("APPDATA"))?
    } else if let Some(folder) = variable("XDG_CONFIG_HOME") {
        folder
    } else {
        let home = variable("HOME").ok_or(ConfigError::NoHome("HOME"))?;
        if cfg!(target_os = "macos") {
            home.join("Library/Application Support")
        } else {
            home.join(".config")
        }
    };
    Ok(base.join("hvym-tunnel"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expose(relay: &str, bindings: &[&str]) -> ExposeOptions {
        ExposeOptions {
            relay: Some(relay.parse().expect("a relay")),
            relay_address: None,
            relay_ca: None,
            plain_relay: false,
            auth: Auth::Challenge,
            bindings: bindings.iter().map(|text| text.parse().expect("a binding")).collect(),
            host_header: None,
            require_upstream: false,
            retry: Retry::default(),
            keepalive: Keepalive::default(),
        }
    }

    fn relay(domain: &str) -> RelayOptions {
        RelayOptions {
            listen: default_listen(),
            domain: domain.to_owned(),
            public_scheme: PublicScheme::Http,
            public_port: None,
            tls: None,
            services: Vec::new(),
            require_challenge: false,
            policy: Policy::Takeover,
            keepalive: Keepalive::default(),
            trusted_proxies: Vec::new(),
            limits: Limits::default(),
        }
    }

    #[test]
    fn plain_text_leaves_this_machine_only_when_asked() {
        assert_eq!(expose("ws://localhost", &["web=1"]).check(), Ok(()));
        assert_eq!(expose("wss://relay.example", &["web=1"]).check(), Ok(()));
        let away = expose("ws://relay.example", &["web=1"]);
        assert!(matches!(away.check(), Err(ConfigError::PlainRelay(relay)) if relay.host == "relay.example"));
        assert_eq!(ExposeOptions { plain_relay: true, ..away }.check(), Ok(()));
    }

    #[test]
    fn contradictions_are_named() {
        let good = expose("relay.example", &["web=1", "api=2"]);
        assert_eq!(good.check(), Ok(()));
        let bearer = ExposeOptions { auth: Auth::Bearer, ..good.clone() };
        assert_eq!(bearer.check(), Err(ConfigError::BearerForNobody));
        let retry = Retry { initial: Duration::from_secs(61), ..Retry::default() };
        assert_eq!(ExposeOptions { retry, ..good }.check(), Err(ConfigError::Backoff));
        let twice = expose("relay.example", &["web=1", "api=2", "web=3"]);
        assert!(matches!(twice.check(), Err(ConfigError::Twice(name)) if name.as_str() == "web"));
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
