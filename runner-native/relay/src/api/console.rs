//! The console at `/console/` of the relay's own domain: a page, and the APIs for operators and owners with a session of a browser in
//! place of the key.
//!
//! Every website in the operator's browser can send requests here, and names below the domain belong to other people, which
//! browsers take for the same site. So whatever comes from another origin gets nothing.

#![allow(clippy::result_large_err, reason = "a refusal is the response itself, made once and sent")]

mod cookie;
mod events;
mod origin;
mod page;
mod sign_in;

use http::header::ALLOW;
use http::{HeaderValue, Method, Request, StatusCode, Uri};
use serde::Serialize;

use super::{is_read, json, management, tunely};
use crate::console_sessions::{ConsoleRole, Credential, SignedIn};
use crate::http1::request_body::RequestBody;
use crate::management::ApiCaller;
use crate::relay_state::RelayState;
use crate::upstream::response_body::Answer;
use crate::visitor::Visitor;

/// Where the page is.
const PAGE: &str = "/console/";
/// What is cut before a path is one of the APIs for operators.
const PREFIX: &str = "/console";

/// What the page asks for first.
#[derive(Serialize)]
struct SessionReport<'a> {
    signed_in: bool,
    /// Whom: an identity, or nothing for whoever has the key.
    identity: Option<String>,
    /// As what: `operator`, or `owner` of the agents of that identity; nothing for whoever is not signed in.
    role: Option<&'static str>,
    /// For how many seconds yet, at most.
    seconds: u64,
    /// Whether a key signs in. A signature does, of operators and owners.
    by_key: bool,
    /// The domain of the relay, and its address, for which a token is made.
    domain: &'a str,
    relay: String,
    /// Whether there is a database of tunnels, for whoever is signed in.
    has_tunnels: bool,
}

/// Whether a path is the console's.
pub(super) fn is_below(path: &str) -> bool {
    path == PREFIX || path.starts_with(PAGE)
}

/// Answers a request below `/console`; `None` if there is no console, or nothing there.
pub(super) async fn answer(visitor: &Visitor, request: Request<RequestBody>) -> Option<Answer> {
    let (state, path) = (&visitor.state, request.uri().path());
    if !is_there(state) {
        return None;
    }
    if let Some(answer) = page::answer(request.method(), path) {
        return Some(answer);
    }
    let api = path.strip_prefix(PREFIX).filter(|path| path.starts_with("/api/"))?.to_owned();
    if !origin::is_own(request.method(), request.headers(), state.settings.options.scheme()) {
        return Some(json::detail(StatusCode::FORBIDDEN, "this came from another page than the console"));
    }
    let (signed_in, method) = (signed_in(state, &request), request.method().clone());
    match (api.as_str(), &method) {
        ("/api/session", &Method::GET) => Some(json::answer(&report(state, signed_in.as_ref()))),
        ("/api/session", &Method::POST) => Some(sign_in::sign_in(visitor, request).await),
        ("/api/session", &Method::DELETE) => Some(sign_in::sign_out(state, request.headers())),
        ("/api/challenge", &Method::POST) => Some(sign_in::challenge(state)),
        ("/api/session", _) => Some(wrong_method("GET, POST, DELETE")),
        ("/api/challenge", _) => Some(wrong_method("POST")),
        _ => match signed_in.map(|signed_in| caller(&signed_in)) {
            None => Some(json::detail(StatusCode::UNAUTHORIZED, "sign in first")),
            Some(caller) => for_caller(visitor, caller, &api, request).await,
        },
    }
}

/// For whom the APIs are asked in a session.
const fn caller(signed_in: &SignedIn) -> ApiCaller {
    match (signed_in.role, &signed_in.by) {
        (ConsoleRole::Operator, _) => ApiCaller::Operator,
        (ConsoleRole::Owner, Credential::Identity(own)) => ApiCaller::Owner(*own),
        (ConsoleRole::Owner, Credential::Key(_)) => ApiCaller::Anyone,
    }
}

/// Answers by the APIs for operators and owners.
async fn for_caller(
    visitor: &Visitor,
    caller: ApiCaller,
    path: &str,
    request: Request<RequestBody>,
) -> Option<Answer> {
    let state = &visitor.state;
    if !path.starts_with("/api/v1/") && caller != ApiCaller::Operator {
        return Some(json::detail(StatusCode::FORBIDDEN, "this is the operator's alone"));
    }
    if path == "/api/events" {
        return match *request.method() {
            Method::GET => {
                cookie::secret(state, request.headers()).map(|secret| events::answer(state, secret))
            }
            _ => Some(wrong_method("GET")),
        };
    }
    let (mut head, body) = request.into_parts();
    let target = head.uri.path_and_query().map(|target| target.as_str());
    head.uri = target.and_then(|target| target.strip_prefix(PREFIX))?.parse::<Uri>().ok()?;
    let request = Request::from_parts(head, body);
    if path.starts_with("/api/v1/") {
        return Some(management::answer_to(visitor, caller, request).await);
    }
    if path == "/api/audit" && is_read(request.method()) {
        return Some(tunely::all_changes(state, request.uri().query()).await);
    }
    let rest = path.strip_prefix("/api/tunnels").filter(|rest| rest.is_empty() || rest.starts_with('/'))?;
    tunely::answer_operator(visitor, rest, request).await
}

/// Whether somebody could sign in.
fn is_there(state: &RelayState) -> bool {
    state.live.get().has_operator_key() || !state.settings.options.admin.operators.is_empty()
}

/// The session of a request, unless its key or identity is not the operator's any more, or its owner is banned.
fn signed_in(state: &RelayState, request: &Request<RequestBody>) -> Option<SignedIn> {
    find(state, cookie::secret(state, request.headers())?)
}

/// Whether this is the secret of a session.
fn is_signed_in(state: &RelayState, secret: &str) -> bool {
    find(state, secret).is_some()
}

fn find(state: &RelayState, secret: &str) -> Option<SignedIn> {
    let signed_in = state.console.find(secret, state.clock.now())?;
    let holds = match (&signed_in.by, signed_in.role) {
        (Credential::Key(key), _) => state.live.get().is_operator_key(key),
        (Credential::Identity(identity), ConsoleRole::Operator) => {
            state.settings.options.admin.operators.contains(identity)
        }
        (Credential::Identity(identity), ConsoleRole::Owner) => !state.is_banned(identity),
    };
    holds.then_some(signed_in)
}

fn report<'a>(state: &'a RelayState, signed_in: Option<&SignedIn>) -> SessionReport<'a> {
    let identity = signed_in.and_then(|signed_in| match &signed_in.by {
        Credential::Key(_) => None,
        Credential::Identity(identity) => Some(identity.to_string()),
    });
    let left = |signed_in: &SignedIn| signed_in.until.saturating_duration_since(state.clock.now());
    SessionReport {
        signed_in: signed_in.is_some(),
        identity,
        role: signed_in.map(|signed_in| match signed_in.role {
            ConsoleRole::Operator => "operator",
            ConsoleRole::Owner => "owner",
        }),
        seconds: signed_in.map_or(0, |signed_in| left(signed_in).as_secs()),
        by_key: state.live.get().has_operator_key(),
        domain: &state.settings.options.ingress.domain,
        relay: state.info.address.to_string(),
        has_tunnels: signed_in.is_some_and(|signed_in| signed_in.role == ConsoleRole::Operator)
            && state.plugins.tunnels.is_some(),
    }
}

fn wrong_method(allowed: &'static str) -> Answer {
    let mut answer = json::detail(StatusCode::METHOD_NOT_ALLOWED, "there is no such method here");
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    answer
}
