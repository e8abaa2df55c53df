//! Routes `/t/{name}/...` of the relay's own domain to agents without an identity, for domains without a wildcard
//! record.
//!
//! Only the prefix is cut. The rest is neither decoded nor resolved: the service sees `..` and `%2f` as the visitor
//! sent them.
//!
//! All such agents have one origin with the relay. So it is off unless the operator asks for it, and a browser keeps
//! nothing for that origin and runs their pages in a sandbox.

use http::header::{
    ALT_SVC, CONTENT_SECURITY_POLICY, HeaderMap, HeaderName, HeaderValue, SET_COOKIE,
    STRICT_TRANSPORT_SECURITY,
};
use http::uri::PathAndQuery;

use crate::relay_state::RelayState;
use crate::sessions::HostTarget;

/// What a browser keeps for a whole origin, or host, by these fields.
const OF_THE_ORIGIN: [HeaderName; 8] = [
    SET_COOKIE,
    HeaderName::from_static("clear-site-data"),
    HeaderName::from_static("service-worker-allowed"),
    STRICT_TRANSPORT_SECURITY,
    ALT_SVC,
    HeaderName::from_static("nel"),
    HeaderName::from_static("report-to"),
    HeaderName::from_static("reporting-endpoints"),
];
/// Gives each page an origin of its own (Content Security Policy Level 3, section 6.3.2): no cookies, no storage, no service
/// workers, and nothing of other pages.
const SANDBOX: HeaderValue = HeaderValue::from_static(
    "sandbox allow-downloads allow-forms allow-modals allow-pointer-lock allow-popups allow-scripts",
);
/// The prefix of such paths.
const PREFIX: &str = "/t/";

/// The target of a path and query, if it names such an agent, and the path and query for the service.
pub(crate) fn find(state: &RelayState, target: &str) -> Option<(HostTarget, PathAndQuery)> {
    let (name, rest) = cut(target).filter(|_| state.settings.options.names.path_names)?;
    Some((state.sessions.find_guest(name)?, rest))
}

/// Keeps what an agent answers from other agents and from the relay, whose origin it has.
pub(crate) fn confine(fields: &mut HeaderMap) {
    OF_THE_ORIGIN.iter().for_each(|name| drop(fields.remove(name)));
    // Beside a policy of the service's own: all that there are hold.
    fields.append(CONTENT_SECURITY_POLICY, SANDBOX);
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
        let mut fields = HeaderMap::new();
        for name in OF_THE_ORIGIN {
            fields.append(&name, HeaderValue::from_static("x"));
            fields.append(&name, HeaderValue::from_static("y"));
        }
        fields.insert(http::header::CACHE_CONTROL, HeaderValue::from_static("x"));
        fields.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox allow-same-origin"));
        confine(&mut fields);
        let mut names: Vec<_> = fields.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["cache-control", "content-security-policy"]);
        let policies: Vec<_> = fields.get_all(CONTENT_SECURITY_POLICY).iter().collect();
        assert_eq!(policies.len(), 2);
        assert_eq!(policies[1], SANDBOX);
        assert!(!policies[1].to_str().expect("text").contains("same-origin"));
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
