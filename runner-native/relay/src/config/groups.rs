//! The settings of a relay in groups, as programs, files and command lines have them.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;

use hvym_tunnel_net::target::ServiceName;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::text;

/// The port a relay listens on and an agent dials unless told otherwise: HVYM on a telephone's keys. No tunnel
/// in the field uses it.
pub const DEFAULT_PORT: u16 = 4896;

/// Where a relay with certificates by ACME listens unless told otherwise: where the world looks for HTTPS.
#[cfg(feature = "clap")]
const ACME_LISTEN: &str = "0.0.0.0:443";

/// Where a relay listens unless told otherwise: on this machine only.
pub const fn default_listen() -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), DEFAULT_PORT)
}

/// Where a relay is.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "clap", derive(clap::Args))]
pub struct IngressSettings {
    /// Where visitors and agents arrive. Port 0 takes a free one.
    #[serde(deserialize_with = "text::read_listen")]
    #[cfg_attr(feature = "clap", arg(
        long, value_name = "ADDR", value_parser = text::listen_address, default_value_t = default_listen(),
        default_value_if("acme", clap::builder::ArgPredicate::IsPresent, ACME_LISTEN),
        env = "HVYM_TUNNEL_LISTEN", hide_env = true,
        help = "Where to listen: IP:port, or a port of this machine alone; port 0 takes a free one",
    ))]
    pub listen: SocketAddr,
    /// The domain whose sub-domains are the agents' addresses, lower case.
    #[serde(deserialize_with = "text::read_domain")]
    #[cfg_attr(feature = "clap", arg(
        long, value_name = "NAME", value_parser = text::domain, default_value = "localhost",
        env = "HVYM_TUNNEL_DOMAIN", hide_env = true,
        help = "The domain under which agents get their addresses",
        long_help = "The domain under which agents get their addresses\n\n\
            Each agent is one name below it, so one wildcard record and certificate do. Use it for nothing else. If strangers \
            may have names there, have it added to the Public Suffix List (publicsuffix.org), by which browsers keep them apart.",
    ))]
    pub domain: String,
    /// The ports that services which carry bytes are given; `None`: such services are refused.
    #[serde(deserialize_with = "text::read_ports", serialize_with = "text::write_ports")]
    #[cfg_attr(feature = "clap", arg(
        long, value_name = "FIRST-LAST", value_parser = text::port_range,
        env = "HVYM_TUNNEL_TCP_PORTS", hide_env = true,
        help = "Ports to give to TCP services, one each; without it, only HTTP services are taken",
    ))]
    pub tcp_ports: Option<RangeInclusive<u16>>,
}

impl Default for IngressSettings {
    fn default() -> Self {
        Self { listen: default_listen(), domain: "localhost".to_owned(), tcp_ports: None }
    }
}

/// How visitors reach a relay.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
pub enum PublicScheme {
    /// Readable on the way: for this machine and for tests.
    #[cfg_attr(feature = "clap", value(help = clap::builder::Resettable::Reset))]
    Http,
    /// With TLS, by the relay itself or by a proxy in front of it.
    #[cfg_attr(feature = "clap", value(help = clap::builder::Resettable::Reset))]
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

/// How visitors reach a relay: by TLS, and by which URLs.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "clap", derive(clap::Args), command(next_help_heading = "TLS and public URLs"))]
pub struct PublicSettings {
    /// A certificate chain (PEM, leaf first), to speak TLS without a proxy in front.
    #[cfg_attr(
        feature = "clap",
        arg(
            long,
            value_name = "FILE",
            requires = "tls_key",
            env = "HVYM_TUNNEL_TLS_CERT",
            hide_env = true,
            help = "Certificate chain (PEM), for TLS without a proxy in front",
        )
    )]
    pub tls_cert: Option<PathBuf>,
    /// The private key of the leaf (PEM). Set it with the certificate, or neither.
    #[cfg_attr(
        feature = "clap",
        arg(
            long,
            value_name = "FILE",
            requires = "tls_cert",
            env = "HVYM_TUNNEL_TLS_KEY",
            hide_env = true,
            help = "Private key of the certificate (PEM)",
        )
    )]
    pub tls_key: Option<PathBuf>,
    /// The scheme in the URLs that people are told; a proxy in front may make it differ from what is listened for.
    /// `None` is what the relay speaks itself.
    #[cfg_attr(
        feature = "clap",
        arg(
            long,
            value_enum,
            value_name = "SCHEME",
            env = "HVYM_TUNNEL_PUBLIC_SCHEME",
            hide_env = true,
            help = "http or https in the URLs people are told, if a proxy in front makes it differ",
        )
    )]
    pub public_scheme: Option<PublicScheme>,
    /// The port in the URLs that people are told. `None` is the usual one of the scheme if that is set, else the one
    /// listened on.
    #[serde(deserialize_with = "text::read_public_port")]
    #[cfg_attr(feature = "clap", arg(
        long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..), env = "HVYM_TUNNEL_PUBLIC_PORT", hide_env = true,
        help = "Port in the URLs people are told, if a proxy in front makes it differ",
        long_help = "Port in the URLs people are told, if a proxy in front makes it differ\n\n\
            Without it: with --public-scheme the usual port of that scheme, else the port listened on.",
    ))]
    pub public_port: Option<u16>,
    /// Proxies in front of the relay, which are believed for whom they saw.
    #[serde(
        rename = "trusted_proxy",
        deserialize_with = "text::read_networks",
        serialize_with = "text::write_networks"
    )]
    #[cfg_attr(feature = "clap", arg(
        long = "trusted-proxy", value_name = "CIDR", value_delimiter = ',', value_parser = text::network, env = "HVYM_TUNNEL_TRUSTED_PROXY", hide_env = true,
        help = "Believe this proxy in front of the relay (IP or CIDR) for its X-Forwarded-For; repeat for more",
        long_help = "Believe this proxy in front of the relay (IP or CIDR) for its X-Forwarded-For; repeat for more\n\n\
            Everybody else's claims about themselves are dropped. The limits on one visitor hold for whom it names.",
    ))]
    pub trusted_proxies: Vec<IpNet>,
}

impl PublicSettings {
    /// Certificate and key, if the relay speaks TLS itself by files.
    pub fn tls(&self) -> Option<TlsFiles> {
        let (certificate, key) = self.tls_cert.clone().zip(self.tls_key.clone())?;
        Some(TlsFiles { certificate, key })
    }

    /// The port in the URLs that people are told, when `port` is listened on.
    pub fn port(&self, port: u16) -> u16 {
        self.public_port.or(self.public_scheme.map(PublicScheme::usual_port)).unwrap_or(port)
    }
}

/// What happens when a program without an instance connects again that has a live link.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
pub enum Policy {
    /// The newer link replaces the older: an agent back from sleep has its name at once.
    #[default]
    #[cfg_attr(feature = "clap", value(help = "The newer link replaces the older"))]
    Takeover,
    /// The older link stays until it ends.
    #[cfg_attr(feature = "clap", value(help = "The older link stays"))]
    Reject,
}

/// Which agents a relay takes.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "clap", derive(clap::Args), command(next_help_heading = "Agents"))]
pub struct AdmissionSettings {
    /// The services agents may bind; empty is every service.
    #[serde(rename = "service_allow")]
    #[cfg_attr(
        feature = "clap",
        arg(
            long = "service-allow",
            value_name = "NAME",
            value_delimiter = ',',
            env = "HVYM_TUNNEL_SERVICE_ALLOW",
            hide_env = true,
            help = "Let agents bind only this service; repeat for more",
        )
    )]
    pub services: Vec<ServiceName>,
    /// A file of the agents of other systems to serve too (TOML), for
    /// [`GuestOptions::load`](super::GuestOptions::load).
    #[cfg_attr(
        feature = "clap",
        arg(
            long,
            value_name = "FILE",
            env = "HVYM_TUNNEL_CONFIG",
            hide_env = true,
            help = "File of the agents of other systems to serve too (TOML): tunely, CloudToLocalLLM, HVYM",
            long_help = "File of the agents of other systems to serve too (TOML): tunely, CloudToLocalLLM, HVYM\n\n\
            It holds their names and tokens, or says in which files the tokens are; then nobody but you may read it.",
        )
    )]
    pub config: Option<PathBuf>,
    /// Whether a bearer token is answered by a challenge, so that none can be replayed.
    #[cfg_attr(
        feature = "clap",
        arg(
            long,
            env = "HVYM_TUNNEL_REQUIRE_CHALLENGE",
            hide_env = true,
            help = "Challenge agents that bring a token too, so that no token can be replayed",
        )
    )]
    pub require_challenge: bool,
    /// The origins whose pages may connect as agents; empty is every origin. A login needs a signature, and no cookie
    /// counts for one, so that a foreign page gains nothing by itself: a list keeps strangers from using the relay.
    #[serde(rename = "allow_origin", deserialize_with = "text::read_origins")]
    #[cfg_attr(feature = "clap", arg(
        long = "allow-origin", value_name = "ORIGIN", value_delimiter = ',', value_parser = text::origin, env = "HVYM_TUNNEL_ALLOW_ORIGIN", hide_env = true,
        help = "Let pages of this origin alone connect as agents (its scheme and host, as a browser sends it); repeat for more",
        long_help = "Let pages of this origin alone connect as agents (its scheme and host, as a browser sends it); repeat for more\n\n\
            Without it pages of every origin may. Agents that are no pages are not concerned.",
    ))]
    pub origins: Vec<String>,
    /// What happens when a program that names no instance, of an existing HVYM system, connects twice. Ours say for each
    /// service what is to happen.
    #[cfg_attr(
        feature = "clap",
        arg(
            long,
            value_enum,
            default_value_t,
            env = "HVYM_TUNNEL_POLICY",
            hide_env = true,
            help = "What happens when an existing HVYM program connects twice with one identity",
        )
    )]
    pub policy: Policy,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_writes_settings_as_they_are_typed() {
        let text = r#"listen = "8080"
            domain = "Tunnel.example"
            tcp_ports = "20000-20099""#;
        let expected = IngressSettings {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            domain: "tunnel.example".to_owned(),
            tcp_ports: Some(20000..=20099),
        };
        assert_eq!(toml::from_str::<IngressSettings>(text).ok(), Some(expected));
        let text = r#"public_scheme = "https"
            trusted_proxy = ["10.0.0.1", "192.0.2.0/24"]"#;
        let public: PublicSettings = toml::from_str(text).expect("settings");
        assert_eq!((public.public_scheme, public.port(4896)), (Some(PublicScheme::Https), 443));
        assert_eq!(public.trusted_proxies.len(), 2);
        assert!(toml::from_str::<PublicSettings>("public_port = 0").is_err());
        let text = r#"service_allow = ["web"]
            allow_origin = ["https://App.example"]
            policy = "reject""#;
        let admission: AdmissionSettings = toml::from_str(text).expect("settings");
        assert_eq!(
            (admission.policy, admission.origins),
            (Policy::Reject, vec!["https://app.example".to_owned()])
        );
        assert!(toml::from_str::<AdmissionSettings>(r#"allow_origin = ["https://*.example"]"#).is_err());
    }
}
