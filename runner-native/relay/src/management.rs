//! What an operator's programs use: who is connected and with which services, bans and kicks, limits and metrics, over HTTP
//! with JSON.
//!
//! The same routes are at the Unix socket of the relay, at its listener for operators, and at its own domain for whoever
//! has the operator's key.

#![allow(clippy::result_large_err, reason = "a refusal is the response itself, made once and sent")]

mod actions;
mod handlers;
mod history;
mod openapi;
mod relays;
mod reports;
mod routes;
mod server;
mod shapes;

use std::sync::Arc;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Request, Response, StatusCode};
use serde::Serialize;

use self::routes::{Found, Level, find};
use self::shapes::ErrorReport;
use crate::relay_state::RelayState;

pub(crate) use history::sample_regularly;
pub(crate) use routes::is_managed;
pub(crate) use server::{MAX_CONTENT_BYTES, ManagementServer};

/// An answer, complete.
pub(crate) type ApiResponse = Response<Bytes>;

/// Who asks.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum ApiCaller {
    /// The operator: by the key, or by a socket that nobody else can open.
    Operator,
    /// Whoever reaches the listener for operators.
    Anyone,
}

/// Answers one request.
pub(crate) async fn answer(
    state: &Arc<RelayState>,
    caller: ApiCaller,
    request: Request<Bytes>,
) -> ApiResponse {
    match find(request.method(), request.uri().path()) {
        Found::Nothing => {
            error(StatusCode::NOT_FOUND, "there is no such route: /api/v1/openapi.json lists them")
        }
        Found::OtherMethods(allowed) => {
            let mut answer =
                error(StatusCode::METHOD_NOT_ALLOWED, format!("the methods of this route are {allowed}"));
            if let Ok(allowed) = HeaderValue::from_str(&allowed) {
                answer.headers_mut().insert(ALLOW, allowed);
            }
            answer
        }
        Found::Route(route, _) if route.level == Level::Operator && caller != ApiCaller::Operator => {
            let mut answer = error(StatusCode::UNAUTHORIZED, "the operator's key is needed");
            answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            answer
        }
        Found::Route(route, parameter) => handlers::run(state, route.operation, parameter, &request).await,
    }
}

/// The relay and its counters, as JSON.
pub(crate) fn status(state: &RelayState) -> String {
    serde_json::to_string(&reports::status(state)).expect("texts and numbers are JSON")
}

/// `value` as JSON.
fn json(status: StatusCode, value: &impl Serialize) -> ApiResponse {
    let text = serde_json::to_vec(value).expect("texts, numbers, lists and objects with text keys are JSON");
    content(status, "application/json", text)
}

/// It was not done.
fn error(status: StatusCode, error: impl Into<String>) -> ApiResponse {
    json(status, &ErrorReport { error: error.into() })
}

/// Content of this type.
fn content(status: StatusCode, kind: &'static str, content: impl Into<Bytes>) -> ApiResponse {
    let mut answer = Response::new(content.into());
    *answer.status_mut() = status;
    let fields = answer.headers_mut();
    fields.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    fields.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}
