//! The target of a request and the host that it is for (RFC 9112 section 3.2).

use super::error::RequestError;

/// A request target, taken apart.
#[derive(Copy, Clone, Debug)]
pub(super) struct Target<'a> {
    /// As it is sent to the service: path and query, or `*`.
    pub(super) path: &'a str,
    /// The host of a URL, without the user.
    pub(super) authority: Option<&'a str>,
}

impl<'a> Target<'a> {
    /// A path, an `http` URL, or `*` for `OPTIONS`.
    pub(super) fn parse(method: &str, target: &'a str) -> Result<Self, RequestError> {
        if target.starts_with('/') || (target == "*" && method == "OPTIONS") {
            return Ok(Target { path: target, authority: None });
        }
        let rest = ["http://", "https://"].iter().find_map(|scheme| {
            let (start, rest) = target.split_at_checked(scheme.len())?;
            start.eq_ignore_ascii_case(scheme).then_some(rest)
        });
        let rest = rest.ok_or(RequestError::Target)?;
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        let path = match path {
            // RFC 9112 section 3.2.4.
            "" if method == "OPTIONS" => "*",
            "" => "/",
            path => path,
        };
        Ok(Target { path, authority: Some(host) })
    }
}
