//! What an operator's programs use: who is connected and with which services, bans and kicks, limits and metrics, over HTTP
//! with JSON. Owners of agents read of it what is about their own.
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
mod requests;
mod routes;
mod server;
mod shapes;

use std::sync::Arc;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Request, Response, StatusCode};
use serde::Serialize;

use hvym_tunnel_core::relay::Owner;
use hvym_tunnel_core::stellar::Address;

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
    /// Whoever has this identity.
    Owner(Address),
    /// Whoever reaches the listener for operators.
    Anyone,
}

impl ApiCaller {
    /// Whether routes of this level answer it.
    const fn may_use(self, level: Level) -> bool {
        match (level, self) {
            (_, ApiCaller::Operator)
            | (Level::Anyone, ApiCaller::Anyone)
            | (Level::Owner, ApiCaller::Owner(_)) => true,
            // An owner comes by the relay's own domain, where metrics are the operator's.
            (Level::Anyone | Level::Operator, ApiCaller::Owner(_))
            | (Level::Owner | Level::Operator, ApiCaller::Anyone) => false,
        }
    }

    /// Whether it is told of the agents of `owner`.
    fn sees(self, owner: &Owner) -> bool {
        match self {
            ApiCaller::Operator => true,
            ApiCaller::Owner(own) => *owner == Owner::Identity(own),
            ApiCaller::Anyone => false,
        }
    }
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
        Found::Route(route, _) if !caller.may_use(route.level) && matches!(caller, ApiCaller::Owner(_)) => {
            error(StatusCode::FORBIDDEN, "this is the operator's alone")
        }
        Found::Route(route, _) if !caller.may_use(route.level) => {
            let mut answer = error(StatusCode::UNAUTHORIZED, "the operator's key is needed");
            answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            answer
        }
        Found::Route(route, parameter) => {
            handlers::run(state, caller, route.operation, parameter, &request).await
        }
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
