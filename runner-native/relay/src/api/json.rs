//! JSON responses of the relay's API.

use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, ALLOW, CACHE_CONTROL, CONTENT_TYPE, DATE, RETRY_AFTER, WWW_AUTHENTICATE,
};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;
use hvym_tunnel_net::clock::Clock;
use hvym_tunnel_net::date::http_date;
use serde::Serialize;

use crate::upstream::response_body::{Answer, ResponseBody};

/// `value` with this status; it must not be stored by caches.
pub(super) fn with(status: StatusCode, value: &impl Serialize) -> Answer {
    let body = serde_json::to_vec(value).expect("texts, numbers, lists and objects with text keys are JSON");
    let mut answer = Response::new(ResponseBody::Whole(Full::from(Bytes::from(body))));
    *answer.status_mut() = status;
    let fields = answer.headers_mut();
    fields.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // By which whoever has a wrong clock finds out.
    if let Ok(date) = HeaderValue::from_bytes(&http_date(Clock::new().now())) {
        fields.insert(DATE, date);
    }
    answer
}

/// `value` with status 200.
pub(super) fn answer(value: &impl Serialize) -> Answer {
    with(StatusCode::OK, value)
}

/// `value` with status 200, readable by pages of every origin.
pub(super) fn public(value: &impl Serialize) -> Answer {
    let mut answer = answer(value);
    answer.headers_mut().insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    answer
}

/// An error in the format of HVYM and Tunely.
pub(super) fn detail(status: StatusCode, detail: impl Serialize) -> Answer {
    #[derive(Serialize)]
    struct Detail<T> {
        detail: T,
    }
    with(status, &Detail { detail })
}

/// 401: a token is needed.
pub(super) fn not_authenticated() -> Answer {
    let mut answer = detail(StatusCode::UNAUTHORIZED, "Not authenticated");
    answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    answer
}

/// 429: wrong keys came from this address, and none is looked at for a while.
pub(super) fn too_many(wait: Duration) -> Answer {
    let mut answer =
        detail(StatusCode::TOO_MANY_REQUESTS, "Too many wrong keys came from your network: wait");
    // Rounded up, so that whoever keeps to it is not too early.
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    answer
}

/// 405, with `allowed` in `Allow`.
pub(super) fn wrong_method(allowed: &'static str) -> Answer {
    let mut answer = detail(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed");
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    answer
}
