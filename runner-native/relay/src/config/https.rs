//! HTTPS by itself: certificates by ACME, and how visitors are led to it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::ConfigError;
use super::text;

/// The directory of Let's Encrypt.
pub const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";
/// Where plain HTTP arrives, if certificates come by ACME and nothing else is set.
const HTTP: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 80);

/// How a relay gets its certificates, and leads visitors to HTTPS.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "clap", derive(clap::Args), command(next_help_heading = "HTTPS by itself"))]
pub struct HttpsSettings {
    /// The operator's e-mail address: certificates come by ACME. Setting it accepts the authority's terms.
    #[cfg_attr(
        feature = "clap",
        arg(
            long,
            value_name = "EMAIL",
            env = "HVYM_TUNNEL_ACME",
            hide_env = true,
            help = "Get certificates from Let's Encrypt, whose terms you accept by this; listen at ports 443 and 80",
            long_help = "Get certificates from Let's Encrypt, whose terms you accept by this; listen at ports 443 and 80\n\n\
            It may write to this address. With --dns-listen there is one certificate for the domain and all names below it; \
            without, each name that is in use gets its own, at most 40 new ones a week.",
        )
    )]
    pub acme: Option<String>,
    /// The directory of another authority than Let's Encrypt.
    #[cfg_attr(
        feature = "clap",
        arg(
            long,
            value_name = "URL",
            requires = "acme",
            env = "HVYM_TUNNEL_ACME_DIRECTORY",
            hide_env = true,
            help = "The directory of another ACME authority than Let's Encrypt",
        )
    )]
    pub acme_directory: Option<String>,
    /// Certificates (PEM) of who vouches for the authority itself, beside those that this machine trusts.
    #[cfg_attr(
        feature = "clap",
        arg(
            long,
            value_name = "FILE",
            requires = "acme",
            env = "HVYM_TUNNEL_ACME_ROOT",
            hide_env = true,
            help = "Trust the ACME authority by this root certificate too (PEM)",
        )
    )]
    pub acme_root: Option<PathBuf>,
    /// Where DNS queries about the domain arrive, by UDP and TCP.
    #[cfg_attr(feature = "clap", arg(
        long, value_name = "ADDR", value_parser = text::listen_address, requires = "acme", env = "HVYM_TUNNEL_DNS_LISTEN", hide_env = true,
        help = "Answer DNS queries about the domain here, as 0.0.0.0:53: one certificate is then for all names",
        long_help = "Answer DNS queries about the domain here, as 0.0.0.0:53: one certificate is then for all names\n\n\
            The domain needs an NS record that leads to this machine. All names below the domain lead to --public-ip.",
    ))]
    pub dns_listen: Option<SocketAddr>,
    /// The relay's addresses in answers to DNS queries. Empty: the one that is listened at, or that this machine uses, if it
    /// is public.
    #[cfg_attr(
        feature = "clap",
        arg(
            long,
            value_name = "IP",
            value_delimiter = ',',
            requires = "dns_listen",
            env = "HVYM_TUNNEL_PUBLIC_IP",
            hide_env = true,
            help = "Address of this relay in DNS answers, if this machine does not know it; repeat for more",
        )
    )]
    pub public_ip: Vec<IpAddr>,
    /// Where plain HTTP arrives and is led to HTTPS. `None`: port 80 with ACME, else nowhere.
    #[cfg_attr(feature = "clap", arg(
        long, value_name = "ADDR", value_parser = text::listen_address, env = "HVYM_TUNNEL_HTTP_LISTEN", hide_env = true,
        help = "Lead plain HTTP that comes here to HTTPS [default: 0.0.0.0:80 with --acme]",
    ))]
    pub http_listen: Option<SocketAddr>,
    /// For how many seconds browsers use HTTPS alone (`Strict-Transport-Security`, RFC 6797). 0 takes it back.
    #[serde(deserialize_with = "text::read_hsts")]
    #[cfg_attr(feature = "clap", arg(
        long, value_name = "SECS", value_parser = clap::value_parser!(u32).range(..=i64::from(text::MAX_HSTS_SECONDS)),
        env = "HVYM_TUNNEL_HSTS", hide_env = true,
        help = "Tell browsers to use HTTPS alone for so long, as 31536000; 0 takes it back",
    ))]
    pub hsts: Option<u32>,
}

impl HttpsSettings {
    /// The URL of the authority's directory.
    pub fn directory(&self) -> &str {
        self.acme_directory.as_deref().unwrap_or(LETS_ENCRYPT)
    }

    /// Where plain HTTP arrives.
    pub fn http(&self) -> Option<SocketAddr> {
        self.http_listen.or(self.acme.is_some().then_some(HTTP))
    }

    /// Whether each host name gets a certificate of its own, since nothing proves the whole domain.
    pub(crate) fn has_single_certificates(&self) -> bool {
        self.acme.is_some() && self.dns_listen.is_none()
    }

    /// The value of `Strict-Transport-Security`.
    pub(crate) fn hsts_value(&self) -> Option<String> {
        self.hsts.map(|seconds| format!("max-age={seconds}"))
    }

    /// Whether the settings make sense for a relay with this domain, which has HTTPS or not.
    pub(super) fn check(&self, domain: &str, has_https: bool) -> Result<(), ConfigError> {
        if let Some(email) = &self.acme {
            let is_plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b',' | b'?' | b'<' | b'>');
            let parts = email.split_once('@').filter(|(name, host)| !name.is_empty() && host.contains('.'));
            if parts.is_none() || !email.bytes().all(is_plain) {
                return Err(ConfigError::Email(email.clone()));
            }
            if !domain.contains('.') || domain.ends_with(".localhost") {
                return Err(ConfigError::NoPublicDomain(domain.to_owned()));
            }
            if !self.directory().starts_with("https://") {
                return Err(ConfigError::AcmeDirectory);
            }
        } else if self.dns_listen.is_some() {
            return Err(ConfigError::DnsWithoutAcme);
        }
        if !has_https && (self.http().is_some() || self.hsts.is_some()) {
            return Err(ConfigError::NoHttps);
        }
        Ok(())
    }
}

/// Whether the world can reach an address (RFC 6890).
pub(crate) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            let is_shared = a == 100 && b & 0xc0 == 64;
            !(v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_unspecified()
                || v4.is_multicast()
                || v4.is_broadcast()
                || v4.is_documentation()
                || is_shared)
        }
        IpAddr::V6(v6) => {
            let [a, b, ..] = v6.segments();
            a & 0xe000 == 0x2000 && (a, b) != (0x2001, 0xdb8)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acme() -> HttpsSettings {
        HttpsSettings { acme: Some("you@mail.example".to_owned()), ..HttpsSettings::default() }
    }

    #[test]
    fn certificates_by_acme_need_an_address_and_a_public_domain() {
        assert_eq!(acme().check("tunnel.example", true), Ok(()));
        for domain in ["localhost", "relay.localhost", "example"] {
            assert_eq!(acme().check(domain, true), Err(ConfigError::NoPublicDomain(domain.to_owned())));
        }
        for email in [
            "you",
            "you@",
            "@mail.example",
            "you@mail",
            "a b@mail.example",
            "a@mail.example,b",
            "\u{e4}@mail.example",
        ] {
            let settings = HttpsSettings { acme: Some(email.to_owned()), ..acme() };
            assert_eq!(settings.check("tunnel.example", true), Err(ConfigError::Email(email.to_owned())));
        }
        let plain = HttpsSettings { acme_directory: Some("http://ca.example/dir".to_owned()), ..acme() };
        assert_eq!(plain.check("tunnel.example", true), Err(ConfigError::AcmeDirectory));
        assert_eq!(acme().directory(), LETS_ENCRYPT);
    }

    #[test]
    fn nothing_is_led_to_https_where_there_is_none() {
        let http = HttpsSettings { http_listen: Some(HTTP), ..HttpsSettings::default() };
        let hsts = HttpsSettings { hsts: Some(0), ..HttpsSettings::default() };
        for settings in [http, hsts] {
            assert_eq!(settings.check("tunnel.example", true), Ok(()));
            assert_eq!(settings.check("tunnel.example", false), Err(ConfigError::NoHttps));
        }
        let dns = HttpsSettings { dns_listen: Some(HTTP), ..HttpsSettings::default() };
        assert_eq!(dns.check("tunnel.example", true), Err(ConfigError::DnsWithoutAcme));
        assert_eq!((acme().http(), HttpsSettings::default().http()), (Some(HTTP), None));
    }

    #[test]
    fn a_file_writes_them_as_they_are_typed() {
        let text = "acme = \"you@mail.example\"\ndns_listen = \"0.0.0.0:53\"\npublic_ip = [\"203.0.113.7\"]\nhsts = 63072000";
        let settings: HttpsSettings = toml::from_str(text).expect("settings");
        assert_eq!(settings.hsts_value().as_deref(), Some("max-age=63072000"));
        assert_eq!(settings.dns_listen, Some(SocketAddr::from(([0, 0, 0, 0], 53))));
        assert!(toml::from_str::<HttpsSettings>("hsts = 63072001").is_err());
    }

    #[test]
    fn addresses_of_the_world_are_told_from_others() {
        for (address, expected) in [
            ("9.9.9.9", true),
            ("203.0.113.7", false),
            ("100.63.0.1", true),
            ("100.64.0.1", false),
            ("100.127.255.255", false),
            ("100.128.0.1", true),
            ("10.1.2.3", false),
            ("127.0.0.1", false),
            ("169.254.1.1", false),
            ("0.0.0.0", false),
            ("224.0.0.1", false),
            ("2001:db8::1", false),
            ("2620:fe::fe", true),
            ("3fff::1", true),
            ("fe80::1", false),
            ("fd00::1", false),
            ("::1", false),
        ] {
            assert_eq!(is_public(address.parse().expect("an address")), expected, "{address}");
        }
    }
}
