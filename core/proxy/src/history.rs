//! What a connection to a service has carried, and which connections a request may use.
//!
//! It decides nothing: whether a connection may go to another visitor is a policy.

use core::time::Duration;

/// What a connection to a service has carried so far.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct ConnHistory {
    /// Requests that began on it.
    pub requests: u32,
    /// Whether one of them was something else than `GET`, or had a body. A service that ignores a body would
    /// take the rest of it for the next request.
    pub has_unsafe_request: bool,
    /// Whether a request or an answer named NTLM or Negotiate, which log in a connection instead of a request.
    pub has_connection_login: bool,
    /// How long the service keeps the connection while it is idle, if it said so (RFC 2068 section 19.7.1.1).
    pub keep_alive: Option<Duration>,
}

/// Which connections to a service a request may use.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Choice {
    /// Any: the request can be repeated.
    Any,
    /// One that was used a moment ago, or a new one: the request cannot be repeated, and an idle connection may be closing.
    JustUsed,
    /// Only a new one.
    Fresh,
}
