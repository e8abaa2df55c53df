//! CloudToLocalLLM's routes to a desktop, by path and the account's token.
//!
//! Requests are proxied like any visitor's. Errors of the relay have the format of these routes.

use std::sync::Arc;

use crate::http1::request_body::RequestBody;
use http::header::{AUTHORIZATION, HOST, HeaderValue, RETRY_AFTER};
use http::{Request, StatusCode, Uri};
use hvym_tunnel_core::relay::{Name, Owner};
use hvym_tunnel_pages::Page;
use serde::Serialize;

use super::cloud::{account, fault, is, unknown};
use super::{READ, RoutedAnswer, SERVES, json};
use crate::compat_agents::CloudTokenError;
use crate::proxy;
use crate::upstream::response_body::Answer;
use crate::visitor::Visitor;

/// The prefix of requests to the model on the user's desktop.
const MODEL: &str = "/api/ollama";

/// An error in the format of the routes below [`MODEL`].
fn flat(status: StatusCode, code: &'static str, error: &str) -> Answer {
    #[derive(Serialize)]
    struct Flat<'a> {
        error: &'a str,
        code: &'static str,
    }
    json::with(status, &Flat { error, code })
}

/// The kind of route to a desktop.
#[derive(Copy, Clone, PartialEq, Eq)]
enum DesktopRoute {
    /// `/api/ollama/..`: the desktop of the token's account.
    Model,
    /// `/api/tunnel/{user}/..`.
    Named,
}

/// The kind of route, the user in the path, and the rest, unchanged.
fn routed_target(target: &str) -> Option<(DesktopRoute, Option<&str>, &str)> {
    if let Some(rest) = target.strip_prefix(MODEL) {
        return rest.starts_with('/').then_some((DesktopRoute::Model, None, rest));
    }
    let rest = target.strip_prefix("/api/tunnel/")?;
    let at = rest.find(['/', '?'])?;
    let (user, rest) = rest.split_at(at);
    (rest.starts_with('/') && user != "health").then_some((DesktopRoute::Named, Some(user), rest))
}

/// Whether the path is one of these routes.
pub(super) fn is_routed(uri: &Uri) -> bool {
    uri.path_and_query().is_some_and(|target| routed_target(target.as_str()).is_some())
}

/// Proxies a request to the desktop of the token's account.
pub(super) async fn route(visitor: &Visitor, mut request: Request<RequestBody>) -> RoutedAnswer {
    let state = &visitor.state;
    let target = request.uri().path_and_query().map(ToString::to_string).unwrap_or_default();
    let Some((way, user, rest)) = routed_target(&target) else { return (json::wrong_method(READ), None) };
    let account = match account(state, request.headers()) {
        Ok(account) => account,
        Err(error) if way == DesktopRoute::Named => return (unknown(&error), None),
        Err(CloudTokenError::Missing) => {
            return (flat(StatusCode::UNAUTHORIZED, "MISSING_TOKEN", "Access token required"), None);
        }
        Err(error) => return (flat(StatusCode::FORBIDDEN, "INVALID_TOKEN", &error.to_string()), None),
    };
    if user.is_some_and(|user| !is(user, &account)) {
        let text = "You can only access your own tunnel";
        return (fault(StatusCode::FORBIDDEN, "AUTH_TOKEN_INVALID", text), None);
    }
    if !SERVES.split(", ").any(|method| method == request.method().as_str()) {
        return (json::wrong_method(SERVES), None);
    }
    let owner = Owner::Named(account.name.clone());
    let name = Name { owner, service: None };
    let host = state.authority(&name);
    let (Ok(uri), Ok(value)) = (rest.parse(), HeaderValue::try_from(&host)) else {
        return (unpassable(way, &Page::bad_host()), None);
    };
    *request.uri_mut() = uri;
    request.headers_mut().insert(HOST, value);
    // The token is for the relay; the service must not see it.
    request.headers_mut().remove(AUTHORIZATION);
    let destination = match state.sessions.lookup(Arc::new(name), false).destination() {
        Ok(destination) => destination,
        Err(page) => return (unpassable(way, &page), None),
    };
    match proxy::try_proxy(visitor, destination, host, request).await {
        Ok((answer, permit)) => (answer, Some(permit)),
        Err(page) => (unpassable(way, &page), None),
    }
}

/// A page as an error in the format of CloudToLocalLLM's routes.
fn unpassable(way: DesktopRoute, page: &Page) -> Answer {
    let status = StatusCode::from_u16(page.status).unwrap_or(StatusCode::BAD_GATEWAY);
    let mut answer = match (way, page.status) {
        (DesktopRoute::Model, 503) => {
            flat(status, "DESKTOP_CLIENT_DISCONNECTED", "Desktop client not connected")
        }
        (DesktopRoute::Model, 504) => flat(status, "LLM_REQUEST_TIMEOUT", "LLM request timeout"),
        (DesktopRoute::Model, _) => flat(status, "LLM_TUNNEL_ERROR", &page.text),
        (DesktopRoute::Named, 503) => fault(
            status,
            "DESKTOP_CLIENT_DISCONNECTED",
            "Please ensure the CloudToLocalLLM desktop client is running and connected",
        ),
        (DesktopRoute::Named, 504) => fault(status, "REQUEST_TIMEOUT", &page.text),
        (DesktopRoute::Named, 400..500) => fault(status, "INVALID_REQUEST_FORMAT", &page.text),
        (DesktopRoute::Named, _) => fault(status, "INTERNAL_SERVER_ERROR", &page.text),
    };
    if let Some(seconds) = page.retry_after {
        answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_to_a_desktop_is_cut_and_left_as_it_was_written() {
        assert!(
            routed_target("/api/ollama/api/tags?x=/&y")
                == Some((DesktopRoute::Model, None, "/api/tags?x=/&y"))
        );
        assert!(routed_target("/api/ollama//..%2fx") == Some((DesktopRoute::Model, None, "//..%2fx")));
        assert!(
            routed_target("/api/tunnel/auth0|a/x%2Fy?z")
                == Some((DesktopRoute::Named, Some("auth0|a"), "/x%2Fy?z"))
        );
        for none in [
            "/api/ollama",
            "/api/ollama?x=/",
            "/api/ollamas/x",
            "/api/tunnel/a",
            "/api/tunnel/health/a",
            "/api/tunnel/a?x=/y",
            "/api/tunnels/a/b",
        ] {
            assert!(routed_target(none).is_none(), "{none}");
        }
    }
}
