//! WebSocket endpoints of agents, `/connect` and `/ws/tunnel`: the upgrade, and the task of one session.
//!
//! What a session may do, its registration decides.

use std::any::Any;
use std::sync::Arc;

use http::header::{
    CONNECTION, HOST, HeaderMap, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderName, HeaderValue, Method, Request, StatusCode, Version};
use hvym_tunnel_compat::CompatAgent;
use hvym_tunnel_core::dialect::{MUX_YAMUX, Process, SessionRole};
use hvym_tunnel_core::handshake::{
    Credential, ProofInput, RelayProof, Upgrade, nonce_in_query, normal_authority,
};
use hvym_tunnel_core::reason::DownReason;
use hvym_tunnel_core::relay::{LinkId, Session, SessionEvent};
use hvym_tunnel_core::rng::Rng;

use crate::agent_conn::peer_access::Caller;
use crate::agent_conn::registration::{AgentOrigin, AgentRegistration};
use crate::audit::{AuditKind, AuditRecord};
use crate::compat_agents::TokenLogin;
use crate::http1::auth::{bearer, is_allowed_origin};
use crate::http1::head_rewrite;
use crate::http1::request_body::RequestBody;
use crate::limits::logins::{PRESSED_TIMEOUT, PendingLogin};
use crate::pages;
use crate::proxy;
use crate::relay_state::RelayState;
use crate::sessions::AgentSession;
use crate::settings::CLOSE_TIMEOUT;
use crate::upstream::response_body::{self, Answer};
use crate::visitor::Visitor;
use crate::visitor::upgraded::OnUpgrade;
use hvym_tunnel_net::clock;
use hvym_tunnel_net::link_driver::{Driver, DriverEvent, LinkHandle};
use hvym_tunnel_net::runtime::spawn;
use hvym_tunnel_net::shutdown::TaskGuard;
use hvym_tunnel_net::socket::{self, LIMIT};
use hvym_tunnel_net::timeout::within;
use hvym_tunnel_net::timer::Timer;

const MUX: HeaderName = HeaderName::from_static("hvym-tunnel-mux");
/// Random bytes of a challenge.
const CHALLENGE_BYTES: usize = 32;
/// A key is 16 bytes in base64 (RFC 6455 section 4.1).
const KEY_CHARACTERS: usize = 24;

/// The login method of a connection.
enum Login {
    /// As an identity.
    Identity(Upgrade, Process),
    /// By a token, with a protocol of another system.
    Token(CompatAgent, TokenLogin),
}

/// Answers a request for `/connect`.
pub(crate) fn answer(visitor: &Visitor, request: Request<RequestBody>) -> Answer {
    let host = match dialled_name(visitor, request.headers()) {
        Ok(host) => host,
        Err(host) => {
            let (domain, format) =
                (&visitor.state.settings.options.ingress.domain, response_body::format(&request));
            return response_body::page(&pages::not_a_name(&host, domain), format);
        }
    };
    let upgrade = Upgrade::new(host.as_str()).with_credential(credential(request.headers()));
    let nonce = request.uri().query().and_then(nonce_in_query);
    let upgrade = match nonce {
        Some(nonce) => upgrade.with_proof(proof(&visitor.state, nonce, &host)),
        None => upgrade,
    };
    let login = Login::Identity(upgrade, process(request.headers()));
    accept(visitor, request, login)
}

/// The name by which the relay was dialled, if it is one of its own; else what was dialled.
fn dialled_name(visitor: &Visitor, fields: &HeaderMap) -> Result<String, String> {
    let host = fields.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let host = normal_authority(host, visitor.usual_port());
    if visitor.state.info.names.contains(&host, visitor.is_local(fields)) { Ok(host) } else { Err(host) }
}

/// The proof that this relay, dialled as `host`, is the one whose address it shows.
fn proof(state: &RelayState, nonce: &str, host: &str) -> RelayProof {
    let challenge = Rng::new(clock::seed()).token::<CHALLENGE_BYTES>();
    state.info.identity.prove(ProofInput::new(nonce, &challenge, host, state.info.address))
}

/// Answers a request for `/ws/tunnel`, where programs of other systems connect.
pub(crate) fn answer_with_token(visitor: &Visitor, request: Request<RequestBody>) -> Answer {
    let (guest, token_login, protocol) = visitor.state.live.get().compat_agents.recognize(&request);
    let mut answer = accept(visitor, request, Login::Token(guest, token_login));
    if let Some(protocol) = protocol.filter(|_| answer.status() == StatusCode::SWITCHING_PROTOCOLS) {
        answer.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    answer
}

/// Answers an upgrade request, and spawns the task of the session.
fn accept(visitor: &Visitor, mut request: Request<RequestBody>, login: Login) -> Answer {
    let format = response_body::format(&request);
    let Some(accept) = accept_key(&request) else {
        let mut answer = response_body::page(&pages::websocket_wanted(), format);
        let fields = answer.headers_mut();
        fields.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        fields.insert(UPGRADE, HeaderValue::from_static("websocket"));
        fields.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        return answer;
    };
    let state = &visitor.state;
    if !is_allowed_origin(request.headers(), &state.live.get().origins) {
        return response_body::page(&pages::foreign_origin(), format);
    }
    let Some(pass) = state.lifecycle.links.enter() else {
        return response_body::page(&pages::draining(), format);
    };
    if state.logins.is_full() {
        state.totals.count_refusal_by("agents");
        let mut answer = response_body::page(&pages::no_more_agents(), format);
        answer.headers_mut().insert(LIMIT, HeaderValue::from_static("max-agents"));
        return answer;
    }
    let client = visitor.client_info(&proxy::fields(request.headers()));
    let from = AgentOrigin { socket: visitor.peer, ip: client.address(), key: visitor.key(&client) };
    let login_place = match state.logins.begin(from.key) {
        Ok(place) => place,
        Err(refusal) => {
            state.totals.count_refusal_by("logins");
            let record = AuditRecord::new(AuditKind::LoginRefused, refusal.to_string());
            state.audit(record.peer(from.ip));
            let mut answer = response_body::page(&pages::over_logins(refusal), format);
            answer.headers_mut().insert(LIMIT, HeaderValue::from_static("logins"));
            return answer;
        }
    };
    let Some(upgrade) = request.extensions_mut().remove::<OnUpgrade>() else {
        return response_body::page(&pages::websocket_wanted(), format);
    };
    // An agent's connection counts against the limits while it is open.
    let held = Held { pass, _slot: Box::new(visitor.slot()) };
    visitor.leave_reserve();
    spawn(run_session(Arc::clone(state), (from, login_place), login, upgrade, held)).detach();
    let mut answer = response_body::empty(StatusCode::SWITCHING_PROTOCOLS);
    let fields = answer.headers_mut();
    fields.insert(SEC_WEBSOCKET_ACCEPT, accept);
    fields.insert(UPGRADE, HeaderValue::from_static("websocket"));
    fields.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    answer
}

/// The value of `Sec-WebSocket-Accept`; `None` if the request is no WebSocket upgrade (RFC 6455 section 4.2.1).
fn accept_key(request: &Request<RequestBody>) -> Option<HeaderValue> {
    let fields = request.headers();
    let meant = request.method() == Method::GET
        && request.version() == Version::HTTP_11
        && head_rewrite::lists(fields, &CONNECTION, "upgrade")
        && head_rewrite::lists(fields, &UPGRADE, "websocket")
        && fields.get(SEC_WEBSOCKET_VERSION).is_some_and(|version| version == "13");
    let key = fields.get(SEC_WEBSOCKET_KEY).filter(|key| meant && key.len() == KEY_CHARACTERS)?;
    HeaderValue::try_from(socket::accept_key(key.as_bytes())).ok()
}

/// The credential in the upgrade request, which saves the challenge. An agent that does not name the multiplexer is
/// one of the oldest programs, which know no challenge.
fn credential(fields: &HeaderMap) -> Credential {
    match bearer(fields).map(str::to_owned) {
        Some(token) if head_rewrite::lists(fields, &MUX, MUX_YAMUX) => Credential::Bearer(token),
        Some(token) => Credential::BearerWithoutMux(token),
        None => Credential::None,
    }
}

/// What the upgrade request says of the agent's program; nothing if that is malformed.
fn process(fields: &HeaderMap) -> Process {
    let text = |name: &str| fields.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let process = Process {
        instance: text(socket::INSTANCE),
        role: text(socket::ROLE).map_or(SessionRole::default(), |role| SessionRole::named(&role)),
        label: text(socket::PROCESS),
    };
    if process.is_valid() { process } else { Process::default() }
}

/// What is held while an agent's WebSocket is open.
struct Held {
    pass: TaskGuard,
    _slot: Box<dyn Any + Send>,
}

/// Ends a login that takes longer than there is time while many are under way.
async fn end_if_slow(session: LinkHandle<Session>) {
    Timer::after(PRESSED_TIMEOUT).await;
    if !session.look(Session::is_up) {
        let reason =
            DownReason::TimedOut("this relay has many logins under way, and yours took too long".to_owned());
        session.with(|session, now| session.refuse(reason, now));
    }
}

async fn run_session(
    state: Arc<RelayState>,
    (from, login_place): (AgentOrigin, PendingLogin),
    login: Login,
    upgrade: OnUpgrade,
    held: Held,
) {
    let Some(wire) = upgrade.completed().await else {
        return tracing::debug!(peer = %from.socket, "an agent left before its upgrade was done");
    };
    let socket = socket::accepted(wire);
    let (clock, config) = (state.clock, state.session.clone());
    let (session, token_login) = match login {
        Login::Identity(upgrade, process) => {
            let is_limited = state.failed_logins.check(from.ip, clock.now()).is_err();
            let upgrade = upgrade.with_rate_limit(is_limited);
            let mut session = Session::new(config, upgrade, clock.wall(), clock::seed(), clock.now());
            session.set_process(process);
            (session, None)
        }
        Login::Token(guest, token_login) => {
            let session = hvym_tunnel_compat::session(config.link, guest, clock::seed(), clock.now());
            (session, Some(token_login))
        }
    };
    let live = AgentSession::new(LinkHandle::new(session, clock), state.settings.pool(), clock);
    let mut driver = Driver::new(live.session.clone());
    driver.attach(LinkId::FIRST, socket);
    let Some(key) = state.sessions.enter(live.clone()) else {
        let full = DownReason::Overloaded("this relay has no room for another agent".to_owned());
        live.session.with(|session, now| session.refuse(full, now));
        within(CLOSE_TIMEOUT, driver.closed()).await;
        return;
    };
    login_place.attach(&live.session);
    if login_place.is_pressed {
        spawn(end_if_slow(live.session.clone())).detach();
    }
    let pass = held.pass.clone();
    let mut registration = AgentRegistration::new(state, live, key, (from, login_place), token_login, pass);
    let mut caller = Caller::new();
    let reason = loop {
        match driver.next().await {
            DriverEvent::Event(SessionEvent::Closed(reason)) => break reason,
            DriverEvent::Event(SessionEvent::Join(verified, name)) => {
                if let Some((joined, link)) = registration.join(verified.address(), &name)
                    && let Some(socket) = driver.detach(LinkId::FIRST)
                {
                    return joined.session.attach(link, socket, Some(Box::new(held)));
                }
            }
            DriverEvent::Event(event) => registration.on_event(event).await,
            DriverEvent::Opened { stream, opening } => caller.open(&registration.state, stream, *opening),
        }
    };
    registration.on_closed(reason);
    // Flushes the close frame to a peer that reads slowly.
    within(CLOSE_TIMEOUT, driver.closed()).await;
}
