//! A request for an agent that may be about to come back, because the relay has just started.

use std::sync::Arc;

use http::Request;
use hvym_tunnel_core::relay::NameError;
use hvym_tunnel_pages::Page;

use crate::http1::request_body::RequestBody;
use crate::limits::visitor_counts::RequestPermit;
use crate::proxy::proxy;
use crate::relay_state::RelayState;
use crate::sessions::{HeldFor, HostTarget};
use crate::sign_in;
use crate::upstream::response_body::{self, Answer};
use crate::visitor::Visitor;

/// What is missing, if a request for it is worth holding.
pub(super) fn missing(state: &RelayState, found: &Result<HostTarget, NameError>) -> Option<Page> {
    if !state.hold.is_active(state.clock.now()) {
        return None;
    }
    match found {
        Ok(target) => target.missing(),
        Err(NameError::NotConnected(short)) => Some(Page::no_agent(short.as_str())),
        Err(_) => None,
    }
}

/// Waits for the agent that `host` names, and passes the request on, or answers it with the page that says what is missing.
pub(super) async fn answer(
    visitor: &Arc<Visitor>,
    mut page: Page,
    host: String,
    request: Request<RequestBody>,
) -> (Answer, Option<RequestPermit>) {
    let state = &visitor.state;
    let awaited = match state.sessions.resolve(&host) {
        Ok(name) => Some(HeldFor::from(&name.owner)),
        Err(NameError::NotConnected(short)) => Some(HeldFor::Address(short)),
        Err(_) => None,
    };
    if let Some(awaited) = awaited {
        let is_there = || state.sessions.find(&host).is_ok_and(|target| target.missing().is_none());
        state.hold.wait(&awaited, is_there, state.clock.now()).await;
    }
    if let Ok(target) = state.sessions.find(&host) {
        if let Some(answer) = sign_in::page(state, &target, &request) {
            return (answer, None);
        }
        match target.destination() {
            Ok(destination) => return proxy(visitor, destination, host, request).await,
            Err(missing) => page = missing,
        }
    }
    let format = response_body::format(&request);
    (response_body::page(&page, format), None)
}
