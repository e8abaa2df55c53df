//! The PROXY protocol, version 2: how a service learns who the visitor is (HAProxy's proxy-protocol.txt, section 2.2).
//!
//! Knows no socket; the owner of a service enables it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What no other protocol begins with.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Version 2; the connection is the proxy's own.
const LOCAL: u8 = 0x20;
/// Version 2, command PROXY.
const PROXY: u8 = 0x21;
const UNSPECIFIED: u8 = 0x00;
const TCP_OVER_IPV4: u8 = 0x11;
const TCP_OVER_IPV6: u8 = 0x21;

/// What goes before the first byte of a connection of `visitor`, who arrived at `at`. Without a visitor it says that
/// the connection is our own, which receivers take as it comes.
pub(super) fn header(visitor: Option<SocketAddr>, at: Option<SocketAddr>) -> Vec<u8> {
    let mut header = SIGNATURE.to_vec();
    let Some(visitor) = visitor else {
        header.extend_from_slice(&[LOCAL, UNSPECIFIED, 0, 0]);
        return header;
    };
    // Both addresses are of one family; one that is not known is the unspecified one.
    let at = at.filter(|at| at.is_ipv4() == visitor.is_ipv4());
    let (family, length, at) = match visitor {
        SocketAddr::V4(_) => {
            (TCP_OVER_IPV4, 12, at.unwrap_or(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0)))
        }
        SocketAddr::V6(_) => {
            (TCP_OVER_IPV6, 36, at.unwrap_or(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), 0)))
        }
    };
    header.extend_from_slice(&[PROXY, family, 0, length]);
    for ip in [visitor.ip(), at.ip()] {
        match ip {
            IpAddr::V4(ip) => header.extend_from_slice(&ip.octets()),
            IpAddr::V6(ip) => header.extend_from_slice(&ip.octets()),
        }
    }
    for port in [visitor.port(), at.port()] {
        header.extend_from_slice(&port.to_be_bytes());
    }
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(visitor: &str, at: &str) -> Vec<u8> {
        header(visitor.parse().ok(), at.parse().ok())
    }

    #[test]
    fn a_visitor_by_ipv4_is_told_in_28_bytes() {
        let expected = [
            0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a, 0x21, 0x11, 0, 12, 203,
            0, 113, 7, 198, 51, 100, 1, 0xc8, 0x22, 0x4e, 0x20,
        ];
        assert_eq!(of("203.0.113.7:51234", "198.51.100.1:20000"), expected);
    }

    #[test]
    fn a_visitor_by_ipv6_is_told_in_52_bytes() {
        let told = of("[2001:db8::7]:1", "[2001:db8::1]:258");
        assert_eq!(told[12..16], [0x21, 0x21, 0, 36]);
        assert_eq!(told[16..20], [0x20, 0x01, 0x0d, 0xb8]);
        assert_eq!((told[31], told[47]), (7, 1));
        assert_eq!(told[48..], [0, 1, 1, 2]);
    }

    #[test]
    fn what_is_not_known_is_unspecified_and_without_a_visitor_the_connection_is_our_own() {
        for at in ["", "[2001:db8::1]:9"] {
            let told = of("203.0.113.7:1", at);
            assert_eq!(told[12..], [0x21, 0x11, 0, 12, 203, 0, 113, 7, 0, 0, 0, 0, 0, 1, 0, 0]);
        }
        let told = of("nobody", "198.51.100.1:20000");
        assert_eq!(told[..12], SIGNATURE);
        assert_eq!(told[12..], [0x20, 0, 0, 0]);
    }
}
