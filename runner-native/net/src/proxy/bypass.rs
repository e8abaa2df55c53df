//! `NO_PROXY`: which places are reached directly. The rules are curl's.

use std::net::IpAddr;

use ipnet::IpNet;

/// Whether `list` names `host`, or `host` at `port`. Entries are separated by commas or blanks: a host (which means the
/// names below it too, with or without a leading dot), an address, a network as `10.0.0.0/8`, each perhaps with a
/// port, or `*` for every place.
pub(super) fn lists(list: &str, host: &str, port: u16) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    let entries = list.split([',', ' ', '\t']).filter(|entry| !entry.is_empty());
    entries.into_iter().any(|entry| entry == "*" || names(&entry.to_ascii_lowercase(), &host, port))
}

fn names(entry: &str, host: &str, port: u16) -> bool {
    if let Ok(address) = host.parse::<IpAddr>() {
        if let Ok(network) = entry.parse::<IpNet>() {
            return network.contains(&address);
        }
        let (entry, of_port) = split_port(entry);
        let same = entry.trim_matches(['[', ']']).parse::<IpAddr>() == Ok(address);
        return same && of_port.is_none_or(|of| of == port);
    }
    let (entry, of_port) = split_port(entry);
    let domain = entry.trim_matches('.');
    let below = host.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    !domain.is_empty() && below && of_port.is_none_or(|of| of == port)
}

/// A port follows a name, an IPv4 address, or an IPv6 address in brackets.
fn split_port(entry: &str) -> (&str, Option<u16>) {
    match entry.rsplit_once(':') {
        Some((place, port)) if !place.contains(':') || place.ends_with(']') => match port.parse() {
            Ok(port) => (place, Some(port)),
            Err(_) => (entry, None),
        },
        _ => (entry, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_names_a_place_by_host_suffix_address_network_or_port() {
        for (list, host, listed) in [
            ("", "relay.example", false),
            ("*", "relay.example", true),
            ("example", "relay.example", true),
            (".example", "relay.example", true),
            ("*.example", "relay.example", false),
            ("relay.example", "Relay.Example.", true),
            ("relay.example.", "relay.example", true),
            (".relay.example", "relay.example", true),
            ("ay.example", "relay.example", false),
            ("relay.example", "example", false),
            ("other, RELAY.example", "relay.example", true),
            ("other\trelay.example", "relay.example", true),
            ("relay.example:443", "relay.example", true),
            ("relay.example:80", "relay.example", false),
            ("relay.example:", "relay.example", false),
            (",,.", "relay.example", false),
            ("192.0.2.1", "192.0.2.1", true),
            ("2.1", "192.0.2.1", false),
            ("192.0.2.0/24", "192.0.2.1", true),
            ("192.0.3.0/24", "192.0.2.1", false),
            ("192.0.2.1:443", "192.0.2.1", true),
            ("192.0.2.1:80", "192.0.2.1", false),
            ("2001:db8::1", "2001:db8::1", true),
            ("2001:0db8:0::1", "2001:db8::1", true),
            ("[2001:db8::1]:443", "2001:db8::1", true),
            ("[2001:db8::1]:80", "2001:db8::1", false),
            ("2001:db8::/32", "2001:db8::1", true),
        ] {
            assert_eq!(lists(list, host, 443), listed, "{list} {host}");
        }
    }
}
