//! Whether a request comes from the console's own page, by what browsers say of the page that sends it.

use http::header::{HOST, HeaderMap, HeaderName, ORIGIN};
use http::{HeaderValue, Method};

use crate::config::PublicScheme;

/// Fetch Metadata: how the page that sends a request is related to the host. Browsers say it to hosts with TLS and to this machine.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Whether the page of this origin sent it. Whatever changes something must say so (every browser tells the origin there);
/// what reads must not say otherwise.
pub(super) fn is_own(method: &Method, fields: &HeaderMap, scheme: PublicScheme) -> bool {
    let own = fields.get(HOST).and_then(|host| host.to_str().ok()).map(|host| format!("{scheme}://{host}"));
    let is_same = |origin: &HeaderValue| {
        own.as_deref().is_some_and(|own| own.as_bytes().eq_ignore_ascii_case(origin.as_bytes()))
    };
    let mut origins = fields.get_all(ORIGIN).iter().peekable();
    let is_read = matches!(*method, Method::GET | Method::HEAD);
    let is_told = is_read || origins.peek().is_some();
    let mut sites = fields.get_all(SEC_FETCH_SITE).iter();
    is_told && origins.all(is_same) && sites.all(|site| site == "same-origin")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_own_of(method: &Method, pairs: &[(HeaderName, &'static str)]) -> bool {
        let mut fields: HeaderMap =
            pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect();
        fields.insert(HOST, HeaderValue::from_static("tunnel.example"));
        is_own(method, &fields, PublicScheme::Https)
    }

    #[test]
    fn what_changes_something_comes_from_the_page_itself() {
        let own = (ORIGIN, "https://tunnel.example");
        for method in [Method::POST, Method::PUT, Method::DELETE] {
            assert!(is_own_of(&method, std::slice::from_ref(&own)));
            assert!(is_own_of(&method, &[own.clone(), (SEC_FETCH_SITE, "same-origin")]));
            for site in ["same-site", "cross-site", "none", ""] {
                assert!(!is_own_of(&method, &[own.clone(), (SEC_FETCH_SITE, site)]), "{site}");
            }
            for origin in [
                "null",
                "http://tunnel.example",
                "https://a.tunnel.example",
                "https://tunnel.example:8443",
                "https://tunnel.example.evil.example",
                "",
            ] {
                assert!(!is_own_of(&method, &[(ORIGIN, origin)]), "{origin}");
            }
            assert!(!is_own_of(&method, &[]), "a page tells its origin, and a program has the key");
        }
    }

    #[test]
    fn what_reads_must_not_come_from_another_page() {
        assert!(is_own_of(&Method::GET, &[]) && is_own_of(&Method::GET, &[(SEC_FETCH_SITE, "same-origin")]));
        assert!(!is_own_of(&Method::GET, &[(SEC_FETCH_SITE, "same-site")]));
        assert!(!is_own_of(&Method::GET, &[(ORIGIN, "https://a.tunnel.example")]));
    }
}
