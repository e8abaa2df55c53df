//! The options of an agent, checked: what it exposes, or whose service it forwards to.
//!
//! Knows no flag, no variable and no secret; it says which settings contradict each other.

mod foreign;
mod link;

use std::net::SocketAddr;
use std::path::PathBuf;

use hvym_tunnel_core::access::Access;
use hvym_tunnel_core::dialect::Proto;
use hvym_tunnel_core::stellar::Address;
use ipnet::IpNet;
use thiserror::Error;

use crate::account::{Account, AccountError};
pub use foreign::{ForeignError, ForeignOptions, System};
pub use hvym_tunnel_net::config::Keepalive;
use hvym_tunnel_net::exit::{Exit, Failure};
use hvym_tunnel_net::target::{Binding, RelayUrl, ServiceAddress, ServiceName, Target};
pub use link::{Auth, LinkOptions, Retry};

/// What `expose` does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ExposeOptions {
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
pub struct GateOptions {
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
    pub fn is_open(&self) -> bool {
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
    pub fn of(binding: Binding) -> Self {
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
    pub fn check(&self) -> Result<(), ConfigError> {
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
pub struct ForwardOptions {
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
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.link.relay.is_none() {
            return Err(ConfigError::NoRelay);
        }
        self.link.check()
    }
}

/// Options that are well formed, but contradict each other or the world.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum ConfigError {
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
    /// Something that a server of an older system does not have.
    #[error(transparent)]
    Foreign(#[from] ForeignError),
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
            ConfigError::Foreign(error) => error.hint(),
        };
        Failure::new(Exit::Config, error.to_string()).with_hint(hint)
    }
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
}
