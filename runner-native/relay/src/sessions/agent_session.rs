//! An agent's session as visitors use it: pooled and new connections to its services, and waiting for stream
//! capacity.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use hvym_proxy::Choice;
use hvym_proxy::pool::{Grant, PoolConfig, VisitorId};
use hvym_tunnel_core::dialect::{Proto, StreamHeader};
use hvym_tunnel_core::link::{OpenStreamError, Streams};
use hvym_tunnel_core::relay::{Name, Session};
use hvym_tunnel_core::stellar::Address;
use hvym_tunnel_pages::Page;

use crate::metrics::Record;
use crate::pages;
use crate::sessions::succession::Succession;
use crate::settings::{BIND_TIMEOUT, SUCCESSOR_TIMEOUT};
use crate::upstream::conn::UpstreamConn;
use crate::upstream::h1::H1Conn;
use crate::upstream::h2::H2Conn;
use crate::upstream::pool::{Pool, PooledConn, StreamUser, next_visitor_id};
use crate::upstream::pool_wait::PoolWaiter;
use hvym_tunnel_net::clock::Clock;
use hvym_tunnel_net::link_driver::LinkHandle;
use hvym_tunnel_net::stream::TunnelStream;
use hvym_tunnel_net::timeout::within;

/// A handle of one session. Clones are the same session.
#[derive(Clone)]
pub(crate) struct AgentSession {
    /// The machine.
    pub(crate) session: LinkHandle<Session>,
    /// Connections to its services.
    pub(crate) pool: Arc<Pool>,
    /// Its metrics and login.
    pub(crate) record: Arc<Record>,
    /// Tasks that wait for a service to be bound.
    waiting: Arc<Mutex<Vec<Waker>>>,
    succession: Arc<Succession<AgentSession>>,
}

/// What is wanted of a service.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Wanted {
    /// Which connections will do.
    pub(crate) choice: Choice,
    /// Whether the request logs in its connection, which then is for its visitor alone.
    pub(crate) logs_in: bool,
    /// Whether the session is new, so that the service may be about to be bound.
    pub(crate) is_new: bool,
}

/// Why no stream can be opened.
enum OpenBlocked {
    /// No stream capacity, until other streams end.
    Capacity,
    /// Waiting does not help.
    Permanently(Page),
}

/// A stream, or the connection that another request has put back meanwhile.
enum Opened {
    Stream(TunnelStream),
    Conn(PooledConn),
}

impl AgentSession {
    /// A handle without connections.
    pub(crate) fn new(session: LinkHandle<Session>, pool: PoolConfig, clock: Clock) -> Self {
        let pool = Arc::new(Pool::new(pool, session.clone(), clock));
        let succession = Arc::new(Succession::new());
        Self { session, pool, record: Arc::default(), waiting: Arc::default(), succession }
    }

    /// Whether its agent goes away, or went away in good order: another session follows, probably at once.
    pub(crate) fn is_leaving(&self) -> bool {
        self.succession.is_leaving()
            || self.session.look(|session| session.is_up() && !session.takes_streams())
    }

    /// The agent takes no new streams on one of its links: closes the connections that are idle, for some keep that link.
    pub(crate) fn handle_going_away(&self) {
        if self.is_leaving() {
            self.succession.begin();
        }
        let names = self.session.look(|session| {
            session.services().iter().map(|service| service.name.clone()).collect::<Vec<_>>()
        });
        self.pool.handle_link_ending();
        names.iter().for_each(|name| self.pool.clear(name));
        self.wake();
    }

    /// `next` follows: whoever waits goes there.
    pub(crate) fn succeed(&self, next: &AgentSession) {
        self.succession.settle(next.clone());
    }

    /// The session that follows one whose agent goes away.
    async fn successor(&self, name: &Name) -> Result<AgentSession, Page> {
        let next = within(SUCCESSOR_TIMEOUT, self.succession.next()).await;
        next.ok_or_else(|| Page::no_agent(&name.owner.to_string()))
    }

    /// Whether both are the same session.
    pub(crate) fn is(&self, other: &AgentSession) -> bool {
        Arc::ptr_eq(&self.pool, &other.pool)
    }

    /// Wakes the waiting tasks: capacity, services or the session itself changed.
    pub(crate) fn wake(&self) {
        self.waiting().drain(..).for_each(Waker::wake);
        self.pool.handle_room();
    }

    /// Whether it is logged in and not closing.
    pub(crate) fn is_up(&self) -> bool {
        self.session.look(Session::is_up)
    }

    /// Opens a stream for the identity `from`, with a header that `delegated` completes, as soon as there is capacity. Returns `None` if the agent is offline,
    /// the service unbound, or no stream is free; callers refuse without telling which.
    pub(crate) async fn open_for(
        &self,
        from: Address,
        service: &str,
        delegated: impl Fn(StreamHeader) -> StreamHeader,
    ) -> Option<TunnelStream> {
        let open = || {
            let opened = self.session.with(|session, now| {
                let service = session.service_for_identities(service)?;
                let opening = delegated(StreamHeader::reached(from, service, None));
                Some(session.open(&opening, now))
            });
            match opened {
                Some(Ok(id)) => Ok(self.session.stream(id)),
                Some(Err(error)) if error.is_transient() => Err(OpenBlocked::Capacity),
                Some(Err(_)) | None => Err(OpenBlocked::Permanently(pages::overloaded())),
            }
        };
        match self.open_in_turn(None, next_visitor_id(), open).await {
            Ok(Opened::Stream(stream)) => Some(stream),
            Ok(Opened::Conn(_)) | Err(_) => None,
        }
    }

    /// Name and protocol of the service of `name`, if it is bound.
    pub(crate) fn service(&self, name: &Name) -> Option<(Arc<str>, Proto)> {
        self.session.look(|session| {
            let service = session.service(name.service.as_deref())?;
            Some((Arc::from(service.name.as_str()), service.proto))
        })
    }

    /// An idle connection to an HTTP/1.1 service of this name.
    pub(crate) fn take_idle(&self, user: StreamUser, service: &str, choice: Choice) -> Option<PooledConn> {
        self.pool.take(service, user.id, choice).map(|pooled| self.own(user, pooled))
    }

    /// A connection to the service of `name`: a pooled one, or a new one as soon as there is capacity. Of an agent that
    /// goes away, one of the session that follows.
    pub(crate) async fn upstream(
        &self,
        user: StreamUser,
        name: &Name,
        wanted: Wanted,
    ) -> Result<UpstreamConn, Page> {
        if !self.is_leaving() {
            match self.own_upstream(user, name, wanted).await {
                // It may have been told only now.
                Err(_) if self.is_leaving() => {}
                outcome => return outcome,
            }
        }
        let next = self.successor(name).await?;
        next.own_upstream(user, name, Wanted { is_new: true, ..wanted }).await
    }

    async fn own_upstream(
        &self,
        user: StreamUser,
        name: &Name,
        wanted: Wanted,
    ) -> Result<UpstreamConn, Page> {
        if wanted.is_new {
            self.bound(name).await;
        }
        let service = self.session.look(|session| {
            let service = session.service(name.service.as_deref())?;
            Some((service.name.clone(), service.proto))
        });
        let known = match &service {
            Some((service, Proto::H2)) if wanted.choice != Choice::Fresh => {
                let h2_conn = self.pool.with_h2(|h2, _| h2.get(service, user.id, wanted.logs_in));
                h2_conn.map(|h2_conn| UpstreamConn::Shared { h2_conn, is_used: true })
            }
            Some((service, Proto::Http | Proto::Tcp)) => self
                .pool
                .take(service, user.id, wanted.choice)
                .map(|pooled| UpstreamConn::Own(self.own(user, pooled))),
            Some((_, Proto::H2)) | None => None,
        };
        match known {
            Some(upstream) => Ok(upstream),
            None => self.fresh(user, name, wanted, service.map(|(service, _)| service)).await,
        }
    }

    async fn fresh(
        &self,
        user: StreamUser,
        name: &Name,
        wanted: Wanted,
        service: Option<String>,
    ) -> Result<UpstreamConn, Page> {
        let mut opening = StreamHeader::default();
        let service = service.filter(|_| wanted.choice != Choice::Fresh);
        let opened =
            self.open_in_turn(service.as_deref(), user.id, || self.try_open(user, name, &mut opening));
        let stream = match opened.await? {
            Opened::Stream(stream) => stream,
            Opened::Conn(pooled) => return Ok(UpstreamConn::Own(self.own(user, pooled))),
        };
        tracing::debug!(stream = ?stream.id(), service = opening.service, "opened");
        let upstream = match opening.proto {
            Proto::H2 => H2Conn::new(stream).await.map(|h2_conn| {
                self.pool.with_h2(|h2, now| {
                    h2.insert(&opening.service, user.id, wanted.logs_in, &h2_conn, now);
                });
                UpstreamConn::Shared { h2_conn, is_used: false }
            }),
            Proto::Http | Proto::Tcp => {
                Ok(UpstreamConn::Own(self.pool.lend(&opening.service, user, H1Conn::new(stream))))
            }
        };
        upstream.map_err(|error| {
            tracing::debug!(%error, "no connection to a service");
            pages::bad_answer()
        })
    }

    /// A connection that another visitor may have used before, for `user` from now on.
    fn own(&self, user: StreamUser, mut pooled: PooledConn) -> PooledConn {
        if pooled.group != user.group {
            pooled.group = user.group;
            let id = pooled.h1_conn.stream_id();
            self.session.with(|session, _| {
                // One that has ended counts nowhere.
                if let Ok(mut stream) = session.stream(id) {
                    stream.set_group(user.group);
                }
            });
        }
        pooled
    }

    /// Opens a new stream, as soon as there is capacity. Sets service and protocol in `opening`; its `proto` says on
    /// entry whether TCP is wanted.
    pub(crate) async fn open(
        &self,
        user: StreamUser,
        name: &Name,
        opening: &mut StreamHeader,
    ) -> Result<TunnelStream, Page> {
        match self.open_in_turn(None, user.id, || self.try_open(user, name, opening)).await? {
            Opened::Stream(stream) => Ok(stream),
            Opened::Conn(_) => Err(pages::overloaded()),
        }
    }

    /// Opens a stream by `open` as soon as there is capacity, after all who waited before. With a service, a connection to
    /// it that comes back meanwhile will do too.
    async fn open_in_turn(
        &self,
        service: Option<&str>,
        user: VisitorId,
        mut open: impl FnMut() -> Result<TunnelStream, OpenBlocked>,
    ) -> Result<Opened, Page> {
        if !self.pool.must_wait() {
            match open() {
                Ok(stream) => return Ok(Opened::Stream(stream)),
                Err(OpenBlocked::Permanently(page)) => return Err(page),
                Err(OpenBlocked::Capacity) => {}
            }
        }
        let mut waiter = PoolWaiter::join(&self.pool, service, user).ok_or_else(pages::overloaded)?;
        loop {
            match waiter.granted().await {
                Grant::Conn(pooled) => return Ok(Opened::Conn(pooled)),
                Grant::TimedOut => return Err(pages::overloaded()),
                Grant::Stream => match open() {
                    Ok(stream) => return Ok(Opened::Stream(stream)),
                    Err(OpenBlocked::Permanently(page)) => return Err(page),
                    Err(OpenBlocked::Capacity) => waiter.handle_full(),
                },
            }
        }
    }

    /// Waits until the service of `name` is bound, a moment at most.
    async fn bound(&self, name: &Name) {
        let is_settled = || {
            self.session
                .look(|session| !session.is_up() || session.service(name.service.as_deref()).is_some())
        };
        let bound = poll_fn(|cx| {
            if is_settled() {
                return Poll::Ready(());
            }
            self.waiting().push(cx.waker().clone());
            // It may have been bound before the waker was there.
            if is_settled() { Poll::Ready(()) } else { Poll::Pending }
        });
        let _in_time = within(BIND_TIMEOUT, bound).await;
    }

    fn try_open(
        &self,
        user: StreamUser,
        name: &Name,
        opening: &mut StreamHeader,
    ) -> Result<TunnelStream, OpenBlocked> {
        let absent = || OpenBlocked::Permanently(Page::no_agent(&name.owner.to_string()));
        let opened = self.session.with(|session, now| {
            if !session.is_up() {
                return Err(absent());
            }
            let Some(service) = session.service(name.service.as_deref()) else {
                let unknown = |name: &String| Page::unknown_service(name);
                return Err(OpenBlocked::Permanently(
                    name.service.as_ref().map_or_else(pages::nothing_offered, unknown),
                ));
            };
            if (service.proto == Proto::Tcp) != (opening.proto == Proto::Tcp) {
                return Err(OpenBlocked::Permanently(pages::other_language(&service.name)));
            }
            opening.service.clone_from(&service.name);
            opening.proto = service.proto;
            let opened = session.open(opening, now).map_err(|error| match error {
                error if error.is_transient() => OpenBlocked::Capacity,
                OpenStreamError::NotUp => absent(),
                OpenStreamError::Header(_) => OpenBlocked::Permanently(Page::bad_host()),
                _ => OpenBlocked::Permanently(pages::overloaded()),
            })?;
            if let Ok(mut stream) = session.stream(opened) {
                stream.set_group(user.group);
            }
            Ok(opened)
        });
        opened.map(|id| self.session.stream(id))
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Waker>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
