//! The HTTP API of the relay's own domain: its address, health, the agents' WebSocket endpoints, and the list of
//! agents for those who may see it.
//!
//! It serves the tools of three older systems, each with a file for its JSON. Where two of them use the same path,
//! the response suits both or depends on the credential.

mod cloud;
mod console;
mod cors;
mod credential;
mod desktop;
mod forward;
mod hvym;
mod json;
mod local_access;
mod management;
mod stamp;
mod tunely;

pub(crate) use hvym::tunnel_record;

use std::time::SystemTime;

use crate::http1::request_body::RequestBody;
use http::header::ALLOW;
use http::{HeaderValue, Method, Request};
use hvym_tunnel_core::relay::NameError;
use hvym_tunnel_pages::{Format, Page};
use serde::Serialize;

use crate::agent_conn;
use crate::limits::visitor_counts::RequestPermit;
use crate::management::is_managed;
use crate::pages;
use crate::upstream::response_body::{self, Answer};
use crate::visitor::Visitor;
use credential::Asker;

/// The name by which existing programs recognise a relay of this protocol.
const SERVICE: &str = "hvym_tunnler";
/// `Allow` of routes that are read.
const READ: &str = "GET, HEAD";
/// `Allow` of routes that pass requests on to services, as HVYM's and CloudToLocalLLM's relays have it.
const SERVES: &str = "GET, POST, PUT, DELETE, PATCH, HEAD, OPTIONS";

/// A response, with the permit of a request that was passed on for it.
type RoutedAnswer = (Answer, Option<RequestPermit>);

/// Read by HVYM's and CloudToLocalLLM's tools; Tunely's read `status`, or the status code.
#[derive(Serialize)]
struct Health<'a> {
    status: &'a str,
    service: &'a str,
    server_address: String,
    timestamp: String,
    #[serde(rename = "tunnelSystem")]
    tunnel_system: &'a str,
}

/// Whether agents connect at this path of the relay's own domain.
pub(super) fn is_agent_endpoint(target: &str) -> bool {
    matches!(target.split('?').next(), Some("/connect" | "/ws/tunnel"))
}

/// Answers a request that names no agent. `name` says what its host is instead: the relay itself, another domain (an
/// IP address, in health checks of a load balancer), or no possible agent.
pub(super) async fn answer(
    visitor: &Visitor,
    name: &NameError,
    request: Request<RequestBody>,
) -> RoutedAnswer {
    let format = response_body::format(&request);
    let options = &visitor.state.settings.options;
    if let Some(page) = local_access::refusal(request.headers(), name, options) {
        return (response_body::page(&page, format), None);
    }
    let path = request.uri().path();
    if path == "/connect" {
        return (agent_conn::answer(visitor, request), None);
    }
    if let NameError::NotAnAddress(label) = name {
        return (response_body::page(&pages::not_an_address(label, &options.ingress.domain), format), None);
    }
    if let NameError::NotConnected(short) = name {
        return (response_body::page(&Page::no_agent(short.as_str()), format), None);
    }
    if path == "/ws/tunnel" && visitor.state.live.get().compat_agents.are_expected() {
        return (agent_conn::answer_with_token(visitor, request), None);
    }
    let page = match (path, name) {
        ("/health" | "/info", _) if !is_read(request.method()) => {
            return (wrong_method(format), None);
        }
        ("/health", _) => return (health(visitor), None),
        ("/info", _) => return (hvym::info(&visitor.state), None),
        (path, _) if is_managed(path) => return (management::answer(visitor, request).await, None),
        (_, NameError::OtherDomain { domain, host }) if !name.means_relay() => {
            pages::other_domain(domain, host)
        }
        ("/", _) if !is_read(request.method()) => return (wrong_method(format), None),
        ("/", _) => pages::welcome(&options.ingress.domain),
        _ if hvym::is_proxied(request.uri()) => return hvym::proxy(visitor, request).await,
        (path, _) if path.starts_with("/api/") || console::is_below(path) => {
            let page = pages::not_here(path);
            match asked(visitor, request).await {
                Some(routed_target) => return routed_target,
                None => page,
            }
        }
        (path, _) => match hvym::identity(&visitor.state, path) {
            Some(answer) => return (read_only(request.method(), answer), None),
            None => pages::not_here(path),
        },
    };
    (response_body::page(&page, format), None)
}

/// 405 as a page.
fn wrong_method(format: Format) -> Answer {
    let mut answer = response_body::page(&pages::wrong_method(), format);
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static(READ));
    answer
}

fn is_read(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

fn health(visitor: &Visitor) -> Answer {
    json::public(&Health {
        status: "healthy",
        service: SERVICE,
        server_address: visitor.state.info.address.to_string(),
        timestamp: stamp::javascript(SystemTime::now()),
        tunnel_system: "websocket",
    })
}

/// Answers the console, and below `/api/`, with CORS; `None` if the path is unknown.
async fn asked(visitor: &Visitor, request: Request<RequestBody>) -> Option<RoutedAnswer> {
    let state = &visitor.state;
    if console::is_below(request.uri().path()) {
        return console::answer(visitor, request).await.map(|answer| (answer, None));
    }
    let grant = cors::Grant::new(&request, &state.live.get().origins);
    if let Some(answer) = grant.preflight() {
        return Some((answer, None));
    }
    let (answer, permit) = if state.live.get().compat_agents.has_cloud() && desktop::is_routed(request.uri())
    {
        desktop::route(visitor, request).await
    } else {
        (api(visitor, request).await?, None)
    };
    Some((grant.mark(answer), permit))
}

/// Answers below `/api/`; `None` if the path is unknown.
async fn api(visitor: &Visitor, request: Request<RequestBody>) -> Option<Answer> {
    let state = &visitor.state;
    let path = request.uri().path().to_owned();
    if let Some(rest) = path.strip_prefix("/api/tunnels")
        && (rest.starts_with('/')
            || (rest.is_empty()
                && (credential::shows_key(request.headers())
                    || !is_read(request.method())
                    || tunely::shows_owner(state, request.headers()))))
    {
        return tunely::answer(visitor, rest, request).await;
    }
    let asker = || Asker::new(request.headers(), visitor);
    let told = |tell: &dyn Fn(&Asker) -> Answer| asker().map_or_else(hvym::refused, |asker| tell(&asker));
    let answer = match path.as_str() {
        "/api/health" => cloud::alive(),
        "/api/info" => tunely::info(state),
        "/api/audit" if is_read(request.method()) => return Some(tunely::audit(visitor, &request).await),
        "/api/tunnels" => told(&|asker| hvym::tunnels(state, asker)),
        "/api/stats" => told(&|asker| hvym::stats(state, asker)),
        path => {
            let rest = path.strip_prefix("/api/tunnel/")?;
            let of_cloud = || cloud::answer(state, rest, request.headers());
            match state.live.get().compat_agents.has_cloud().then(of_cloud).flatten() {
                Some(answer) => answer,
                None if rest.contains('/') => return None,
                None => told(&|asker| hvym::tunnel(state, rest, asker)),
            }
        }
    };
    Some(read_only(request.method(), answer))
}

/// `answer` for `GET` and `HEAD`, else 405.
fn read_only(method: &Method, answer: Answer) -> Answer {
    if is_read(method) { answer } else { json::wrong_method(READ) }
}
