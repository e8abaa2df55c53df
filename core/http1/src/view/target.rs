//! The target of a request and the host that it is for (RFC 9112 section 3.2).

use super::error::RequestError;

/// A request target, taken apart.
#[derive(Copy, Clone, Debug)]
pub(super) struct Target<'a> {
    /// As it is sent to the service: path and query, or `*`.
    pub(super) path: &'a [u8],
    /// The host of a URL, without the user.
    pub(super) authority: Option<&'a [u8]>,
}

impl<'a> Target<'a> {
    /// A path, an `http` URL, or `*` for `OPTIONS`.
    pub(super) fn parse(method: &[u8], target: &'a [u8]) -> Result<Self, RequestError> {
        if target.contains(&b'#') {
            return Err(RequestError::Fragment);
        }
        if target[0] == b'/' || (target == b"*" && method == b"OPTIONS") {
            return Ok(Target { path: target, authority: None });
        }
        let rest = [&b"http://"[..], b"https://"].into_iter().find_map(|scheme| {
            let (start, rest) = target.split_at_checked(scheme.len())?;
            start.eq_ignore_ascii_case(scheme).then_some(rest)
        });
        let rest = rest.ok_or(RequestError::Target)?;
        let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let user_end = authority.iter().rposition(|byte| *byte == b'@').map_or(0, |at| at + 1);
        let path = match path {
            // RFC 9112 section 3.2.4.
            b"" if method == b"OPTIONS" => b"*",
            b"" => b"/",
            path => path,
        };
        Ok(Target { path, authority: Some(&authority[user_end..]) })
    }
}
