//! Routes of Tunely's tools: tunnels, their logs, and `forward`.
//!
//! Whoever shows the operator's key may do everything, and the owner of a tunnel what is about that one; `/api/info` is for everybody.
//! Tunely's "domain" is the first label of a host name.

#![allow(clippy::result_large_err, reason = "a refusal is the response itself, made once and sent")]

mod caller;
mod jwt;
mod logs;
mod manage;
mod request_json;
mod view;

use http::{HeaderMap, Method, Request, StatusCode};
use serde::Serialize;

use super::{READ, forward, is_read, json};
use crate::http1::request_body::RequestBody;
use crate::relay_state::RelayState;
use crate::upstream::response_body::Answer;
use crate::visitor::Visitor;
use caller::Requester;
pub(super) use caller::shows_owner;
pub(super) use logs::{all_changes, audit};

#[derive(Serialize)]
struct Info {
    name: &'static str,
    version: &'static str,
    domain: Domain,
    websocket: WebSocket,
    protocols: [&'static str; 2],
    auth: Auth,
    #[serde(skip_serializing_if = "Option::is_none")]
    instruction: Option<String>,
}

#[derive(Serialize)]
struct Domain {
    pattern: String,
    customizable: &'static str,
    suffix: String,
}

#[derive(Serialize)]
struct WebSocket {
    url: String,
}

/// Whether creating a tunnel needs a token.
#[derive(Serialize)]
struct Auth {
    required: bool,
    r#type: Option<&'static str>,
}

/// `/api/info`.
pub(super) fn info(state: &RelayState) -> Answer {
    let options = &state.settings.options;
    let live = state.live.get();
    let tunely = live.compat_agents.tunely();
    let required = tunely.is_some_and(|tunely| tunely.jwt_secret.is_some());
    let mut url = options.agent_url(state.info.port);
    url.path = "/ws/tunnel".to_owned();
    json::public(&Info {
        name: "hvym-tunnel",
        version: env!("CARGO_PKG_VERSION"),
        domain: Domain {
            pattern: format!("{{subdomain}}.{}", options.ingress.domain),
            customizable: "subdomain",
            suffix: format!(".{}", options.ingress.domain),
        },
        websocket: WebSocket { url: url.to_string() },
        protocols: ["https", "http"],
        auth: Auth { required, r#type: required.then_some("bearer") },
        instruction: tunely.and_then(|tunely| tunely.instruction.clone()),
    })
}

/// `/api/tunnels` and below. `rest` is the rest of the path.
pub(super) async fn answer(visitor: &Visitor, rest: &str, request: Request<RequestBody>) -> Option<Answer> {
    let parts = parts(rest);
    if let (_, _, Some(_)) = parts {
        return None;
    }
    if let (Some(domain), None, _) = parts
        && request.method() == Method::DELETE
        && let Some(token) = caller::tunnel_token(request.headers())
    {
        return Some(manage::delete_by_token(visitor, domain, token, request.headers()).await);
    }
    let creates = parts.0.is_none() && request.method() == Method::POST;
    match caller::authenticate(visitor, request.headers(), creates) {
        Ok(caller) => answer_to(visitor, &caller, rest, request).await,
        Err(refused) => Some(refused),
    }
}

/// Answers the operator, who has shown that it is.
pub(super) async fn answer_operator(
    visitor: &Visitor,
    rest: &str,
    request: Request<RequestBody>,
) -> Option<Answer> {
    if let (_, _, Some(_)) = parts(rest) {
        return None;
    }
    answer_to(visitor, &Requester::Operator, rest, request).await
}

/// The first three parts of a path behind that of all tunnels.
fn parts(rest: &str) -> (Option<&str>, Option<&str>, Option<&str>) {
    let mut parts = rest.trim_start_matches('/').split('/').filter(|_| !rest.is_empty());
    (parts.next(), parts.next(), parts.next())
}

async fn answer_to(
    visitor: &Visitor,
    caller: &Requester,
    rest: &str,
    request: Request<RequestBody>,
) -> Option<Answer> {
    let (state, parts) = (&visitor.state, parts(rest));
    let creates = parts.0.is_none() && request.method() == Method::POST;
    // What is another's is not told from what is not there.
    if let (Some(domain), Requester::Owner(owner)) =
        (parts.0.filter(|part| *part != "check-availability"), caller)
        && !caller::owns(state, domain, owner)
    {
        return Some(not_found());
    }
    let reads = is_read(request.method());
    Some(match parts {
        (None, ..) if reads => match caller {
            Requester::Operator => json::answer(&view::list(state)),
            Requester::Owner(owner) => json::answer(&view::list_of(state, owner)),
        },
        (None, ..) if creates => manage::create(visitor, caller, request).await,
        (Some("check-availability"), None, _) if reads => manage::availability(state, request.uri().query()),
        (Some(domain), None, _) if reads => details(state, domain),
        (Some(domain), None, _) if request.method() == Method::PUT => {
            let domain = domain.to_owned();
            manage::update(visitor, &domain, request).await
        }
        (Some(domain), None, _) if request.method() == Method::DELETE => {
            manage::delete(visitor, domain, request.headers()).await
        }
        (Some(domain), Some("forward"), _) if request.method() == Method::POST => {
            let domain = domain.to_owned();
            forward::answer(visitor, &domain, request).await
        }
        (Some(_), Some("forward"), _) => json::wrong_method("POST"),
        (Some(domain), Some("regenerate-token"), _) if request.method() == Method::POST => {
            manage::rotate(visitor, domain, request.headers()).await
        }
        (Some(domain), Some("logs"), _) if reads => logs::logs(state, domain, request.uri().query()).await,
        (_, Some(_), _) => return None,
        (_, None, _) => json::wrong_method(READ),
    })
}

fn not_found() -> Answer {
    json::detail(StatusCode::NOT_FOUND, "Tunnel not found")
}

fn invalid_key() -> Answer {
    json::detail(StatusCode::UNAUTHORIZED, "Invalid API key")
}

fn details(state: &RelayState, domain: &str) -> Answer {
    view::tunnel(state, domain).map_or_else(not_found, |tunnel| json::answer(&tunnel))
}

/// The address that a request comes from, as a trusted proxy says it.
fn source(visitor: &Visitor, fields: &HeaderMap) -> std::net::IpAddr {
    visitor.client_info(&crate::proxy::fields(fields)).address()
}
