//! Routes of HVYM's tools: the relay's identity, the connected agents, and `/proxy`.

use std::time::SystemTime;

use crate::http1::request_body::RequestBody;
use http::header::{HOST, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use http::{Request, StatusCode, Uri};
use hvym_tunnel_cluster::HvymTunnel;
use hvym_tunnel_core::dialect::MUX_YAMUX;
use hvym_tunnel_core::relay::{Name, Owner};
use hvym_tunnel_core::stellar::Address;
use hvym_tunnel_pages::Page;
use serde::Serialize;

use super::credential::{Asker, Refused};
use super::{RoutedAnswer, SERVES, json, stamp};
use crate::metrics::Joined;
use crate::proxy;
use crate::relay_state::RelayState;
use crate::sessions::AgentSession;
use crate::sessions::HostTarget;
use crate::upstream::response_body::Answer;
use crate::visitor::Visitor;

/// The agent of a request to `/proxy`.
const STELLAR_ADDRESS: HeaderName = HeaderName::from_static("x-stellar-address");
/// The services of an HVYM relay whose operator says nothing.
const USUAL_SERVICES: [&str; 2] = ["pintheon", "ipfs"];
/// The prefix of requests that name an agent by [`STELLAR_ADDRESS`].
const PROXY: &str = "/proxy";

#[derive(Serialize)]
struct Info<'a> {
    server_address: String,
    websocket_url: String,
    /// The services agents may bind.
    services: Vec<String>,
    version: &'a str,
    mux: &'a [&'a str],
}

#[derive(Serialize)]
struct Identity {
    server_address: String,
    domain: String,
    websocket_url: String,
    api_url: String,
    generated_at: String,
    qr_code_path: &'static str,
}

#[derive(Serialize)]
struct IdentityAddress {
    address: String,
}

#[derive(Serialize)]
struct ErrorBody {
    error: &'static str,
    message: &'static str,
    code: &'static str,
}

/// One agent.
#[derive(Serialize)]
struct Tunnel {
    stellar_address: String,
    endpoint: String,
    /// `null` for anonymous requests.
    connected_at: Option<String>,
    /// Its public services; empty for anonymous requests.
    services: Vec<String>,
}

#[derive(Serialize)]
struct Tunnels {
    count: usize,
    tunnels: Vec<Tunnel>,
}

#[derive(Serialize)]
struct TunnelDetails {
    #[serde(flatten)]
    tunnel: Tunnel,
    /// Expiry of the agent's login token, seconds since 1970.
    expires_at: Option<u64>,
    is_expired: bool,
}

#[derive(Serialize)]
struct Stats {
    active_connections: usize,
    encrypted_connections: usize,
    registered_tunnels: usize,
    active_sessions: usize,
    security: Security,
}

#[derive(Serialize)]
struct Security {
    pending_challenges: usize,
    used_challenges: u64,
    rate_limited_ips: usize,
}

/// `/info`: the WebSocket URL, and the address that login tokens are signed for.
pub(super) fn info(state: &RelayState) -> Answer {
    let options = &state.settings.options;
    let services: Vec<String> = options.admission.services.iter().map(ToString::to_string).collect();
    // Where every service may be bound, the ones that HVYM's tools look for.
    let services = if services.is_empty() { USUAL_SERVICES.map(str::to_owned).to_vec() } else { services };
    json::public(&Info {
        server_address: state.info.address.to_string(),
        websocket_url: websocket_url(state),
        services,
        version: env!("CARGO_PKG_VERSION"),
        mux: &[MUX_YAMUX],
    })
}

fn websocket_url(state: &RelayState) -> String {
    format!("{}/connect", state.settings.options.agent_url(state.info.port))
}

/// `/server-identity` and below; `None` for other paths.
pub(super) fn identity(state: &RelayState, path: &str) -> Option<Answer> {
    let options = &state.settings.options;
    Some(match path.strip_prefix("/server-identity")? {
        "" => json::public(&Identity {
            server_address: state.info.address.to_string(),
            domain: options.ingress.domain.clone(),
            websocket_url: websocket_url(state),
            api_url: options.public_url(&options.ingress.domain, state.info.port),
            generated_at: stamp::with_zone(state.info.started),
            qr_code_path: "/server-identity/qr",
        }),
        "/address" => json::public(&IdentityAddress { address: state.info.address.to_string() }),
        "/qr" | "/qr.png" => json::detail(
            StatusCode::SERVICE_UNAVAILABLE,
            ErrorBody {
                error: "QR code not generated",
                message: "This relay draws none; its address is at /server-identity/address",
                code: "QR_NOT_GENERATED",
            },
        ),
        _ => return None,
    })
}

/// `/api/tunnels` without the operator's key header: all agents for the operator, else one's own.
pub(super) fn tunnels(state: &RelayState, asker: &Asker) -> Answer {
    let lives = match asker {
        Asker::Owner(address) => state.sessions.sessions_of(&(*address).into()),
        Asker::Operator => state.sessions.all(),
        Asker::Stranger if state.is_list_public() => state.sessions.all(),
        Asker::Stranger => return json::not_authenticated(),
    };
    let mut tunnels: Vec<Tunnel> = Vec::new();
    for live in lives {
        if let Some(joined) = present(&live)
            && let Owner::Identity(address) = joined.owner
        {
            tunnels.push(Tunnel::new(state, address, &live, joined));
        }
    }
    json::answer(&Tunnels { count: tunnels.len(), tunnels })
}

/// `/api/tunnel/{address}`. Everybody can see whether an agent is connected; since when and with which services, only
/// its owner and the operator.
pub(super) fn tunnel(state: &RelayState, text: &str, asker: &Asker) -> Answer {
    let Ok(address) = Address::from_label(text) else { return absent(text) };
    let lives = state.sessions.sessions_of(&address.into());
    let Some((live, joined)) = lives.iter().find_map(|live| Some((live, present(live)?))) else {
        return absent(text);
    };
    let is_told = match asker {
        Asker::Owner(owner) => *owner == address,
        Asker::Operator => true,
        Asker::Stranger => state.is_list_public(),
    };
    let mut tunnel = Tunnel::new(state, address, live, joined);
    let others = lives.iter().flat_map(services).filter(|name| !tunnel.services.contains(name));
    let others: Vec<String> = others.collect();
    tunnel.services.extend(others);
    let mut expires_at = joined.expires_at.map(|at| at.as_secs());
    let now = state.clock.wall().unix.as_secs();
    let is_expired = is_told && expires_at.is_some_and(|at| at < now);
    if !is_told {
        (tunnel.connected_at, tunnel.services, expires_at) = (None, Vec::new(), None);
    }
    json::answer(&TunnelDetails { tunnel, expires_at, is_expired })
}

fn absent(text: &str) -> Answer {
    json::detail(StatusCode::NOT_FOUND, format!("Tunnel not found for {text}"))
}

/// `/api/stats`.
pub(super) fn stats(state: &RelayState, asker: &Asker) -> Answer {
    if *asker != Asker::Operator && !state.is_list_public() {
        return json::not_authenticated();
    }
    let all = state.sessions.all();
    let up: Vec<&AgentSession> = all.iter().filter(|live| present(live).is_some()).collect();
    let now = state.clock.now();
    let sealed = up.iter().filter(|live| live.session.look(|session| session.is_sealed())).count();
    json::answer(&Stats {
        active_connections: up.len(),
        encrypted_connections: sealed,
        registered_tunnels: up.len(),
        active_sessions: up.len(),
        security: Security {
            pending_challenges: all.len() - up.len(),
            used_challenges: state.metrics.joined(),
            rate_limited_ips: state.guesses.delayed(now) + state.failed_logins.delayed(now),
        },
    })
}

/// The response to a refused credential.
pub(super) fn refused(refused: Refused) -> Answer {
    match refused {
        Refused::Key => json::detail(StatusCode::UNAUTHORIZED, "Invalid API key"),
        Refused::Wait(wait) => json::too_many(wait),
        Refused::Token(why) => json::detail(StatusCode::UNAUTHORIZED, format!("Invalid token: {why}")),
    }
}

/// The login of a session that is up.
pub(super) fn present(live: &AgentSession) -> Option<&Joined> {
    live.record.joined.get().filter(|_| live.is_up())
}

/// When the agent last sent something.
pub(super) fn last_heard(state: &RelayState, live: &AgentSession) -> SystemTime {
    let silent = state.clock.now() - live.session.look(|session| session.last_received());
    SystemTime::now().checked_sub(silent).unwrap_or(SystemTime::UNIX_EPOCH)
}

impl Tunnel {
    fn new(state: &RelayState, address: Address, live: &AgentSession, joined: &Joined) -> Self {
        let endpoint = state.long_url(&address.into());
        Self {
            stellar_address: address.to_string(),
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            connected_at: Some(stamp::with_zone(joined.at)),
            services: services(live),
        }
    }
}

/// The public services of a session.
fn services(live: &AgentSession) -> Vec<String> {
    live.session.look(|session| {
        let public = session.services().iter().filter(|service| service.public);
        public.map(|service| service.name.clone()).collect()
    })
}

/// What the agents of this relay serve of `address`, as HVYM's server says it; `None` if that is nothing that is public.
pub(crate) fn tunnel_record(state: &RelayState, address: Address) -> Option<HvymTunnel> {
    let lives = state.sessions.sessions_of(&address.into());
    let (live, joined) = lives.iter().find_map(|live| Some((live, present(live)?)))?;
    let mut tunnel = Tunnel::new(state, address, live, joined);
    tunnel.services = lives.iter().filter(|live| present(live).is_some()).flat_map(services).collect();
    tunnel.services.sort();
    tunnel.services.dedup();
    (!tunnel.services.is_empty()).then_some(HvymTunnel {
        address,
        endpoint_url: tunnel.endpoint,
        services: tunnel.services,
        connected_at: stamp::with_zone(joined.at),
        expires_at: joined.expires_at.map(|at| at.as_secs()),
        server_address: state.info.address,
    })
}

/// The rest of the path after `/proxy`, unchanged.
fn proxied(uri: &Uri) -> Option<&str> {
    let target = uri.path_and_query()?.as_str().strip_prefix(PROXY)?;
    target.starts_with('/').then_some(target)
}

/// Whether the path is below `/proxy/`.
pub(super) fn is_proxied(uri: &Uri) -> bool {
    proxied(uri).is_some()
}

/// Proxies a request below `/proxy/` to the agent that it names.
pub(super) async fn proxy(visitor: &Visitor, mut request: Request<RequestBody>) -> RoutedAnswer {
    let state = &visitor.state;
    if !SERVES.split(", ").any(|method| method == request.method().as_str()) {
        return (json::wrong_method(SERVES), None);
    }
    let Some(text) = only(request.headers(), &STELLAR_ADDRESS) else {
        return (json::detail(StatusCode::BAD_REQUEST, "Missing X-Stellar-Address header"), None);
    };
    let Ok(address) = Address::from_label(&text) else {
        return (json::detail(StatusCode::BAD_REQUEST, "X-Stellar-Address is not a Stellar address"), None);
    };
    let target = proxied(request.uri()).and_then(|target| target.parse().ok());
    let host = state.authority(&Name { owner: address.into(), service: None });
    let (Some(target), Ok(value)) = (target, HeaderValue::try_from(&host)) else {
        return (json::detail(StatusCode::BAD_REQUEST, "the path cannot be passed on"), None);
    };
    *request.uri_mut() = target;
    request.headers_mut().insert(HOST, value);
    match state.sessions.find(&host).map(HostTarget::destination) {
        Ok(Ok(destination)) => proxy::proxy(visitor, destination, host, request).await,
        Ok(Err(_)) | Err(_) => (unavailable(&address), None),
    }
}

/// 503 in HVYM's format, so that programs try again.
fn unavailable(address: &Address) -> Answer {
    let mut answer =
        json::detail(StatusCode::SERVICE_UNAVAILABLE, format!("Tunnel not available for {address}"));
    if let Some(seconds) = Page::no_agent("").retry_after {
        answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    answer
}

/// The value of a field that occurs once.
fn only(fields: &HeaderMap, name: &HeaderName) -> Option<String> {
    let mut values = fields.get_all(name).iter();
    let value = values.next()?.to_str().ok()?.to_owned();
    values.next().is_none().then_some(value).filter(|value| !value.is_empty())
}
