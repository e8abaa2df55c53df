//! Options of the inspector of `expose` and `manager`.

use std::io::{self, IsTerminal};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use clap::Args;
use hvym_tunnel_inspector::DEFAULT_PORT;
use thiserror::Error;

use crate::inspect::InspectOptions;

#[derive(Args, Debug)]
#[command(next_help_heading = "Inspector")]
pub(crate) struct InspectArgs {
    /// Show requests in a browser on this machine: at localhost:4300 or the next free port, or at this address; "off" does not
    ///
    /// On a terminal this is the default of expose. The latest 100 requests are kept in memory, 64 MiB in all and 1 MiB of each body.
    /// On Linux other users of the machine are refused, unless this program runs as root; elsewhere they can see them too.
    #[arg(
        long,
        value_name = "ADDRESS",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "localhost",
        env = "HVYM_TUNNEL_INSPECT",
        hide_env = true
    )]
    inspect: Option<InspectAt>,
    /// Show requests of private services too
    #[arg(long, env = "HVYM_TUNNEL_INSPECT_PRIVATE", hide_env = true)]
    inspect_private: bool,
}

/// Where the inspector is.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum InspectAt {
    Off,
    At(SocketAddr),
}

/// Why a text is no place for the inspector.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
enum InspectAtError {
    #[error("it is a port, an address of this machine alone with or without a port, or off")]
    Malformed,
    #[error("{0} is no address of this machine alone, and whoever sees requests sees their secrets")]
    NotLoopback(IpAddr),
}

impl FromStr for InspectAt {
    type Err = InspectAtError;

    fn from_str(text: &str) -> Result<Self, InspectAtError> {
        let text = text.trim();
        if matches!(text, "off" | "no" | "false" | "0") {
            return Ok(InspectAt::Off);
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') && !host.ends_with(':') => (host, Some(port)),
            _ if text.parse::<u16>().is_ok() => ("localhost", Some(text)),
            _ => (text, None),
        };
        let ip = match host {
            "" | "localhost" | "on" | "yes" | "true" => IpAddr::V4(Ipv4Addr::LOCALHOST),
            "[::1]" | "::1" => IpAddr::V6(Ipv6Addr::LOCALHOST),
            host => host.parse().map_err(|_| InspectAtError::Malformed)?,
        };
        if !ip.is_loopback() {
            return Err(InspectAtError::NotLoopback(ip));
        }
        let port = port.map_or(Ok(DEFAULT_PORT), str::parse).map_err(|_| InspectAtError::Malformed)?;
        Ok(InspectAt::At(SocketAddr::new(ip, port)))
    }
}

impl InspectArgs {
    /// Where to show what; `None` is nowhere. `is_for_programs` is whether nobody reads along.
    pub(crate) fn options(&self, is_for_programs: bool) -> Option<InspectOptions> {
        let (private, usual) = (self.inspect_private, SocketAddr::from((Ipv4Addr::LOCALHOST, DEFAULT_PORT)));
        match self.inspect {
            Some(InspectAt::Off) => None,
            Some(InspectAt::At(at)) => Some(InspectOptions { at, private, is_asked_for: true }),
            None if self.inspect_private => Some(InspectOptions { at: usual, private, is_asked_for: true }),
            None if is_for_programs || !io::stderr().is_terminal() => None,
            None => Some(InspectOptions { at: usual, private, is_asked_for: false }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_written_as_people_write_places() {
        for (text, at) in [
            ("localhost", "127.0.0.1:4300"),
            ("4301", "127.0.0.1:4301"),
            ("127.0.0.1", "127.0.0.1:4300"),
            ("127.0.0.1:9", "127.0.0.1:9"),
            ("localhost:80", "127.0.0.1:80"),
            ("[::1]:4300", "[::1]:4300"),
            ("[::1]", "[::1]:4300"),
            (":4302", "127.0.0.1:4302"),
        ] {
            assert_eq!(text.parse(), Ok(InspectAt::At(at.parse().expect("an address"))), "{text}");
        }
        assert_eq!("off".parse(), Ok(InspectAt::Off));
        for open in ["0.0.0.0:4300", "192.168.1.2"] {
            assert!(matches!(open.parse::<InspectAt>(), Err(InspectAtError::NotLoopback(_))), "{open}");
        }
        for wrong in ["website.example", "70000", "localhost:x", "127.0.0.1:4300:1"] {
            assert_eq!(wrong.parse::<InspectAt>(), Err(InspectAtError::Malformed), "{wrong}");
        }
    }
}
