//! A service that is asked by a local name while visitors use a public one: every field that names either is mapped.
//!
//! It changes single values and knows no head.

use alloc::string::String;
use alloc::vec::Vec;

use super::client_info::UrlScheme;
use super::set_cookie::next_domain;

/// A scheme, a host and a port.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UrlOrigin {
    /// `http` or `https`.
    pub scheme: UrlScheme,
    /// The host, with its port if a URL names one, as in a `Host` field.
    pub authority: String,
}

impl UrlOrigin {
    fn host(&self) -> &str {
        split_port(&self.authority).0
    }

    /// Whether `authority`, of a URL with this scheme, is the same host and port.
    fn has(&self, scheme: UrlScheme, authority: &str) -> bool {
        let ((host, port), (own, own_port)) = (split_port(authority), split_port(&self.authority));
        host.eq_ignore_ascii_case(own)
            && port.unwrap_or(scheme.default_port()) == own_port.unwrap_or(self.scheme.default_port())
    }
}

/// Both names of a service.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HostMapping {
    /// What visitors use.
    pub public: UrlOrigin,
    /// What the service is asked by.
    pub local: UrlOrigin,
}

impl HostMapping {
    /// The value of a request's field as the service gets it, for `Host`, `Origin`, `Referer` and `Destination` that name the
    /// public host; `None` if the value stays.
    pub fn map_request(&self, name: &str, value: &[u8]) -> Option<Vec<u8>> {
        if name.eq_ignore_ascii_case("host") {
            return Some(self.local.authority.clone().into_bytes());
        }
        let mapped = ["origin", "referer", "destination"];
        let is_mapped = mapped.iter().any(|known| name.eq_ignore_ascii_case(known));
        is_mapped.then(|| map_url(&self.public, &self.local, value))?
    }

    /// The value of a response's field as the visitor gets it, for `Location`, `Content-Location`, `Refresh`,
    /// `Access-Control-Allow-Origin` and the `Domain` of `Set-Cookie` that name the local host; `None` if the value stays.
    pub fn map_response(&self, name: &str, value: &[u8]) -> Option<Vec<u8>> {
        if name.eq_ignore_ascii_case("set-cookie") {
            return self.map_cookie(value);
        }
        if name.eq_ignore_ascii_case("refresh") {
            let at = url_of_refresh(value)?;
            let url = map_url(&self.local, &self.public, &value[at..])?;
            return Some([&value[..at], &url].concat());
        }
        let mapped = ["location", "content-location", "access-control-allow-origin"];
        let is_mapped = mapped.iter().any(|known| name.eq_ignore_ascii_case(known));
        is_mapped.then(|| map_url(&self.local, &self.public, value))?
    }

    fn map_cookie(&self, value: &[u8]) -> Option<Vec<u8>> {
        let (mut mapped, mut copied, mut at) = (Vec::new(), 0, 0);
        while let Some((attribute, domain)) = next_domain(value, at) {
            if value[domain.clone()].eq_ignore_ascii_case(self.local.host().as_bytes()) {
                mapped.extend_from_slice(&value[copied..domain.start]);
                mapped.extend_from_slice(self.public.host().as_bytes());
                copied = domain.end;
            }
            at = attribute.end;
        }
        if copied == 0 {
            return None;
        }
        mapped.extend_from_slice(&value[copied..]);
        Some(mapped)
    }
}

/// `url` with the origin `to`, if it has the host and port of `from`.
fn map_url(from: &UrlOrigin, to: &UrlOrigin, url: &[u8]) -> Option<Vec<u8>> {
    let text = core::str::from_utf8(url).ok()?;
    let (scheme, rest) = split_scheme(text)?;
    let (authority, rest) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    if !from.has(scheme.unwrap_or(from.scheme), authority) {
        return None;
    }
    let prefix = if scheme.is_some() { to.scheme.as_str() } else { "" };
    let colon = if scheme.is_some() { ":" } else { "" };
    Some([prefix, colon, "//", &to.authority, rest].concat().into_bytes())
}

/// The scheme of a URL, if it names one, and what is behind `//`.
fn split_scheme(text: &str) -> Option<(Option<UrlScheme>, &str)> {
    if let Some(rest) = text.strip_prefix("//") {
        return Some((None, rest));
    }
    let (scheme, rest) = text.split_once("://")?;
    let known = [UrlScheme::Http, UrlScheme::Https].into_iter();
    let scheme = known.into_iter().find(|known| scheme.eq_ignore_ascii_case(known.as_str()))?;
    Some((Some(scheme), rest))
}

/// Where the URL of `5; url=...` begins.
fn url_of_refresh(value: &[u8]) -> Option<usize> {
    let at = value.windows(4).position(|window| window.eq_ignore_ascii_case(b"url="))? + 4;
    let is_quoted = matches!(value.get(at), Some(b'"' | b'\''));
    Some(at + usize::from(is_quoted))
}

/// The host of an authority, and its port if it names one.
fn split_port(authority: &str) -> (&str, Option<u16>) {
    match authority.rsplit_once(':').map(|(host, port)| (host, port, port.parse())) {
        Some((host, _, Ok(port))) => (host, Some(port)),
        Some((host, "", Err(_))) => (host, None),
        // The colon is one of an IPv6 address.
        Some((_, _, Err(_))) | None => (authority, None),
    }
}
