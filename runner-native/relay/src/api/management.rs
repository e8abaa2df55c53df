//! The routes for operators at the relay's own domain: what tells anything of agents needs the operator's key there, or a token of their
//! owner.

#![allow(clippy::result_large_err, reason = "a refusal is the response itself, made once and sent")]

use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Collected, Full, Limited};
use hvym_tunnel_net::timeout::within;
use hyper::body::Body;

use super::credential::{Asker, Refused, bearer};
use super::json;
use crate::http1::request_body::RequestBody;
use crate::management::{self, ApiCaller, MAX_CONTENT_BYTES};
use crate::self_probe::ALIVE_PATH;
use crate::upstream::response_body::{Answer, ResponseBody};
use crate::visitor::Visitor;

/// How long content may take to arrive.
const CONTENT_TIMEOUT: Duration = Duration::from_secs(10);
/// What everybody is told: a load balancer has no key.
const OPEN: [&str; 3] = [ALIVE_PATH, "/readyz", "/api/v1/openapi.json"];

/// Answers a request for one of the routes for operators.
pub(super) async fn answer(visitor: &Visitor, request: Request<RequestBody>) -> Answer {
    if OPEN.contains(&request.uri().path()) {
        return answer_to(visitor, ApiCaller::Anyone, request).await;
    }
    let caller = match Asker::new(request.headers(), visitor) {
        Ok(Asker::Operator) => ApiCaller::Operator,
        Ok(Asker::Owner(own)) => ApiCaller::Owner(own),
        Err(Refused::Wait(wait)) => return json::too_many(wait),
        Err(Refused::Token(why)) if bearer(request.headers()).is_some_and(|token| token.contains('.')) => {
            return json::detail(StatusCode::UNAUTHORIZED, why);
        }
        Ok(Asker::Stranger) | Err(Refused::Key | Refused::Token(_)) => {
            return json::detail(StatusCode::UNAUTHORIZED, "the operator's key is needed");
        }
    };
    answer_to(visitor, caller, request).await
}

/// Answers one of `caller`.
pub(super) async fn answer_to(visitor: &Visitor, caller: ApiCaller, request: Request<RequestBody>) -> Answer {
    let request = match collect(request).await {
        Ok(request) => request,
        Err(answer) => return answer,
    };
    let answer = management::answer(&visitor.state, caller, request).await;
    answer.map(|body| ResponseBody::Whole(Full::new(body)))
}

/// A request with its content, which has a few hundred bytes.
///
/// # Errors
/// It has more, or takes too long.
pub(super) async fn collect(request: Request<RequestBody>) -> Result<Request<Bytes>, Answer> {
    let (head, body) = request.into_parts();
    // One that is empty is not told to be over.
    let body = match body.is_end_stream() {
        true => Some(Ok(Bytes::new())),
        false => {
            let body = within(CONTENT_TIMEOUT, Limited::new(body, MAX_CONTENT_BYTES).collect()).await;
            body.map(|body| body.map(Collected::to_bytes))
        }
    };
    match body {
        Some(Ok(body)) => Ok(Request::from_parts(head, body)),
        Some(Err(_)) => {
            Err(json::detail(StatusCode::PAYLOAD_TOO_LARGE, "the content is too large, or broke off"))
        }
        None => Err(json::detail(StatusCode::REQUEST_TIMEOUT, "the content did not arrive in time")),
    }
}
