//! The routes for operators at the relay's own domain: what tells anything of agents needs the operator's key there.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Collected, Full, Limited};
use hvym_tunnel_net::timeout::within;
use hyper::body::Body;

use super::credential::{Asker, Refused};
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
    let is_open = OPEN.contains(&request.uri().path());
    if !is_open {
        match Asker::new(request.headers(), visitor) {
            Ok(Asker::Operator) => {}
            Err(Refused::Wait(wait)) => return json::too_many(wait),
            _ => return json::detail(StatusCode::UNAUTHORIZED, "the operator's key is needed"),
        }
    }
    let (head, body) = request.into_parts();
    // One that is empty is not told to be over.
    let body = match body.is_end_stream() {
        true => Some(Ok(Bytes::new())),
        false => {
            let body = within(CONTENT_TIMEOUT, Limited::new(body, MAX_CONTENT_BYTES).collect()).await;
            body.map(|body| body.map(Collected::to_bytes))
        }
    };
    let body = match body {
        Some(Ok(body)) => body,
        Some(Err(_)) => {
            return json::detail(StatusCode::PAYLOAD_TOO_LARGE, "the content is too large, or broke off");
        }
        None => return json::detail(StatusCode::REQUEST_TIMEOUT, "the content did not arrive in time"),
    };
    let caller = if is_open { ApiCaller::Anyone } else { ApiCaller::Operator };
    let answer = management::answer(&visitor.state, caller, Request::from_parts(head, body)).await;
    answer.map(|body| ResponseBody::Whole(Full::new(body)))
}
