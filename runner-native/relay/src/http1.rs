//! HTTP message rules of the relay: validation and rewriting of heads, request bodies, and the wrappers around a
//! visitor's connection. Knows no session, and no connection to a service.

pub(crate) mod auth;
pub(crate) mod forwarded;
pub(crate) mod head_rewrite;
pub(crate) mod head_validation;
pub(crate) mod request_body;
pub(crate) mod request_guard;
pub(crate) mod rewind;
pub(crate) mod write_timeout;
