//! The HTTP/1.1 connections of one session that wait for their next request, and its HTTP/2 connections, by service.
//!
//! It opens none and sends nothing. An HTTP/1.1 connection that its service closes is noticed at once, and one that nobody wanted
//! for a while is closed.

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

/// Conduits of one service that wait. As many as a page with many parts and a few dozen visitors use at once; each
/// holds one connection to a service that may be a development server.
const MAX_IDLE: usize = 64;
/// How long an HTTP/1.1 connection waits. A visitor who reads a page comes back sooner or much later; 30 s is also what we grant
/// visitors' own connections.
const IDLE_LIMIT: Duration = Duration::from_secs(30);
/// Trunks of one service that are shared. Four carry four hundred requests at once; what comes above that gets HTTP/2 connections of
/// its own, up to what the session has streams for.
const MAX_TRUNKS: usize = 4;
/// How often those that waited too long are looked for. Later costs nothing but a connection that waits longer.
const SWEEP: Duration = Duration::from_secs(5);
/// What a request may use that cannot be repeated. Services that close idle connections do so after 2 s at the
/// soonest, and a request that crosses the close on its way is lost.
const JUST_USED: Duration = Duration::from_secs(1);
/// Taken off what a service says of itself, for the time its word and our request are on their way.
const MARGIN: Duration = Duration::from_secs(1);

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");

/// Which HTTP/1.1 connections will do.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Choice {
    /// Any: the request can be repeated.
    Any,
    /// One that was used a moment ago.
    JustUsed,
    /// None of those that wait.
    Fresh,
}

/// The HTTP/1.1 connections of one session that wait.
pub(crate) struct Pool {
    idle_conns: Mutex<IdleConns>,
    clock: Clock,
}

#[derive(Default)]
struct IdleConns {
    /// Those used last at the end.
    idle: BTreeMap<Arc<str>, Vec<Idle>>,
    trunks: BTreeMap<Arc<str>, Vec<Shared>>,
    /// Whether a task looks for those that waited too long.
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

/// Woken when something happens to an HTTP/1.1 connection that waits, which can only be its end.
struct IdleWatch {
    pool: Weak<Pool>,
    service: Arc<str>,
}

/// An HTTP/1.1 connection in use. It goes back when it is free, and is torn down when this is dropped before.
pub(crate) struct PooledConn {
    pub(crate) h1_conn: Box<H1Conn>,
    watch: Arc<IdleWatch>,
    /// How long the service lets it wait.
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
    /// Nothing waits.
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
        let shelf = idle_conns.idle.get_mut(service)?;
        while let Some(idle) = shelf.pop() {
            if choice == Choice::JustUsed && now - idle.since > JUST_USED {
                shelf.push(idle);
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
        let mut trunks = idle_conns.trunks.get(service)?.iter();
        trunks.find(|shared| shared.h2_conn.has_room()).map(|shared| shared.h2_conn.clone())
    }

    /// Lets others share an HTTP/2 connection that was just opened.
    pub(crate) fn share(self: &Arc<Self>, service: &str, h2_conn: &H2Conn) {
        let mut idle_conns = self.lock();
        let shelf = idle_conns.trunks.entry(Arc::from(service)).or_default();
        shelf.retain(|shared| !shared.h2_conn.is_closed());
        if shelf.len() < MAX_TRUNKS {
            shelf.push(Shared { h2_conn: h2_conn.clone(), used: self.clock.now() });
        }
        self.keep_swept(&mut idle_conns);
    }

    /// Lets go of what waits for `service`.
    pub(crate) fn clear(&self, service: &str) {
        let mut idle_conns = self.lock();
        idle_conns.idle.remove(service);
        idle_conns.trunks.remove(service);
    }

    /// Lets go of every HTTP/1.1 connection that waits.
    pub(crate) fn make_room(&self) {
        self.lock().idle.clear();
    }

    /// Puts an HTTP/1.1 connection back. Not one that is not free.
    fn put(self: &Arc<Self>, lent: PooledConn) {
        let PooledConn { mut h1_conn, watch, keep, .. } = lent;
        let mut idle_conns = self.lock();
        // Under the lock, so that an end that comes now finds the HTTP/1.1 connection in its place.
        let waker = Waker::from(Arc::clone(&watch));
        if h1_conn.poll_drive(&mut Context::from_waker(&waker)).is_ready() || !h1_conn.is_free() {
            return;
        }
        let since = self.clock.now();
        let shelf = idle_conns.idle.entry(Arc::clone(&watch.service)).or_default();
        if shelf.len() >= MAX_IDLE {
            shelf.remove(0);
        }
        shelf.push(Idle { h1_conn, watch, since, until: since + keep });
        self.keep_swept(&mut idle_conns);
    }

    fn keep_swept(self: &Arc<Self>, idle_conns: &mut IdleConns) {
        if !std::mem::replace(&mut idle_conns.is_swept, true) {
            spawn(sweep(Arc::downgrade(self))).detach();
        }
    }

    /// Drops an HTTP/1.1 connection that ended while it waited.
    fn look(&self, watch: &Arc<IdleWatch>) {
        let mut idle_conns = self.lock();
        let Some(shelf) = idle_conns.idle.get_mut(&watch.service) else { return };
        let Some(at) = shelf.iter().position(|idle| Arc::ptr_eq(&idle.watch, watch)) else { return };
        let waker = Waker::from(Arc::clone(watch));
        if shelf[at].h1_conn.poll_drive(&mut Context::from_waker(&waker)).is_ready() {
            tracing::debug!(service = %watch.service, "a waiting connection was closed by its service");
            shelf.remove(at);
        }
    }

    /// Drops those that waited too long. Whether there are others.
    fn expire(&self) -> bool {
        let now = self.clock.now();
        let mut idle_conns = self.lock();
        idle_conns.idle.retain(|_, shelf| {
            shelf.retain(|idle| now < idle.until);
            !shelf.is_empty()
        });
        idle_conns.trunks.retain(|_, shelf| {
            shelf.retain_mut(|shared| {
                if !shared.h2_conn.is_idle() {
                    shared.used = now;
                }
                !shared.h2_conn.is_closed() && now - shared.used < IDLE_LIMIT
            });
            !shelf.is_empty()
        });
        idle_conns.is_swept = !(idle_conns.idle.is_empty() && idle_conns.trunks.is_empty());
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
    /// Notes what the service says of the connection, in the head of a response.
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

/// The `timeout` of a `Keep-Alive` field (RFC 2068 section 19.7.1.1; still what servers say).
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
