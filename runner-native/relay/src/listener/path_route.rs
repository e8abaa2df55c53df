//! Routes `/t/{name}/...` of the relay's own domain to agents without an identity, for domains without a wildcard
//! record.
//!
//! Only the prefix is cut. The rest is neither decoded nor resolved: the service sees `..` and `%2f` as the visitor
//! sent them.

use http::uri::PathAndQuery;

use crate::sessions::{HostTarget, SessionTable};

/// The prefix of such paths.
const PREFIX: &str = "/t/";

/// The target of a path and query, if it names such an agent, and the path and query for the service.
pub(crate) fn find(sessions: &SessionTable, target: &str) -> Option<(HostTarget, PathAndQuery)> {
    let (name, rest) = cut(target)?;
    Some((sessions.find_guest(name)?, rest))
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
