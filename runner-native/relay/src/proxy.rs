//! Passes requests on to agents, within the limit of requests at once.

pub(crate) mod forward;
mod upgrade;

use http::Request;
use hvym_tunnel_core::relay::Name;
use hvym_tunnel_pages::Page;
use hyper::body::Incoming;

use crate::http1::request_body::RequestBody;
use crate::limits::concurrency::ConcurrencyPermit;
use crate::pages;
use crate::sessions::AgentSession;
use crate::upstream::response_body::{self, Answer};
use crate::visitor::Visitor;
use forward::forward;

/// Passes one request on to an agent; an error becomes its page.
pub(crate) async fn proxy(
    visitor: &Visitor,
    session: AgentSession,
    name: Name,
    host: String,
    request: Request<Incoming>,
) -> (Answer, Option<ConcurrencyPermit>) {
    let format = response_body::format(request.headers());
    match try_proxy(visitor, session, name, host, request).await {
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
    session: AgentSession,
    name: Name,
    host: String,
    request: Request<Incoming>,
) -> Result<(Answer, ConcurrencyPermit), Page> {
    let permit = visitor.state.limits.requests.enter(&name).ok_or_else(pages::overloaded)?;
    let limit = visitor.state.settings.options.limits.body_timeout;
    let (head, body) = request.into_parts();
    let body = RequestBody::new(body, &head.headers, limit);
    let request = Request::from_parts(head, body);
    Ok((forward(visitor, session, name, host, request).await?, permit))
}
