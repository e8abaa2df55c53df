//! The options of a relay, checked.
//!
//! Knows no secret; it says which settings contradict each other. The feature `clap` makes a group of settings a group of
//! options of a command line, in the words of its help.

mod access;
mod admin;
mod cluster;
mod compat_agents;
mod groups;
mod http_url;
mod https;
mod limits;
mod login;
mod names;
mod restart;
mod state;
mod text;
mod tunnel_ports;
mod upstream;
mod visitor_share;
mod webhook;

use std::net::SocketAddr;
use std::sync::Arc;

use hvym_proxy::MinRate;
use hvym_proxy::limits::LoginLimitsConfig;
use thiserror::Error;

pub use access::AccessSettings;
pub use admin::AdminSettings;
pub use cluster::{ClusterSettings, CutOffPolicy, TypedStoreUrl};
pub use compat_agents::{CloudKeys, CloudOptions, GuestOptions, GuestsError, TunelyOptions, TunelyTunnel};
pub use groups::{
    AdmissionSettings, DEFAULT_PORT, IngressSettings, Policy, PublicScheme, PublicSettings, TlsFiles,
    default_listen,
};
pub use http_url::HttpUrl;
pub(crate) use https::is_public;
pub use https::{HttpsSettings, LETS_ENCRYPT};
pub use hvym_tunnel_net::config::KeepaliveSettings;
use hvym_tunnel_net::target::{RelayUrl, is_localhost};
pub use limits::Limits;
pub use login::LoginSettings;
pub use names::NameSettings;
pub use restart::RestartSettings;
pub use state::{CONTROL_SOCKET, StateSettings};
pub use text::listen_address;
pub use tunnel_ports::{TunnelPort, TunnelPortSettings};
pub use upstream::{ReusePolicy, UpstreamSettings};
pub use visitor_share::VisitorSettings;
pub use webhook::WebhookOptions;

/// Where a reload reads the options from.
pub(crate) type OptionsSource = Arc<dyn Fn() -> Result<RelayOptions, String> + Send + Sync>;

/// What `relay` does.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RelayOptions {
    // Fields: one for each group of options.
    /// Where it is.
    pub ingress: IngressSettings,
    /// How visitors reach it.
    pub public: PublicSettings,
    /// How it gets its certificates, and leads visitors to HTTPS.
    pub https: HttpsSettings,
    /// Which agents it takes.
    pub admission: AdmissionSettings,
    /// Which identities may be agents, unless a registry decides.
    pub access: AccessSettings,
    /// By which names agents dial, and which tokens they may bring.
    pub login: LoginSettings,
    /// Where it keeps its state, and takes commands.
    pub state: StateSettings,
    /// Where its operator's programs watch and manage it.
    pub admin: AdminSettings,
    /// How it takes the place of another process of itself.
    pub restart: RestartSettings,
    /// The other relays behind the same domain.
    pub cluster: ClusterSettings,
    /// How it uses connections to services.
    pub upstream: UpstreamSettings,
    /// Which names it gives.
    pub names: NameSettings,
    /// When a silent link is dead.
    pub keepalive: KeepaliveSettings,
    /// How much it takes.
    pub limits: Limits,
    /// How much of it one visitor may use.
    pub visitors: VisitorSettings,
    /// The TCP ports of tunnels of agents of older systems.
    pub tunnel_ports: TunnelPortSettings,
    /// The agents of other systems that it serves. As long as there are none, [`Self::load_guests`] is called at the start.
    pub guests: GuestOptions,
}

impl RelayOptions {
    /// What comes before and after a host name in the URLs that people are told, when `port` is listened on.
    /// `host` is the relay's domain or a sub-domain of it.
    pub fn public_url(&self, host: &str, port: u16) -> String {
        let (scheme, port) = (self.scheme(), self.public.port(port));
        if port == scheme.usual_port() {
            format!("{scheme}://{host}")
        } else {
            format!("{scheme}://{host}:{port}")
        }
    }

    /// The scheme in the URLs that people are told.
    pub fn scheme(&self) -> PublicScheme {
        let has_tls = self.public.tls_cert.is_some() || self.https.acme.is_some();
        let own = if has_tls { PublicScheme::Https } else { PublicScheme::Http };
        self.public.public_scheme.unwrap_or(own)
    }

    /// What an agent gives as `--relay`, when `port` is listened on.
    pub fn agent_url(&self, port: u16) -> RelayUrl {
        RelayUrl {
            tls: self.scheme() == PublicScheme::Https,
            host: self.ingress.domain.clone(),
            port: self.public.port(port),
            path: RelayUrl::DEFAULT_PATH.to_owned(),
        }
    }

    /// Whether no other machine reaches the relay: it listens on loopback, and is called so, and no agents of other systems
    /// are named. One that listens on loopback for a proxy has a domain.
    pub(crate) fn is_for_this_machine(&self) -> bool {
        let domain = &self.ingress.domain;
        let is_alone = self.guests == GuestOptions::default() && self.login.also_names.is_empty();
        is_localhost(domain) && is_alone && self.ingress.listen.ip().is_loopback()
    }

    /// How slowly a visitor may read its answer.
    pub(crate) const fn send_rate(&self) -> MinRate {
        self.visitors.min_rate(self.limits.send_timeout)
    }

    /// How slowly the body of a request may come.
    pub(crate) const fn body_rate(&self) -> MinRate {
        self.visitors.min_rate(self.limits.body_timeout)
    }

    /// How many agents log in and are logged in. Places are kept for known agents where strangers may take them.
    pub(crate) const fn logins(&self) -> LoginLimitsConfig {
        let limits = LoginLimitsConfig::new(self.limits.sessions);
        if self.access.open { limits } else { LoginLimitsConfig { kept_agents: 0, ..limits } }
    }

    /// Reads the config file that [`AdmissionSettings::config`] names, unless there are agents of other systems already.
    ///
    /// # Errors
    /// The first mistake in the file.
    pub fn load_guests(&mut self) -> Result<(), GuestsError> {
        if let Some(file) = &self.admission.config
            && self.guests == GuestOptions::default()
        {
            self.guests = GuestOptions::load(file)?;
        }
        Ok(())
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
        let (domain, public) = (&self.ingress.domain, &self.public);
        if domain.len() > MAX_DOMAIN_CHARACTERS || !domain.split('.').all(label) {
            return Err(ConfigError::Domain(domain.clone()));
        }
        if public.tls_cert.is_some() != public.tls_key.is_some() {
            return Err(ConfigError::TlsPair);
        }
        let has_tls = public.tls_cert.is_some() || self.https.acme.is_some();
        if has_tls && self.scheme() == PublicScheme::Http {
            return Err(ConfigError::TlsButHttp);
        }
        if let Some(port) = self.tunnel_ports.conflict(self.ingress.tcp_ports.as_ref()) {
            return Err(ConfigError::TunnelPort(port));
        }
        self.cluster.check()?;
        self.https.check(domain, self.scheme() == PublicScheme::Https)
    }
}

impl RelayOptions {
    /// Whether the operator has said who may be an agent, as far as a relay for other machines needs it.
    ///
    /// # Errors
    /// [`ConfigError::Undecided`].
    pub fn check_access(&self) -> Result<(), ConfigError> {
        let listen = self.ingress.listen;
        if self.access.is_decided(listen) { Ok(()) } else { Err(ConfigError::Undecided(listen)) }
    }
}

/// A host name has at most 253 characters, and `<service>.<address>.` takes up to 121 of them.
const MAX_DOMAIN_CHARACTERS: usize = 253 - 121;

/// Options that are well formed, but contradict each other.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// Agents' addresses could not be put in front of it.
    #[error(
        "{0:?} cannot be a relay's domain: labels of a to z, 0 to 9 and -, {MAX_DOMAIN_CHARACTERS} characters at most"
    )]
    Domain(String),
    /// The URLs would lead nowhere.
    #[error("with a certificate the relay speaks TLS, so its public URLs cannot be http")]
    TlsButHttp,
    /// It would serve everybody, which nobody has asked for.
    #[error(
        "a relay at {0} can be reached from other machines, and would let everybody log in as an agent: name those who may with \
         --allow-agent or --allow-agents-file, or say --open"
    )]
    Undecided(SocketAddr),
    /// The authority could not write to it.
    #[error("{0:?} is no e-mail address that a certificate authority can write to")]
    Email(String),
    /// Nobody vouches for a name that everybody has.
    #[error("a certificate authority needs a domain of the public DNS, and {0} is none")]
    NoPublicDomain(String),
    /// Everything that an account does would be readable.
    #[error("the directory of a certificate authority has an https URL")]
    AcmeDirectory,
    /// Its only purpose is to prove the domain.
    #[error("the DNS server proves the domain to a certificate authority, and there is none")]
    DnsWithoutAcme,
    /// DNS answers would lead nowhere.
    #[error("DNS answers need the public address of this relay, and this machine does not know it")]
    PublicIp,
    /// Visitors would be led to where nobody answers.
    #[error("visitors can only be led to HTTPS if there is HTTPS")]
    NoHttps,
    /// The other relays would not find this one.
    #[error("the other relays need to know where to reach this one: say --cluster-address wss://host:port")]
    ClusterAddress,
    /// It is told to nobody.
    #[error("--cluster-address is for the other relays of --cluster, and there is none")]
    ClusterStore,
    /// The store that relays share.
    #[error("the store of the cluster: {0}")]
    Cluster(String),
    /// The records of HVYM's server are in Redis.
    #[error("--cluster-hvym-keys needs --cluster redis://..: programs look there for them")]
    ClusterHvymKeys,
    /// Its visitors would not know whom they meet.
    #[error("the port {0} leads to one tunnel alone, and to no service of --tcp-ports")]
    TunnelPort(u16),
    /// One is of no use without the other.
    #[error("a certificate and its private key are set together, or neither")]
    TlsPair,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn relay(domain: &str) -> RelayOptions {
        let ingress = IngressSettings { domain: domain.to_owned(), ..IngressSettings::default() };
        RelayOptions { ingress, ..RelayOptions::default() }
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
    fn places_are_kept_where_strangers_are_let_in() {
        let kept = |access| RelayOptions { access, ..relay("localhost") }.logins().kept_agents;
        let open = AccessSettings { open: true, ..AccessSettings::default() };
        assert_eq!((kept(open), kept(AccessSettings::default())), (Limits::DEFAULT.sessions / 8, 0));
    }

    #[test]
    fn public_urls_name_a_port_only_when_it_is_not_the_usual_one() {
        let here = relay("localhost");
        assert_eq!(here.public_url("x.localhost", 4896), "http://x.localhost:4896");
        assert_eq!(here.public_url("x.localhost", 80), "http://x.localhost");
        assert_eq!(here.agent_url(4896).to_string(), "ws://localhost:4896");
        let proxied = RelayOptions {
            public: PublicSettings { public_scheme: Some(PublicScheme::Https), ..PublicSettings::default() },
            ..relay("tunnel.example")
        };
        assert_eq!(proxied.public_url("x.tunnel.example", 4896), "https://x.tunnel.example");
        assert_eq!(proxied.agent_url(4896).to_string(), "wss://tunnel.example");
    }

    #[test]
    fn a_relay_that_speaks_tls_has_no_http_urls() {
        let public = PublicSettings {
            tls_cert: Some("cert.pem".into()),
            tls_key: Some("key.pem".into()),
            ..PublicSettings::default()
        };
        let relay = |public| RelayOptions { public, ..relay("tunnel.example") };
        assert_eq!(relay(public.clone()).public_url("tunnel.example", 443), "https://tunnel.example");
        let plain = PublicSettings { public_scheme: Some(PublicScheme::Http), ..public.clone() };
        assert_eq!(relay(plain).check(), Err(ConfigError::TlsButHttp));
        let acme = HttpsSettings { acme: Some("you@mail.example".to_owned()), ..HttpsSettings::default() };
        let acme = RelayOptions { https: acme, ..relay(PublicSettings::default()) };
        assert_eq!(acme.public_url("x.tunnel.example", 443), "https://x.tunnel.example");
        assert_eq!(acme.check(), Ok(()));
        let half = PublicSettings { tls_key: None, ..public };
        assert_eq!(relay(half).check(), Err(ConfigError::TlsPair));
    }

    #[test]
    fn a_config_file_is_read_unless_a_program_names_the_guests() {
        let file = std::env::temp_dir().join(format!("hvym-tunnel-guests-{}.toml", std::process::id()));
        std::fs::write(&file, "[hvym]\npublic_tunnels = true\n").expect("a file");
        let admission = AdmissionSettings { config: Some(file.clone()), ..AdmissionSettings::default() };
        let mut read = RelayOptions { admission, ..RelayOptions::default() };
        let guests = GuestOptions { seal: true, ..GuestOptions::default() };
        let mut named = RelayOptions { guests: guests.clone(), ..read.clone() };
        assert_eq!((read.load_guests(), named.load_guests()), (Ok(()), Ok(())));
        assert!(read.guests.public_tunnels);
        assert_eq!(named.guests, guests);
        std::fs::remove_file(&file).expect("it was ours");
        assert!(RelayOptions { guests: GuestOptions::default(), ..read }.load_guests().is_err());
    }
}
