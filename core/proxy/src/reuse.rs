//! Which connections to a service may carry requests of more than one visitor.
//!
//! What a connection keeps from one request to the next reaches whoever uses it next: a login by NTLM or Negotiate
//! (RFC 4559 section 6), the rest of a body that the service did not read, an answer that nobody asked for. It knows
//! no pool and no bytes.

use crate::ConnHistory;

/// How connections to services are shared between visitors.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub enum Reuse {
    /// Each visitor's connection has connections of its own.
    Never,
    /// Other visitors get only connections of which nothing can be left over: all that they carried was `GET`
    /// without a body, answered in full, and no login of the connection itself.
    #[default]
    Safe,
    /// Every connection that is free: one visitor's login on it may serve another.
    Always,
}

impl Reuse {
    /// Whether a connection that is free and has carried this may serve another visitor.
    pub const fn may_share(self, history: &ConnHistory) -> bool {
        match self {
            Reuse::Never => false,
            Reuse::Safe => !history.has_unsafe_request && !history.has_connection_login,
            Reuse::Always => true,
        }
    }
}

/// Whether the value of an `Authorization`, `WWW-Authenticate` or `Proxy-Authenticate` field names a scheme that logs in
/// the connection instead of the request. A parameter that is spelled like one counts too, which only costs a
/// connection.
pub fn names_connection_login(value: &[u8]) -> bool {
    value
        .split(|byte| matches!(byte, b' ' | b'\t' | b','))
        .any(|word| word.eq_ignore_ascii_case(b"ntlm") || word.eq_ignore_ascii_case(b"negotiate"))
}
