//! The registration of one session in its relay: admission, name, and the services that it binds.
//!
//! Knows no socket; it acts on the session by its handle.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use hvym_proxy::limits::{RateLimiter, VisitorKey, VisitorRate};
use hvym_tunnel_core::dialect::{Proto, Service};
use hvym_tunnel_core::handshake::TokenAuthRequest;
use hvym_tunnel_core::names::BARE_SERVICE;
use hvym_tunnel_core::reason::DownReason;
use hvym_tunnel_core::relay::{BindRefusal, LinkId, Owner, Session, SessionEvent};
use hvym_tunnel_core::stellar::{Address, Verified};
use zeroize::Zeroizing;

use super::delegation::check_revoked;
use crate::audit::{self, AuditKind, AuditRecord};
use crate::compat_agents::TokenLogin;
use crate::config::Policy;
use crate::event::RelayEvent;
use crate::limits::logins::{AgentPlace, PendingLogin};
use crate::metrics::Joined;
use crate::registry::{Admission, REGISTRY_TIMEOUT};
use crate::relay_state::RelayState;
use crate::sessions::AgentSession;
use crate::sessions::{NameClaim, SessionKey};
use crate::settings::SUCCESSOR_TIMEOUT;
use crate::tcp_ports;
use hvym_tunnel_net::runtime::spawn;
use hvym_tunnel_net::shutdown::TaskGuard;
use hvym_tunnel_net::timeout::within;
use hvym_tunnel_net::timer::Timer;

/// How many seconds of an agent's rate of requests may come at once, after a pause.
const RATE_BURST_SECONDS: u32 = 5;

/// Where an agent connects from.
#[derive(Copy, Clone)]
pub(crate) struct AgentOrigin {
    /// The other end of its connection.
    pub(crate) socket: SocketAddr,
    /// Its address, as a trusted proxy says it.
    pub(crate) ip: IpAddr,
    /// What it is counted by; `None`: by nothing of its own.
    pub(crate) key: Option<VisitorKey>,
}

/// What a session has of the limits.
enum Occupied {
    /// It logs in.
    Login { _pending: PendingLogin },
    /// It is logged in.
    Agent { _place: AgentPlace },
}

/// The registration of one session. Dropping it removes the session from the relay.
pub(crate) struct AgentRegistration {
    pub(crate) state: Arc<RelayState>,
    pub(super) live: AgentSession,
    key: SessionKey,
    from: AgentOrigin,
    occupied: Occupied,
    /// The system of an agent that logs in by token; `None` for identities.
    token_login: Option<TokenLogin>,
    /// Who it proved to be, whether it was admitted or not.
    proven: Option<Address>,
    /// Set when it is admitted.
    owner: Option<Owner>,
    /// What it may have, by the registry.
    admission: Admission,
    /// The key that acts for the owner by a delegation.
    key_that_acts: Option<Address>,
    _pass: TaskGuard,
}

impl Drop for AgentRegistration {
    fn drop(&mut self) {
        self.state.sessions.leave(self.key, self.owner.as_ref());
        tcp_ports::release_all(&self.state, self.key);
    }
}

impl AgentRegistration {
    /// Registers the session `key`, which is not logged in.
    pub(crate) fn new(
        state: Arc<RelayState>,
        live: AgentSession,
        key: SessionKey,
        (from, pending): (AgentOrigin, PendingLogin),
        token_login: Option<TokenLogin>,
        pass: TaskGuard,
    ) -> Self {
        let occupied = Occupied::Login { _pending: pending };
        Self {
            state,
            live,
            key,
            from,
            occupied,
            token_login,
            proven: None,
            owner: None,
            admission: Admission::default(),
            key_that_acts: None,
            _pass: pass,
        }
    }

    /// The identity that was admitted.
    fn address(&self) -> Option<Address> {
        match self.owner {
            Some(Owner::Identity(address)) => Some(address),
            Some(Owner::Named(_)) | None => None,
        }
    }

    pub(crate) async fn on_event(&mut self, event: SessionEvent) {
        match event {
            SessionEvent::Admit(verified) => self.on_admit(&verified).await,
            SessionEvent::Revoke { id, until } => {
                if let Some(owner) = self.address() {
                    self.on_revoke(owner, id, until).await;
                }
            }
            SessionEvent::Bind(service) => self.on_bind(service),
            SessionEvent::Unbound(service) => {
                self.live.pool.clear(&service);
                self.state.sessions.handle_services();
                tracing::info!(owner = ?self.owner, service, "unbound");
                if let Some(address) = self.address() {
                    tcp_ports::release(&self.state, &address, &service, self.key);
                }
            }
            SessionEvent::Latency(rtt) => tracing::trace!(owner = ?self.owner, ?rtt, "latency"),
            SessionEvent::OpenReady => self.live.wake(),
            SessionEvent::GoingAway => {
                tracing::info!(owner = ?self.owner, all = self.live.is_leaving(), "the agent leaves a link");
                self.live.handle_going_away();
            }
            SessionEvent::Links(links) => {
                tracing::info!(owner = ?self.owner, links, "links");
                self.state.sessions.handle_services();
                self.live.wake();
            }
            SessionEvent::Authenticate(request) => self.on_token(request),
            // The caller handles streams and the end; a newer core may have more events.
            _ => {}
        }
    }

    /// Gives the link to the session of `address` that it wants to join, or refuses it.
    pub(crate) fn join(&self, address: Address) -> Option<(AgentSession, LinkId)> {
        let Some(target) = self.state.sessions.agent(&Owner::Identity(address)) else {
            let unknown = "this relay has no such session".to_owned();
            self.refuse(DownReason::UnknownSession(unknown));
            return None;
        };
        // The newcomer is locked first. Nobody can want to join it, since it was not admitted, so nobody locks the other way.
        let joined = self
            .live
            .session
            .with(|newcomer, _| target.session.with(|session, now| session.join(newcomer, now)));
        match joined {
            Ok(link) => Some((target, link)),
            Err(reason) => {
                self.refuse(reason);
                None
            }
        }
    }

    async fn on_admit(&mut self, verified: &Verified) {
        let (address, expires_at) = (verified.address(), verified.expires_at());
        let owner = Owner::Identity(address);
        self.proven = Some(address);
        if let Some(ban) = self.state.bans.get(&address, self.state.clock.wall().unix) {
            let reason = if ban.reason.is_empty() { String::new() } else { format!(": {}", ban.reason) };
            return self
                .refuse(DownReason::NotAllowed(format!("the relay's operator has banned you{reason}")));
        }
        let registry = Arc::clone(&self.state.plugins.registry);
        let policy = match within(REGISTRY_TIMEOUT, registry.admit(address)).await {
            Some(Ok(admission)) => {
                self.admission = admission;
                admission.policy
            }
            Some(Err(refusal)) => return self.refuse(DownReason::NotAllowed(refusal.0)),
            None => {
                let late = "this relay could not find out in time whether you may connect";
                return self.refuse(DownReason::Overloaded(late.to_owned()));
            }
        };
        if let Err(reason) = check_revoked(&self.state, verified) {
            return self.refuse(reason);
        }
        self.key_that_acts = verified.delegation().map(|delegation| delegation.delegation().key);
        if let Some(old) = self.claim_name(Joined::now(owner.clone(), expires_at, None), policy) {
            let is_older = self.live.session.look(Session::falls_back);
            let url = if is_older { self.state.long_url(&owner) } else { self.state.url(&owner, None) };
            self.live.session.with(|session, now| session.admit(url.clone(), now));
            self.announce(old, url);
        }
    }

    fn on_token(&mut self, request: TokenAuthRequest) {
        let token = Zeroizing::new(request.token);
        let Some(token_login) = self.token_login else { return };
        let from = self.from.ip;
        if let Err(wait) = self.state.guesses.check(from, self.state.clock.now()) {
            let text = format!("too many wrong tokens came from your network: wait {} s", wait.as_secs() + 1);
            return self.refuse(DownReason::RateLimited(text));
        }
        let name = match self.state.compat_agents.check_token(token_login, &token) {
            Ok(name) => name,
            Err(reason) => {
                // Tokens that somebody signs are not guessed.
                if token_login == TokenLogin::Tunely {
                    self.state.handle_wrong_key(from, "a token of an agent");
                }
                return self.refuse(reason);
            }
        };
        let policy = if request.force { Policy::Takeover } else { Policy::Reject };
        let owner = Owner::Named(Arc::clone(&name));
        let joined = Joined::now(owner.clone(), None, Some(request.version));
        if let Some(old) = self.claim_name(joined, policy) {
            let service = Service::http(&*name);
            self.live.session.with(|session, now| session.admit_token(name.to_string(), service, now));
            self.announce(old, self.state.url(&owner, None));
        }
    }

    /// Assigns the name to this session, or refuses the session. Returns the session that had the name before; the
    /// outer `None` is a refusal.
    fn claim_name(&mut self, joined: Joined, policy: Policy) -> Option<Option<AgentSession>> {
        let owner = joined.owner.clone();
        let is_listed = self.token_login.is_some() || self.admission.is_listed;
        match self.state.logins.admit(owner.clone(), self.from.key, is_listed) {
            Ok(place) => self.occupied = Occupied::Agent { _place: place },
            Err(refusal) => {
                self.refuse(DownReason::Overloaded(refusal.to_string()));
                return None;
            }
        }
        match self.state.sessions.admit(self.key, owner.clone(), policy) {
            NameClaim::Conflict => {
                self.refuse(DownReason::Replaced);
                None
            }
            NameClaim::Granted(old) => {
                self.owner = Some(owner);
                if let Some(per_second) = self.admission.rate {
                    // A page asks for a dozen things at once.
                    let rate =
                        VisitorRate { per_second, burst: per_second.saturating_mul(RATE_BURST_SECONDS) };
                    let limit = RateLimiter::new(rate, self.state.clock.now());
                    let _first = self.live.record.rate.set(Mutex::new(limit));
                }
                let _first = self.live.record.joined.set(joined);
                self.state.metrics.join();
                Some(old)
            }
        }
    }

    fn announce(&self, old: Option<AgentSession>, url: String) {
        if let Some(old) = old {
            old.succeed(&self.live);
            // One that goes away ends by itself, after what is under way.
            if !old.is_leaving() {
                let taken = AuditRecord::new(AuditKind::Takeover, "a newer session took its place");
                self.state.audit(taken.agent(self.owner.clone()).peer(self.from.ip));
                old.session.with(|session, now| session.refuse(DownReason::Replaced, now));
            }
        }
        if let Some(owner) = self.owner.clone() {
            let key = self.key_that_acts;
            self.state.emit(RelayEvent::AgentJoined { owner, key, url, peer: self.from.socket });
        }
    }

    fn refuse(&self, reason: DownReason) {
        self.live.session.with(|session, now| session.refuse(reason, now));
    }

    fn on_bind(&mut self, service: Service) {
        let Some(address) = self.address() else { return };
        if let Err(refusal) = self.state.plugins.registry.may_offer(&address, &service.name) {
            let refusal = BindRefusal { code: "not_allowed", error: refusal.0 };
            self.live.session.with(|session, now| session.decline(&service.name, &refusal, now));
            return;
        }
        if let Err(refusal) = self.check_max_services(&service.name) {
            return self.live.session.with(|session, now| session.decline(&service.name, &refusal, now));
        }
        if service.proto == Proto::Tcp && service.public {
            return self.on_bind_tcp(address, service);
        }
        // The service may have been a TCP service before.
        tcp_ports::release(&self.state, &address, &service.name, self.key);
        if !service.public {
            tracing::info!(%address, service = service.name, "bound, for identities");
            self.live.session.with(|session, now| session.confirm(service, String::new(), now));
            return;
        }
        let name = service.name.clone();
        // The bare name leads to the first service only until there is one of that name.
        let url = self.state.url(&address.into(), Some(name.as_str()).filter(|name| *name != BARE_SERVICE));
        self.live.session.with(|session, now| session.confirm(service, url.clone(), now));
        // A service that is bound again may be another program: idle connections to it are stale.
        self.live.pool.clear(&name);
        self.state.sessions.handle_services();
        self.live.wake();
        tracing::info!(%address, service = name, url, "bound");
    }

    /// Whether the agent may have this service beside those that it has.
    fn check_max_services(&self, name: &str) -> Result<(), BindRefusal> {
        let Some(most) = self.admission.max_services else { return Ok(()) };
        let others = self
            .live
            .session
            .look(|session| session.services().iter().filter(|service| service.name != name).count());
        if others < most {
            return Ok(());
        }
        let error = format!("your limit of services at this relay is {most}");
        Err(BindRefusal { code: "too_many", error })
    }

    fn on_bind_tcp(&mut self, address: Address, service: Service) {
        if !self.state.sessions.is_current(self.key, &address.into()) {
            return;
        }
        match tcp_ports::bind(&self.state, address, &service.name, self.key, self.admission.tcp_ports) {
            Ok(port) => {
                let url = self.state.tcp_url(port);
                let given = format!("port {port} for the service {}", service.name);
                self.state.audit(
                    AuditRecord::new(AuditKind::PortGiven, given)
                        .agent(Owner::Identity(address))
                        .peer(self.from.ip),
                );
                tracing::info!(%address, service = service.name, url, "bound");
                self.live.session.with(|session, now| session.confirm_at(service, url, Some(port), now));
            }
            Err(refusal) => {
                self.live.session.with(|session, now| session.decline(&service.name, &refusal, now));
            }
        }
    }

    pub(crate) fn on_closed(&self, reason: DownReason) {
        if let Some(owner) = self.owner.clone().filter(|_| self.live.is_leaving())
            && self.state.sessions.depart(self.key, &owner)
        {
            let (state, key) = (Arc::clone(&self.state), self.key);
            spawn(async move {
                Timer::after(SUCCESSOR_TIMEOUT).await;
                state.sessions.forget(key, &owner);
            })
            .detach();
        }
        self.state.sessions.leave(self.key, self.owner.as_ref());
        self.state.sessions.handle_services();
        self.live.wake();
        match self.owner.clone() {
            Some(owner) => {
                let key = self.key_that_acts;
                self.state.emit(RelayEvent::AgentLeft { owner, key, reason });
            }
            None => {
                tracing::info!(peer = %self.from.socket, %reason, "an agent was not let in");
                if audit::is_refusal(&reason) {
                    let refused = AuditRecord::new(AuditKind::LoginRefused, reason.to_string());
                    self.state.audit(refused.agent(self.proven.map(Owner::Identity)).peer(self.from.ip));
                }
            }
        }
    }
}
