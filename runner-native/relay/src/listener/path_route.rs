//! Routes `/t/{name}/...` of the relay's own domain to agents without an identity, for domains without a wildcard
//! record.
//!
//! Only the prefix is cut. The rest is neither decoded nor resolved: the service sees `..` and `%2f` as the visitor
//! sent them.
//!
//! All such agents have one origin with the relay, so what a browser keeps for an origin is kept below their paths.

use http::header::{Entry, HeaderMap, HeaderName, HeaderValue, SET_COOKIE};
use http::uri::PathAndQuery;

use crate::sessions::{HostTarget, SessionTable};

/// Empties what a browser keeps for a whole origin (Clear Site Data, section 3.1).
const CLEAR_SITE_DATA: HeaderName = HeaderName::from_static("clear-site-data");
/// Lets a script answer requests outside of its own path (Service Workers, section 3.4).
const SERVICE_WORKER_ALLOWED: HeaderName = HeaderName::from_static("service-worker-allowed");
/// The prefix of such paths.
const PREFIX: &str = "/t/";

/// The target of a path and query, if it names such an agent, and the path and query for the service.
pub(crate) fn find(sessions: &SessionTable, target: &str) -> Option<(HostTarget, PathAndQuery)> {
    let (name, rest) = cut(target)?;
    Some((sessions.find_guest(name)?, rest))
}

/// Keeps an answer to `target` from other agents and from the relay: cookies are for the path of the agent alone, and what
/// concerns the whole origin goes.
pub(crate) fn confine(fields: &mut HeaderMap, target: &str) {
    let Some((name, _)) = cut(target) else { return };
    fields.remove(CLEAR_SITE_DATA);
    fields.remove(SERVICE_WORKER_ALLOWED);
    if let Entry::Occupied(mut cookies) = fields.entry(SET_COOKIE) {
        for cookie in cookies.iter_mut() {
            if let Ok(confined) = HeaderValue::from_bytes(&confined_cookie(cookie.as_bytes(), name)) {
                *cookie = confined;
            }
        }
    }
}

/// A cookie whose `Path` is below that of the agent. Without one it would be for the path of its request up to the last slash
/// (RFC 6265 section 5.1.4), which for `/t/{name}` is that of all agents.
fn confined_cookie(cookie: &[u8], name: &str) -> Vec<u8> {
    let (mut kept, mut path) = (Vec::new(), &b"/"[..]);
    for (at, part) in cookie.split(|byte| *byte == b';').enumerate() {
        let text = part.trim_ascii();
        match text.split_at_checked(b"path".len()) {
            Some((attribute, value))
                if at > 0 && attribute.eq_ignore_ascii_case(b"path") && is_value(value) =>
            {
                let value = value.trim_ascii().strip_prefix(b"=").unwrap_or_default().trim_ascii();
                path = if value.starts_with(b"/") { value } else { b"/" };
            }
            _ => {
                kept.extend_from_slice(if at > 0 { b";" } else { b"" });
                kept.extend_from_slice(part);
            }
        }
    }
    let own = [PREFIX.as_bytes(), name.as_bytes()].concat();
    let is_below = path.strip_prefix(&own[..]).is_some_and(|rest| rest.starts_with(b"/"));
    let prefix = if is_below { &b""[..] } else { &own };
    [&kept, &b"; Path="[..], prefix, path].concat()
}

/// Whether the name of an attribute ends before `rest`.
fn is_value(rest: &[u8]) -> bool {
    matches!(rest.trim_ascii_start().first(), None | Some(b'='))
}

/// The name and the rest. An empty path is `/` (RFC 9110 section 4.2.3).
fn cut(target: &str) -> Option<(&str, PathAndQuery)> {
    let behind = target.strip_prefix(PREFIX)?;
    let end = behind.find(['/', '?']).unwrap_or(behind.len());
    let (name, rest) = behind.split_at(end);
    let rest = if rest.starts_with('/') { rest.parse() } else { format!("/{rest}").parse() };
    Some((name, rest.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_says_nothing_about_the_origin_that_agents_share() {
        let cookie = |text: &'static str| {
            let mut fields = HeaderMap::new();
            fields.insert(SET_COOKIE, HeaderValue::from_static(text));
            confine(&mut fields, "/t/app/login?x");
            fields[SET_COOKIE].to_str().expect("text").to_owned()
        };
        assert_eq!(cookie("a=b"), "a=b; Path=/t/app/");
        assert_eq!(cookie("a=b; path = /; Secure"), "a=b; Secure; Path=/t/app/");
        assert_eq!(cookie("a=b;PATH=/admin"), "a=b; Path=/t/app/admin");
        assert_eq!(cookie("a=b; Path=/t/app/x"), "a=b; Path=/t/app/x", "it knows where it is");
        assert_eq!(cookie("a=b; Path=/t/app"), "a=b; Path=/t/app/t/app");
        assert_eq!(cookie("a=b; Path=/t/other/"), "a=b; Path=/t/app/t/other/");
        assert_eq!(cookie("a=b; Path=/t/app/; Path=/"), "a=b; Path=/t/app/", "the last one counts");
        assert_eq!(
            cookie("path=b; Pathology; Path"),
            "path=b; Pathology; Path=/t/app/",
            "the first part is the cookie"
        );
        let mut fields = HeaderMap::new();
        for name in [CLEAR_SITE_DATA, SERVICE_WORKER_ALLOWED, http::header::CACHE_CONTROL] {
            fields.insert(name, HeaderValue::from_static("x"));
        }
        confine(&mut fields, "/t/app");
        assert_eq!(fields.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["cache-control"]);
    }

    #[test]
    fn a_path_is_cut_behind_the_name_and_left_as_it_is() {
        for (target, name, rest) in [
            ("/t/app", "app", "/"),
            ("/t/app/", "app", "/"),
            ("/t/app?x=1", "app", "/?x=1"),
            ("/t/app/a%2F..%2fb/../c;d//?q=/t/x?&%3F", "app", "/a%2F..%2fb/../c;d//?q=/t/x?&%3F"),
            ("/t/app//evil.example/", "app", "//evil.example/"),
            ("/t/a%70p/x", "a%70p", "/x"),
            ("/t/../x", "..", "/x"),
        ] {
            let cut = cut(target).map(|(name, rest)| (name, rest.to_string()));
            assert_eq!(cut, Some((name, rest.to_owned())), "{target}");
        }
        for target in ["/", "/t", "/T/app/", "//t/app", "/tt/app"] {
            assert_eq!(cut(target), None, "{target}");
        }
    }
}
