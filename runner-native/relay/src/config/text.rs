//! Settings as people write them: on a command line and in a file, by the same rules and with the same words for what is
//! wrong.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;

use ipnet::IpNet;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serializer};

/// The longest time for which browsers may be told to use HTTPS alone: two years, as preload lists want.
pub(super) const MAX_HSTS_SECONDS: u32 = 63_072_000;
/// The largest count; more of anything than a machine has.
const MAX_COUNT: u32 = 1_000_000;

/// A number from 1 to 1 000 000. Zero of anything would be a relay that serves nobody.
pub(super) fn count<T: TryFrom<u32>>(text: &str) -> Result<T, String> {
    let number = text.parse().ok().filter(|number| (1..=MAX_COUNT).contains(number));
    number
        .and_then(|number| T::try_from(number).ok())
        .ok_or_else(|| "a number from 1 to 1000000 is needed".to_owned())
}

/// `IP:port`, `[IPv6]:port`, or a port of this machine alone.
///
/// # Errors
/// What is needed instead, in words.
pub fn listen_address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(port) = text.parse() {
        return Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    }
    text.parse().map_err(|_| "an IP address and a port are needed, as in 0.0.0.0:443 or [::]:443".to_owned())
}

/// A network, or one address of it.
pub(super) fn network(text: &str) -> Result<IpNet, String> {
    let network = text.parse().or_else(|_| text.parse().map(|ip: IpAddr| IpNet::from(ip)));
    network.map_err(|_| "an IP address or a network is needed, as in 10.0.0.1 or 10.0.0.0/8".to_owned())
}

/// `scheme://host` or `scheme://host:port`, as browsers write it (RFC 6454 section 6.2).
pub(super) fn origin(text: &str) -> Result<String, String> {
    let text = text.to_ascii_lowercase();
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    match host {
        Some(host) if !host.is_empty() && !host.contains(['/', '?', '#', '@', '*', ' ']) => Ok(text),
        _ => Err("an origin has a scheme, a host and nothing else, as in https://app.example".to_owned()),
    }
}

/// A host, or a host and a port, as `Host` has them (RFC 9110 section 7.2), in lower case. The port may be `*`.
pub(super) fn authority(text: &str) -> Result<String, String> {
    let text = text.to_ascii_lowercase();
    let bare = text.strip_suffix(":*").unwrap_or(&text);
    let parsed = bare.parse::<http::uri::Authority>().ok();
    let is_one = |authority: &http::uri::Authority| {
        let after = &bare[bare.len().min(authority.host().len())..];
        let is_whole = after.is_empty() || (bare.len() == text.len() && is_port(after));
        let is_host = !authority.host().is_empty() && !authority.host().ends_with('.');
        is_host && !bare.contains(['@', '*', '%']) && is_whole
    };
    parsed.filter(is_one).map(|_| text.clone()).ok_or_else(|| {
        "a host or a host and a port is needed, as in relay.internal or 192.0.2.7:4896".to_owned()
    })
}

/// A colon and a port. The `http` crate takes any text for one, and Rust a sign before a number.
fn is_port(text: &str) -> bool {
    let digits = text.strip_prefix(':').filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
    digits.and_then(|digits| digits.parse::<u16>().ok()).is_some_and(|port| port > 0)
}

/// `FIRST-LAST`, or one port.
pub(super) fn port_range(text: &str) -> Result<RangeInclusive<u16>, String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let port = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0);
    match (port(first), port(last)) {
        (Some(first), Some(last)) if first <= last => Ok(first..=last),
        _ => Err("two ports are needed, the smaller first, as in 20000-20099".to_owned()),
    }
}

/// A domain: names of hosts mean the same in upper case, and are compared in lower case.
#[allow(clippy::unnecessary_wraps, reason = "the form of a value parser")]
pub(super) fn domain(text: &str) -> Result<String, String> {
    Ok(text.to_ascii_lowercase())
}

/// A count in a file, within the bounds of [`count`].
pub(super) fn read_count<'de, T: TryFrom<u32>, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    count(&u32::deserialize(deserializer)?.to_string()).map_err(D::Error::custom)
}

/// A count in a file that need not be set.
pub(super) fn read_optional_count<'de, T: TryFrom<u32>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    let number = Option::<u32>::deserialize(deserializer)?;
    number.map(|number| count(&number.to_string())).transpose().map_err(D::Error::custom)
}

/// A port that may be in a URL.
pub(super) fn read_public_port<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u16>, D::Error> {
    let port = Option::<u16>::deserialize(deserializer)?;
    if port == Some(0) { Err(D::Error::custom("port 0 is none that a URL can name")) } else { Ok(port) }
}

/// How long browsers use HTTPS alone.
pub(super) fn read_hsts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    let seconds = Option::<u32>::deserialize(deserializer)?;
    if seconds > Some(MAX_HSTS_SECONDS) {
        Err(D::Error::custom("two years are the most"))
    } else {
        Ok(seconds)
    }
}

pub(super) fn read_listen<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    listen_address(&String::deserialize(deserializer)?).map_err(D::Error::custom)
}

pub(super) fn read_optional_listen<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<SocketAddr>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    text.as_deref().map(listen_address).transpose().map_err(D::Error::custom)
}

pub(super) fn read_domain<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    domain(&String::deserialize(deserializer)?).map_err(D::Error::custom)
}

pub(super) fn read_ports<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<RangeInclusive<u16>>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    text.as_deref().map(port_range).transpose().map_err(D::Error::custom)
}

pub(super) fn write_ports<S: Serializer>(
    ports: &Option<RangeInclusive<u16>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match ports {
        Some(ports) => serializer.collect_str(&format_args!("{}-{}", ports.start(), ports.end())),
        None => serializer.serialize_none(),
    }
}

pub(super) fn read_networks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpNet>, D::Error> {
    read_list(deserializer, network)
}

pub(super) fn write_networks<S: Serializer>(networks: &[IpNet], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(networks.iter().map(ToString::to_string))
}

pub(super) fn read_origins<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    read_list(deserializer, origin)
}

pub(super) fn read_authorities<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    read_list(deserializer, authority)
}

fn read_list<'de, T, D: Deserializer<'de>>(
    deserializer: D,
    parse: fn(&str) -> Result<T, String>,
) -> Result<Vec<T>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    texts.iter().map(|text| parse(text)).collect::<Result<_, _>>().map_err(D::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_port_listens_on_this_machine_alone() {
        assert_eq!(listen_address("80").map(|addr| addr.to_string()), Ok("127.0.0.1:80".to_owned()));
        assert_eq!(listen_address("[::]:443").map(|addr| addr.to_string()), Ok("[::]:443".to_owned()));
        assert_eq!(network("10.0.0.1").map(|net| net.to_string()), Ok("10.0.0.1/32".to_owned()));
        assert!(network("10.0.0.0/8").is_ok() && network("proxy").is_err());
        assert!(
            listen_address("localhost:80").is_err()
                && listen_address("").is_err()
                && listen_address("70000").is_err()
        );
    }

    #[test]
    fn an_origin_has_no_path_and_no_wildcard() {
        assert_eq!(origin("https://App.example:8443").as_deref(), Ok("https://app.example:8443"));
        for typed in ["", "app.example", "https://", "https://a/", "https://*.a", "wss://a", "https://u@a"] {
            assert!(origin(typed).is_err(), "{typed}");
        }
    }

    #[test]
    fn an_authority_is_a_host_and_perhaps_a_port() {
        for (typed, read) in [
            ("Relay.internal", "relay.internal"),
            ("192.0.2.7:4896", "192.0.2.7:4896"),
            ("[2001:db8::1]:80", "[2001:db8::1]:80"),
            ("mapped:*", "mapped:*"),
            ("a:65535", "a:65535"),
        ] {
            assert_eq!(authority(typed).as_deref(), Ok(read));
        }
        for typed in [
            "",
            ":80",
            "a:",
            "a.",
            "https://a",
            "a/b",
            "*.a",
            "u@a",
            "a b",
            "a:b",
            "a:+80",
            "a:0",
            "a:65536",
            "[::1]80",
            "a.:80",
            "a%41",
            "a:1:*",
            ":*",
            "*",
        ] {
            assert!(authority(typed).is_err(), "{typed}");
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

    #[test]
    fn a_count_is_from_one_to_a_million() {
        assert_eq!((count("1"), count("1000000")), (Ok(1_u32), Ok(1_000_000_usize)));
        assert!(count::<u32>("0").is_err() && count::<u32>("1000001").is_err());
    }
}
