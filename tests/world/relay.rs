//! The relay: a visitor's connections, the pool of each session, the limits, and which session serves which name.
//!
//! It joins the machines as the native relay does, without sockets.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use bytes::BytesMut;
use hvym_http1::{ForwardedBlock, ForwardedFields, RequestRewrite};
use hvym_proxy::limits::{Use, VisitorKey, VisitorLimits, VisitorLimitsConfig};
use hvym_proxy::pool::{ConnPool, Grant, PoolConfig, Returned, VisitorId};
use hvym_proxy::{
    Choice, Closing, Exchange, ExchangeError, ExchangeEvent, ProxyConfig, Released, RetryAction,
};
use hvym_tunnel_core::link::{StreamEvent, Streams};
use hvym_tunnel_core::machine::Machine;
use hvym_tunnel_core::mux::{Read, StreamId};
use hvym_tunnel_core::reason::DownReason;
use hvym_tunnel_core::relay::{Session, SessionEvent};
use hvym_tunnel_core::time::Instant;

pub(crate) use crate::hosted::SessionKey;
use crate::hosted::{Conn, Holder, Hosted, SERVICE, Served, receive, respond, transmit};
use crate::line::{Pipe, PipeEnd};

/// The relay.
pub(crate) struct Relay {
    proxy: Arc<ProxyConfig>,
    pool: PoolConfig,
    limits: VisitorLimits<usize>,
    pub(crate) sessions: BTreeMap<SessionKey, Hosted>,
    /// The session that serves each agent's name.
    pub(crate) current: BTreeMap<usize, SessionKey>,
    served: BTreeMap<usize, Served>,
    /// Visitors whose connection is to be looked at.
    dirty: BTreeSet<usize>,
    /// Visitors whose connection has ended.
    pub(crate) gone: Vec<usize>,
    next: SessionKey,
}

impl Relay {
    pub(crate) fn new(pool: PoolConfig, limits: VisitorLimitsConfig) -> Self {
        Self {
            proxy: Arc::new(ProxyConfig::DEFAULT),
            pool,
            limits: VisitorLimits::new(limits),
            sessions: BTreeMap::new(),
            current: BTreeMap::new(),
            served: BTreeMap::new(),
            dirty: BTreeSet::new(),
            gone: Vec::new(),
            next: 0,
        }
    }

    /// An agent's WebSocket was accepted.
    pub(crate) fn accept(&mut self, agent: usize, session: Session) -> SessionKey {
        self.next += 1;
        let hosted = Hosted {
            session,
            agent,
            pool: ConnPool::new(self.pool),
            holders: BTreeMap::new(),
            waiting: BTreeMap::new(),
            ended: None,
        };
        self.sessions.insert(self.next, hosted);
        self.next
    }

    /// A visitor's connection was accepted, or refused by the limits.
    pub(crate) fn visit(&mut self, visitor: usize, now: Instant) -> bool {
        if self.limits.open(key(visitor), now).is_err() {
            return false;
        }
        let served = Served {
            exchange: Exchange::new(Arc::clone(&self.proxy), now),
            agent: None,
            stream: None,
            wait: None,
            is_counted: false,
            is_closing: false,
        };
        assert!(self.served.insert(visitor, served).is_none(), "a visitor has one connection");
        self.dirty.insert(visitor);
        true
    }

    pub(crate) fn serves(&self, visitor: usize) -> bool {
        self.served.contains_key(&visitor)
    }

    /// When a visitor's connection wants to be looked at again.
    pub(crate) fn next_of(&self, visitor: usize) -> Option<Instant> {
        self.served.get(&visitor)?.exchange.poll_timeout()
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
        match event {
            SessionEvent::Admit(_) => {
                hosted.session.admit(format!("https://a{}.relay.example", hosted.agent), now);
                let older = self.current.insert(hosted.agent, at);
                if let Some(older) = older.and_then(|older| self.sessions.get_mut(&older)) {
                    older.session.refuse(DownReason::Replaced, now);
                }
            }
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
                        let conn = hosted.pool.remove(SERVICE, *conn);
                        conn.into_iter().for_each(|conn| hosted.close(conn.id, now));
                    }
                    None => {}
                }
            }
            SessionEvent::OpenReady => hosted.pool.handle_room(),
            SessionEvent::Closed(reason) => self.on_closed(at, reason),
            _ => {}
        }
    }

    fn on_closed(&mut self, at: SessionKey, reason: DownReason) {
        let Some(hosted) = self.sessions.get_mut(&at) else { return };
        hosted.ended = Some(reason);
        if self.current.get(&hosted.agent) == Some(&at) {
            self.current.remove(&hosted.agent);
        }
        let holders = hosted.holders.values().filter_map(|holder| match holder {
            Holder::Visitor(visitor) => Some(*visitor),
            Holder::Idle(_) => None,
        });
        self.dirty.extend(holders.chain(hosted.waiting.values().copied()));
    }

    /// Forgets a session whose link is gone.
    pub(crate) fn forget(&mut self, at: SessionKey) {
        self.sessions.remove(&at);
    }

    /// What the pool of a session wants done.
    fn settle_pool(&mut self, at: SessionKey, now: Instant) {
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

    /// When the pool of a session wants to be looked at.
    pub(crate) fn next_of_pool(&self, at: SessionKey) -> Option<Instant> {
        self.sessions.get(&at)?.pool.poll_timeout()
    }

    /// A visitor's connection that is to be looked at.
    pub(crate) fn next_dirty(&mut self) -> Option<usize> {
        self.dirty.pop_first()
    }

    /// Moves what can be moved on a visitor's connection. The sessions that were touched.
    pub(crate) fn pump(&mut self, visitor: usize, pipe: &mut Pipe, now: Instant) -> BTreeSet<SessionKey> {
        let mut touched = BTreeSet::new();
        let Some(mut served) = self.served.remove(&visitor) else { return touched };
        if served.exchange.poll_timeout().is_some_and(|at| at <= now) {
            let refused = served.exchange.handle_timeout(now).is_some();
            if refused {
                respond(&mut served.exchange, 408, now);
            }
        }
        loop {
            let mut moved = receive(&mut served, pipe, now) | transmit(&mut served, pipe, now);
            if let Some((at, id)) = served.stream {
                touched.insert(at);
                moved |= self.pass(&mut served.exchange, at, id, now);
            }
            if let Some((at, _)) = served.wait {
                touched.insert(at);
                moved |= self.poll_wait(visitor, &mut served, now);
            }
            while self.step(visitor, &mut served, pipe, now) {
                moved = true;
            }
            if !moved {
                break;
            }
        }
        if served.is_closing {
            self.limits.close(key(visitor));
            for (at, hosted) in &mut self.sessions {
                hosted.pool.handle_visitor_end(VisitorId(visitor as u64));
                touched.insert(*at);
            }
            self.gone.push(visitor);
        } else {
            self.served.insert(visitor, served);
        }
        for at in &touched {
            self.settle_pool(*at, now);
        }
        touched
    }

    /// Bytes between the exchange and its stream.
    fn pass(&mut self, exchange: &mut Exchange, at: SessionKey, id: StreamId, now: Instant) -> bool {
        let hosted = self.sessions.get_mut(&at);
        let Some(mut stream) = hosted.and_then(|hosted| hosted.session.stream(id).ok()) else {
            exchange.handle_service_reset();
            return false;
        };
        let mut moved = false;
        while let Some(out) = exchange.service_output() {
            let Some(mut data) = out.buffers().next().cloned() else { break };
            let before = data.len();
            match stream.write(&mut data, now) {
                Ok(_) if data.len() == before => break,
                Ok(_) => {
                    out.advance(before - data.len());
                    exchange.handle_service_sent(now);
                    moved = true;
                }
                Err(_) => {
                    exchange.handle_service_write_closed();
                    break;
                }
            }
        }
        while exchange.wants_service_data() {
            match stream.read(16 * 1024, now) {
                Ok(Read::Data(data)) => exchange.handle_service_data(data, now),
                Ok(Read::Empty) => return moved,
                Ok(Read::Finished) => {
                    exchange.handle_service_end();
                    return moved;
                }
                Err(_) => {
                    exchange.handle_service_reset();
                    return moved;
                }
            }
            moved = true;
        }
        moved
    }

    /// The next event of an exchange. Whether there was one.
    fn step(&mut self, visitor: usize, served: &mut Served, pipe: &mut Pipe, now: Instant) -> bool {
        let Some(event) = served.exchange.poll_event(now) else { return false };
        match event {
            ExchangeEvent::Request(view) => {
                let agent =
                    view.host().strip_prefix('a').and_then(|host| host.split('.').next()?.parse().ok());
                let mut head = BytesMut::new();
                let block = ForwardedBlock::empty();
                let rewrite = RequestRewrite {
                    forwarded: ForwardedFields::Replace(&block),
                    keeps_client_address: false,
                    host: None,
                    remove: &[],
                };
                view.write_forwarded(&rewrite, &mut head);
                served.agent = agent;
                let is_allowed = agent
                    .is_some_and(|agent| self.limits.enter(key(visitor), &agent, Use::Request, now).is_ok());
                if is_allowed {
                    served.is_counted = true;
                    served.exchange.forward(head.freeze());
                } else {
                    respond(&mut served.exchange, 503, now);
                }
            }
            ExchangeEvent::Refused { .. } => respond(&mut served.exchange, 400, now),
            ExchangeEvent::Connect(choice) => self.connect(visitor, served, choice, now),
            ExchangeEvent::Lost(failure) => {
                let at = served.stream.map(|(at, _)| at);
                let is_up =
                    at.and_then(|at| self.sessions.get(&at)).is_some_and(|hosted| hosted.session.is_up());
                match served.exchange.resolve_loss(&failure, is_up) {
                    RetryAction::Again => {}
                    RetryAction::Elsewhere => {
                        let newer = served.agent.and_then(|agent| self.current.get(&agent)).copied();
                        if newer.is_some_and(|newer| Some(newer) != at) {
                            served.exchange.retry_elsewhere();
                        } else {
                            respond(&mut served.exchange, 502, now);
                        }
                    }
                    RetryAction::No(_) => respond(&mut served.exchange, 502, now),
                }
            }
            ExchangeEvent::Failed(error) => {
                let status = match error {
                    ExchangeError::BodyTimeout | ExchangeError::BodyBroken => 408,
                    ExchangeError::ResponseTimeout => 504,
                    ExchangeError::BadResponse | ExchangeError::SessionLost => 502,
                };
                respond(&mut served.exchange, status, now);
            }
            ExchangeEvent::Released(released) => self.release(visitor, served, released, now),
            ExchangeEvent::Finished => self.finish(visitor, served, now),
            ExchangeEvent::Closed(closing) => {
                match closing {
                    Closing::Orderly => pipe.finish(PipeEnd::Relay, now),
                    Closing::Reset => pipe.reset(PipeEnd::Relay, now),
                }
                self.finish(visitor, served, now);
                served.is_closing = true;
            }
            ExchangeEvent::Answered(_) => {}
            other => panic!("no visitor asks for this: {other:?}"),
        }
        true
    }

    fn finish(&mut self, visitor: usize, served: &mut Served, now: Instant) {
        if let Some((at, wait)) = served.wait.take()
            && let Some(hosted) = self.sessions.get_mut(&at)
        {
            hosted.waiting.remove(&wait);
            hosted.pool.cancel(wait, now);
        }
        if std::mem::take(&mut served.is_counted)
            && let Some(agent) = served.agent
        {
            self.limits.leave(key(visitor), &agent, Use::Request);
        }
    }

    /// Finds or opens a connection to the service.
    fn connect(&mut self, visitor: usize, served: &mut Served, choice: Choice, now: Instant) {
        let at = served.agent.and_then(|agent| self.current.get(&agent)).copied();
        let Some((at, hosted)) = at.and_then(|at| Some((at, self.sessions.get_mut(&at)?))) else {
            return respond(&mut served.exchange, 502, now);
        };
        let id = VisitorId(visitor as u64);
        let taken = (choice != Choice::Fresh).then(|| hosted.pool.take(SERVICE, id, choice, now)).flatten();
        if let Some(conn) = taken {
            return hosted.join(at, visitor, served, conn, now);
        }
        if !hosted.pool.must_wait() {
            match hosted.open(visitor, now) {
                Ok(conn) => return hosted.join(at, visitor, served, conn, now),
                Err(is_transient) if !is_transient => return respond(&mut served.exchange, 502, now),
                Err(_) => {}
            }
        }
        let service = (choice == Choice::Any).then(|| Arc::from(SERVICE));
        match hosted.pool.wait(service, id, now) {
            Some(wait) => {
                hosted.waiting.insert(wait, visitor);
                served.wait = Some((at, wait));
            }
            None => respond(&mut served.exchange, 503, now),
        }
    }

    fn poll_wait(&mut self, visitor: usize, served: &mut Served, now: Instant) -> bool {
        let Some((at, wait)) = served.wait else { return false };
        let Some(hosted) = self.sessions.get_mut(&at).filter(|hosted| hosted.ended.is_none()) else {
            served.wait = None;
            respond(&mut served.exchange, 502, now);
            return true;
        };
        match hosted.pool.take_grant(wait) {
            None => return false,
            Some(Grant::Conn(conn)) => {
                (served.wait, _) = (None, hosted.waiting.remove(&wait));
                hosted.join(at, visitor, served, conn, now);
            }
            Some(Grant::Stream) => match hosted.open(visitor, now) {
                Ok(conn) => {
                    hosted.pool.cancel(wait, now);
                    (served.wait, _) = (None, hosted.waiting.remove(&wait));
                    hosted.join(at, visitor, served, conn, now);
                }
                Err(_) => {
                    hosted.pool.handle_full(wait);
                    return false;
                }
            },
            Some(Grant::TimedOut) => {
                (served.wait, _) = (None, hosted.waiting.remove(&wait));
                respond(&mut served.exchange, 503, now);
            }
        }
        true
    }

    fn release(&mut self, visitor: usize, served: &mut Served, released: Released, now: Instant) {
        let Some((at, id)) = served.stream.take() else { return };
        let Some(hosted) = self.sessions.get_mut(&at) else { return };
        if !released.is_reusable || hosted.ended.is_some() {
            return hosted.close(id, now);
        }
        let history = *released.upstream.history();
        let returned = Returned {
            conn: Conn { id, upstream: released.upstream },
            service: Arc::from(SERVICE),
            visitor: VisitorId(visitor as u64),
            history,
        };
        hosted.holders.remove(&id);
        if let Some(conn) = hosted.pool.put(returned, now) {
            hosted.holders.insert(id, Holder::Idle(conn));
        }
    }
}

/// Each visitor has an address of its own.
fn key(visitor: usize) -> Option<VisitorKey> {
    Some(VisitorKey::new(IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + visitor as u32))))
}
