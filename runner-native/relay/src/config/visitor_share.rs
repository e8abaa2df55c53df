//! How much of a relay one visitor may use.

use std::time::Duration;

use hvym_proxy::MinRate;
use hvym_proxy::limits::{VisitorLimitsConfig, VisitorRate, VisitorShare};
use hvym_tunnel_net::seconds;
use serde::{Deserialize, Serialize};

use super::Limits;
use super::text::{read_count, read_optional_count};

/// How much of a relay one visitor may use: an IPv4 address, or a /64 of IPv6; behind a trusted proxy, the one that it
/// names. As long as no number of these is set, visitors of this machine have none of these limits: a proxy here that is
/// not among the trusted ones must not be taken for one visitor.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "clap", derive(clap::Args), command(next_help_heading = "Limits of one visitor"))]
pub struct VisitorSettings {
    /// Connections at once, and how many may be opened in one go; `None` is [`Self::DEFAULT_CONNECTIONS`].
    #[serde(rename = "visitor_connections", deserialize_with = "read_optional_count")]
    #[cfg_attr(feature = "clap", arg(
        id = "visitor_connections", long = "visitor-connections", value_name = "N", value_parser = super::text::count::<usize>,
        env = "HVYM_TUNNEL_VISITOR_CONNECTIONS", hide_env = true,
        help = "Connections at once of one visitor (an IPv4 address, or 64 bits of IPv6) [default: 256]",
        long_help = "Connections at once of one visitor (an IPv4 address, or 64 bits of IPv6) [default: 256]\n\n\
            Connections of trusted proxies are exempt, and what comes by them counts for the visitor they name. This machine \
            itself has no limits of its own until one of these is set.",
    ))]
    pub connections: Option<usize>,
    /// New connections per second, in the long run; `None` is [`Self::DEFAULT_RATE`].
    #[serde(rename = "visitor_rate", deserialize_with = "read_optional_count")]
    #[cfg_attr(feature = "clap", arg(
        id = "visitor_rate", long = "visitor-rate", value_name = "N", value_parser = super::text::count::<u32>,
        env = "HVYM_TUNNEL_VISITOR_RATE", hide_env = true,
        help = "New connections per second of one visitor, after a burst [default: 64]",
        long_help = "New connections per second of one visitor, after a burst [default: 64]\n\n\
            The burst is as large as --visitor-connections.",
    ))]
    pub rate: Option<u32>,
    /// Requests at once to one service, tunnels included; `None` is a quarter of [`Limits::service_requests`], so that no
    /// visitor takes the places of all. To all services together it may have four times as many.
    #[serde(rename = "visitor_requests", deserialize_with = "read_optional_count")]
    #[cfg_attr(feature = "clap", arg(
        id = "visitor_requests", long = "visitor-requests", value_name = "N", value_parser = super::text::count::<usize>,
        env = "HVYM_TUNNEL_VISITOR_REQUESTS", hide_env = true,
        help = "Requests at once of one visitor to one service [default: a quarter of --service-requests]",
    ))]
    pub requests: Option<usize>,
    /// WebSockets and other upgraded connections, and TCP connections, at once to one service; `None` is half of the
    /// requests. They last, so there is room for requests beside them.
    #[serde(rename = "visitor_tunnels", deserialize_with = "read_optional_count")]
    #[cfg_attr(feature = "clap", arg(
        id = "visitor_tunnels", long = "visitor-tunnels", value_name = "N", value_parser = super::text::count::<usize>,
        env = "HVYM_TUNNEL_VISITOR_TUNNELS", hide_env = true,
        help = "WebSockets and TCP connections of one visitor to one service [default: half of --visitor-requests]",
    ))]
    pub tunnels: Option<usize>,
    /// Requests per second that a visitor may break off before their answer, in the long run; `None` is
    /// [`Self::DEFAULT_RESETS`].
    #[serde(rename = "visitor_resets", deserialize_with = "read_optional_count")]
    #[cfg_attr(feature = "clap", arg(
        id = "visitor_resets", long = "visitor-resets", value_name = "N", value_parser = super::text::count::<u32>,
        env = "HVYM_TUNNEL_VISITOR_RESETS", hide_env = true,
        help = "Requests per second that one visitor may break off, after a burst of ten times as many [default: 50]",
    ))]
    pub resets: Option<u32>,
    /// How long nothing may pass over an upgraded or TCP connection, or between two sides that stream, in either direction. Whoever pings stays; of the
    /// others, a visitor who lost its network cannot be told from one who is silent. As long as HAProxy's examples wait.
    #[serde(with = "seconds")]
    #[cfg_attr(feature = "clap", arg(
        long, value_name = "SECS", value_parser = seconds::parse,
        default_value = "3600", hide_default_value = true,
        env = "HVYM_TUNNEL_TUNNEL_TIMEOUT", hide_env = true,
        help = "How long a WebSocket or TCP connection may be silent [default: 3600]",
    ))]
    pub tunnel_timeout: Duration,
    /// Bytes per second of a request's body and of an answer, in the long run, where more than half of the places of the
    /// service or of the relay are taken. A modem of 1990 is ten times as fast, and whoever is slower holds a place for
    /// hours.
    #[serde(deserialize_with = "read_count")]
    #[cfg_attr(feature = "clap", arg(
        long, value_name = "BYTES", value_parser = super::text::count::<u32>,
        default_value_t = VisitorSettings::DEFAULT.min_rate, hide_default_value = true,
        env = "HVYM_TUNNEL_MIN_RATE", hide_env = true,
        help = "Bytes per second that a visitor sends and reads at least, when most places are taken [default: 240]",
    ))]
    pub min_rate: u32,
}

impl VisitorSettings {
    /// What holds unless something else is set.
    pub const DEFAULT: VisitorSettings = VisitorSettings {
        connections: None,
        rate: None,
        requests: None,
        tunnels: None,
        resets: None,
        tunnel_timeout: Duration::from_secs(3600),
        min_rate: 240,
    };
    /// A browser has six connections to a host, an office behind one address some dozens.
    pub const DEFAULT_CONNECTIONS: usize = 256;
    /// A TLS handshake costs a relay a millisecond.
    pub const DEFAULT_RATE: u32 = 64;
    /// A page that is left breaks off its hundred requests at once, and people do not leave one each second. Each costs
    /// the agent a connection to the service.
    pub const DEFAULT_RESETS: u32 = 50;
    /// A visitor may have its share of so many services at once.
    const SERVICES: usize = 4;
    /// A burst, in seconds of the rate.
    const RESET_BURST: u32 = 10;

    /// Whether visitors of this machine have no limits of their own.
    pub const fn exempts_loopback(&self) -> bool {
        self.connections.is_none()
            && self.rate.is_none()
            && self.requests.is_none()
            && self.tunnels.is_none()
            && self.resets.is_none()
    }

    /// How slow a body may be of which nothing may come for `pause`.
    pub(crate) const fn min_rate(&self, pause: Duration) -> MinRate {
        MinRate { bytes_per_second: self.min_rate, pause }
    }

    /// The limits of all visitors, and of each.
    pub(crate) fn counted(&self, limits: &Limits) -> VisitorLimitsConfig {
        let connections = self.connections.unwrap_or(Self::DEFAULT_CONNECTIONS);
        let service_requests = self.requests.unwrap_or(limits.service_requests / 4).max(1);
        let resets = self.resets.unwrap_or(Self::DEFAULT_RESETS);
        let share = VisitorShare {
            connections,
            connection_rate: VisitorRate {
                per_second: self.rate.unwrap_or(Self::DEFAULT_RATE),
                burst: u32::try_from(connections).unwrap_or(u32::MAX),
            },
            requests: service_requests.saturating_mul(Self::SERVICES),
            service_requests,
            service_tunnels: self.tunnels.unwrap_or(service_requests / 2).max(1),
            reset_rate: VisitorRate { per_second: resets, burst: resets.saturating_mul(Self::RESET_BURST) },
        };
        VisitorLimitsConfig {
            connections: limits.connections,
            requests: limits.requests,
            service_requests: limits.service_requests,
            visitor: share,
        }
    }
}

impl Default for VisitorSettings {
    fn default() -> Self {
        Self::DEFAULT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_names_them_as_the_command_line_does() {
        let read: VisitorSettings =
            toml::from_str("visitor_rate = 7\nvisitor_tunnels = 3\ntunnel_timeout = 0.5").expect("settings");
        let expected = VisitorSettings {
            rate: Some(7),
            tunnels: Some(3),
            tunnel_timeout: Duration::from_millis(500),
            ..VisitorSettings::DEFAULT
        };
        assert_eq!(read, expected);
        for wrong in ["visitor_rate = 1000001", "visitor_requests = 0", "min_rate = 0", "rate = 1"] {
            assert!(toml::from_str::<VisitorSettings>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_not_set_is_a_part_of_what_all_have() {
        let share = |settings: VisitorSettings, service_requests| {
            let limits = Limits { service_requests, ..Limits::DEFAULT };
            let share = settings.counted(&limits).visitor;
            (share.service_requests, share.service_tunnels, share.requests)
        };
        assert_eq!(share(VisitorSettings::DEFAULT, 512), (128, 64, 512));
        assert_eq!(share(VisitorSettings::DEFAULT, 1), (1, 1, 4), "one at least");
        assert_eq!(share(VisitorSettings { requests: Some(9), ..VisitorSettings::DEFAULT }, 512), (9, 4, 36));
        assert_eq!(
            share(
                VisitorSettings { requests: Some(9000), tunnels: Some(7), ..VisitorSettings::DEFAULT },
                512
            ),
            (9000, 7, 36_000)
        );
    }
}
