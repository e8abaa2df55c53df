//! The relay: a visitor's connections, the pool of each session, the limits, and which session serves which name.
//!
//! It joins the machines as the native relay does, without sockets.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use hvym_proxy::limits::{Use, VisitorLimits, VisitorLimitsConfig, VisitorRate, VisitorShare};
use hvym_proxy::pool::{ConnPool, PoolConfig};
use hvym_proxy::{Exchange, ProxyConfig, SendQueue};
use hvym_tunnel_core::link::StreamEvent;
use hvym_tunnel_core::machine::Machine;
use hvym_tunnel_core::reason::DownReason;
use hvym_tunnel_core::relay::{LinkId, Session, SessionEvent};
use hvym_tunnel_core::time::Instant;

use crate::copy::Tunnel;
use crate::hosted::{Carrier, Holder, Hosted, Served, SessionKey};
use crate::line::Pipe;
use crate::log::note;
use crate::service::WEB;

/// How long visitors of an agent that goes away wait for the session that follows, as at the native relay.
pub(crate) const SUCCESSOR_TIMEOUT: Duration = Duration::from_secs(5);

const RATE: VisitorRate = VisitorRate { burst: 1000, per_second: 100 };
/// Few places, so that a few dozen visitors are a crowd.
const LIMITS: VisitorLimitsConfig = VisitorLimitsConfig {
    connections: 10_000,
    requests: 128,
    service_requests: 56,
    visitor: VisitorShare {
        connections: 64,
        connection_rate: RATE,
        requests: 32,
        service_requests: 24,
        service_tunnels: 12,
        reset_rate: RATE,
    },
};

/// A further link that became one of another session.
pub(crate) struct Joined {
    pub(crate) newcomer: SessionKey,
    pub(crate) session: SessionKey,
    pub(crate) link: LinkId,
}

/// The relay.
pub(crate) struct Relay {
    proxy: Arc<ProxyConfig>,
    pub(crate) limits: VisitorLimits<usize>,
    pub(crate) sessions: BTreeMap<SessionKey, Hosted>,
    /// The session that serves each agent's name.
    pub(crate) current: BTreeMap<usize, SessionKey>,
    /// Names whose agent went away in good order, and until when the next session is waited for.
    pub(crate) departed: BTreeMap<usize, Instant>,
    pub(crate) served: BTreeMap<usize, Served>,
    /// Visitors whose connection is to be looked at.
    pub(crate) dirty: BTreeSet<usize>,
    /// Sessions that may have something to send.
    pub(crate) touched: BTreeSet<SessionKey>,
    /// Visitors whose connection has ended.
    pub(crate) gone: Vec<usize>,
    pub(crate) joined: Vec<Joined>,
    next: SessionKey,
}

impl Relay {
    pub(crate) fn new() -> Self {
        Self {
            proxy: Arc::new(ProxyConfig::DEFAULT),
            limits: VisitorLimits::new(LIMITS),
            sessions: BTreeMap::new(),
            current: BTreeMap::new(),
            departed: BTreeMap::new(),
            served: BTreeMap::new(),
            dirty: BTreeSet::new(),
            touched: BTreeSet::new(),
            gone: Vec::new(),
            joined: Vec::new(),
            next: 0,
        }
    }

    /// The process dies, and another one is started: nothing is left but the numbers of sessions.
    pub(crate) fn restart(&mut self) -> Vec<usize> {
        let served = std::mem::take(&mut self.served).into_keys().collect();
        *self = Self { next: self.next, ..Self::new() };
        served
    }

    /// An agent's WebSocket was accepted.
    pub(crate) fn accept(&mut self, agent: usize, instance: usize, session: Session) -> SessionKey {
        self.next += 1;
        let hosted = Hosted {
            session,
            agent,
            instance,
            pool: ConnPool::new(PoolConfig::DEFAULT),
            holders: BTreeMap::new(),
            waiting: BTreeMap::new(),
            is_leaving: false,
            ended: None,
        };
        self.sessions.insert(self.next, hosted);
        self.next
    }

    /// A visitor's connection was accepted, or refused by the limits. One for a TCP service names the agent by its port.
    pub(crate) fn visit(&mut self, visitor: usize, address: u32, tcp: Option<usize>, now: Instant) -> bool {
        let carrier = match tcp {
            Some(_) => Carrier::Tunnel(Box::new(Tunnel::new((SendQueue::new(), SendQueue::new()), now))),
            None => Carrier::Http(Box::new(Exchange::new(Arc::clone(&self.proxy), now))),
        };
        let mut served = Served::new(carrier, visitor, address);
        if self.limits.open(Some(served.address), now).is_err() {
            return false;
        }
        if let Some(agent) = tcp {
            served.agent = Some(agent);
            if self.limits.enter(Some(served.address), &agent, Use::Tunnel, now).is_err() {
                self.limits.close(Some(served.address));
                return false;
            }
            served.counted = Some(Use::Tunnel);
            self.connect(visitor, &mut served, hvym_proxy::Choice::Fresh, now);
        }
        assert!(self.served.insert(visitor, served).is_none(), "a visitor has one connection");
        self.dirty.insert(visitor);
        true
    }

    pub(crate) fn serves(&self, visitor: usize) -> bool {
        self.served.contains_key(&visitor)
    }

    /// When a visitor's connection wants to be looked at again.
    pub(crate) fn next_of(&self, visitor: usize) -> Option<Instant> {
        self.served.get(&visitor)?.poll_timeout()
    }

    /// Takes the events of a session.
    pub(crate) fn drain(&mut self, at: SessionKey, now: Instant) {
        while let Some(event) = self.sessions.get_mut(&at).and_then(|hosted| hosted.session.poll_event()) {
            self.on_session(at, event, now);
        }
        self.settle_pool(at, now);
    }

    fn on_session(&mut self, at: SessionKey, event: SessionEvent, now: Instant) {
        let Some(hosted) = self.sessions.get_mut(&at) else { return };
        if !matches!(event, SessionEvent::Stream(_) | SessionEvent::Latency(_)) {
            note(now, || format!("session {at}: {event:?}"));
        }
        match event {
            SessionEvent::Admit(_) => self.on_admit(at, now),
            SessionEvent::Join(..) => self.on_join(at, now),
            SessionEvent::Bind(service) => {
                hosted.session.confirm(service, "https://web.relay.example".to_owned(), now);
            }
            SessionEvent::Stream(
                StreamEvent::Readable(id) | StreamEvent::Writable(id) | StreamEvent::Reset(id, _),
            ) => {
                match hosted.holders.get(&id) {
                    Some(Holder::Visitor(visitor)) => drop(self.dirty.insert(*visitor)),
                    Some(Holder::Idle(conn)) => {
                        // Whatever comes on an idle connection ends its use.
                        let conn = hosted.pool.remove(WEB, *conn);
                        conn.into_iter().for_each(|conn| hosted.close(conn.id, now));
                    }
                    None => {}
                }
            }
            SessionEvent::OpenReady => hosted.pool.handle_room(),
            SessionEvent::Links(_) => {
                let lost = hosted.forget_lost();
                self.dirty.extend(lost);
                hosted.pool.handle_room();
            }
            SessionEvent::GoingAway => {
                hosted.is_leaving |= !hosted.session.takes_streams();
                hosted.pool.handle_service_end(WEB);
                hosted.pool.handle_room();
            }
            SessionEvent::Closed(reason) => self.on_closed(at, reason, now),
            _ => {}
        }
    }

    fn on_admit(&mut self, at: SessionKey, now: Instant) {
        let Some(hosted) = self.sessions.get_mut(&at) else { return };
        let (agent, instance) = (hosted.agent, hosted.instance);
        hosted.session.admit(format!("https://a{agent}.relay.example"), now);
        self.departed.remove(&agent);
        let parked = self.served.iter().filter(|(_, served)| served.parked.is_some());
        self.dirty.extend(parked.map(|(visitor, _)| *visitor));
        let older = self.current.insert(agent, at).filter(|older| *older != at);
        let Some(older) = older else { return };
        // Another process has taken the name over, and finishes what it has.
        let is_ghost = |hosted: &&mut Hosted| !hosted.is_leaving && hosted.instance == instance;
        if let Some(hosted) = self.sessions.get_mut(&older).filter(is_ghost) {
            hosted.session.refuse(DownReason::Replaced, now);
        }
        self.drain(older, now);
        self.touched.insert(older);
    }

    /// A further link of the session that serves the agent's name.
    fn on_join(&mut self, at: SessionKey, now: Instant) {
        let Some(mut newcomer) = self.sessions.remove(&at) else { return };
        let target = self.current.get(&newcomer.agent).copied();
        let joined = target.and_then(|key| self.sessions.get_mut(&key)).map(|target| {
            let joined = target.session.join(&mut newcomer.session, now);
            target.is_leaving &= joined.is_err();
            joined
        });
        match (joined, target) {
            (Some(Ok(link)), Some(session)) => {
                self.joined.push(Joined { newcomer: at, session, link });
                self.drain(session, now);
                self.touched.insert(session);
            }
            (Some(Err(reason)), _) => {
                newcomer.session.refuse(reason, now);
                self.sessions.insert(at, newcomer);
            }
            (None, _) | (_, None) => {
                let unknown = "this relay has no such session".to_owned();
                newcomer.session.refuse(DownReason::UnknownSession(unknown), now);
                self.sessions.insert(at, newcomer);
            }
        }
    }

    fn on_closed(&mut self, at: SessionKey, reason: DownReason, now: Instant) {
        let Some(hosted) = self.sessions.get_mut(&at) else { return };
        hosted.ended = Some(reason);
        if self.current.get(&hosted.agent) == Some(&at) {
            self.current.remove(&hosted.agent);
            if hosted.is_leaving {
                self.departed.insert(hosted.agent, now + SUCCESSOR_TIMEOUT);
            }
        }
        let holders = hosted.holders.values().filter_map(|holder| match holder {
            Holder::Visitor(visitor) => Some(*visitor),
            Holder::Idle(_) => None,
        });
        self.dirty.extend(holders.chain(hosted.waiting.values().copied()));
    }

    /// What the pool of a session wants done.
    pub(crate) fn settle_pool(&mut self, at: SessionKey, now: Instant) {
        let Some(hosted) = self.sessions.get_mut(&at) else { return };
        if hosted.pool.poll_timeout().is_some_and(|due| due <= now) {
            hosted.pool.handle_timeout(now);
        }
        while let Some(conn) = hosted.pool.poll_closed() {
            hosted.close(conn.id, now);
        }
        while let Some(wait) = hosted.pool.poll_granted() {
            self.dirty.extend(hosted.waiting.get(&wait));
        }
    }

    /// When a session wants to be looked at.
    pub(crate) fn next_of_session(&self, at: SessionKey) -> Option<Instant> {
        let hosted = self.sessions.get(&at)?;
        hvym_tunnel_core::time::earliest(hosted.session.poll_timeout(), hosted.pool.poll_timeout())
    }

    /// Moves what can be moved on a visitor's connection.
    pub(crate) fn pump(&mut self, visitor: usize, pipe: &mut Pipe, now: Instant) {
        let Some(mut served) = self.served.remove(&visitor) else { return };
        let touched = served.stream.map(|(at, _)| at);
        self.check_timeout(&mut served, now);
        loop {
            let mut moved = served.pass_visitor(pipe, now);
            if let Some((at, id)) = served.stream {
                self.touched.insert(at);
                moved |= self.pass_service(&mut served.carrier, at, id, now);
            }
            if let Some((at, _)) = served.wait {
                self.touched.insert(at);
                moved |= self.poll_wait(visitor, &mut served, now);
            }
            moved |= self.poll_parked(visitor, &mut served, now);
            while self.step(visitor, &mut served, pipe, now) {
                moved = true;
            }
            if !moved {
                break;
            }
        }
        let is_closing = served.is_closing;
        self.touched.extend(touched);
        if is_closing {
            self.limits.close(Some(served.address));
            for (at, hosted) in &mut self.sessions {
                hosted.pool.handle_visitor_end(served.id);
                self.touched.insert(*at);
            }
            self.gone.push(visitor);
        } else {
            self.served.insert(visitor, served);
        }
        for at in self.touched.clone() {
            self.settle_pool(at, now);
        }
    }

    fn check_timeout(&mut self, served: &mut Served, now: Instant) {
        if let Carrier::Http(exchange) = &mut served.carrier
            && exchange.poll_timeout().is_some_and(|at| at <= now)
            && exchange.handle_timeout(now).is_some()
        {
            served.refuse(408, now);
        }
    }
}
