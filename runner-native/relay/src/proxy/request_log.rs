//! Logs the requests to tunnels whose operator wants it: passes them on, and what they were to the registry.
//!
//! Other requests do not come here.

use std::sync::Arc;

use http::{Request, Response, StatusCode};
use hvym_http1::ClientInfo;
use hvym_proxy::MinRate;
use hvym_tunnel_core::relay::{Name, Owner};
use hvym_tunnel_pages::Page;
use hvym_tunnel_registry::TunnelRegistry;

use super::forward;
use crate::http1::request_body::RequestBody;
use crate::log_entry::LogEntry;
use crate::log_entry::body_text::BodyText;
use crate::relay_state::RelayState;
use crate::sessions::Destination;
use crate::upstream::response_body::{Answer, ResponseBody};
use crate::visitor::Visitor;

/// The registry that logs requests to `name`, if they are to be logged.
fn log_of<'a>(state: &'a RelayState, name: &Name) -> Option<&'a TunnelRegistry> {
    let (Some(registry), Owner::Named(domain)) = (&state.plugins.tunnels, &name.owner) else { return None };
    let is_wanted = registry.logs_requests(domain) && state.live.get().compat_agents.is_registered(domain);
    is_wanted.then_some(registry)
}

/// Whether a request to `name` comes here to be logged. One for which the log has no room goes on as if nothing was logged, and is
/// counted.
pub(crate) fn is_logged(state: &RelayState, name: &Name) -> bool {
    log_of(state, name).is_some_and(TunnelRegistry::has_log_room)
}

/// As [`forward::forward`], and logs the request if that is wanted.
///
/// # Errors
/// The page about what went wrong.
pub(crate) async fn forward(
    visitor: &Visitor,
    destination: Destination,
    host: String,
    client: ClientInfo,
    request: Request<RequestBody>,
    rate: Option<MinRate>,
) -> Result<Answer, Page> {
    if !log_of(&visitor.state, &destination.name).is_some_and(TunnelRegistry::take_log_room) {
        return forward::forward(visitor, destination, host, client, request, rate).await;
    }
    let (mut entry, request) = begin(&visitor.state, &destination.name, request);
    match forward::forward(visitor, destination, host, client, request, rate).await {
        Ok(answer) => Ok(follow(entry, answer)),
        Err(page) => {
            entry.fail(&page);
            Err(page)
        }
    }
}

/// Begins an entry, which sees the body of the request pass.
fn begin(state: &RelayState, name: &Name, request: Request<RequestBody>) -> (LogEntry, Request<RequestBody>) {
    let (head, mut body) = request.into_parts();
    let text = Arc::new(BodyText::new(&head.headers));
    body.copy_to(Arc::clone(&text));
    let domain = match &name.owner {
        Owner::Named(domain) => Arc::clone(domain),
        Owner::Identity(_) => Arc::default(),
    };
    let entry = LogEntry::new(state.plugins.tunnels.clone(), domain, &head, text);
    (entry, Request::from_parts(head, body))
}

/// Logs the answer to its end.
fn follow(mut entry: LogEntry, answer: Answer) -> Answer {
    entry.answer(answer.status(), answer.headers());
    let (head, body) = answer.into_parts();
    let body = match body {
        // A tunnel, whose bytes are nobody's business, has no body.
        ResponseBody::Relayed(relayed) if head.status != StatusCode::SWITCHING_PROTOCOLS => {
            ResponseBody::Logged(Box::new((relayed, entry)))
        }
        body => body,
    };
    Response::from_parts(head, body)
}
