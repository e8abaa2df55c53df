//! The registration of one session in its relay: its admission, and its end. What it binds and claims is in `bindings.rs`.
//!
//! Knows no socket; it acts on the session by its handle.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use hvym_proxy::limits::{LoginRefusal, VisitorKey};
use hvym_tunnel_cluster::NodeId;
use hvym_tunnel_core::dialect::Service;
use hvym_tunnel_core::handshake::TokenAuthRequest;
use hvym_tunnel_core::names::ClaimedName;
use hvym_tunnel_core::reason::DownReason;
use hvym_tunnel_core::relay::{AdmitError, LinkId, Newcomer, Owner, Session, SessionEvent};
use hvym_tunnel_core::stellar::{Address, Verified};
use zeroize::Zeroizing;

use super::delegation::{check_revoked, on_revoke};
use crate::audit::{self, AuditKind, AuditRecord};
use crate::compat_agents::TokenLogin;
use crate::config::Policy;
use crate::event::RelayEvent;
use crate::limits::logins::{AgentPlace, PendingLogin};
use crate::metrics::{AgentSystem, Joined};
use crate::registry::{Admission, REGISTRY_TIMEOUT};
use crate::relay_state::RelayState;
use crate::sessions::{AgentSession, SessionKey};
use crate::settings::SUCCESSOR_TIMEOUT;
use crate::tunnels;
use hvym_tunnel_net::runtime::spawn;
use hvym_tunnel_net::shutdown::TaskGuard;
use hvym_tunnel_net::timeout::within;
use hvym_tunnel_net::timer::Timer;

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
    /// It is another relay of the cluster.
    Peer { node: NodeId, _place: AgentPlace },
}

/// The registration of one session. Dropping it removes the session from the relay.
pub(crate) struct AgentRegistration {
    pub(crate) state: Arc<RelayState>,
    pub(super) live: AgentSession,
    pub(super) key: SessionKey,
    pub(super) from: AgentOrigin,
    occupied: Occupied,
    /// The system of an agent that logs in by token; `None` for identities.
    token_login: Option<TokenLogin>,
    /// Who it proved to be, whether it was admitted or not.
    proven: Option<Address>,
    /// Set when it is admitted.
    pub(super) owner: Option<Owner>,
    /// The name by which its services are shown, if it claimed one.
    pub(super) claimed: Option<ClaimedName>,
    /// What it may have, by the registry.
    pub(super) admission: Admission,
    /// The key that acts for the owner by a delegation.
    key_that_acts: Option<Address>,
    _pass: TaskGuard,
}

impl Drop for AgentRegistration {
    fn drop(&mut self) {
        self.deregister();
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
            claimed: None,
            admission: Admission::default(),
            key_that_acts: None,
            _pass: pass,
        }
    }

    /// The identity that was admitted.
    pub(super) fn address(&self) -> Option<Address> {
        match self.owner {
            Some(Owner::Identity(address)) => Some(address),
            Some(Owner::Named(_)) | None => None,
        }
    }

    pub(crate) async fn on_event(&mut self, event: SessionEvent) {
        if let Occupied::Peer { node, .. } = &self.occupied {
            return self.on_peer_event(node, &event);
        }
        match event {
            SessionEvent::Admit(verified) => self.on_admit(&verified).await,
            SessionEvent::Revoke { id, until } => {
                if let Some(owner) = self.address() {
                    on_revoke(&self.state, &self.live, owner, id, until, self.from.key).await;
                }
            }
            SessionEvent::Bind(service) => self.on_bind(service),
            SessionEvent::Claim(name) => self.on_claim(name).await,
            SessionEvent::Unbound(service) => {
                self.live.pool.clear(&service);
                self.unbind(&service);
                self.publish();
                tracing::info!(owner = ?self.owner, service, "unbound");
            }
            SessionEvent::Latency(rtt) => tracing::trace!(owner = ?self.owner, ?rtt, "latency"),
            SessionEvent::OpenReady => self.live.wake(),
            SessionEvent::GoingAway => {
                let all = self.live.handle_going_away();
                tracing::info!(owner = ?self.owner, all, "the agent leaves a link");
                if let Some(owner) = self.owner.as_ref().filter(|_| all) {
                    self.state.sessions.set_leaving(self.key, owner);
                    self.publish();
                }
            }
            SessionEvent::Links(links) => {
                tracing::info!(owner = ?self.owner, links, "links");
                if links > 1 {
                    self.live.pool.handle_links();
                }
                self.live.wake();
            }
            SessionEvent::Authenticate(request) => self.on_token(request),
            // The caller handles streams and the end; a newer core may have more events.
            _ => {}
        }
    }

    /// Gives the link to the session of `address` and this name, or refuses it.
    pub(crate) fn join(&self, address: Address, name: &str) -> Option<(AgentSession, LinkId)> {
        let is_it = |live: &AgentSession| live.session.look(|session| session.name() == name);
        let Some(target) = self.state.sessions.sessions_of(&address.into()).into_iter().find(is_it) else {
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
        if verified.key() == address && self.admit_peer(address) {
            return;
        }
        let now = self.state.clock.wall().unix;
        // Neither an owner who lets others act for it, nor a key that acts for somebody else.
        let ban = [address, verified.key()].iter().find_map(|who| self.state.bans.get(who, now));
        if let Some(ban) = ban {
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
        // Whoever knows instances says for each service what is to happen.
        let instance = self.live.session.look(|session| session.process().instance.clone());
        let keeps_older = policy == Policy::Reject && instance.is_none();
        let newcomer = Newcomer { owner: owner.clone(), instance, keeps_older };
        let is_older = self.live.session.look(Session::falls_back);
        let system = if is_older { AgentSystem::Hvym } else { AgentSystem::Native };
        let joined = Joined::now(owner.clone(), (system, self.from.ip), expires_at, None);
        if let Some(older) = self.enter(newcomer, joined) {
            let url = if is_older { self.state.long_url(&owner) } else { self.state.url(&owner, None) };
            // Programs of older systems join paths to it.
            let shown = if is_older { url.trim_end_matches('/') } else { &url };
            self.live.session.with(|session, now| session.admit(shown.to_owned(), now));
            self.announce(older, url);
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
        let name = match self.state.live.get().compat_agents.check_token(token_login, &token) {
            Ok(name) => name,
            Err(reason) => {
                // Tokens that somebody signs are not guessed.
                if token_login == TokenLogin::Tunely {
                    self.state.handle_wrong_key(from, "a token of an agent");
                }
                return self.refuse(reason);
            }
        };
        let owner = Owner::Named(Arc::clone(&name));
        let newcomer = Newcomer { owner: owner.clone(), instance: None, keeps_older: !request.force };
        let system = match token_login {
            TokenLogin::Tunely => AgentSystem::Tunely,
            TokenLogin::Cloud => AgentSystem::Cloud,
        };
        let joined = Joined::now(owner.clone(), (system, from), None, Some(request.version));
        if let Some(older) = self.enter(newcomer, joined) {
            // It may have been taken back while this agent was let in, before anybody could end its session.
            if self.state.live.get().compat_agents.check_token(token_login, &token).is_err() {
                return self.refuse(DownReason::Authentication("the token was taken back".to_owned()));
            }
            tunnels::handle_login(&self.state, &name);
            let service = Service::http(&*name);
            // The older session's was taken from it, and there is no other.
            let _replaced = self.state.sessions.bind(self.key, &owner, &service);
            self.live.session.with(|session, now| session.admit_token(name.to_string(), service, now));
            self.announce(older, self.state.url(&owner, None));
        }
    }

    /// Takes the place of another relay.
    pub(super) fn occupy_as_peer(&mut self, address: Address, node: NodeId) -> Result<(), LoginRefusal> {
        let place = self.state.logins.admit(address.into(), self.from.key, true)?;
        self.occupied = Occupied::Peer { node, _place: place };
        Ok(())
    }

    /// Admits this session to the table, or refuses it. Returns the older session of the same program; the outer `None` is a
    /// refusal.
    fn enter(&mut self, newcomer: Newcomer, joined: Joined) -> Option<Option<AgentSession>> {
        let (owner, now) = (newcomer.owner.clone(), self.state.clock.now());
        let is_listed = self.token_login.is_some() || self.admission.is_listed;
        match self.state.logins.admit(owner.clone(), self.from.key, is_listed) {
            Ok(place) => self.occupied = Occupied::Agent { _place: place },
            Err(refusal) => {
                self.refuse(DownReason::Overloaded(refusal.to_string()));
                return None;
            }
        }
        match self.state.sessions.admit(self.key, newcomer, now) {
            Err(AdmitError::Conflict) => {
                self.refuse(DownReason::Conflict);
                None
            }
            Err(error @ AdmitError::TooMany) => {
                self.refuse(DownReason::Overloaded(error.to_string()));
                None
            }
            Ok(entry) => {
                if let Some(per_second) = self.admission.rate {
                    let rate = self.state.agent_rates.share(&owner, per_second, self.state.clock.now());
                    let _first = self.live.record.rate.set(rate);
                }
                self.owner = Some(owner);
                let _first = self.live.record.joined.set(joined);
                self.state.metrics.join();
                if entry.replaced.is_some() {
                    self.expire_later();
                }
                self.release_ports(&entry.vacant);
                Some(entry.replaced)
            }
        }
    }

    fn announce(&self, older: Option<AgentSession>, url: String) {
        // One that goes away ends by itself, after what is under way.
        if let Some(older) = older.filter(|older| !older.is_leaving()) {
            let taken = AuditRecord::new(AuditKind::Takeover, "a newer session took its place");
            self.state.audit(taken.agent(self.owner.clone()).peer(self.from.ip));
            tunnels::handle_takeover(&self.state, self.owner.as_ref(), self.from.ip);
            older.session.with(|session, now| session.refuse(DownReason::Replaced, now));
        }
        if let Some(owner) = self.owner.clone() {
            self.state.hold.handle_bound(&owner);
            self.publish();
            let key = self.key_that_acts;
            self.state.emit(RelayEvent::AgentJoined { owner, key, url, peer: self.from.socket });
        }
    }

    pub(super) fn refuse(&self, reason: DownReason) {
        self.live.session.with(|session, now| session.refuse(reason, now));
    }

    /// Visitors of services that nobody has wait for the next session, but not for long.
    fn expire_later(&self) {
        let (state, Some(owner)) = (Arc::clone(&self.state), self.owner.clone()) else { return };
        spawn(async move {
            Timer::after(SUCCESSOR_TIMEOUT).await;
            state.sessions.expire(&owner, state.clock.now());
        })
        .detach();
    }

    /// Removes the session from the relay. A second time nothing is left to do.
    fn deregister(&self) {
        if let Occupied::Peer { node, .. } = &self.occupied {
            self.on_peer_end(node);
        }
        tunnels::record_usage(&self.state, &self.live);
        let vacant = self.state.sessions.leave(self.key, self.owner.as_ref(), self.state.clock.now());
        if let Some(carried) = self.live.record.end(self.live.session.counters()) {
            self.state.totals.end_session(carried);
        }
        self.publish();
        self.release_ports(&vacant);
        if !vacant.is_empty() && self.live.is_leaving() {
            self.expire_later();
        }
    }

    pub(crate) fn on_closed(&self, reason: DownReason) {
        self.deregister();
        self.live.wake();
        if let Occupied::Peer { node, .. } = &self.occupied {
            return tracing::info!(%node, %reason, "the link of another relay ended");
        }
        match self.owner.clone() {
            Some(owner) => {
                let key = self.key_that_acts;
                self.state.emit(RelayEvent::AgentLeft { owner, key, reason });
            }
            None => {
                tracing::info!(peer = %self.from.socket, %reason, "an agent was not let in");
                let is_failure = matches!(reason, DownReason::Authentication(_) | DownReason::RateLimited(_));
                if self.token_login.is_none() && is_failure {
                    self.state.failed_logins.handle_wrong(self.from.ip, self.state.clock.now());
                }
                if audit::is_refusal(&reason) {
                    self.state.totals.count_refusal(&reason);
                    let refused = AuditRecord::new(AuditKind::LoginRefused, reason.to_string());
                    self.state.audit(refused.agent(self.proven.map(Owner::Identity)).peer(self.from.ip));
                }
            }
        }
    }
}
