//! Routes of Tunely's tools: the list of tunnels, their status, and `forward`.
//!
//! All but `/api/info` need the operator's key. Tunely's "domain" is the first label of a host name.

use std::collections::BTreeMap;

use crate::http1::request_body::RequestBody;
use http::{Method, Request, StatusCode};
use hvym_tunnel_core::names::check_label;
use hvym_tunnel_core::relay::Owner;
use percent_encoding::percent_decode_str;
use serde::Serialize;

use super::credential::{Asker, Refused};
use super::{READ, forward, hvym, is_read, json, stamp};
use crate::metrics::Joined;
use crate::relay_state::RelayState;
use crate::sessions::AgentSession;
use crate::upstream::response_body::Answer;
use crate::visitor::Visitor;

/// The error of routes that create, change or remove tunnels.
const NO_REGISTRY: &str =
    "This relay keeps no registry: its operator names the tunnels in its configuration file";
/// The text of Tunely's own relay.
const BAD_NAME: &str =
    "Invalid domain format. Use letters, numbers, and hyphens only (1-63 chars, start with letter/number)";

#[derive(Serialize)]
struct Info {
    name: &'static str,
    version: &'static str,
    domain: Domain,
    websocket: WebSocket,
    protocols: [&'static str; 2],
    auth: Auth,
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

#[derive(Serialize)]
struct Availability<'a> {
    available: bool,
    name: &'a str,
    reason: Option<&'static str>,
}

// Fields: those of the JSON object that Tunely's tools read.
/// One tunnel. Counters begin with its agent's connection.
#[derive(Serialize)]
struct Tunnel {
    domain: String,
    name: Option<String>,
    description: Option<String>,
    mode: &'static str,
    enabled: bool,
    /// Bytes from visitors.
    bytes_in: u64,
    /// Bytes to visitors.
    bytes_out: u64,
    connected: bool,
    /// Always `null`.
    token: Option<String>,
    /// The start of the relay, or the login of an identity.
    created_at: String,
    last_connected_at: Option<String>,
    /// When its agent last sent something; Tunely's own relay does not have it.
    last_seen: Option<String>,
    total_requests: u64,
    client_version: Option<String>,
}

/// Log entries of one tunnel: none, because requests are not recorded.
#[derive(Serialize)]
struct Logs {
    total: u64,
    logs: [(); 0],
}

/// `/api/info`.
pub(super) fn info(state: &RelayState) -> Answer {
    let options = &state.settings.options;
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
        auth: Auth { required: false, r#type: None },
    })
}

/// `/api/tunnels` and below, for the operator. `rest` is the rest of the path.
pub(super) async fn answer(visitor: &Visitor, rest: &str, request: Request<RequestBody>) -> Option<Answer> {
    let state = &visitor.state;
    let mut parts = rest.trim_start_matches('/').split('/').filter(|_| !rest.is_empty());
    let parts = (parts.next(), parts.next(), parts.next());
    if let (_, _, Some(_)) = parts {
        return None;
    }
    let asker = Asker::new(request.headers(), visitor);
    if let Err(Refused::Wait(wait)) = asker {
        return Some(json::too_many(wait));
    }
    if asker != Ok(Asker::Operator) {
        return Some(json::detail(StatusCode::UNAUTHORIZED, "Invalid API key"));
    }
    let reads = is_read(request.method());
    Some(match parts {
        (None, ..) if reads => json::answer(&list(state)),
        (None, ..) if request.method() == Method::POST => no_registry(),
        (Some("check-availability"), None, _) if reads => availability(state, request.uri().query()),
        (Some(domain), None, _) if reads => details(state, domain),
        (Some(_), None, _) if matches!(*request.method(), Method::PUT | Method::DELETE) => no_registry(),
        (Some(domain), Some("forward"), _) if request.method() == Method::POST => {
            let domain = domain.to_owned();
            forward::answer(visitor, &domain, request).await
        }
        (Some(_), Some("forward"), _) => json::wrong_method("POST"),
        (Some(_), Some("regenerate-token"), _) if request.method() == Method::POST => no_registry(),
        (Some(domain), Some("logs"), _) if reads => match tunnel(state, domain) {
            Some(_) => json::answer(&Logs { total: 0, logs: [] }),
            None => not_found(),
        },
        (_, Some(_), _) => return None,
        (_, None, _) => json::wrong_method(READ),
    })
}

fn no_registry() -> Answer {
    // Not 501: Tunely's console takes that for an outage, tries again and hides the sentence.
    json::detail(StatusCode::FORBIDDEN, NO_REGISTRY)
}

fn not_found() -> Answer {
    json::detail(StatusCode::NOT_FOUND, "Tunnel not found")
}

fn details(state: &RelayState, domain: &str) -> Answer {
    tunnel(state, domain).map_or_else(not_found, |tunnel| json::answer(&tunnel))
}

fn availability(state: &RelayState, query: Option<&str>) -> Answer {
    let asked = query.unwrap_or_default().split('&').find_map(|pair| pair.strip_prefix("name="));
    let name = percent_decode_str(asked.unwrap_or_default()).decode_utf8_lossy();
    let reason = if check_label(&name.to_ascii_lowercase()).is_err() {
        Some(BAD_NAME)
    } else {
        state.sessions.resolve(&forward::host(state, &name)).ok().map(|_| "Domain already exists")
    };
    json::answer(&Availability { available: reason.is_none(), name: &name, reason })
}

/// The connected agents, and the tunnels that the operator configured.
fn list(state: &RelayState) -> Vec<Tunnel> {
    let mut all: BTreeMap<String, Tunnel> = BTreeMap::new();
    for name in state.live.get().compat_agents.names() {
        all.insert(name.to_string(), Tunnel::absent(state, name.to_string()));
    }
    for live in state.sessions.all() {
        if let Some(joined) = hvym::present(&live) {
            let tunnel = Tunnel::live(state, &live, joined);
            all.insert(tunnel.domain.clone(), tunnel);
        }
    }
    all.into_values().collect()
}

/// The tunnel of this name, if there is one.
fn tunnel(state: &RelayState, domain: &str) -> Option<Tunnel> {
    let name = state.sessions.resolve(&forward::host(state, domain)).ok()?;
    let lives = state.sessions.sessions_of(&name.owner);
    let live = lives.iter().find_map(|live| Some(Tunnel::live(state, live, hvym::present(live)?)));
    live.or_else(|| match name.owner {
        Owner::Named(name) => Some(Tunnel::absent(state, name.to_string())),
        // An address whose agent is not connected is no tunnel.
        Owner::Identity(_) => None,
    })
}

/// The first label of the host name.
fn label(owner: &Owner) -> String {
    match owner {
        Owner::Identity(address) => address.label(),
        Owner::Named(name) => name.to_string(),
    }
}

impl Tunnel {
    /// A tunnel whose agent is not connected.
    fn absent(state: &RelayState, domain: String) -> Self {
        Self {
            enabled: state.live.get().compat_agents.is_enabled(&domain),
            domain,
            name: None,
            description: None,
            mode: "http",
            bytes_in: 0,
            bytes_out: 0,
            connected: false,
            token: None,
            created_at: stamp::without_zone(state.info.started),
            last_connected_at: None,
            last_seen: None,
            total_requests: 0,
            client_version: None,
        }
    }

    fn live(state: &RelayState, live: &AgentSession, joined: &Joined) -> Self {
        let carried = live.session.counters();
        let heard = hvym::last_heard(state, live);
        let mut tunnel = Self {
            enabled: true,
            bytes_in: carried.written,
            bytes_out: carried.read,
            connected: true,
            last_connected_at: Some(stamp::without_zone(joined.at)),
            last_seen: Some(stamp::without_zone(heard)),
            total_requests: live.record.metrics.counts().total,
            client_version: joined.version.clone(),
            ..Self::absent(state, label(&joined.owner))
        };
        if let Owner::Identity(_) = joined.owner {
            tunnel.created_at = stamp::without_zone(joined.at);
        }
        tunnel
    }
}
