//! The authority of a relay's URL, as an agent's login names it: host, and port where that is not the usual one of the scheme.
//!
//! It knows no relay's names.

use alloc::string::String;

use crate::text::split_once;

/// The authority that a WebSocket URL dials, in the form in which browsers send `Host` (RFC 6455 section 4.1): lower case, without
/// user information and without the default port of the scheme. `None` if it is no WebSocket URL.
pub fn dialled_authority(url: &str) -> Option<String> {
    let (scheme, rest) = split_once(url, "://")?;
    let usual_port = match scheme {
        "wss" => 443,
        "ws" => 80,
        _ => return None,
    };
    let authority = rest.split(['/', '?', '#']).next()?;
    let authority = authority.rsplit('@').next()?;
    Some(normal_authority(authority, usual_port)).filter(|authority| !authority.is_empty())
}

/// `authority` in lower case, without its port if that is `usual_port` or empty (RFC 3986 section 6.2.3).
pub fn normal_authority(authority: &str, usual_port: u16) -> String {
    let (host, port) = split_port(authority);
    let is_usual = port.is_some_and(|port| port.is_empty() || port.parse() == Ok(usual_port));
    if is_usual { host } else { authority }.to_ascii_lowercase()
}

/// Host, and what follows the colon of the port. An IPv6 address keeps its brackets.
pub(crate) fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_dials_what_a_browser_writes_into_host() {
        for (url, authority) in [
            ("wss://Relay.example", Some("relay.example")),
            ("wss://relay.example:443/connect", Some("relay.example")),
            ("ws://relay.example:443/", Some("relay.example:443")),
            ("ws://127.0.0.1:80?nonce=x", Some("127.0.0.1")),
            ("wss://relay.example:/", Some("relay.example")),
            ("wss://user:pass@relay.example:8443/a@b", Some("relay.example:8443")),
            ("ws://[::1]:4896/connect", Some("[::1]:4896")),
            ("ws://[::1]", Some("[::1]")),
            ("wss://", None),
            ("https://relay.example", None),
            ("relay.example", None),
        ] {
            assert_eq!(dialled_authority(url).as_deref(), authority, "{url}");
        }
    }
}
