//! The grammar of `host:port` that targets and relays share.

use std::net::{IpAddr, Ipv6Addr};

use thiserror::Error;

/// Why a text is not `host:port`.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum PlaceError {
    /// Nothing, or nothing before the port.
    #[error("the host is missing")]
    NoHost,
    /// `host` alone does not say where.
    #[error("the port is missing: write {0}:3000, say")]
    NoPort(String),
    /// Not a number from 1 to 65535.
    #[error("{0:?} is not a port: a port is a number from 1 to 65535")]
    Port(String),
    /// A character that no host name has.
    #[error("{0:?} is not a host name or an IP address")]
    Host(String),
    /// `::1:3000` can be read in two ways.
    #[error("an IPv6 address is written in brackets, as in [::1]:3000")]
    Brackets,
    /// Paths are the visitor's.
    #[error("a path, a query or a fragment has no place here: visitors bring their own")]
    NoPathAllowed,
    /// `user:password@host`; the text is not repeated, for it holds a password.
    #[error("a user name or password has no place in an address")]
    UserInfo,
}

/// `host:port`, IPv6 in brackets.
pub fn authority(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// Splits before the first `/`, `?` or `#`.
pub(super) fn split_path(text: &str) -> (&str, &str) {
    text.split_at(text.find(['/', '?', '#']).unwrap_or(text.len()))
}

/// Reads `host:port`; without a port, `default` is it.
///
/// # Errors
/// What is wrong; a password is not repeated.
pub fn host_and_port(text: &str, default: Option<u16>) -> Result<(String, u16), PlaceError> {
    if text.contains('@') {
        return Err(PlaceError::UserInfo);
    }
    let (host, after) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']').ok_or(PlaceError::Brackets)?;
            if host.parse::<Ipv6Addr>().is_err() {
                return Err(PlaceError::Host(host.to_owned()));
            }
            (host, after)
        }
        None if text.matches(':').count() > 1 => return Err(PlaceError::Brackets),
        None => {
            let (host, after) = text.split_at(text.find(':').unwrap_or(text.len()));
            is_host(host)?;
            (host, after)
        }
    };
    match after.strip_prefix(':') {
        Some(text) => Ok((host.to_owned(), port(text)?)),
        None if !after.is_empty() => Err(PlaceError::Brackets),
        None => {
            default.map(|port| (host.to_owned(), port)).ok_or_else(|| PlaceError::NoPort(host.to_owned()))
        }
    }
}

fn is_host(host: &str) -> Result<(), PlaceError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    // RFC 1035 section 2.3.4: names have at most 255 octets, 253 of them visible.
    match host {
        "" => Err(PlaceError::NoHost),
        host if host.len() > 253 || host.starts_with(['-', '.']) || host.contains("..") => {
            Err(PlaceError::Host(host.to_owned()))
        }
        host if host.bytes().all(allowed) => Ok(()),
        host => Err(PlaceError::Host(host.to_owned())),
    }
}

pub(super) fn port(text: &str) -> Result<u16, PlaceError> {
    // `parse` alone would take "+80".
    match text.parse() {
        Ok(port) if port > 0 && text.bytes().all(|byte| byte.is_ascii_digit()) => Ok(port),
        _ => Err(PlaceError::Port(text.to_owned())),
    }
}

/// Whether a host without brackets is this machine by what it is called: [`is_localhost`], or a loopback address.
pub fn is_loopback_host(host: &str) -> bool {
    is_localhost(host) || host.parse().is_ok_and(|ip: IpAddr| ip.to_canonical().is_loopback())
}

/// Whether a host is called `localhost` or is below that, which is always loopback and never asked of DNS (RFC 6761 section 6.3).
pub fn is_localhost(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    host == "localhost" || host.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_known_by_its_names_and_addresses() {
        for host in [
            "localhost",
            "LOCALHOST",
            "localhost.",
            "web--x.localhost",
            "127.0.0.1",
            "127.9.9.9",
            "::1",
            "::ffff:127.0.0.1",
        ] {
            assert!(is_loopback_host(host), "{host}");
        }
        for host in [
            "",
            ".",
            "localhost..",
            "evillocalhost",
            "localhost.example",
            "127.0.0.1.example",
            "192.168.1.1",
            "::2",
            "0.0.0.0",
            "[::1]",
        ] {
            assert!(!is_loopback_host(host), "{host}");
        }
    }
}
