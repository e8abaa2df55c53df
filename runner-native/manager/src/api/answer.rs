//! Responses of the API: JSON, errors in the shapes of the Tunnel Manager, and what a page may read of them.

use std::convert::Infallible;

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_MAX_AGE, ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderName, VARY, WWW_AUTHENTICATE,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use serde::Serialize;

use super::guard::Refusal;
use crate::ManagerError;
use crate::shapes::{DoneReport, ErrorReport, InternalErrorReport};
use crate::timestamp;

/// A response, whose body may go on.
pub(super) type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

/// What pages may send.
const ALLOWED_METHODS: HeaderValue = HeaderValue::from_static("GET, POST, PUT, DELETE, OPTIONS");
/// Which fields.
const ALLOWED_FIELDS: HeaderValue = HeaderValue::from_static("authorization, content-type");
/// How long a browser may remember it, seconds.
const MAX_AGE: HeaderValue = HeaderValue::from_static("600");
/// By which browsers ask whether a public site may reach this machine (Private Network Access).
const ALLOW_PRIVATE_NETWORK: HeaderName = HeaderName::from_static("access-control-allow-private-network");

/// A response of this type and content.
pub(super) fn content(status: StatusCode, kind: &'static str, content: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(content.into()).boxed_unsync());
    *answer.status_mut() = status;
    let fields = answer.headers_mut();
    fields.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    fields.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}

/// `value` as JSON.
pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Answer {
    match serde_json::to_vec(value) {
        Ok(text) => content(status, "application/json", text),
        Err(error) => content(StatusCode::INTERNAL_SERVER_ERROR, "text/plain", error.to_string()),
    }
}

/// It was done.
pub(super) fn done(message: impl Into<String>) -> Answer {
    let (message, timestamp) = (message.into(), timestamp::now());
    json(StatusCode::OK, &DoneReport { message, status: "success", timestamp })
}

/// It was not done.
pub(super) fn error(status: StatusCode, error: impl Into<String>) -> Answer {
    let (error, timestamp) = (error.into(), timestamp::now());
    json(status, &ErrorReport { error, status_code: status.as_u16(), timestamp })
}

/// Something went wrong while it was done.
pub(super) fn internal_error(message: String) -> Answer {
    let report = InternalErrorReport { error: "Internal server error", message, timestamp: timestamp::now() };
    json(StatusCode::INTERNAL_SERVER_ERROR, &report)
}

/// What a manager could not do.
pub(super) fn manager_error(failure: &ManagerError) -> Answer {
    match failure {
        ManagerError::NoLinks => error(StatusCode::SERVICE_UNAVAILABLE, "Tunnel service not available"),
        ManagerError::UnknownLink(_) | ManagerError::UnknownService(_) | ManagerError::NotShared => {
            error(StatusCode::NOT_FOUND, failure.to_string())
        }
        ManagerError::WhichLink(_) | ManagerError::DuplicateLink(_) | ManagerError::ServiceInUse(_) => {
            error(StatusCode::CONFLICT, failure.to_string())
        }
        ManagerError::NoPort(_) | ManagerError::BadService(_) => {
            error(StatusCode::BAD_REQUEST, failure.to_string())
        }
        ManagerError::Agent(_) => internal_error(failure.to_string()),
    }
}

/// A request that may not be made.
pub(super) fn refused(refusal: Refusal) -> Answer {
    match refusal {
        Refusal::Host => error(StatusCode::FORBIDDEN, "This API is not reached by that host name"),
        Refusal::Origin => error(StatusCode::FORBIDDEN, "Pages of that origin may not use this API"),
        Refusal::Remote => error(StatusCode::FORBIDDEN, "That is done on the machine of the agent alone"),
        Refusal::Token => {
            let mut answer = error(StatusCode::UNAUTHORIZED, "The token of this API is needed");
            answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            answer
        }
    }
}

/// A method that a path does not have.
pub(super) fn wrong_method(allowed: &str) -> Answer {
    let mut answer = error(StatusCode::METHOD_NOT_ALLOWED, format!("The methods here are {allowed}"));
    if let Ok(allowed) = HeaderValue::from_str(allowed) {
        answer.headers_mut().insert(ALLOW, allowed);
    }
    answer
}

/// What a browser is told that asks what a page may send.
pub(super) fn preflight() -> Answer {
    let mut answer = Response::new(Full::default().boxed_unsync());
    *answer.status_mut() = StatusCode::NO_CONTENT;
    let fields = answer.headers_mut();
    fields.insert(ACCESS_CONTROL_ALLOW_METHODS, ALLOWED_METHODS);
    fields.insert(ACCESS_CONTROL_ALLOW_HEADERS, ALLOWED_FIELDS);
    fields.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    fields.insert(ALLOW_PRIVATE_NETWORK, HeaderValue::from_static("true"));
    answer
}

/// Lets pages of `origin` read a response, and no others. Nothing here goes by cookies, so that credentials are never allowed.
pub(super) fn let_read(answer: &mut Answer, origin: Option<&HeaderValue>) {
    let fields = answer.headers_mut();
    fields.append(VARY, HeaderValue::from_static("Origin"));
    if let Some(origin) = origin {
        fields.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    }
}
