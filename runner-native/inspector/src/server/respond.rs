//! Responses of the server.

use std::convert::Infallible;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hvym_tunnel_net::embedded_page::{OWN_FILES_POLICY, confine};
use serde_json::{Value, json};

/// A body of any kind.
pub(super) type Content = UnsyncBoxBody<Bytes, Infallible>;

/// What captured bytes may do in a browser: nothing.
const CAPTURED_POLICY: &str = "default-src 'none'; sandbox; frame-ancestors 'none'";

/// A response with this body.
pub(super) fn with_content(status: StatusCode, kind: &'static str, content: Content) -> Response<Content> {
    let mut response = Response::new(content);
    *response.status_mut() = status;
    let fields = response.headers_mut();
    fields.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    // Requests of visitors are written to no disk either.
    confine(fields, OWN_FILES_POLICY);
    response
}

/// A response with these bytes.
pub(super) fn bytes(status: StatusCode, kind: &'static str, bytes: impl Into<Bytes>) -> Response<Content> {
    with_content(status, kind, Full::new(bytes.into()).boxed_unsync())
}

/// A sentence.
pub(super) fn plain(status: StatusCode, text: impl Into<String>) -> Response<Content> {
    bytes(status, "text/plain; charset=utf-8", text.into())
}

/// A value.
pub(super) fn json_value(status: StatusCode, value: &impl serde::Serialize) -> Response<Content> {
    match serde_json::to_vec(value) {
        Ok(text) => bytes(status, "application/json", text),
        Err(error) => plain(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}

/// An error, for programs.
pub(super) fn error(status: StatusCode, message: impl Into<String>) -> Response<Content> {
    let error: Value = json!({ "error": message.into(), "status": status.as_u16() });
    json_value(status, &error)
}

/// Another method was meant.
pub(super) fn method_not_allowed(allowed: &'static str) -> Response<Content> {
    let mut response = error(StatusCode::METHOD_NOT_ALLOWED, format!("the methods are {allowed}"));
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    response
}

/// Bytes that strangers wrote. Whatever they are, a browser runs nothing of them.
pub(super) fn captured(kind: &'static str, content: Vec<u8>) -> Response<Content> {
    let mut response = bytes(StatusCode::OK, kind, content);
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(CAPTURED_POLICY));
    response
}
