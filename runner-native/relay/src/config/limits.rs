//! The limits of a relay, and the timeouts of its visitors.

use std::time::Duration;

use hvym_tunnel_net::seconds;
use serde::{Deserialize, Serialize};

use super::text::read_count;

/// How much a relay takes. Every number has a bound behind it: raising one costs the memory or time it names.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "clap", derive(clap::Args), command(next_help_heading = "Limits"))]
pub struct Limits {
    /// Connections of visitors and agents at once. Each holds some 20 KiB and a file descriptor; what comes
    /// above it is turned away at once, so that the relay never dies of too many.
    #[serde(rename = "max_connections", deserialize_with = "read_count")]
    #[cfg_attr(feature = "clap", arg(
        long = "max-connections", value_name = "N", value_parser = super::text::count::<usize>,
        default_value_t = Limits::DEFAULT.connections, hide_default_value = true,
        env = "HVYM_TUNNEL_MAX_CONNECTIONS", hide_env = true,
        help = "Connections at once, of visitors and agents [default: 10000]",
    ))]
    pub connections: usize,
    /// Sessions at once, logged in or not. Each can hold its multiplexer's whole receive window.
    #[serde(rename = "max_agents", deserialize_with = "read_count")]
    #[cfg_attr(feature = "clap", arg(
        long = "max-agents", value_name = "N", value_parser = super::text::count::<usize>,
        default_value_t = Limits::DEFAULT.sessions, hide_default_value = true,
        env = "HVYM_TUNNEL_MAX_AGENTS", hide_env = true,
        help = "Agents at once [default: 1000]",
        long_help = "Agents at once [default: 1000]\n\nEach is one of the connections above.",
    ))]
    pub sessions: usize,
    /// Requests under way at once, those of upgraded connections included. Each holds some 100 KiB, and 256 KiB more of an
    /// answer that is not read.
    #[serde(rename = "max_requests", deserialize_with = "read_count")]
    #[cfg_attr(feature = "clap", arg(
        long = "max-requests", value_name = "N", value_parser = super::text::count::<usize>,
        default_value_t = Limits::DEFAULT.requests, hide_default_value = true,
        env = "HVYM_TUNNEL_MAX_REQUESTS", hide_env = true,
        help = "Requests at once [default: 10000]",
    ))]
    pub requests: usize,
    /// The same for one service, so that one that hangs does not take the place of all.
    #[serde(deserialize_with = "read_count")]
    #[cfg_attr(feature = "clap", arg(
        long, value_name = "N", value_parser = super::text::count::<usize>,
        default_value_t = Limits::DEFAULT.service_requests, hide_default_value = true,
        env = "HVYM_TUNNEL_SERVICE_REQUESTS", hide_env = true,
        help = "Requests at once to one service [default: 512]",
    ))]
    pub service_requests: usize,
    /// Streams at once on the link of one agent, each a connection to a service, in use or idle. Above the requests of one
    /// service, so that none waits for a stream. Agents take 16384, or as many as they may have files open. Of those that
    /// carry requests 256 KiB can be unread.
    #[serde(deserialize_with = "read_count")]
    #[cfg_attr(feature = "clap", arg(
        long, value_name = "N", value_parser = super::text::count::<usize>,
        default_value_t = Limits::DEFAULT.link_streams, hide_default_value = true,
        env = "HVYM_TUNNEL_LINK_STREAMS", hide_env = true,
        help = "Connections at once to the services of one agent, idle ones included [default: 8192]",
    ))]
    pub link_streams: usize,
    /// Mebibytes that have come from all agents and that no visitor has read. Beyond them the streams that stand still are reset. Well
    /// below what most machines have, and far above what visitors who read leave.
    #[serde(rename = "max_unread", deserialize_with = "read_count")]
    #[cfg_attr(feature = "clap", arg(
        long = "max-unread", value_name = "MIB", value_parser = super::text::count::<usize>,
        default_value_t = Limits::DEFAULT.unread_mib, hide_default_value = true,
        env = "HVYM_TUNNEL_MAX_UNREAD", hide_env = true,
        help = "Mebibytes of answers that no visitor reads [default: 1024]",
    ))]
    pub unread_mib: usize,
    /// How long a head may take from its first byte to its last, however slowly they come.
    #[serde(with = "seconds")]
    #[cfg_attr(feature = "clap", arg(
        long, value_name = "SECS", value_parser = seconds::parse,
        default_value = "30", hide_default_value = true,
        env = "HVYM_TUNNEL_HEAD_TIMEOUT", hide_env = true,
        help = "How long the head of a request may take (408) [default: 30]",
    ))]
    pub head_timeout: Duration,
    /// How long a connection may idle between two requests. Browsers keep theirs for a minute or two.
    #[serde(with = "seconds")]
    #[cfg_attr(feature = "clap", arg(
        long, value_name = "SECS", value_parser = seconds::parse,
        default_value = "75", hide_default_value = true,
        env = "HVYM_TUNNEL_IDLE_TIMEOUT", hide_env = true,
        help = "How long a connection may idle between requests [default: 75]",
    ))]
    pub idle_timeout: Duration,
    /// How long nothing of a request's body, nor of its response, may come while the service waits for the body.
    #[serde(with = "seconds")]
    #[cfg_attr(feature = "clap", arg(
        long, value_name = "SECS", value_parser = seconds::parse,
        default_value = "60", hide_default_value = true,
        env = "HVYM_TUNNEL_BODY_TIMEOUT", hide_env = true,
        help = "How long nothing of a request's body may come (408) [default: 60]",
    ))]
    pub body_timeout: Duration,
    /// How long a visitor may read nothing of its answer. A paused film is asked for again when it goes on; whoever
    /// never reads would hold a place at the service for ever.
    #[serde(with = "seconds")]
    #[cfg_attr(feature = "clap", arg(
        long, value_name = "SECS", value_parser = seconds::parse,
        default_value = "120", hide_default_value = true,
        env = "HVYM_TUNNEL_SEND_TIMEOUT", hide_env = true,
        help = "How long a visitor may read nothing of its answer [default: 120]",
    ))]
    pub send_timeout: Duration,
    /// How long a service may take to begin its answer, counted from the last byte of the request that was
    /// passed on. Language models think for minutes; too short, and their visitors get a 504.
    #[serde(with = "seconds")]
    #[cfg_attr(feature = "clap", arg(
        long, value_name = "SECS", value_parser = seconds::parse,
        default_value = "300", hide_default_value = true,
        env = "HVYM_TUNNEL_RESPONSE_TIMEOUT", hide_env = true,
        help = "How long a service may take to begin its answer (504) [default: 300]",
    ))]
    pub response_timeout: Duration,
}

impl Limits {
    /// What holds unless something else is set.
    pub const DEFAULT: Limits = Limits {
        connections: 10_000,
        sessions: 1_000,
        requests: 10_000,
        service_requests: 512,
        link_streams: 8192,
        unread_mib: 1024,
        head_timeout: Duration::from_secs(30),
        idle_timeout: Duration::from_secs(75),
        body_timeout: Duration::from_secs(60),
        send_timeout: Duration::from_secs(120),
        response_timeout: Duration::from_secs(300),
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_names_limits_as_the_command_line_does() {
        let read: Limits = toml::from_str("max_agents = 5\nhead_timeout = 0.5").expect("limits");
        let expected = Limits { sessions: 5, head_timeout: Duration::from_millis(500), ..Limits::DEFAULT };
        assert_eq!(read, expected);
        for wrong in ["max_agents = 0", "idle_timeout = 0", "agents = 1"] {
            assert!(toml::from_str::<Limits>(wrong).is_err(), "{wrong}");
        }
    }
}
