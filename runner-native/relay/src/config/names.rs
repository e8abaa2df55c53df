//! The names that a relay gives.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// How long a claimed name waits for its owner unless told otherwise.
const CLAIM_KEEP: Duration = Duration::from_secs(30 * 86_400);
/// The longest such time: names of those who never come back are of use to nobody.
const MAX_CLAIM_KEEP: Duration = Duration::from_secs(3650 * 86_400);

/// Which names a relay gives beside those made of addresses.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "clap", derive(clap::Args), command(next_help_heading = "Names"))]
pub struct NameSettings {
    /// Whether agents may claim names, and prove host names of their own.
    #[cfg_attr(
        feature = "clap",
        arg(
            long,
            env = "HVYM_TUNNEL_CLAIM_NAMES",
            hide_env = true,
            help = "Let agents claim names (expose --name) and lead host names of their own here",
            long_help = "Let agents claim names (expose --name) and lead host names of their own here\n\n\
            A free name goes to the address that asks first. A host name is proven by a DNS record.",
        )
    )]
    pub claim_names: bool,
    /// How long a claimed name waits for its owner.
    #[serde(deserialize_with = "read_keep", serialize_with = "write_keep")]
    #[cfg_attr(
        feature = "clap",
        arg(
            long,
            value_name = "TIME",
            value_parser = claim_keep,
            default_value = "30d",
            env = "HVYM_TUNNEL_CLAIM_KEEP",
            hide_env = true,
            help = "How long a claimed name is kept for an owner that stays away, as in 30d, 12h or 90m",
        )
    )]
    pub claim_keep: Duration,
    /// The DNS resolvers that are asked for the records of host names; empty: those of the system.
    #[serde(rename = "dns_server")]
    #[cfg_attr(
        feature = "clap",
        arg(
            long = "dns-server",
            value_name = "IP:PORT",
            value_delimiter = ',',
            env = "HVYM_TUNNEL_DNS_SERVER",
            hide_env = true,
            help = "Ask this DNS resolver for the records of host names, and not the system's; repeat for more",
        )
    )]
    pub dns_servers: Vec<SocketAddr>,
    /// Whether agents of older systems are reached at `/t/<name>/` too, where all of them and the relay are one origin for
    /// browsers.
    #[cfg_attr(
        feature = "clap",
        arg(
            long,
            env = "HVYM_TUNNEL_PATH_NAMES",
            hide_env = true,
            help = "Lead /t/NAME/ to the agents of older systems too",
            long_help = "Lead /t/NAME/ to the agents of older systems too\n\n\
            For domains without a wildcard record. To a browser all of them and the relay are one website, so their \
            pages run in a sandbox, without cookies and storage.",
        )
    )]
    pub path_names: bool,
}

impl Default for NameSettings {
    fn default() -> Self {
        Self { claim_names: false, claim_keep: CLAIM_KEEP, dns_servers: Vec::new(), path_names: false }
    }
}

fn read_keep<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    claim_keep(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
}

fn write_keep<S: Serializer>(keep: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{}s", keep.as_secs()))
}

/// A time in days, hours, minutes or seconds, from a second to ten years.
///
/// # Errors
/// The text is something else.
fn claim_keep(text: &str) -> Result<Duration, String> {
    let wrong = || "a time is needed, as in 30d, 12h, 90m or 45s, and at most 3650d".to_owned();
    let unit = text.chars().last().ok_or_else(wrong)?;
    let seconds = match unit {
        'd' => 86_400,
        'h' => 3600,
        'm' => 60,
        's' => 1,
        _ => return Err(wrong()),
    };
    let count: u64 = text.strip_suffix(unit).and_then(|count| count.parse().ok()).ok_or_else(wrong)?;
    let time = count.checked_mul(seconds).map(Duration::from_secs);
    time.filter(|time| !time.is_zero() && *time <= MAX_CLAIM_KEEP).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_number_and_a_unit() {
        for (text, seconds) in
            [("30d", 2_592_000), ("12h", 43_200), ("90m", 5400), ("1s", 1), ("3650d", 315_360_000)]
        {
            assert_eq!(claim_keep(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in
            ["", "d", "30", "0d", "-1d", "1.5d", "3651d", "30 d", "30dd", "18446744073709551615d", "１d"]
        {
            assert!(claim_keep(text).is_err(), "{text}");
        }
        assert_eq!(claim_keep("30d"), Ok(NameSettings::default().claim_keep));
        let file = "claim_names = true\nclaim_keep = \"12h\"\ndns_server = [\"192.0.2.1:53\"]";
        let names: NameSettings = toml::from_str(file).expect("settings");
        assert_eq!((names.claim_keep.as_secs(), names.dns_servers.len()), (43_200, 1));
        let written = serde_json::to_value(&names).expect("settings can be written");
        assert_eq!(written["claim_keep"], "43200s");
        assert_eq!(serde_json::from_value::<NameSettings>(written).expect("settings"), names);
    }
}
