//! How a relay takes the place of another process of itself.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use hvym_tunnel_net::listener::TcpListener;
use hvym_tunnel_net::seconds;
use serde::{Deserialize, Serialize};

/// How a relay takes the place of another process of itself without losing requests: the next one is started beside it, and
/// then it is asked to end.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "clap", derive(clap::Args), command(next_help_heading = "Restart"))]
pub struct RestartSettings {
    /// Whether several processes of the same user may listen at the relay's ports (`SO_REUSEPORT`); all of them must ask for
    /// it. Not the default, because a second relay that was started by mistake would take half of the visitors.
    #[cfg_attr(
        feature = "clap",
        arg(
            long,
            env = "HVYM_TUNNEL_REUSE_PORT",
            hide_env = true,
            help = "Let the next process of this relay listen beside this one",
            long_help = "Let the next process of this relay listen beside this one\n\n\
            To restart without losing a request, start the next one with the same options, and send SIGTERM to this one when the \
            next one listens.",
        )
    )]
    pub reuse_port: bool,
    /// How long after its start the relay lets visitors of addresses wait whose agents it does not know: they are about to come
    /// back. 99 of 100 agents are there within 3 s.
    #[serde(with = "seconds")]
    #[cfg_attr(feature = "clap", arg(
        long, value_name = "SECS", value_parser = seconds::parse,
        default_value = "5", hide_default_value = true,
        env = "HVYM_TUNNEL_HOLD", hide_env = true,
        help = "How long after the start visitors wait for agents that come back [default: 5]",
    ))]
    pub hold: Duration,
    /// How long what is under way may take when the relay ends, or its next process has taken over.
    #[serde(with = "seconds")]
    #[cfg_attr(feature = "clap", arg(
        long, value_name = "SECS", value_parser = seconds::parse,
        default_value = "10", hide_default_value = true,
        env = "HVYM_TUNNEL_DRAIN_TIMEOUT", hide_env = true,
        help = "How long what is under way may take at the end, or after an upgrade [default: 10]",
        long_help = "How long what is under way may take at the end, or after an upgrade [default: 10]\n\n\
            On SIGUSR2 the relay starts its program anew, as it is on the disk then, and gives it its listeners: no request is lost, and WebSockets and downloads \
            that end within this time are not cut.",
    ))]
    pub drain_timeout: Duration,
}

impl RestartSettings {
    /// Listens at `at`, beside the next process of the relay if that is wanted.
    ///
    /// # Errors
    /// Those of [`TcpListener::listen`].
    pub(crate) fn listen(&self, at: SocketAddr, keepalive: Duration) -> io::Result<TcpListener> {
        if self.reuse_port {
            TcpListener::listen_beside_others(at, Some(keepalive))
        } else {
            TcpListener::listen(at, Some(keepalive))
        }
    }
}

impl Default for RestartSettings {
    fn default() -> Self {
        Self { reuse_port: false, hold: Duration::from_secs(5), drain_timeout: Duration::from_secs(10) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_says_how_a_relay_is_replaced_as_the_command_line_does() {
        let read = |text| toml::from_str::<RestartSettings>(text);
        let [hold, drain_timeout] = [500, 90_000].map(Duration::from_millis);
        let expected = RestartSettings { reuse_port: true, hold, drain_timeout };
        assert_eq!(read("reuse_port = true\nhold = 0.5\ndrain_timeout = 90"), Ok(expected));
        assert_eq!(read(""), Ok(RestartSettings::default()));
        assert!(read("hold = -1").is_err());
    }
}
