//! TCP ports that lead to the tunnels of agents of older systems.

use std::fmt;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::sync::Arc;

use hvym_tunnel_core::names::check_label;
use serde::{Deserialize, Serialize};

use super::{access, text};

/// A port whose visitors reach one tunnel.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TunnelPort {
    /// Where visitors arrive.
    pub at: SocketAddr,
    /// The name of the tunnel.
    pub tunnel: Arc<str>,
}

/// The ports of tunnels, whose bytes are passed on unread.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "clap", derive(clap::Args), command(next_help_heading = "Tunnels of tunely's agents"))]
pub struct TunnelPortSettings {
    /// Each leads to the tunnel of one name, whether there is one or not.
    #[serde(
        rename = "tunnel_port",
        deserialize_with = "access::read_all",
        serialize_with = "access::write_all"
    )]
    #[cfg_attr(
        feature = "clap",
        arg(
            long = "tunnel-port",
            value_name = "PORT=NAME",
            value_delimiter = ',',
            env = "HVYM_TUNNEL_TUNNEL_PORT",
            hide_env = true,
            help = "Lead the bytes that come to this TCP port to the tunnel of this name; repeat for more",
            long_help = "Lead the bytes that come to this TCP port to the tunnel of this name; repeat for more\n\n\
            PORT is one of this machine alone, or has an address in front, as in 0.0.0.0:7000=shop. The agent of the tunnel must carry bytes, as \
            those of tunely in Python do.",
        )
    )]
    pub ports: Vec<TunnelPort>,
}

impl TunnelPortSettings {
    /// A port that would lead to two services, if there is one. `others` are those that services are given.
    pub(super) fn conflict(&self, others: Option<&RangeInclusive<u16>>) -> Option<u16> {
        let ports: Vec<u16> = self.ports.iter().map(|port| port.at.port()).collect();
        let is_other = |port: &u16| others.is_some_and(|others| others.contains(port));
        let is_twice = |at: usize| ports[..at].contains(&ports[at]);
        (0..ports.len()).find(|at| is_twice(*at) || is_other(&ports[*at])).map(|at| ports[at])
    }
}

impl FromStr for TunnelPort {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (at, tunnel) = text.split_once('=').ok_or("a port and a name are needed, as in 7000=shop")?;
        let at = text::listen_address(at)?;
        if at.port() == 0 {
            return Err("a port from 1 to 65535 is needed".to_owned());
        }
        check_label(tunnel).map_err(|error| error.to_string())?;
        Ok(Self { at, tunnel: tunnel.into() })
    }
}

impl fmt::Display for TunnelPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.at, self.tunnel)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(ports: &[&str]) -> TunnelPortSettings {
        TunnelPortSettings { ports: ports.iter().map(|port| port.parse().expect("a port")).collect() }
    }

    #[test]
    fn a_port_has_a_name_and_perhaps_an_address() {
        for (text, shown) in [
            ("7000=shop", "127.0.0.1:7000=shop"),
            ("0.0.0.0:1=a", "0.0.0.0:1=a"),
            ("[::]:65535=a-b", "[::]:65535=a-b"),
        ] {
            assert_eq!(text.parse::<TunnelPort>().map(|port| port.to_string()), Ok(shown.to_owned()));
        }
        for text in ["", "7000", "7000=", "0=shop", "65536=shop", "7000=Shop", "7000=a.b", "shop=7000"] {
            assert!(text.parse::<TunnelPort>().is_err(), "{text}");
        }
        let read: TunnelPortSettings = toml::from_str("tunnel_port = [\"7000=shop\"]").expect("settings");
        assert_eq!(read, settings(&["7000=shop"]));
    }

    #[test]
    fn a_port_leads_to_one_service() {
        let others = 7001..=7002;
        assert_eq!(settings(&["7000=a", "7003=a"]).conflict(Some(&others)), None);
        assert_eq!(settings(&["7000=a", "0.0.0.0:7000=b"]).conflict(None), Some(7000));
        for port in ["7001", "7002"] {
            let conflict = settings(&["7000=a", &format!("{port}=a")]).conflict(Some(&others));
            assert_eq!(conflict.map(|port| port.to_string()).as_deref(), Some(port));
        }
    }
}
