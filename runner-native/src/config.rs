//! What the long-running commands are told to do, checked: the options of `expose`, `forward` and `relay`.
//!
//! Knows no flag, no variable and no secret; it says where settings live and which settings contradict each other.

mod foreign;
mod guests;
mod link;

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;

use hvym_tunnel_core::access::Access;
use hvym_tunnel_core::dialect::Proto;
use hvym_tunnel_core::stellar::Address;
use ipnet::IpNet;
use thiserror::Error;

use crate::account::{Account, AccountError};
use crate::cli::exit::{Exit, Failure};
use crate::relay::Limits;
use crate::target::{Binding, RelayUrl, ServiceAddress, ServiceName, Target};
pub(crate) use foreign::{ForeignError, ForeignOptions, System};
pub(crate) use guests::{CloudKeys, CloudOptions, GuestOptions, TunelyOptions};
pub(crate) use link::{Auth, Keepalive, LinkOptions, Retry};

/// The port a relay listens on and an agent dials unless told otherwise: HVYM on a telephone's keys. No tunnel
/// in the field uses it.
pub(crate) const DEFAULT_PORT: u16 = 4896;

/// What `demo` does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct DemoOptions {
    /// Where its relay listens, on this machine alone; 0 is a free port.
    pub port: u16,
    /// The folder of the browser package.
    pub package: PathBuf,
}

/// What `expose` does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ExposeOptions {
    /// The link to the relay.
    pub link: LinkOptions,
    /// The login at a server of an older system, in place of one by identity.
    pub foreign: Option<ForeignOptions>,
    /// Where a relay of its own listens, on this machine alone; 0 is a free port.
    pub own_relay_port: u16,
    /// What is exposed, never empty. The first is the one reached at the bare address.
    pub bindings: Vec<Binding>,
    /// A certificate authority (PEM) to trust beside the public ones, for services with a certificate of their own.
    pub ca: Option<PathBuf>,
    /// What is asked of visitors, and done to requests, before a service sees them.
    pub gate: GateOptions,
    /// Whether TCP services are told first who the visitor is, by the PROXY protocol. A service that does not expect
    /// it takes it for the visitor's first bytes.
    pub proxy_protocol: bool,
    /// Whether to stop (exit 7) when nothing listens at a target at the start.
    pub require_upstream: bool,
    /// Who may reach what is exposed; one list for all of it.
    pub access: Access,
}

/// What is asked of visitors, and done to requests, before a service sees them. Nothing by default.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct GateOptions {
    /// Visitors must give one of these names and passwords; empty is whoever comes.
    pub accounts: Vec<Account>,
    /// Visitors must have an address in one of these; empty is wherever from.
    pub networks: Vec<IpNet>,
    /// Whether browsers that ask if another site may use a service are told yes, without asking the service.
    pub preflight: bool,
    /// What services see as `Host`; `None` is what visitors sent. For services that refuse the public name.
    pub host: Option<String>,
}

impl GateOptions {
    /// Whether every request passes as it is.
    pub(crate) fn is_open(&self) -> bool {
        self.accounts.is_empty() && self.networks.is_empty() && !self.preflight && self.host.is_none()
    }

    /// The first option that cannot be kept for streams of this `proto`.
    fn beyond(&self, proto: Proto) -> Option<&'static str> {
        let options = [
            // The relay names the visitor of a byte stream, and nobody else in it is known.
            ("--allow-cidr", !self.networks.is_empty(), proto == Proto::Tcp),
            ("--basic-auth", !self.accounts.is_empty(), false),
            // These promise nothing that bytes could miss.
            ("--cors-preflight", self.preflight, proto == Proto::Tcp),
            ("--host-header", self.host.is_some(), proto == Proto::Tcp),
        ];
        let broken = options.into_iter().find(|(_, is_set, is_kept)| *is_set && !is_kept);
        broken.map(|(option, ..)| option).filter(|_| proto != Proto::Http)
    }
}

impl ExposeOptions {
    /// One service at a relay of its own, and everything else as it is unless told otherwise.
    pub(crate) fn of(binding: Binding) -> Self {
        Self {
            link: LinkOptions::default(),
            foreign: None,
            own_relay_port: 0,
            bindings: vec![binding],
            ca: None,
            gate: GateOptions::default(),
            proxy_protocol: false,
            require_upstream: false,
            access: Access::Public,
        }
    }

    /// Whether the options make sense together.
    ///
    /// # Errors
    /// The first contradiction.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        if let Some(foreign) = &self.foreign {
            foreign.check(self)?;
        }
        self.link.check()?;
        if matches!(&self.access, Access::Private(allowed) if allowed.is_empty()) {
            return Err(ConfigError::PrivateForNobody);
        }
        if !(self.access.is_public() || self.gate.networks.is_empty()) {
            return Err(ConfigError::PrivateNetwork);
        }
        if self.proxy_protocol && !self.bindings.iter().any(|b| b.target.proto() == Proto::Tcp) {
            return Err(ConfigError::NobodyToIntroduce);
        }
        for (index, binding) in self.bindings.iter().enumerate() {
            if self.bindings[..index].iter().any(|earlier| earlier.service == binding.service) {
                return Err(ConfigError::Twice(binding.service.clone()));
            }
            if let Some(option) = self.gate.beyond(binding.target.proto()) {
                return Err(ConfigError::NoGate(option, binding.target.clone()));
            }
        }
        self.gate.accounts.iter().try_for_each(Account::check)?;
        Ok(())
    }
}

/// What `forward` does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ForwardOptions {
    /// The link to the relay, which is named.
    pub link: LinkOptions,
    /// Whose service it is, and which.
    pub to: ServiceAddress,
    /// Where local connections are taken. Port 0 takes a free one.
    pub listen: SocketAddr,
}

impl ForwardOptions {
    /// Whether the options make sense together.
    ///
    /// # Errors
    /// The first contradiction.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        if self.link.relay.is_none() {
            return Err(ConfigError::NoRelay);
        }
        self.link.check()
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
    pub keepalive: Keepalive,
    /// Proxies in front of the relay, which are believed for whom they saw.
    pub(crate) trusted_proxies: Vec<IpNet>,
    /// How much it takes.
    pub(crate) limits: Limits,
    /// The agents of other systems that it serves.
    pub(crate) guests: GuestOptions,
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
    /// HTTP services learn of their visitors by fields of the request.
    #[error("--proxy-protocol is for TCP services, and none is exposed")]
    NobodyToIntroduce,
    /// The first delay would be over the limit.
    #[error("--backoff-initial is longer than --backoff-max")]
    Backoff,
    /// `forward` finds its service at a relay.
    #[error("forward reaches a service by way of its relay, and none is named")]
    NoRelay,
    /// The newer link of an identity ends the older one, which is the one that serves.
    #[error("this service is your own, and a second link as {0} would end the one that exposes it")]
    OwnService(Address),
    /// Somebody took a public service for a private one.
    #[error("--allow says who may reach a private service, and this one is public")]
    AllowedButPublic,
    /// Identities come from no network.
    #[error("--allow-cidr is about visitors, and a private service has none")]
    PrivateNetwork,
    /// A service that nobody reaches.
    #[error("nobody may reach a private service unless --allow names them")]
    PrivateForNobody,
    /// Two targets under one name.
    #[error("the service {0} is bound twice")]
    Twice(ServiceName),
    /// An option would be kept for some services only.
    #[error("{0} is kept for HTTP/1.1 alone, and {1} is not that")]
    NoGate(&'static str, Target),
    /// Visitors could not log in.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// Agents' addresses could not be put in front of it.
    #[error(
        "{0:?} cannot be a relay's domain: labels of a to z, 0 to 9 and -, {MAX_DOMAIN_CHARACTERS} characters at most"
    )]
    Domain(String),
    /// The URLs would lead nowhere.
    #[error("with a certificate the relay speaks TLS, so its public URLs cannot be http")]
    TlsButHttp,
    /// Something that a server of an older system does not have.
    #[error(transparent)]
    Foreign(#[from] ForeignError),
    /// There is no place for settings.
    #[error("there is no home folder ({0} is not set), so no default place for the identity")]
    NoHome(&'static str),
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Failure {
        let hint = match &error {
            ConfigError::PlainRelay(_) => "use wss://, or --plain-relay on a network you trust",
            ConfigError::BearerForNobody => "add --relay-address G..., or use --auth challenge",
            ConfigError::NobodyToIntroduce => {
                "expose tcp://host:port, or leave it out: HTTP services see X-Forwarded-For"
            }
            ConfigError::Backoff => "raise --backoff-max or lower --backoff-initial",
            ConfigError::NoRelay => "add --relay with the relay of the service's owner",
            ConfigError::OwnService(_) => {
                "be somebody else with --identity FILE, or reach the service itself"
            }
            ConfigError::AllowedButPublic => "add --private, or leave out --allow",
            ConfigError::PrivateNetwork => "leave out --allow-cidr: --allow names who may come",
            ConfigError::PrivateForNobody => "add --allow G... with the address of somebody who runs forward",
            ConfigError::Twice(_) => "give each service its own name: --service NAME, --bind NAME=TARGET",
            ConfigError::NoGate(..) => "leave it out, or expose that service by an agent of its own",
            ConfigError::Account(_) => {
                "for example --basic-auth-file FILE with lines of USER:PASSWORD, or --basic-auth ann:secret"
            }
            ConfigError::Domain(_) => "for example --domain tunnel.example",
            ConfigError::TlsButHttp => "leave out --public-scheme",
            ConfigError::Foreign(error) => error.hint(),
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
        let mut all = bindings.iter().map(|text| text.parse().expect("a binding"));
        let mut options = ExposeOptions::of(all.next().expect("one binding"));
        options.bindings.extend(all);
        options.link.relay = Some(relay.parse().expect("a relay"));
        options
    }

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
            keepalive: Keepalive::default(),
            trusted_proxies: Vec::new(),
            limits: Limits::default(),
            guests: GuestOptions::default(),
        }
    }

    #[test]
    fn contradictions_are_named() {
        let good = expose("relay.example", &["web=1", "api=2"]);
        assert_eq!(good.check(), Ok(()));
        let link = LinkOptions { auth: Auth::Bearer, ..good.link.clone() };
        assert_eq!(ExposeOptions { link, ..good.clone() }.check(), Err(ConfigError::BearerForNobody));
        let closed = ExposeOptions { access: Access::Private([].into()), ..good };
        assert_eq!(closed.check(), Err(ConfigError::PrivateForNobody));
        let twice = expose("relay.example", &["web=1", "api=2", "web=3"]);
        assert!(matches!(twice.check(), Err(ConfigError::Twice(name)) if name.as_str() == "web"));
    }

    #[test]
    fn a_gate_that_a_service_could_not_have_is_refused() {
        let account = GateOptions { accounts: vec!["ann:secret".into()], ..GateOptions::default() };
        let network = "10.0.0.0/8".parse().expect("a network");
        let network = GateOptions { networks: vec![network], ..GateOptions::default() };
        let host = GateOptions { host: Some("app".to_owned()), ..GateOptions::default() };
        for (gate, target, refused) in [
            (&account, "tcp://db:5432", true),
            (&account, "h2c://app:1", true),
            (&account, "unix:/run/app.sock", false),
            (&account, "./site", false),
            (&network, "tcp://db:5432", false),
            (&network, "h2c://app:1", true),
            (&host, "tcp://db:5432", false),
            (&host, "h2c://app:1", true),
            (&GateOptions::default(), "h2c://app:1", false),
        ] {
            let options = expose("relay.example", &["web=1", &format!("other={target}")]);
            let checked = ExposeOptions { gate: gate.clone(), ..options }.check();
            assert_eq!(matches!(checked, Err(ConfigError::NoGate(..))), refused, "{target}: {checked:?}");
        }
        let nobody = GateOptions { accounts: vec!["secret".into()], ..GateOptions::default() };
        let checked = ExposeOptions { gate: nobody, ..expose("relay.example", &["web=1"]) }.check();
        assert_eq!(checked, Err(AccountError::NoColon.into()));
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
