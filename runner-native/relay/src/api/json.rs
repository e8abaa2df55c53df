//! Answers of the relay's own that programs read.

use bytes::Bytes;
use http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, ALLOW, CACHE_CONTROL, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;
use serde::Serialize;

use crate::upstream::response_body::{Answer, ResponseBody};

/// `value` for whoever may know it, with this status.
pub(super) fn with(status: StatusCode, value: &impl Serialize) -> Answer {
    let body = serde_json::to_vec(value).expect("texts, numbers, lists and objects with text keys are JSON");
    let mut answer = Response::new(ResponseBody::Whole(Full::from(Bytes::from(body))));
    *answer.status_mut() = status;
    let fields = answer.headers_mut();
    fields.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

/// `value` for whoever may know it.
pub(super) fn answer(value: &impl Serialize) -> Answer {
    with(StatusCode::OK, value)
}

/// `value` for everybody, pages of other origins included.
pub(super) fn public(value: &impl Serialize) -> Answer {
    let mut answer = answer(value);
    answer.headers_mut().insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    answer
}

/// What went wrong, as HVYM's and Tunely's programs read it.
pub(super) fn detail(status: StatusCode, detail: impl Serialize) -> Answer {
    #[derive(Serialize)]
    struct Detail<T> {
        detail: T,
    }
    with(status, &Detail { detail })
}

/// Somebody has to say who they are, by a token.
pub(super) fn not_authenticated() -> Answer {
    let mut answer = detail(StatusCode::UNAUTHORIZED, "Not authenticated");
    answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    answer
}

/// The path has other methods than the one that was used.
pub(super) fn wrong_method(allowed: &'static str) -> Answer {
    let mut answer = detail(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed");
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    answer
}
