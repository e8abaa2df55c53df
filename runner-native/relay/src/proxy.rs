//! Passes requests on to agents, within the limit of requests at once.

pub(crate) mod forward;
pub(crate) mod request_log;
mod upgrade;

use http::{HeaderMap, Request};
use hvym_proxy::limits::Use;
use hvym_tunnel_pages::Page;

use crate::http1::head_rewrite;
use crate::http1::request_body::RequestBody;
use crate::limits::visitor_counts::RequestPermit;
use crate::pages;
use crate::sessions::Destination;
use crate::upstream::response_body::{self, Answer};
use crate::visitor::Visitor;

/// Passes one request on to an agent; an error becomes its page.
pub(crate) async fn proxy(
    visitor: &Visitor,
    destination: Destination,
    host: String,
    request: Request<RequestBody>,
) -> (Answer, Option<RequestPermit>) {
    let format = response_body::format(&request);
    match try_proxy(visitor, destination, host, request).await {
        Ok((answer, permit)) => (answer, Some(permit)),
        Err(page) => (response_body::page(&page, format), None),
    }
}

/// Passes one request on to an agent.
///
/// # Errors
/// The page about what went wrong.
pub(crate) async fn try_proxy(
    visitor: &Visitor,
    destination: Destination,
    host: String,
    request: Request<RequestBody>,
) -> Result<(Answer, RequestPermit), Page> {
    let client = visitor.client_info(&fields(request.headers()));
    let kind = if head_rewrite::wants_upgrade(request.headers()) { Use::Tunnel } else { Use::Request };
    let permit = visitor
        .state
        .limits
        .enter(visitor.key(&client), &destination.name, kind)
        .map_err(pages::over_limit)?;
    if !destination.takes_request(visitor.state.clock.now()) {
        drop(permit.over());
        return Err(pages::over_rate());
    }
    let (head, mut body) = request.into_parts();
    body.wait_for_service(&head.headers);
    let request = Request::from_parts(head, body);
    let rate = permit.is_pressed().then(|| visitor.state.settings.options.body_rate());
    match request_log::forward(visitor, destination, host, client, request, rate).await {
        Ok(answer) => Ok((answer, permit)),
        Err(page) => {
            drop(permit.over());
            Err(page)
        }
    }
}

/// The fields of a map as lines have them.
pub(crate) fn fields(headers: &HeaderMap) -> Vec<(&str, &[u8])> {
    headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect()
}
