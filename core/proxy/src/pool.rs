//! The connections to the services behind one link: idle ones by service, and the requests that wait while the link is
//! full. It opens none, closes none and reads no clock.
//!
//! A connection that a visitor's connection has used is its own while that lives; [`Reuse`] says which ones others may
//! take. No number of users turns them away: only idle connections are limited, and the oldest goes.
//!
//! A request calls [`ConnPool::take`], else opens a stream, unless [`ConnPool::must_wait`] says that others were first.
//! When none can be opened now it says why by [`ConnPool::handle_refusal`], calls [`ConnPool::wait`], and then
//! [`ConnPool::take_grant`] whenever [`ConnPool::poll_granted`] names it.

mod idle;
mod waiting;

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::sync::Arc;
use core::time::Duration;

use hvym_yamux::{Instant, OpenError};

pub use idle::ConnId;
use idle::{Idle, IdleConns};
use waiting::Waiting;
pub use waiting::{Grant, WaitId};

use crate::reuse::Reuse;
use crate::{Choice, ConnHistory};

/// One visitor's connection; unique among those that use a pool.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct VisitorId(pub u64);

/// Why a stream cannot be opened now.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum OpenRefusal {
    /// The link has as many streams as it may have: one has to end first.
    Full,
    /// The other end has not acknowledged those that were opened last, and will: nothing has to end for it.
    Unacknowledged,
}

impl OpenRefusal {
    /// What an error of the multiplexer means; `None`: no stream will be opened on this link, however long one waits.
    pub const fn new(error: OpenError) -> Option<Self> {
        match error {
            OpenError::TooMany => Some(OpenRefusal::Full),
            OpenError::AckBacklog => Some(OpenRefusal::Unacknowledged),
            _ => None,
        }
    }
}

/// How many connections and requests a pool holds, and for how long.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct PoolConfig {
    /// Which connections other visitors may take.
    pub reuse: Reuse,
    /// Idle connections of one service. Beyond it the one that is idle for longest is closed, if it is so for more than
    /// `just_used`; else the one that comes back: where visitors come faster than connections become quiet, the oldest is the
    /// next that somebody may take. Each is a connection to a service that may be a development server, and a stream
    /// of the link; fewer than requests may run at once, and of visitors that ask again and again some would open a new one
    /// for each request.
    pub max_idle: usize,
    /// How long a connection is kept idle. A visitor who reads a page comes back sooner or much later.
    pub idle_limit: Duration,
    /// Idle time up to which a connection is used for requests that cannot be retried. Services close idle connections
    /// after 2 s at the soonest, and a request that crosses the close is lost.
    pub just_used: Duration,
    /// How long nothing may come on a connection after an answer, before other visitors use it ([`Reuse::Safe`]). What a
    /// service says unasked, a second answer or a body after the head of a `HEAD`, often comes in a packet of its own, and
    /// would be taken for the answer of the next request. Services write both at once; few visitors a second who need a
    /// connection each keep some dozens more of them open.
    pub quiet: Duration,
    /// Subtracted from the timeout that a service announces, for the round trip.
    pub margin: Duration,
    /// Requests that wait for a connection at once, a few hundred bytes each. More are told at once that the link is full.
    /// As many as streams of a link: new visitors come in such bursts, and a link takes them some hundred at a time.
    pub max_waiting: usize,
    /// How long a request waits. A burst is over sooner; visitors of a tunnel that stays full are better told so.
    pub wait_limit: Duration,
}

impl PoolConfig {
    /// The usual limits.
    pub const DEFAULT: PoolConfig = PoolConfig {
        reuse: Reuse::Safe,
        max_idle: 512,
        idle_limit: Duration::from_secs(30),
        just_used: Duration::from_secs(1),
        quiet: Duration::from_millis(100),
        margin: Duration::from_secs(1),
        max_waiting: 1024,
        wait_limit: Duration::from_secs(10),
    };
}

impl Default for PoolConfig {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// A connection whose last exchange is over in both directions.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Returned<C> {
    /// The connection.
    pub conn: C,
    /// Its service.
    pub service: Arc<str>,
    /// Who used it last.
    pub visitor: VisitorId,
    /// What it has carried. A [`ConnHistory::keep_alive`] of zero: the service closes it.
    pub history: ConnHistory,
}

/// The connections behind one link. `C` is the handle of a connection; whoever gets one back from here drops it to
/// close it.
pub struct ConnPool<C> {
    config: PoolConfig,
    services: BTreeMap<Arc<str>, IdleConns<C>>,
    /// Services that said something unasked; as many as there are services, at most.
    outspoken: BTreeSet<Arc<str>>,
    waiting: Waiting<C>,
    /// Whether a stream has to end before another one can be opened.
    is_full: bool,
    /// Connections that are to be closed, without whatever lock protects the pool.
    closed: VecDeque<C>,
    next_id: u64,
    /// No idle connection expires sooner.
    expiry: Option<Instant>,
}

impl<C> ConnPool<C> {
    /// An empty pool.
    pub const fn new(config: PoolConfig) -> Self {
        Self {
            config,
            services: BTreeMap::new(),
            outspoken: BTreeSet::new(),
            waiting: Waiting::new(),
            is_full: false,
            closed: VecDeque::new(),
            next_id: 1,
            expiry: None,
        }
    }

    /// An idle connection to `service` for a request of `visitor`: its own first, then one of others.
    pub fn take(&mut self, service: &str, visitor: VisitorId, choice: Choice, now: Instant) -> Option<C> {
        let conns = self.services.get_mut(service)?;
        let id = conns.find(visitor, choice, self.config.just_used, now)?;
        conns.remove(id)
    }

    /// Puts a connection back: whoever waits for it gets it, else it is kept idle. Returns its id if it is idle now.
    pub fn put(&mut self, returned: Returned<C>, now: Instant) -> Option<ConnId> {
        let history = &returned.history;
        let announced = history.keep_alive.map(|kept| kept.saturating_sub(self.config.margin));
        let keep = announced.map_or(self.config.idle_limit, |kept| kept.min(self.config.idle_limit));
        let shared_from = match self.config.reuse {
            Reuse::Always => Some(now),
            Reuse::Safe if self.outspoken.contains(&returned.service) => None,
            reuse => reuse.may_share(history).then(|| now + self.config.quiet),
        };
        if keep.is_zero() {
            self.closed.push_back(returned.conn);
            return None;
        }
        if self.waiting.is_contended() {
            let is_shared = shared_from.is_some_and(|from| from <= now);
            if let Some(id) = self.waiting.taker(&returned.service, returned.visitor, is_shared) {
                self.waiting.give(id, returned);
                return None;
            }
            if self.is_full {
                // Others cannot wait for it to be quiet: they get its stream.
                self.closed.push_back(returned.conn);
                return None;
            }
        }
        let conns = self.services.entry(returned.service).or_insert_with(IdleConns::new);
        if conns.len() >= self.config.max_idle {
            match conns.oldest() {
                Some((oldest, since)) if now - since > self.config.just_used => {
                    self.closed.extend(conns.remove(oldest));
                }
                _ => {
                    self.closed.push_back(returned.conn);
                    return None;
                }
            }
        }
        let until = now + keep;
        let idle = Idle { conn: returned.conn, visitor: returned.visitor, since: now, until, shared_from };
        let id = ConnId(self.next_id);
        self.next_id += 1;
        conns.insert(id, idle);
        self.expiry = Some(self.expiry.map_or(until, |expiry| expiry.min(until)));
        Some(id)
    }

    /// Takes out an idle connection that its service closed, or on which it said something. `None`: it is not idle any
    /// more.
    pub fn remove(&mut self, service: &str, id: ConnId) -> Option<C> {
        self.services.get_mut(service)?.remove(id)
    }

    /// The service said something on an idle connection, which is to be removed: an answer that nobody asked for, or the rest
    /// of one. What it will say after other answers may take longer, so with [`Reuse::Safe`] visitors share no connections to
    /// it from now on.
    pub fn handle_unasked(&mut self, service: &str) {
        if self.config.reuse != Reuse::Safe || !self.outspoken.insert(Arc::from(service)) {
            return;
        }
        if let Some(conns) = self.services.get_mut(service) {
            for id in conns.unshare() {
                self.closed.extend(conns.remove(id));
            }
        }
    }

    /// Changes an idle connection in place, if it is idle still.
    pub fn get_mut(&mut self, service: &str, id: ConnId) -> Option<&mut C> {
        self.services.get_mut(service)?.get_mut(id)
    }

    /// The visitor's connection has ended: what others may not take is closed.
    pub fn handle_visitor_end(&mut self, visitor: VisitorId) {
        for conns in self.services.values_mut() {
            for id in conns.orphan(visitor) {
                self.closed.extend(conns.remove(id));
            }
        }
    }

    /// The service is another one from now on, or gone: idle connections to it are closed.
    pub fn handle_service_end(&mut self, service: &str) {
        self.outspoken.remove(service);
        if let Some(conns) = self.services.remove(service) {
            self.closed.extend(conns.into_conns());
        }
    }

    /// Whether others wait already, so that a request may not open a stream before them.
    pub fn must_wait(&self) -> bool {
        self.waiting.is_contended()
    }

    /// A stream could not be opened. While the link is full, connections that come back make room for those who wait.
    pub fn handle_refusal(&mut self, refusal: OpenRefusal) {
        self.is_full = refusal == OpenRefusal::Full;
    }

    /// The request waits for a connection to `service`, or for a stream. Without a service, only for a stream. `None`: too
    /// many wait. Where the link is full, closes the connection that is idle for longest.
    pub fn wait(&mut self, service: Option<Arc<str>>, visitor: VisitorId, now: Instant) -> Option<WaitId> {
        if self.waiting.len() >= self.config.max_waiting {
            return None;
        }
        if self.is_full {
            self.close_oldest();
        }
        Some(self.waiting.push(service, visitor, now + self.config.wait_limit))
    }

    fn close_oldest(&mut self) {
        let oldest = self.services.iter().filter_map(|(name, conns)| Some((conns.oldest()?.0, name))).min();
        if let Some((id, name)) = oldest {
            let name = Arc::clone(name);
            let conn = self.remove(&name, id);
            self.closed.extend(conn);
        }
    }

    /// What a waiting request has got. After [`Grant::Stream`] it tries to open one, and calls [`Self::cancel`] if it could,
    /// else [`Self::handle_no_stream`]; the other two end its waiting.
    pub fn take_grant(&mut self, id: WaitId) -> Option<Grant<C>> {
        self.waiting.take(id)
    }

    /// It could open none, and waits on, before all who came later.
    pub fn handle_no_stream(&mut self, id: WaitId, refusal: OpenRefusal) {
        self.handle_refusal(refusal);
        self.waiting.requeue(id);
    }

    /// It does not wait any more, because it opened a stream or went away. What it was given goes to the next, and so does
    /// its turn: where one stream was free there may be more.
    pub fn cancel(&mut self, id: WaitId, now: Instant) {
        if let Some(returned) = self.waiting.cancel(id) {
            self.put(returned, now);
        }
    }

    /// A stream of the link may have become free.
    pub fn handle_room(&mut self) {
        self.waiting.handle_room();
    }

    /// The next waiting request that has got something.
    pub fn poll_granted(&mut self) -> Option<WaitId> {
        self.waiting.poll_granted()
    }

    /// The next connection to close.
    pub fn poll_closed(&mut self) -> Option<C> {
        self.closed.pop_front()
    }

    /// When to call [`Self::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        let waiting = self.waiting.poll_timeout();
        self.expiry.map_or(waiting, |expiry| Some(waiting.map_or(expiry, |waiting| waiting.min(expiry))))
    }

    /// Closes what was idle for too long, and tells those who waited too long.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.waiting.handle_timeout(now);
        if self.expiry.is_none_or(|expiry| now < expiry) {
            return;
        }
        self.services.retain(|_, conns| {
            let expired: VecDeque<ConnId> = conns.expired(now).collect();
            self.closed.extend(expired.into_iter().filter_map(|id| conns.remove(id)));
            !conns.is_empty()
        });
        self.expiry = self.services.values().filter_map(IdleConns::next_expiry).min();
    }
}
