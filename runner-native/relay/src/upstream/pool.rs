//! The pool of one session's connections, by service: idle HTTP/1.1 and shared HTTP/2.
//!
//! It opens none and sends nothing. An idle connection that its service closes is removed at once; unused ones are
//! closed after a timeout.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use http::Version;
use http::header::{CONNECTION, HeaderName, HeaderValue};
use http::response;
use hvym_tunnel_core::time::Instant;

use crate::http1::head_rewrite;
use crate::upstream::h1::H1Conn;
use crate::upstream::h2::H2Conn;
use hvym_tunnel_net::clock::Clock;
use hvym_tunnel_net::runtime::spawn;
use hvym_tunnel_net::timer::Timer;

/// Idle HTTP/1.1 connections of one service. As many as a page with many parts and a few dozen visitors use at once;
/// each holds one connection to a service that may be a development server.
const MAX_IDLE: usize = 64;
/// Idle timeout. A visitor who reads a page comes back sooner or much later.
const IDLE_LIMIT: Duration = Duration::from_secs(30);
/// Shared HTTP/2 connections of one service. Four carry four hundred requests at once; more requests get unshared
/// connections, as far as the session has streams.
const MAX_H2_CONNS: usize = 4;
/// Interval of closing expired connections.
const SWEEP: Duration = Duration::from_secs(5);
/// Idle time up to which a connection is used for requests that cannot be retried. Services close idle connections
/// after 2 s at the soonest, and a request that crosses the close is lost.
const JUST_USED: Duration = Duration::from_secs(1);
/// Subtracted from the timeout that a service announces, for the round trip.
const MARGIN: Duration = Duration::from_secs(1);

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");

/// Which connections a request may use.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Choice {
    /// Any: the request can be retried.
    Any,
    /// One that was used a moment ago.
    JustUsed,
    /// Only a new one.
    Fresh,
}

/// The pool of one session.
pub(crate) struct Pool {
    idle_conns: Mutex<IdleConns>,
    clock: Clock,
}

#[derive(Default)]
struct IdleConns {
    /// Those used last at the end.
    idle: BTreeMap<Arc<str>, Vec<Idle>>,
    h2_conns: BTreeMap<Arc<str>, Vec<Shared>>,
    /// Whether the sweeping task runs.
    is_swept: bool,
}

struct Idle {
    h1_conn: Box<H1Conn>,
    watch: Arc<IdleWatch>,
    since: Instant,
    until: Instant,
}

struct Shared {
    h2_conn: H2Conn,
    /// When it was last seen in use.
    used: Instant,
}

/// Woken when an idle connection is readable, which can only mean its end.
struct IdleWatch {
    pool: Weak<Pool>,
    service: Arc<str>,
}

/// An HTTP/1.1 connection in use. Dropping it resets the connection; [`Self::give_back`] returns it to the pool.
pub(crate) struct PooledConn {
    pub(crate) h1_conn: Box<H1Conn>,
    watch: Arc<IdleWatch>,
    /// How long the service keeps it idle.
    keep: Duration,
    /// Whether it served a request before.
    pub(crate) is_used: bool,
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

impl Pool {
    /// An empty pool.
    pub(crate) fn new(clock: Clock) -> Self {
        Self { idle_conns: Mutex::default(), clock }
    }

    /// Takes in use an HTTP/1.1 connection that was just opened.
    pub(crate) fn lend(self: &Arc<Self>, service: &str, h1_conn: H1Conn) -> PooledConn {
        let watch = IdleWatch { pool: Arc::downgrade(self), service: Arc::from(service) };
        PooledConn { h1_conn: Box::new(h1_conn), watch: Arc::new(watch), keep: IDLE_LIMIT, is_used: false }
    }

    /// Takes out the HTTP/1.1 connection that was used last.
    pub(crate) fn take(&self, service: &str, choice: Choice) -> Option<PooledConn> {
        if choice == Choice::Fresh {
            return None;
        }
        let now = self.clock.now();
        let mut idle_conns = self.lock();
        let conns = idle_conns.idle.get_mut(service)?;
        while let Some(idle) = conns.pop() {
            if choice == Choice::JustUsed && now - idle.since > JUST_USED {
                conns.push(idle);
                return None;
            }
            if idle.h1_conn.is_free() && now < idle.until {
                let Idle { h1_conn, watch, .. } = idle;
                return Some(PooledConn { h1_conn, watch, keep: IDLE_LIMIT, is_used: true });
            }
        }
        None
    }

    /// An HTTP/2 connection with room for one more.
    pub(crate) fn h2_conn(&self, service: &str, choice: Choice) -> Option<H2Conn> {
        if choice == Choice::Fresh {
            return None;
        }
        let idle_conns = self.lock();
        let mut h2_conns = idle_conns.h2_conns.get(service)?.iter();
        h2_conns.find(|shared| shared.h2_conn.has_room()).map(|shared| shared.h2_conn.clone())
    }

    /// Lets others share an HTTP/2 connection that was just opened.
    pub(crate) fn share(self: &Arc<Self>, service: &str, h2_conn: &H2Conn) {
        let mut idle_conns = self.lock();
        let conns = idle_conns.h2_conns.entry(Arc::from(service)).or_default();
        conns.retain(|shared| !shared.h2_conn.is_closed());
        if conns.len() < MAX_H2_CONNS {
            conns.push(Shared { h2_conn: h2_conn.clone(), used: self.clock.now() });
        }
        self.keep_swept(&mut idle_conns);
    }

    /// Drops the connections of `service`.
    pub(crate) fn clear(&self, service: &str) {
        let mut idle_conns = self.lock();
        idle_conns.idle.remove(service);
        idle_conns.h2_conns.remove(service);
    }

    /// Drops all idle HTTP/1.1 connections, to free their streams.
    pub(crate) fn make_room(&self) {
        self.lock().idle.clear();
    }

    /// Puts an HTTP/1.1 connection back. Not one that is not free.
    fn put(self: &Arc<Self>, pooled: PooledConn) {
        let PooledConn { mut h1_conn, watch, keep, .. } = pooled;
        let mut idle_conns = self.lock();
        // Under the lock, so that an end that comes now finds the HTTP/1.1 connection in its place.
        let waker = Waker::from(Arc::clone(&watch));
        if h1_conn.poll_drive(&mut Context::from_waker(&waker)).is_ready() || !h1_conn.is_free() {
            return;
        }
        let since = self.clock.now();
        let conns = idle_conns.idle.entry(Arc::clone(&watch.service)).or_default();
        if conns.len() >= MAX_IDLE {
            conns.remove(0);
        }
        conns.push(Idle { h1_conn, watch, since, until: since + keep });
        self.keep_swept(&mut idle_conns);
    }

    fn keep_swept(self: &Arc<Self>, idle_conns: &mut IdleConns) {
        if !std::mem::replace(&mut idle_conns.is_swept, true) {
            spawn(sweep(Arc::downgrade(self))).detach();
        }
    }

    /// Drops an idle connection that ended.
    fn look(&self, watch: &Arc<IdleWatch>) {
        let mut idle_conns = self.lock();
        let Some(conns) = idle_conns.idle.get_mut(&watch.service) else { return };
        let Some(at) = conns.iter().position(|idle| Arc::ptr_eq(&idle.watch, watch)) else { return };
        let waker = Waker::from(Arc::clone(watch));
        if conns[at].h1_conn.poll_drive(&mut Context::from_waker(&waker)).is_ready() {
            tracing::debug!(service = %watch.service, "a waiting connection was closed by its service");
            conns.remove(at);
        }
    }

    /// Drops expired connections. Returns whether others are left.
    fn expire(&self) -> bool {
        let now = self.clock.now();
        let mut idle_conns = self.lock();
        idle_conns.idle.retain(|_, conns| {
            conns.retain(|idle| now < idle.until);
            !conns.is_empty()
        });
        idle_conns.h2_conns.retain(|_, conns| {
            conns.retain_mut(|shared| {
                if !shared.h2_conn.is_idle() {
                    shared.used = now;
                }
                !shared.h2_conn.is_closed() && now - shared.used < IDLE_LIMIT
            });
            !conns.is_empty()
        });
        idle_conns.is_swept = !(idle_conns.idle.is_empty() && idle_conns.h2_conns.is_empty());
        idle_conns.is_swept
    }

    fn lock(&self) -> MutexGuard<'_, IdleConns> {
        self.idle_conns.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn sweep(pool: Weak<Pool>) {
    loop {
        Timer::after(SWEEP).await;
        if !pool.upgrade().is_some_and(|pool| pool.expire()) {
            return;
        }
    }
}

impl PooledConn {
    /// Reads from a response head how long the service keeps the connection.
    pub(crate) fn note(&mut self, head: &response::Parts) {
        let closes =
            head.version < Version::HTTP_11 || head_rewrite::lists(&head.headers, &CONNECTION, "close");
        let kept = head.headers.get(KEEP_ALIVE).and_then(kept_for).map(|kept| kept.saturating_sub(MARGIN));
        self.keep = if closes { Duration::ZERO } else { kept.unwrap_or(IDLE_LIMIT).min(IDLE_LIMIT) };
    }

    /// Puts it back, now or as soon as what is left of the request was sent.
    pub(crate) fn give_back(mut self) {
        let mut quiet = Context::from_waker(Waker::noop());
        if self.h1_conn.poll_drive(&mut quiet).is_ready() {
            return;
        }
        if self.h1_conn.is_free() {
            return self.put_back();
        }
        spawn(self.settled()).detach();
    }

    /// Drives it until it is free, and puts it back then.
    pub(crate) async fn settled(mut self) {
        self.h1_conn.settled().await;
        self.put_back();
    }

    /// Puts it back where it is free by now.
    fn put_back(self) {
        if !self.keep.is_zero()
            && let Some(pool) = self.watch.pool.upgrade()
        {
            pool.put(self);
        }
    }
}

/// The `timeout` of a `Keep-Alive` field (RFC 2068 section 19.7.1.1).
fn kept_for(value: &HeaderValue) -> Option<Duration> {
    let text = value.to_str().ok()?;
    let seconds = text.split(',').find_map(|part| {
        let (name, value) = part.split_once('=')?;
        name.trim().eq_ignore_ascii_case("timeout").then(|| value.trim().parse().ok())?
    });
    seconds.map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_service_says_of_its_patience_is_understood() {
        let said = |text| kept_for(&HeaderValue::from_static(text)).map(|kept| kept.as_secs());
        assert_eq!(said("timeout=5"), Some(5));
        assert_eq!(said("max=100, Timeout = 15"), Some(15));
        assert_eq!(said("max=100"), None);
        assert_eq!(said("timeout=soon"), None);
    }
}
