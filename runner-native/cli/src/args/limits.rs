//! `relay`: how much it takes, as a person types it. What each limit is for says [`Limits`].

use std::time::Duration;

use clap::Args;

use hvym_tunnel_net::seconds;
use hvym_tunnel_relay::Limits;

/// Flags without a value leave what [`Limits::default`] says.
#[derive(Args, Debug)]
#[command(next_help_heading = "Limits")]
pub(super) struct LimitArgs {
    /// Connections at once, of visitors and agents [default: 10000]
    #[arg(long, value_name = "N", value_parser = number, env = "HVYM_TUNNEL_MAX_CONNECTIONS", hide_env = true)]
    max_connections: Option<u32>,
    /// Agents at once [default: 1000]
    ///
    /// Each is one of the connections above.
    #[arg(long, value_name = "N", value_parser = number, env = "HVYM_TUNNEL_MAX_AGENTS", hide_env = true)]
    max_agents: Option<u32>,
    /// Connections at once of one visitor (an IPv4 address, or 64 bits of IPv6) [default: 256]
    ///
    /// Trusted proxies are exempt. So is this machine itself, until this or --visitor-rate is set.
    #[arg(long, value_name = "N", value_parser = number, env = "HVYM_TUNNEL_VISITOR_CONNECTIONS", hide_env = true)]
    visitor_connections: Option<u32>,
    /// New connections per second of one visitor, after a burst [default: 64]
    ///
    /// The burst is as large as --visitor-connections.
    #[arg(long, value_name = "N", value_parser = number, env = "HVYM_TUNNEL_VISITOR_RATE", hide_env = true)]
    visitor_rate: Option<u32>,
    /// Requests at once [default: 10000]
    #[arg(long, value_name = "N", value_parser = number, env = "HVYM_TUNNEL_MAX_REQUESTS", hide_env = true)]
    max_requests: Option<u32>,
    /// Requests at once to one service [default: 512]
    #[arg(long, value_name = "N", value_parser = number, env = "HVYM_TUNNEL_SERVICE_REQUESTS", hide_env = true)]
    service_requests: Option<u32>,
    /// Streams at once on the link of one agent [default: 1024]
    #[arg(long, value_name = "N", value_parser = number, env = "HVYM_TUNNEL_LINK_STREAMS", hide_env = true)]
    link_streams: Option<u32>,
    /// How long the head of a request may take (408) [default: 30]
    #[arg(long, value_name = "SECS", value_parser = seconds::parse, env = "HVYM_TUNNEL_HEAD_TIMEOUT", hide_env = true)]
    head_timeout: Option<Duration>,
    /// How long a connection may idle between requests [default: 75]
    #[arg(long, value_name = "SECS", value_parser = seconds::parse, env = "HVYM_TUNNEL_IDLE_TIMEOUT", hide_env = true)]
    idle_timeout: Option<Duration>,
    /// How long nothing of a request's body may come (408) [default: 60]
    #[arg(long, value_name = "SECS", value_parser = seconds::parse, env = "HVYM_TUNNEL_BODY_TIMEOUT", hide_env = true)]
    body_timeout: Option<Duration>,
    /// How long a visitor may read nothing of its answer [default: 120]
    #[arg(long, value_name = "SECS", value_parser = seconds::parse, env = "HVYM_TUNNEL_SEND_TIMEOUT", hide_env = true)]
    send_timeout: Option<Duration>,
    /// How long a service may take to begin its answer (504) [default: 300]
    #[arg(long, value_name = "SECS", value_parser = seconds::parse, env = "HVYM_TUNNEL_RESPONSE_TIMEOUT", hide_env = true)]
    response_timeout: Option<Duration>,
}

impl LimitArgs {
    /// What was said, and the defaults for the rest.
    pub(super) fn limits(&self) -> Limits {
        let usual = Limits::default();
        let count =
            |said: Option<u32>, usual| said.map_or(usual, |n| usize::try_from(n).unwrap_or(usize::MAX));
        Limits {
            connections: count(self.max_connections, usual.connections),
            visitor_connections: count(self.visitor_connections, usual.visitor_connections),
            visitor_rate: self.visitor_rate.unwrap_or(usual.visitor_rate),
            limit_loopback: self.visitor_connections.is_some() || self.visitor_rate.is_some(),
            sessions: count(self.max_agents, usual.sessions),
            requests: count(self.max_requests, usual.requests),
            service_requests: count(self.service_requests, usual.service_requests),
            link_streams: count(self.link_streams, usual.link_streams),
            head_timeout: self.head_timeout.unwrap_or(usual.head_timeout),
            idle_timeout: self.idle_timeout.unwrap_or(usual.idle_timeout),
            body_timeout: self.body_timeout.unwrap_or(usual.body_timeout),
            send_timeout: self.send_timeout.unwrap_or(usual.send_timeout),
            response_timeout: self.response_timeout.unwrap_or(usual.response_timeout),
        }
    }
}

/// Zero of anything would be a relay that serves nobody; a million of anything is more than a machine has.
fn number(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(number @ 1..=1_000_000) => Ok(number),
        _ => Err("a number from 1 to 1000000 is needed".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        limits: LimitArgs,
    }

    fn limits(flags: &[&str]) -> Limits {
        Line::parse_from([&["relay"], flags].concat()).limits.limits()
    }

    #[test]
    fn what_is_not_said_is_as_usual_and_as_the_help_says() {
        use clap::CommandFactory;

        let usual = Limits::default();
        assert_eq!(limits(&[]), usual);
        let help = Line::command().term_width(1000).render_help().to_string();
        let counts = [usual.connections, usual.sessions, usual.visitor_connections, usual.requests];
        let counts = [counts.as_slice(), &[usual.service_requests, usual.link_streams]].concat();
        let times = [usual.head_timeout, usual.idle_timeout, usual.body_timeout, usual.response_timeout];
        let times = times.iter().chain([&usual.send_timeout]).map(|time| time.as_secs().to_string());
        let all = counts.iter().map(ToString::to_string).chain(times);
        for number in all.chain([usual.visitor_rate.to_string()]) {
            assert!(help.contains(&format!("[default: {number}]")), "{number}: {help}");
        }
    }

    #[test]
    fn this_machine_is_limited_once_somebody_asks_for_it() {
        assert!(!limits(&["--max-connections", "5"]).limit_loopback);
        assert!(limits(&["--visitor-connections", "5"]).limit_loopback);
        assert!(limits(&["--visitor-rate", "5"]).limit_loopback);
        assert!(number("0").is_err() && number("1000001").is_err());
    }
}
