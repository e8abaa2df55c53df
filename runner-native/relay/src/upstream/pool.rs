//! The connections of one session: idle and in use HTTP/1.1 ones, and shared HTTP/2 ones, by service. Also the queue of
//! requests while the link is full.
//!
//! [`ConnPool`] decides who gets which; this adds what it cannot have: a lock, timers, wakers, and a look at idle
//! connections, of which one that its service closes, or says something on, is removed at once.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use hvym_proxy::Choice;
use hvym_proxy::pool::{ConnId, ConnPool, OpenRefusal, PoolConfig, Returned, VisitorId, WaitId};
use hvym_tunnel_core::relay::Session;
use hvym_tunnel_core::time::Instant;

use super::h1::{H1Conn, IdleEnd};
use super::h2_pool::H2Pool;
use hvym_tunnel_net::clock::Clock;
use hvym_tunnel_net::link_driver::LinkHandle;
use hvym_tunnel_net::runtime::spawn;
use hvym_tunnel_net::timer::Timer;

/// Expired connections are closed, and late requests answered, at most this often and this late.
const TICK: Duration = Duration::from_secs(1);

/// The pool of one session.
pub(crate) struct Pool {
    state: Mutex<PoolState>,
    clock: Clock,
    session: LinkHandle<Session>,
    /// There are several links, or one ended, so that a connection may not be worth keeping.
    is_checked: AtomicBool,
}

pub(super) struct PoolState {
    pub(super) conns: ConnPool<IdleConn>,
    pub(super) h2: H2Pool,
    /// Tasks of waiting requests.
    pub(super) wakers: BTreeMap<WaitId, Waker>,
    /// When the task that looks for what is over wakes, if there is one.
    armed: Option<Instant>,
}

/// Whom a connection to a service is for.
#[derive(Copy, Clone, Debug)]
pub(crate) struct StreamUser {
    /// The visitor's connection, which its connections to services belong to.
    pub(crate) id: VisitorId,
    /// The visitor, whose unread data on a link is counted together. Not 0.
    pub(crate) group: u64,
}

/// An idle HTTP/1.1 connection.
pub(super) struct IdleConn {
    h1_conn: Box<H1Conn>,
    watch: Arc<IdleWatch>,
    group: u64,
}

/// Woken when an idle connection is readable, which can only mean its end.
struct IdleWatch {
    pool: Weak<Pool>,
    service: Arc<str>,
    /// Its [`ConnId`] while it is idle.
    id: Mutex<Option<ConnId>>,
}

/// An HTTP/1.1 connection in use. Dropping it resets the connection; [`Self::give_back`] returns it to the pool.
pub(crate) struct PooledConn {
    pub(crate) h1_conn: Box<H1Conn>,
    watch: Arc<IdleWatch>,
    visitor: VisitorId,
    /// The visitor by whom its stream is counted.
    pub(crate) group: u64,
}

impl Wake for IdleWatch {
    fn wake(self: Arc<Self>) {
        // Whoever wakes us may hold locks that driving an HTTP/1.1 connection needs.
        spawn(async move {
            if let Some(pool) = self.pool.upgrade() {
                pool.look(&self);
            }
        })
        .detach();
    }
}

/// A number for a visitor's connection, or for something else that uses pools.
pub(crate) fn next_visitor_id() -> VisitorId {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    VisitorId(NEXT.fetch_add(1, Ordering::Relaxed))
}

impl Pool {
    /// An empty pool.
    pub(crate) fn new(config: PoolConfig, session: LinkHandle<Session>, clock: Clock) -> Self {
        let (conns, h2, wakers) = (ConnPool::new(config), H2Pool::new(config), BTreeMap::new());
        let state = Mutex::new(PoolState { conns, h2, wakers, armed: None });
        Self { state, clock, session, is_checked: AtomicBool::new(false) }
    }

    /// Takes in use an HTTP/1.1 connection that was just opened.
    pub(crate) fn lend(self: &Arc<Self>, service: &str, user: StreamUser, h1_conn: H1Conn) -> PooledConn {
        let (pool, service) = (Arc::downgrade(self), Arc::from(service));
        let watch = Arc::new(IdleWatch { pool, service, id: Mutex::default() });
        let idle = IdleConn { h1_conn: Box::new(h1_conn), watch, group: user.group };
        PooledConn::new(idle, user.id)
    }

    /// Takes out an idle HTTP/1.1 connection that `visitor` may use.
    pub(crate) fn take(
        self: &Arc<Self>,
        service: &str,
        visitor: VisitorId,
        choice: Choice,
    ) -> Option<PooledConn> {
        let now = self.clock.now();
        self.with(|state| {
            loop {
                let mut idle = state.conns.take(service, visitor, choice, now)?;
                // What came unasked may not have been looked at yet, and would be taken for the answer.
                let mut quiet = Context::from_waker(Waker::noop());
                match idle.h1_conn.poll_over(&mut quiet) {
                    Poll::Pending if idle.h1_conn.is_free() => return Some(PooledConn::new(idle, visitor)),
                    Poll::Ready(IdleEnd::Unasked) => state.conns.handle_unasked(service),
                    Poll::Pending | Poll::Ready(IdleEnd::Ended) => {}
                }
            }
        })
    }

    /// Changes the shared HTTP/2 connections.
    pub(crate) fn with_h2<T>(self: &Arc<Self>, change: impl FnOnce(&mut H2Pool, Instant) -> T) -> T {
        let now = self.clock.now();
        self.with(|state| change(&mut state.h2, now))
    }

    /// Whether requests wait, so that another one may not open a stream before them.
    pub(crate) fn must_wait(&self) -> bool {
        self.lock().conns.must_wait()
    }

    /// A place in the queue for a connection to `service`, or a stream; without a service for a stream alone. `None`: too
    /// many wait.
    pub(super) fn enqueue(
        self: &Arc<Self>,
        service: Option<&str>,
        visitor: VisitorId,
        refusal: Option<OpenRefusal>,
    ) -> Option<WaitId> {
        let now = self.clock.now();
        self.with(|state| {
            if let Some(refusal) = refusal {
                state.conns.handle_refusal(refusal);
            }
            let id = state.conns.wait(service.map(Arc::from), visitor, now)?;
            // A stream may have become free after this request found none, and before it waited.
            state.conns.handle_room();
            Some(id)
        })
    }

    /// A stream of the link may have become free, or the session has ended, which whoever tries next finds out.
    pub(crate) fn handle_room(self: &Arc<Self>) {
        self.with(|state| state.conns.handle_room());
    }

    /// A request waits no longer.
    pub(super) fn cancel(self: &Arc<Self>, id: WaitId) {
        let now = self.clock.now();
        self.with(|state| {
            state.wakers.remove(&id);
            state.conns.cancel(id, now);
        });
    }

    /// The connection of this visitor has ended.
    pub(crate) fn handle_visitor_end(self: &Arc<Self>, visitor: VisitorId) {
        self.with(|state| {
            state.conns.handle_visitor_end(visitor);
            state.h2.handle_visitor_end(visitor);
        });
    }

    /// Closes idle connections to `service`, which is another program from now on.
    pub(crate) fn clear(self: &Arc<Self>, service: &str) {
        self.with(|state| {
            state.conns.handle_service_end(service);
            state.h2.handle_service_end(service);
        });
    }

    /// The session has several links, or one of them takes no new streams: from now on not every connection is kept.
    pub(crate) fn handle_links(&self) {
        self.is_checked.store(true, Ordering::Release);
    }

    /// Puts an HTTP/1.1 connection back. Not one that is not free.
    fn put(self: &Arc<Self>, pooled: PooledConn) {
        let PooledConn { mut h1_conn, watch, visitor, group } = pooled;
        let now = self.clock.now();
        if self.is_checked.load(Ordering::Acquire)
            && !self.session.look(|session| session.is_kept(h1_conn.stream_id(), now))
        {
            return;
        }
        self.with(|state| {
            // Under the lock, so that an end that comes now finds the connection in its place.
            let waker = Waker::from(Arc::clone(&watch));
            match h1_conn.poll_over(&mut Context::from_waker(&waker)) {
                Poll::Pending if h1_conn.is_free() => {}
                Poll::Ready(IdleEnd::Unasked) => return state.conns.handle_unasked(&watch.service),
                Poll::Pending | Poll::Ready(IdleEnd::Ended) => return,
            }
            let history = h1_conn.history();
            let service = Arc::clone(&watch.service);
            let conn = IdleConn { h1_conn, watch: Arc::clone(&watch), group };
            let id = state.conns.put(Returned { conn, service, visitor, history }, now);
            *watch.lock() = id;
        });
    }

    /// Drops an idle connection that ended.
    fn look(self: &Arc<Self>, watch: &Arc<IdleWatch>) {
        self.with(|state| {
            let id = (*watch.lock())?;
            let idle = state.conns.get_mut(&watch.service, id)?;
            let waker = Waker::from(Arc::clone(watch));
            match idle.h1_conn.poll_over(&mut Context::from_waker(&waker)) {
                Poll::Pending => return None,
                Poll::Ready(IdleEnd::Unasked) => {
                    tracing::info!(service = %watch.service, "said something unasked: visitors share no connections to it");
                    state.conns.handle_unasked(&watch.service);
                }
                Poll::Ready(IdleEnd::Ended) => {}
            }
            tracing::debug!(service = %watch.service, "a waiting connection was closed by its service");
            state.conns.remove(&watch.service, id)
        });
    }

    /// Changes the pool; then tells those who wait, and closes what is to be closed, without the lock.
    pub(super) fn with<T>(self: &Arc<Self>, change: impl FnOnce(&mut PoolState) -> T) -> T {
        let mut state = self.lock();
        let changed = change(&mut state);
        let closed: Vec<IdleConn> = std::iter::from_fn(|| state.conns.poll_closed()).collect();
        let mut wakers = Vec::new();
        while let Some(id) = state.conns.poll_granted() {
            wakers.extend(state.wakers.remove(&id));
        }
        self.arm(&mut state);
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
        drop(closed);
        changed
    }

    fn arm(self: &Arc<Self>, state: &mut PoolState) {
        let timeouts = [state.conns.poll_timeout(), state.h2.poll_timeout()];
        let Some(timeout) = timeouts.into_iter().flatten().min() else { return };
        // What is armed is late by no more than a tick.
        if state.armed.is_some_and(|armed| armed <= timeout + TICK) {
            return;
        }
        let at = timeout + TICK;
        state.armed = Some(at);
        let pool = Arc::downgrade(self);
        spawn(async move {
            Timer::at(at).await;
            if let Some(pool) = pool.upgrade() {
                pool.handle_timeout(at);
            }
        })
        .detach();
    }

    fn handle_timeout(self: &Arc<Self>, at: Instant) {
        let now = self.clock.now();
        self.with(|state| {
            state.armed = state.armed.filter(|armed| *armed != at);
            state.conns.handle_timeout(now);
            state.h2.handle_timeout(now);
        });
    }

    fn lock(&self) -> MutexGuard<'_, PoolState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl IdleWatch {
    fn lock(&self) -> MutexGuard<'_, Option<ConnId>> {
        self.id.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PooledConn {
    pub(super) fn new(idle: IdleConn, visitor: VisitorId) -> Self {
        let IdleConn { h1_conn, watch, group } = idle;
        Self { h1_conn, watch, visitor, group }
    }

    /// Whether it served a request before the one under way.
    pub(crate) fn is_used(&self) -> bool {
        self.h1_conn.history().requests > 1
    }

    /// Puts it back, if it is free.
    pub(crate) fn give_back(self) {
        if self.h1_conn.is_free()
            && let Some(pool) = self.watch.pool.upgrade()
        {
            pool.put(self);
        }
    }
}
