//! What a request's header fields say of who sends it: its bearer token and its origin.

use http::HeaderValue;
use http::header::{AUTHORIZATION, HeaderMap, ORIGIN};
use hvym_proxy::names_connection_login;

/// The token of `Authorization: Bearer` (RFC 6750 section 2.1), if there is one.
pub(crate) fn bearer(fields: &HeaderMap) -> Option<&str> {
    let value = fields.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Whether the page that sends this, if it is a page, is of an origin in `allowed` (RFC 6455 section 10.2); an empty list
/// allows every origin.
pub(crate) fn is_allowed_origin(fields: &HeaderMap, allowed: &[String]) -> bool {
    let mut named = fields.get_all(ORIGIN).iter();
    let is_known = |origin: &HeaderValue| {
        allowed.iter().any(|known| origin.as_bytes().eq_ignore_ascii_case(known.as_bytes()))
    };
    allowed.is_empty() || named.all(is_known)
}

/// Whether a request logs in its connection, and not only itself.
pub(crate) fn logs_in_connection(fields: &HeaderMap) -> bool {
    fields.get_all(AUTHORIZATION).iter().any(|value| names_connection_login(value.as_bytes()))
}
