//! `relay`: what a person types to run the public side.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use ipnet::IpNet;

use super::Output;
use super::identity::{IdentityRole, SourceArgs};
use super::limits::LimitArgs;
use crate::exit::{EXIT_CODES, ExitError};
use hvym_tunnel_net::config::KeepaliveSettings;
use hvym_tunnel_net::key::Source;
use hvym_tunnel_net::target::ServiceName;
use hvym_tunnel_relay::config::{self, GuestOptions, Policy, PublicScheme, RelayOptions, TlsFiles};

const AFTER: &str = "\
Examples:
    hvym-tunnel relay                        on this machine alone, localhost:4896
    hvym-tunnel relay --domain tunnel.example --listen 0.0.0.0:443 \\
        --tls-cert cert.pem --tls-key key.pem
    hvym-tunnel relay --domain tunnel.example --public-scheme https
                                             behind a proxy that speaks TLS

tunnel.example and every name below it must lead to the relay. The first lines
of standard output are its URL and the command for an agent. Every option
--so-named can be set by a variable HVYM_TUNNEL_SO_NAMED.";

/// Run a relay, where agents connect and visitors come
#[derive(Args, Debug)]
#[command(after_help = format!("{AFTER}\n\n{EXIT_CODES}"))]
pub(crate) struct RelayArgs {
    /// Where to listen: IP:port, or a port of this machine alone; port 0 takes a free one
    #[arg(long, value_name = "ADDR", value_parser = listen, default_value_t = config::default_listen(), env = "HVYM_TUNNEL_LISTEN", hide_env = true)]
    listen: SocketAddr,
    /// The domain under which agents get their addresses
    #[arg(
        long,
        value_name = "NAME",
        default_value = "localhost",
        env = "HVYM_TUNNEL_DOMAIN",
        hide_env = true
    )]
    domain: String,
    /// Ports to give to TCP services, one each; without it, only HTTP services are taken
    #[arg(long, value_name = "FIRST-LAST", value_parser = port_range, env = "HVYM_TUNNEL_TCP_PORTS", hide_env = true)]
    tcp_ports: Option<RangeInclusive<u16>>,
    #[command(flatten)]
    public: PublicArgs,
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    admission: AdmissionArgs,
    #[command(flatten)]
    keepalive: KeepaliveSettings,
    #[command(flatten)]
    limits: LimitArgs,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "TLS and public URLs")]
struct PublicArgs {
    /// Certificate chain (PEM), for TLS without a proxy in front
    #[arg(long, value_name = "FILE", requires = "tls_key", env = "HVYM_TUNNEL_TLS_CERT", hide_env = true)]
    tls_cert: Option<PathBuf>,
    /// Private key of the certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert", env = "HVYM_TUNNEL_TLS_KEY", hide_env = true)]
    tls_key: Option<PathBuf>,
    /// http or https in the URLs people are told, if a proxy in front makes it differ
    #[arg(long, value_enum, value_name = "SCHEME", env = "HVYM_TUNNEL_PUBLIC_SCHEME", hide_env = true)]
    public_scheme: Option<SchemeArg>,
    /// Port in the URLs people are told, if a proxy in front makes it differ
    ///
    /// Without it: with --public-scheme the usual port of that scheme, else the port listened on.
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..), env = "HVYM_TUNNEL_PUBLIC_PORT", hide_env = true)]
    public_port: Option<u16>,
    /// Believe this proxy in front of the relay (IP or CIDR) for its X-Forwarded-For; repeat for more
    ///
    /// Everybody else's claims about themselves are dropped. The limits on one visitor do not hold for a
    /// trusted proxy.
    #[arg(long, value_name = "CIDR", value_delimiter = ',', value_parser = network, env = "HVYM_TUNNEL_TRUSTED_PROXY", hide_env = true)]
    trusted_proxy: Vec<IpNet>,
}

#[derive(Copy, Clone, Debug, ValueEnum)]
enum SchemeArg {
    Http,
    Https,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Agents")]
struct AdmissionArgs {
    /// Let agents bind only this service; repeat for more
    #[arg(
        long,
        value_name = "NAME",
        value_delimiter = ',',
        env = "HVYM_TUNNEL_SERVICE_ALLOW",
        hide_env = true
    )]
    service_allow: Vec<ServiceName>,
    /// File of the agents of other systems to serve too (TOML): tunely, CloudToLocalLLM, HVYM
    ///
    /// It holds their names and tokens, or says in which files the tokens are; then nobody but you may read it.
    #[arg(long, value_name = "FILE", env = "HVYM_TUNNEL_CONFIG", hide_env = true)]
    config: Option<PathBuf>,
    /// Challenge agents that bring a token too, so that no token can be replayed
    #[arg(long, env = "HVYM_TUNNEL_REQUIRE_CHALLENGE", hide_env = true)]
    require_challenge: bool,
    /// Let pages of this origin alone connect as agents (its scheme and host, as a browser sends it); repeat for more
    ///
    /// Without it pages of every origin may. Agents that are no pages are not concerned.
    #[arg(
        long,
        value_name = "ORIGIN",
        value_delimiter = ',',
        value_parser = origin,
        env = "HVYM_TUNNEL_ALLOW_ORIGIN",
        hide_env = true
    )]
    allow_origin: Vec<String>,
    /// What happens when an identity connects twice
    #[arg(long, value_enum, default_value = "takeover", env = "HVYM_TUNNEL_POLICY", hide_env = true)]
    policy: PolicyArg,
}

#[derive(Copy, Clone, Debug, ValueEnum)]
enum PolicyArg {
    /// The newer link replaces the older
    Takeover,
    /// The older link stays
    Reject,
}

impl RelayArgs {
    /// Checked options, and where the identity is.
    ///
    /// # Errors
    /// The first contradiction.
    pub(crate) fn options(self) -> Result<(Source, RelayOptions), ExitError> {
        let source = self.source.source(IdentityRole::Relay);
        let tls = self.public.tls_cert.zip(self.public.tls_key);
        let named = self.public.public_scheme.map(|scheme| match scheme {
            SchemeArg::Http => PublicScheme::Http,
            SchemeArg::Https => PublicScheme::Https,
        });
        let own = if tls.is_some() { PublicScheme::Https } else { PublicScheme::Http };
        let options = RelayOptions {
            listen: self.listen,
            domain: self.domain.to_ascii_lowercase(),
            public_scheme: named.unwrap_or(own),
            public_port: self.public.public_port.or(named.map(PublicScheme::usual_port)),
            tcp_ports: self.tcp_ports,
            tls: tls.map(|(certificate, key)| TlsFiles { certificate, key }),
            services: self.admission.service_allow,
            require_challenge: self.admission.require_challenge,
            origins: self.admission.allow_origin,
            policy: match self.admission.policy {
                PolicyArg::Takeover => Policy::Takeover,
                PolicyArg::Reject => Policy::Reject,
            },
            keepalive: self.keepalive,
            trusted_proxies: self.public.trusted_proxy,
            limits: self.limits.limits(),
            guests: self.admission.config.as_deref().map(GuestOptions::load).transpose()?.unwrap_or_default(),
        };
        options.check()?;
        Ok((source, options))
    }
}

/// A network, or one address of it.
fn network(text: &str) -> Result<IpNet, String> {
    let network = text.parse().or_else(|_| text.parse().map(|ip: IpAddr| IpNet::from(ip)));
    network.map_err(|_| "an IP address or a network is needed, as in 10.0.0.1 or 10.0.0.0/8".to_owned())
}

/// `IP:port`, `[IPv6]:port`, or a port of this machine alone.
pub(super) fn listen(text: &str) -> Result<SocketAddr, String> {
    if let Ok(port) = text.parse() {
        return Ok(SocketAddr::new(config::default_listen().ip(), port));
    }
    text.parse().map_err(|_| "an IP address and a port are needed, as in 0.0.0.0:443 or [::]:443".to_owned())
}

/// `scheme://host` or `scheme://host:port`, as browsers write it (RFC 6454 section 6.2).
fn origin(text: &str) -> Result<String, String> {
    let text = text.to_ascii_lowercase();
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    match host {
        Some(host) if !host.is_empty() && !host.contains(['/', '?', '#', '@', '*', ' ']) => Ok(text),
        _ => Err("an origin has a scheme, a host and nothing else, as in https://app.example".to_owned()),
    }
}

/// `FIRST-LAST`, or one port.
fn port_range(text: &str) -> Result<RangeInclusive<u16>, String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let port = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0);
    match (port(first), port(last)) {
        (Some(first), Some(last)) if first <= last => Ok(first..=last),
        _ => Err("two ports are needed, the smaller first, as in 20000-20099".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_port_listens_on_this_machine_alone() {
        assert_eq!(listen("80").map(|addr| addr.to_string()), Ok("127.0.0.1:80".to_owned()));
        assert_eq!(listen("[::]:443").map(|addr| addr.to_string()), Ok("[::]:443".to_owned()));
        assert_eq!(network("10.0.0.1").map(|net| net.to_string()), Ok("10.0.0.1/32".to_owned()));
        assert!(network("10.0.0.0/8").is_ok() && network("proxy").is_err());
        assert!(listen("localhost:80").is_err() && listen("").is_err() && listen("70000").is_err());
    }

    #[test]
    fn an_origin_has_no_path_and_no_wildcard() {
        assert_eq!(origin("https://App.example:8443").as_deref(), Ok("https://app.example:8443"));
        for typed in ["", "app.example", "https://", "https://a/", "https://*.a", "wss://a", "https://u@a"] {
            assert!(origin(typed).is_err(), "{typed}");
        }
    }

    #[test]
    fn a_range_of_ports_is_written_as_its_ends() {
        assert_eq!(port_range("20000-20099"), Ok(20000..=20099));
        assert_eq!(port_range("443"), Ok(443..=443));
        for typed in ["", "-", "0-9", "9-8", "1-", "-1", "1-2-3", "1-65536", "a-b"] {
            assert!(port_range(typed).is_err(), "{typed}");
        }
    }
}
