//! What a page in a browser of this machine may ask of a relay that is for this machine alone: pages of this machine
//! anything, others nothing.
//!
//! Such a relay can be reached by no other machine, but every website in a browser here can send it requests, by its
//! address, or by a host name of its own that it has lead to 127.0.0.1 (DNS rebinding).

use http::header::{HeaderMap, ORIGIN};
use hvym_tunnel_core::relay::NameError;
use hvym_tunnel_net::target::is_loopback_host;
use hvym_tunnel_pages::Page;

use crate::config::RelayOptions;
use crate::http1::auth::is_allowed_origin;
use crate::pages;

/// The refusal of a request for the relay itself; `name` says by which host name it came.
pub(super) fn refusal(fields: &HeaderMap, name: &NameError, options: &RelayOptions) -> Option<Page> {
    if !options.is_for_this_machine() {
        return None;
    }
    if let NameError::OtherDomain { domain, host } = name
        && !is_loopback_host(without_brackets(host))
    {
        return Some(pages::foreign_host(domain, host));
    }
    let allowed = &options.admission.origins;
    let is_allowed = !allowed.is_empty() && is_allowed_origin(fields, allowed);
    let is_ours = fields.get_all(ORIGIN).iter().all(|origin| origin.to_str().is_ok_and(is_of_this_machine));
    (!is_allowed && !is_ours).then(pages::foreign_page)
}

/// Whether an origin (RFC 6454 section 6.2) is a program or a tunnel of this machine. `null` is not.
fn is_of_this_machine(origin: &str) -> bool {
    let authority = origin.split_once("://").map(|(_, authority)| authority);
    authority.is_some_and(|authority| {
        let end = authority.rfind(':').filter(|at| !authority[*at..].contains(']'));
        is_loopback_host(without_brackets(&authority[..end.unwrap_or(authority.len())]))
    })
}

/// An IPv6 address as it is elsewhere than in a URL.
fn without_brackets(host: &str) -> &str {
    host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_this_machine_are_told_from_all_others() {
        for origin in [
            "http://localhost",
            "https://localhost:3000",
            "http://web--x.LOCALHOST:4896",
            "http://127.0.0.1:8080",
            "http://127.9.9.9",
            "http://[::1]:80",
            "http://[::1]",
            "http://[::ffff:127.0.0.1]:1",
        ] {
            assert!(is_of_this_machine(origin), "{origin}");
        }
        for origin in [
            "null",
            "",
            "localhost",
            "https://evil.example",
            "https://localhost.evil.example",
            "https://evillocalhost",
            "http://127.0.0.1.evil.example",
            "http://192.168.1.1",
            "http://[::2]:80",
            "http://evil.example:127.0.0.1",
            "chrome-extension://abc",
        ] {
            assert!(!is_of_this_machine(origin), "{origin}");
        }
    }
}
