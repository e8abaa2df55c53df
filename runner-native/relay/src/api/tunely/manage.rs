//! Creates and changes tunnels, with the codes and texts of Tunely's relay.

use http::{HeaderMap, Request, StatusCode};
use hvym_tunnel_core::names::{ShortLabel, check_label};
use hvym_tunnel_registry::{ChangeError, NewTunnel, TunnelRegistry, TunnelUpdate};
use percent_encoding::percent_decode_str;
use serde::Serialize;
use serde_json::{Map, Value};

use super::caller::Requester;
use super::request_json::{self, Field, Kind};
use super::{forward, json, not_found, source, view};
use crate::http1::request_body::RequestBody;
use crate::relay_state::RelayState;
use crate::upstream::response_body::Answer;
use crate::visitor::Visitor;

/// The error where there is no database.
const NO_REGISTRY: &str =
    "This relay keeps no registry: its operator names the tunnels in its configuration file";
/// The error of changes to a tunnel that the operator has named.
const OF_CONFIG_FILE: &str = "This tunnel is set in the relay's configuration file, and changed there";
/// The text of Tunely's own relay.
const BAD_NAME: &str =
    "Invalid domain format. Use letters, numbers, and hyphens only (1-63 chars, start with letter/number)";
const TAKEN: &str = "Domain already exists";
const WRONG_TOKEN: &str = "Invalid tunnel token or domain mismatch";

const CREATE: [Field; 4] = [
    ("domain", Kind::Text, true),
    ("name", Kind::Text, false),
    ("description", Kind::Text, false),
    ("mode", Kind::Text, false),
];
/// `log_requests` is not Tunely's.
const UPDATE: [Field; 5] = [
    ("name", Kind::Text, false),
    ("description", Kind::Text, false),
    ("enabled", Kind::Bool, false),
    ("mode", Kind::Text, false),
    ("log_requests", Kind::Bool, false),
];

#[derive(Serialize)]
struct Created<'a> {
    domain: &'a str,
    token: &'a str,
    name: Option<&'a str>,
    mode: &'a str,
}

#[derive(Serialize)]
struct Rotated<'a> {
    domain: &'a str,
    token: &'a str,
}

#[derive(Serialize)]
struct Removed<'a> {
    success: bool,
    domain: &'a str,
}

#[derive(Serialize)]
struct Availability<'a> {
    available: bool,
    name: &'a str,
    reason: Option<&'static str>,
}

/// `POST /api/tunnels`.
pub(super) async fn create(visitor: &Visitor, caller: &Requester, request: Request<RequestBody>) -> Answer {
    let state = &visitor.state;
    let source = source(visitor, request.headers());
    let Some(registry) = &state.plugins.tunnels else { return forbidden(NO_REGISTRY) };
    let fields = match request_json::read(visitor, request, &CREATE).await {
        Ok(fields) => fields,
        Err(answer) => return answer,
    };
    let domain = text(&fields, "domain").unwrap_or_default();
    if let Some((status, reason)) = refusal(state, &domain, caller) {
        return json::detail(status, reason);
    }
    let (owner, quota) = match caller {
        Requester::Operator => (None, None),
        Requester::Owner(owner) => {
            let quota = state.live.get().compat_agents.tunely().map(|tunely| tunely.max_tunnels_per_owner);
            (Some(owner.clone()), quota)
        }
    };
    let (name, description) = (text(&fields, "name"), text(&fields, "description"));
    let new = NewTunnel { domain, name, description, owner, quota, source: Some(source) };
    match registry.create(new).await {
        Ok((tunnel, token)) => json::answer(&Created {
            domain: &tunnel.domain,
            token: token.expose(),
            name: tunnel.name.as_deref(),
            mode: &tunnel.mode,
        }),
        Err(error) => refused(&error),
    }
}

/// `PUT /api/tunnels/{domain}`.
pub(super) async fn update(visitor: &Visitor, domain: &str, request: Request<RequestBody>) -> Answer {
    let state = &visitor.state;
    let source = source(visitor, request.headers());
    let registry = match changeable(state, domain) {
        Ok(registry) => registry,
        Err(answer) => return answer,
    };
    let fields = match request_json::read(visitor, request, &UPDATE).await {
        Ok(fields) => fields,
        Err(answer) => return answer,
    };
    let flag = |name: &str| fields.get(name).and_then(Value::as_bool);
    let update = TunnelUpdate {
        name: text(&fields, "name"),
        description: text(&fields, "description"),
        enabled: flag("enabled"),
        logs_requests: flag("log_requests"),
    };
    match registry.update(domain, update, Some(source)).await {
        Ok(_) => super::details(state, domain),
        Err(error) => refused(&error),
    }
}

/// `DELETE /api/tunnels/{domain}`.
pub(super) async fn delete(visitor: &Visitor, domain: &str, fields: &HeaderMap) -> Answer {
    let registry = match changeable(&visitor.state, domain) {
        Ok(registry) => registry,
        Err(answer) => return answer,
    };
    match registry.delete(domain, Some(source(visitor, fields))).await {
        Ok(()) => json::answer(&Removed { success: true, domain }),
        Err(error) => refused(&error),
    }
}

/// The same, by whoever has the token of the tunnel.
pub(super) async fn delete_by_token(
    visitor: &Visitor,
    domain: &str,
    token: &str,
    fields: &HeaderMap,
) -> Answer {
    let state = &visitor.state;
    let from = source(visitor, fields);
    if let Err(wait) = state.guesses.check(from, state.clock.now()) {
        return json::too_many(wait);
    }
    let found = state.plugins.tunnels.as_ref().and_then(|registry| registry.find(token));
    if found.is_none_or(|tunnel| *tunnel.domain != *domain) {
        state.handle_wrong_key(from, "a token of a tunnel");
        return json::detail(StatusCode::UNAUTHORIZED, WRONG_TOKEN);
    }
    delete(visitor, domain, fields).await
}

/// `POST /api/tunnels/{domain}/regenerate-token`.
pub(super) async fn rotate(visitor: &Visitor, domain: &str, fields: &HeaderMap) -> Answer {
    let registry = match changeable(&visitor.state, domain) {
        Ok(registry) => registry,
        Err(answer) => return answer,
    };
    match registry.rotate(domain, Some(source(visitor, fields))).await {
        Ok(token) => json::answer(&Rotated { domain, token: token.expose() }),
        Err(error) => refused(&error),
    }
}

/// `GET /api/tunnels/check-availability`.
pub(super) fn availability(state: &RelayState, query: Option<&str>) -> Answer {
    let asked = query.unwrap_or_default().split('&').find_map(|pair| pair.strip_prefix("name="));
    let name = percent_decode_str(asked.unwrap_or_default()).decode_utf8_lossy();
    let reason = refusal(state, &name.to_ascii_lowercase(), &Requester::Operator).map(|(_, reason)| reason);
    json::answer(&Availability { available: reason.is_none(), name: &name, reason })
}

/// Why nobody, or not this caller, gets this name.
fn refusal(state: &RelayState, name: &str, caller: &Requester) -> Option<(StatusCode, &'static str)> {
    // Whoever is not the operator must not choose what may become the name of an identity.
    let is_identity = ShortLabel::parse(name).is_some() || name.contains("--");
    if check_label(name).is_err() || (is_identity && *caller != Requester::Operator) {
        return Some((StatusCode::BAD_REQUEST, BAD_NAME));
    }
    state.sessions.resolve(&forward::host(state, name)).ok().map(|_| (StatusCode::CONFLICT, TAKEN))
}

/// The registry, if the tunnel is there.
fn changeable<'a>(state: &'a RelayState, domain: &str) -> Result<&'a TunnelRegistry, Answer> {
    let registry = state.plugins.tunnels.as_ref().ok_or_else(|| forbidden(NO_REGISTRY))?;
    if state.live.get().compat_agents.is_registered(domain) {
        return Ok(registry);
    }
    Err(if view::tunnel(state, domain).is_some() { forbidden(OF_CONFIG_FILE) } else { not_found() })
}

fn forbidden(text: &str) -> Answer {
    // Not 501: Tunely's console takes that for an outage, tries again and hides the sentence.
    json::detail(StatusCode::FORBIDDEN, text)
}

/// The answer for a change that was not made.
pub(super) fn refused(error: &ChangeError) -> Answer {
    let (status, text) = match error {
        ChangeError::BadName => (StatusCode::BAD_REQUEST, BAD_NAME.to_owned()),
        ChangeError::NameTaken => (StatusCode::CONFLICT, TAKEN.to_owned()),
        ChangeError::NotFound => return not_found(),
        ChangeError::TooLong(_) => (StatusCode::UNPROCESSABLE_ENTITY, error.to_string()),
        ChangeError::Quota(_) => (StatusCode::FORBIDDEN, error.to_string()),
        ChangeError::Full => (StatusCode::INSUFFICIENT_STORAGE, error.to_string()),
        _ => (StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
    };
    json::detail(status, text)
}

fn text(fields: &Map<String, Value>, name: &str) -> Option<String> {
    fields.get(name).and_then(Value::as_str).map(str::to_owned)
}
