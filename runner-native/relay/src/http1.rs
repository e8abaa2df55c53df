//! HTTP message rules of the relay: rewriting of heads, request bodies, and the wrappers around a
//! visitor's connection. Knows no session, and no connection to a service.

pub(crate) mod auth;
pub(crate) mod body_error;
pub(crate) mod body_pipe;
pub(crate) mod head_rewrite;
pub(crate) mod page_format;
pub(crate) mod request_body;
pub(crate) mod rewind;
pub(crate) mod write_timeout;
