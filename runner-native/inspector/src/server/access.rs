//! Who may ask at all: programs of this machine, and pages of the inspector itself.
//!
//! A website that leads its name to this machine is known by `Host`, one that asks across origins by `Origin` and
//! `Sec-Fetch-Site`. What neither a browser nor a program can be told by is decided by the token.

use http::HeaderMap;
use http::header::{HOST, ORIGIN};

/// Names of this machine that no website can have.
const OWN_HOSTS: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// Why a request is refused.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Denied {
    /// It names another host.
    Host,
    /// It was made by a page of another origin.
    Origin,
}

impl Denied {
    /// For whoever asked.
    pub(super) const fn reason(self) -> &'static str {
        match self {
            Denied::Host => "This page is reached as localhost, 127.0.0.1 or [::1] alone.\n",
            Denied::Origin => "Other pages may not ask here.\n",
        }
    }
}

/// Whether a request with these fields is let in. `is_page` is whether it is for the page, which any link may lead to.
///
/// # Errors
/// Why not.
pub(super) fn check(fields: &HeaderMap, is_page: bool) -> Result<(), Denied> {
    let host = fields.get(HOST).and_then(|host| host.to_str().ok()).ok_or(Denied::Host)?;
    if fields.get_all(HOST).iter().count() != 1 || !is_own(host) {
        return Err(Denied::Host);
    }
    if let Some(origin) = fields.get(ORIGIN) {
        let is_same = origin.to_str().ok().and_then(|origin| origin.strip_prefix("http://")) == Some(host);
        if !is_same {
            return Err(Denied::Origin);
        }
    }
    let site = fields.get("sec-fetch-site").map(|site| site.as_bytes());
    let is_link = is_page && fields.get("sec-fetch-mode").is_some_and(|mode| mode == "navigate");
    match site {
        None | Some(b"same-origin" | b"none") => Ok(()),
        Some(_) if is_link => Ok(()),
        Some(_) => Err(Denied::Origin),
    }
}

fn is_own(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        // The last colon of an address without a port is within its brackets.
        Some((name, port)) if !port.ends_with(']') => match port.parse::<u16>() {
            Ok(_) => name,
            Err(_) => return false,
        },
        _ => host,
    };
    OWN_HOSTS.iter().any(|own| name.eq_ignore_ascii_case(own))
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn checked(fields: &[(&'static str, &str)], is_page: bool) -> Result<(), Denied> {
        let mut map = HeaderMap::new();
        for (name, value) in fields {
            map.append(HeaderName::from_static(name), HeaderValue::from_str(value).expect("a value"));
        }
        check(&map, is_page)
    }

    #[test]
    fn only_names_of_this_machine_are_hosts() {
        for host in ["localhost", "localhost:4300", "127.0.0.1:1", "[::1]", "[::1]:4300", "LOCALHOST:80"] {
            assert_eq!(checked(&[("host", host)], false), Ok(()), "{host}");
        }
        for host in [
            "",
            "website.example",
            "website.example:4300",
            "localhost.website.example",
            "127.0.0.1.nip.io:4300",
            "localhost:4300:1",
            "localhost:x",
            "127.0.0.2",
            "[::2]:4300",
            "0.0.0.0:4300",
        ] {
            assert_eq!(checked(&[("host", host)], true), Err(Denied::Host), "{host}");
        }
        assert_eq!(checked(&[], true), Err(Denied::Host));
        assert_eq!(checked(&[("host", "localhost"), ("host", "website.example")], true), Err(Denied::Host));
    }

    #[test]
    fn pages_of_other_origins_are_refused() {
        let host = ("host", "localhost:4300");
        assert_eq!(checked(&[host, ("origin", "http://localhost:4300")], false), Ok(()));
        for origin in
            ["http://website.example", "http://localhost:3000", "https://localhost:4300", "null", ""]
        {
            assert_eq!(checked(&[host, ("origin", origin)], true), Err(Denied::Origin), "{origin}");
        }
    }

    #[test]
    fn other_sites_may_link_to_the_page_and_nothing_else() {
        let host = ("host", "localhost:4300");
        let asked = |site, mode, is_page| {
            checked(&[host, ("sec-fetch-site", site), ("sec-fetch-mode", mode)], is_page)
        };
        assert_eq!(asked("same-origin", "cors", false), Ok(()));
        assert_eq!(asked("none", "navigate", false), Ok(()));
        assert_eq!(asked("cross-site", "navigate", true), Ok(()));
        assert_eq!(asked("cross-site", "no-cors", true), Err(Denied::Origin));
        assert_eq!(asked("cross-site", "navigate", false), Err(Denied::Origin));
        assert_eq!(asked("same-site", "cors", false), Err(Denied::Origin));
    }
}
