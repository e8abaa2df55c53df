//! Leads plain HTTP to HTTPS (RFC 6797 section 7.2), except for the challenges of certificate authorities, which may want
//! plain HTTP (RFC 8555 section 8.3): those of a service are the service's.

use http::StatusCode;
use http::header::{HeaderValue, LOCATION};

use crate::upstream::response_body::{self, Answer};
use crate::visitor::Visitor;

const CHALLENGES: &str = "/.well-known/acme-challenge/";

/// The redirect of a request for `host` that came without TLS; `None` if it came with TLS, or need not.
pub(super) fn redirect<'a>(
    visitor: &Visitor,
    fields: impl FnOnce() -> Vec<(&'a str, &'a [u8])>,
    host: &str,
    path: &str,
) -> Option<Answer> {
    if path.starts_with(CHALLENGES) || !visitor.is_insecure(fields) {
        return None;
    }
    let state = &visitor.state;
    // `*`, as of OPTIONS, is no path.
    let path = if path.starts_with('/') { path } else { "/" };
    let name = if host.starts_with('[') {
        host.split_inclusive(']').next().unwrap_or(host)
    } else {
        host.split(':').next().unwrap_or(host)
    };
    let url = state.settings.options.public_url(name, state.info.port);
    let mut answer = response_body::empty(StatusCode::PERMANENT_REDIRECT);
    let location = HeaderValue::try_from(format!("{url}{path}")).ok()?;
    answer.headers_mut().insert(LOCATION, location);
    Some(answer)
}
