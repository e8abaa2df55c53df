//! How a person names the relay to dial.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use thiserror::Error;

use super::place::{PlaceError, authority, host_and_port, is_loopback_host, split_path};

/// Where a relay takes agents: `ws://` or `wss://`, host, port and path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RelayUrl {
    /// `wss://`; without it anybody on the way can read and alter what passes.
    pub tls: bool,
    /// A host name or an IP address, IPv6 without its brackets.
    pub host: String,
    /// Never 0.
    pub port: u16,
    /// Begins with `/`.
    pub path: String,
}

impl RelayUrl {
    /// Where every relay takes agents unless its URL says otherwise.
    pub const DEFAULT_PATH: &str = "/connect";

    /// `host:port`, as a dialer wants it.
    pub fn authority(&self) -> String {
        authority(&self.host, self.port)
    }

    /// The authority in lower case, without the port that the scheme implies: what a `Host` field says of it (RFC 9110
    /// section 7.2).
    pub fn host_field(&self) -> String {
        let host = self.host.to_ascii_lowercase();
        match self.port == if self.tls { 443 } else { 80 } {
            true if host.contains(':') => format!("[{host}]"),
            true => host,
            false => authority(&host, self.port),
        }
    }

    /// Whether it is named by an IP address, so that no name can be put before it.
    pub fn is_address(&self) -> bool {
        self.host.parse::<IpAddr>().is_ok()
    }

    /// Whether the way there never leaves this machine, so that plain `ws://` reveals nothing.
    pub fn is_loopback(&self) -> bool {
        is_loopback_host(&self.host)
    }
}

impl fmt::Display for RelayUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, usual) = if self.tls { ("wss", 443) } else { ("ws", 80) };
        match self.port == usual {
            true if self.host.contains(':') => write!(f, "{scheme}://[{}]", self.host)?,
            true => write!(f, "{scheme}://{}", self.host)?,
            false => write!(f, "{scheme}://{}", self.authority())?,
        }
        if self.path == Self::DEFAULT_PATH { Ok(()) } else { f.write_str(&self.path) }
    }
}

impl FromStr for RelayUrl {
    type Err = RelayUrlError;

    /// A bare host is `wss://`, and `http(s)://`, as copied from a browser, is taken for `ws(s)://`.
    fn from_str(text: &str) -> Result<Self, RelayUrlError> {
        let (tls, rest) = match text.split_once("://") {
            None => (true, text),
            Some(("wss" | "https", rest)) => (true, rest),
            Some(("ws" | "http", rest)) => (false, rest),
            Some((scheme, _)) => return Err(RelayUrlError::Scheme(scheme.to_owned())),
        };
        let (place, path) = split_path(rest);
        if path.contains('#') || !path.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(RelayUrlError::Path);
        }
        let path = if matches!(path, "" | "/") { Self::DEFAULT_PATH } else { path };
        if !path.starts_with('/') {
            return Err(RelayUrlError::Path);
        }
        let (host, port) = host_and_port(place, Some(if tls { 443 } else { 80 }))?;
        Ok(RelayUrl { tls, host, port, path: path.to_owned() })
    }
}

/// Why a text does not name a relay.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum RelayUrlError {
    /// Links are WebSockets.
    #[error("{0}:// does not lead to a relay: write wss://host or ws://localhost:4896")]
    Scheme(String),
    /// A fragment, a space, a control character.
    #[error("the path of a relay has only visible ASCII characters, and no #")]
    Path,
    /// The part after the scheme is wrong.
    #[error("{0}: write wss://host or ws://localhost:4896")]
    Place(#[from] PlaceError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relay_is_named_by_host_or_by_url_and_shown_as_short_as_it_can_be() {
        for (typed, shown, path) in [
            ("relay.example", "wss://relay.example", "/connect"),
            ("relay.example:8443", "wss://relay.example:8443", "/connect"),
            ("https://relay.example/", "wss://relay.example", "/connect"),
            ("wss://relay.example/hvym?x=1", "wss://relay.example/hvym?x=1", "/hvym?x=1"),
            ("ws://localhost:4896", "ws://localhost:4896", "/connect"),
            ("http://[::1]", "ws://[::1]", "/connect"),
        ] {
            let relay: RelayUrl = typed.parse().unwrap_or_else(|error| panic!("{typed}: {error}"));
            assert_eq!((relay.to_string().as_str(), relay.path.as_str()), (shown, path), "{typed}");
        }
        for typed in ["", "ftp://a", "wss://", "wss://a/\u{1b}[2J", "wss://a#b", "wss://a?b", "wss://u:p@a"] {
            assert!(typed.parse::<RelayUrl>().is_err(), "{typed}");
        }
    }

    #[test]
    fn the_authority_is_that_of_a_host_field() {
        for (relay, host) in [
            ("Relay.Example", "relay.example"),
            ("wss://relay.example:443", "relay.example"),
            ("wss://relay.example:80", "relay.example:80"),
            ("ws://localhost:80", "localhost"),
            ("ws://localhost:443", "localhost:443"),
            ("ws://[::1]", "[::1]"),
            ("wss://[2001:DB8::1]:8443", "[2001:db8::1]:8443"),
        ] {
            assert_eq!(relay.parse::<RelayUrl>().map(|relay| relay.host_field()), Ok(host.to_owned()));
        }
    }

    #[test]
    fn only_this_machine_is_loopback() {
        for (relay, loopback) in [
            ("ws://localhost", true),
            ("ws://Relay.localhost:1", true),
            ("ws://127.9.9.9", true),
            ("ws://[::1]:1", true),
            ("ws://localhost.example", false),
            ("ws://192.168.0.1", false),
        ] {
            assert_eq!(relay.parse::<RelayUrl>().map(|relay| relay.is_loopback()), Ok(loopback), "{relay}");
        }
    }
}
