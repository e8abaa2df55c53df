//! The names of a relay itself: by which of them agents may dial it. It resolves no name.

use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;

use crate::handshake::split_port;

/// The authorities that a relay takes for its own. A login is bound to one of them, so each that somebody else could have an agent
/// dial is a way into the middle: ports count too, since another program of the same machine may listen at another one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OwnNames {
    /// Lower case, without ports.
    hosts: Vec<String>,
    /// Lower case, with the port that alone is meant, or `*`.
    authorities: Vec<String>,
    /// The ports at which the relay is reached, besides the usual ones of HTTP, which are not written.
    ports: Vec<u16>,
}

impl OwnNames {
    /// The names of a relay with this domain that is reached at these ports.
    pub fn new(domain: &str, ports: impl IntoIterator<Item = u16>) -> Self {
        let domain = Some(domain.to_ascii_lowercase()).filter(|domain| !is_loopback(domain));
        Self {
            hosts: domain.into_iter().collect(),
            authorities: Vec::new(),
            ports: ports.into_iter().collect(),
        }
    }

    /// Adds a name: a host, reached at the ports of the relay, a host and the port that alone is meant, or a host and `*` for every
    /// port.
    pub fn add(&mut self, name: &str) {
        let name = name.to_ascii_lowercase();
        match split_port(&name) {
            (_, Some(_)) => self.authorities.push(name),
            (_, None) => self.hosts.push(name),
        }
    }

    /// Whether this authority, in the form of [`normal_authority`](crate::handshake::normal_authority), is the relay's own, for somebody
    /// on the same machine (`is_local`) or elsewhere. Names of the machine itself are everybody's own, and mean this relay only there.
    pub fn contains(&self, authority: &str, is_local: bool) -> bool {
        let (host, port) = split_port(authority);
        let is_reached = match port {
            None => true,
            Some(port) => port.parse().is_ok_and(|port: u16| self.ports.contains(&port)),
        };
        let is_known = self.hosts.iter().any(|known| known == host) || (is_local && is_loopback(host));
        (is_reached && is_known) || self.authorities.iter().any(|known| is_meant(known, authority))
    }
}

/// Whether `known`, which names a port or all of them, means `authority`.
fn is_meant(known: &str, authority: &str) -> bool {
    known.strip_suffix(":*").map_or(known == authority, |host| host == split_port(authority).0)
}

/// Whether `host` means the machine that says it (RFC 6761 section 6.3).
fn is_loopback(host: &str) -> bool {
    let address = host.trim_matches(['[', ']']);
    host == "localhost"
        || host.ends_with(".localhost")
        || address.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_host_at_a_port_of_the_relay() {
        let mut names = OwnNames::new("Tunnel.example", [4896, 8443]);
        names.add("Relay.internal");
        names.add("192.0.2.7:9000");
        names.add("Mapped.example:*");
        for (authority, is_own) in [
            ("tunnel.example", true),
            ("tunnel.example:4896", true),
            ("tunnel.example:8443", true),
            ("tunnel.example:8444", false),
            ("tunnel.example:", false),
            ("x.tunnel.example", false),
            ("example", false),
            ("relay.internal", true),
            ("relay.internal:8443", true),
            ("192.0.2.7:9000", true),
            ("mapped.example", true),
            ("mapped.example:1", true),
            ("mapped.example.org:1", false),
            ("mapped.example:*", true),
            ("192.0.2.7", false),
            ("192.0.2.7:4896", false),
            ("", false),
        ] {
            for is_local in [true, false] {
                assert_eq!(names.contains(authority, is_local), is_own, "{authority} {is_local}");
            }
        }
    }

    #[test]
    fn names_of_the_machine_itself_mean_the_relay_there_alone() {
        let mut names = OwnNames::new("tunnel.example", [4896]);
        for host in ["localhost", "a.localhost", "127.0.0.1", "127.9.9.9", "[::1]", "[::ffff:127.0.0.1]"] {
            let authority = alloc::format!("{host}:4896");
            assert!(names.contains(&authority, true) && names.contains(host, true), "{host}");
            assert!(!names.contains(&authority, false) && !names.contains(host, false), "{host}");
            assert!(!names.contains(&alloc::format!("{host}:4897"), true), "{host}");
        }
        assert!(!names.contains("192.0.2.7:4896", true) && !names.contains("localhost.example", true));
        let default = OwnNames::new("localhost", [4896]);
        assert!(default.contains("localhost:4896", true) && !default.contains("localhost:4896", false));
        names.add("localhost:5000");
        assert!(names.contains("localhost:5000", false), "the operator says so");
        assert!(!names.contains("localhost:4896", false));
        names.add("localhost");
        assert!(names.contains("localhost:4896", false));
    }
}
