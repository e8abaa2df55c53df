//! Guests under the relay's own name: `/t/{name}/...`, for visitors of domains whose sub-domains lead nowhere.
//!
//! The path is cut behind the name and nowhere else. It is neither decoded nor resolved: what `..` or `%2f` mean is for
//! the service to say, which sees the rest as the visitor sent it.

use http::uri::{PathAndQuery, Uri};

use crate::sessions::{HostTarget, SessionTable};

/// Where such paths begin.
const PREFIX: &str = "/t/";

/// What the path of `uri` reaches, if it names a guest. Then `uri` is what the service is asked for.
pub(crate) fn find(sessions: &SessionTable, uri: &mut Uri) -> Option<HostTarget> {
    let (name, rest) = cut(uri.path_and_query()?.as_str())?;
    let reached = sessions.find_guest(name)?;
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(rest);
    *uri = Uri::from_parts(parts).ok()?;
    Some(reached)
}

/// The name, and what is behind it. An empty path is `/` (RFC 9110 section 4.2.3).
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
