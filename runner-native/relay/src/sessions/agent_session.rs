//! An agent's session as visitors use it: pooled and new connections to its services, and waiting for stream
//! capacity. It does not know which services it has.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use hvym_proxy::Choice;
use hvym_proxy::pool::{Grant, OpenRefusal, PoolConfig, VisitorId};
use hvym_tunnel_cluster::ServiceKey;
use hvym_tunnel_core::dialect::{Proto, StreamHeader};
use hvym_tunnel_core::link::{OpenStreamError, Streams};
use hvym_tunnel_core::mux::OpenError;
use hvym_tunnel_core::relay::{Owner, Session};
use hvym_tunnel_core::stellar::Address;
use hvym_tunnel_pages::Page;

use crate::metrics::Record;
use crate::pages;
use crate::upstream::conn::UpstreamConn;
use crate::upstream::h1::H1Conn;
use crate::upstream::h2::H2Conn;
use crate::upstream::pool::{Pool, PooledConn, StreamUser, next_visitor_id};
use crate::upstream::pool_wait::PoolWaiter;
use hvym_tunnel_net::clock::Clock;
use hvym_tunnel_net::link_driver::LinkHandle;
use hvym_tunnel_net::stream::TunnelStream;

/// A handle of one session. Clones are the same session.
#[derive(Clone)]
pub(crate) struct AgentSession {
    /// The machine.
    pub(crate) session: LinkHandle<Session>,
    /// Connections to its services.
    pub(crate) pool: Arc<Pool>,
    /// Its metrics and login.
    pub(crate) record: Arc<Record>,
    status: Arc<Status>,
    /// What is put before the name of a service, where the agent is one of another relay and this is the link there.
    through: Option<Arc<str>>,
}

/// What requests decide by.
#[derive(Default)]
struct Status {
    /// Requests and connections that it was chosen for.
    load: AtomicUsize,
    /// Its agent goes away, or went away in good order.
    is_leaving: AtomicBool,
}

/// One request or connection of a session's load, until it is dropped.
pub(super) struct Load(Arc<Status>);

impl Drop for Load {
    fn drop(&mut self) {
        self.0.load.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What is wanted of a service.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Wanted {
    /// Which connections will do.
    pub(crate) choice: Choice,
    /// Whether the request logs in its connection, which then is for its visitor alone.
    pub(crate) logs_in: bool,
}

/// Why a session has no stream for somebody.
pub(super) enum NoStream {
    /// It has ended, or its agent goes away: another session may have one.
    Gone,
    /// The answer for the visitor.
    Page(Page),
}

/// Why no stream can be opened.
enum OpenBlocked {
    /// There will be one: when another one ends, or is acknowledged.
    ForNow(OpenRefusal),
    /// Waiting does not help.
    Permanently(NoStream),
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
        Self { session, pool, record: Arc::default(), status: Arc::default(), through: None }
    }

    /// The sessions of `owner` at another relay, to which this session is the link.
    pub(crate) fn through(&self, owner: &Owner, pool: PoolConfig, clock: Clock) -> Self {
        let prefix = ServiceKey { owner: owner.clone(), service: String::new() }.to_string();
        Self { through: Some(Arc::from(prefix)), ..Self::new(self.session.clone(), pool, clock) }
    }

    /// Whether its agent is one of another relay.
    pub(crate) const fn is_remote(&self) -> bool {
        self.through.is_some()
    }

    /// Requests and connections that it was chosen for and that are not over.
    pub(super) fn load(&self) -> usize {
        self.status.load.load(Ordering::Relaxed)
    }

    /// Adds one to its load.
    pub(super) fn add_load(&self) -> Load {
        self.status.load.fetch_add(1, Ordering::Relaxed);
        Load(Arc::clone(&self.status))
    }

    /// Whether it serves new requests: it is up, and its agent does not go away.
    pub(crate) fn takes_requests(&self) -> bool {
        !self.status.is_leaving.load(Ordering::Acquire)
            && self.session.look(|session| session.is_up() && session.takes_streams())
    }

    /// Whether its agent goes away, or went away in good order: another session follows, probably at once.
    pub(crate) fn is_leaving(&self) -> bool {
        self.status.is_leaving.load(Ordering::Acquire)
            || self.session.look(|session| session.is_up() && !session.takes_streams())
    }

    /// The agent takes no new streams on one of its links: closes the connections that are idle, for some keep that link.
    /// Returns whether it goes away altogether.
    pub(crate) fn handle_going_away(&self) -> bool {
        let is_leaving = self.is_leaving();
        if is_leaving {
            self.status.is_leaving.store(true, Ordering::Release);
        }
        let names = self.session.look(|session| {
            session.services().iter().map(|service| service.name.clone()).collect::<Vec<_>>()
        });
        self.pool.handle_links();
        names.iter().for_each(|name| self.pool.clear(name));
        self.wake();
        is_leaving
    }

    /// Whether both are the same session.
    pub(crate) fn is(&self, other: &AgentSession) -> bool {
        Arc::ptr_eq(&self.pool, &other.pool)
    }

    /// Wakes the waiting requests: capacity, or the session itself changed.
    pub(crate) fn wake(&self) {
        self.pool.handle_room();
    }

    /// Whether it is logged in and not closing.
    pub(crate) fn is_up(&self) -> bool {
        self.session.look(Session::is_up)
    }

    /// Opens a stream for the identity `from`, with a header that `delegated` completes, as soon as there is capacity.
    pub(super) async fn open_for(
        &self,
        from: Address,
        service: &str,
        delegated: &(impl Fn(StreamHeader) -> StreamHeader + Sync),
    ) -> Result<TunnelStream, NoStream> {
        let open = || {
            let opened = self.session.with(|session, now| {
                let opening = match &self.through {
                    // What it carries, the relay that has it knows.
                    Some(owner) => StreamHeader {
                        service: format!("{owner}{service}"),
                        from: Some(from),
                        ..StreamHeader::default()
                    },
                    None => StreamHeader::reached(from, session.service_for_identities(service)?, None),
                };
                Some(session.open(&delegated(opening), now))
            });
            match opened {
                Some(Ok(id)) => Ok(self.session.stream(id)),
                Some(Err(error)) => Err(blocked(&error)),
                None => Err(OpenBlocked::Permanently(NoStream::Page(pages::overloaded()))),
            }
        };
        self.open_stream(next_visitor_id(), open).await
    }

    /// An idle connection to an HTTP/1.1 service of this name.
    pub(crate) fn take_idle(&self, user: StreamUser, service: &str, choice: Choice) -> Option<PooledConn> {
        self.pool.take(service, user.id, choice).map(|pooled| self.own(user, pooled))
    }

    /// A connection to a service: a pooled one, or a new one as soon as there is capacity.
    pub(super) async fn upstream(
        &self,
        user: StreamUser,
        service: &str,
        proto: Proto,
        wanted: Wanted,
    ) -> Result<UpstreamConn, NoStream> {
        let known = match proto {
            Proto::H2 if wanted.choice != Choice::Fresh => {
                let h2_conn = self.pool.with_h2(|h2, _| h2.get(service, user.id, wanted.logs_in));
                h2_conn.map(|h2_conn| UpstreamConn::Shared { h2_conn, is_used: true })
            }
            Proto::H2 => None,
            Proto::Http | Proto::Tcp => self.take_idle(user, service, wanted.choice).map(UpstreamConn::Own),
        };
        match known {
            Some(upstream) => Ok(upstream),
            None => self.fresh(user, service, proto, wanted).await,
        }
    }

    async fn fresh(
        &self,
        user: StreamUser,
        service: &str,
        proto: Proto,
        wanted: Wanted,
    ) -> Result<UpstreamConn, NoStream> {
        let opening = StreamHeader { service: service.to_owned(), proto, ..StreamHeader::default() };
        let pooled = Some(service).filter(|_| wanted.choice != Choice::Fresh);
        let opened = self.open_in_turn(pooled, user.id, || self.try_open(user, &opening));
        let stream = match opened.await? {
            Opened::Stream(stream) => stream,
            Opened::Conn(pooled) => return Ok(UpstreamConn::Own(self.own(user, pooled))),
        };
        tracing::debug!(stream = ?stream.id(), service, "opened");
        let upstream = match proto {
            Proto::H2 => H2Conn::new(stream).await.map(|h2_conn| {
                self.pool.with_h2(|h2, now| h2.insert(service, user.id, wanted.logs_in, &h2_conn, now));
                UpstreamConn::Shared { h2_conn, is_used: false }
            }),
            Proto::Http | Proto::Tcp => {
                Ok(UpstreamConn::Own(self.pool.lend(service, user, H1Conn::new(stream))))
            }
        };
        upstream.map_err(|error| {
            tracing::debug!(%error, "no connection to a service");
            if self.is_up() { NoStream::Page(pages::bad_answer()) } else { NoStream::Gone }
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

    /// Opens a new stream, as soon as there is capacity.
    pub(super) async fn open(
        &self,
        user: StreamUser,
        opening: &StreamHeader,
    ) -> Result<TunnelStream, NoStream> {
        self.open_stream(user.id, || self.try_open(user, opening)).await
    }

    async fn open_stream(
        &self,
        user: VisitorId,
        open: impl FnMut() -> Result<TunnelStream, OpenBlocked>,
    ) -> Result<TunnelStream, NoStream> {
        match self.open_in_turn(None, user, open).await? {
            Opened::Stream(stream) => Ok(stream),
            Opened::Conn(_) => Err(NoStream::Page(pages::overloaded())),
        }
    }

    /// Opens a stream by `open` as soon as there is capacity, after all who waited before. With a service, a connection to
    /// it that comes back meanwhile will do too.
    async fn open_in_turn(
        &self,
        service: Option<&str>,
        user: VisitorId,
        mut open: impl FnMut() -> Result<TunnelStream, OpenBlocked>,
    ) -> Result<Opened, NoStream> {
        let mut refusal = None;
        if !self.pool.must_wait() {
            match open() {
                Ok(stream) => return Ok(Opened::Stream(stream)),
                Err(OpenBlocked::Permanently(error)) => return Err(error),
                Err(OpenBlocked::ForNow(why)) => refusal = Some(why),
            }
        }
        let waiter = PoolWaiter::join(&self.pool, service, user, refusal);
        let mut waiter = waiter.ok_or_else(|| self.full())?;
        loop {
            match waiter.granted().await {
                Grant::Conn(pooled) => return Ok(Opened::Conn(pooled)),
                Grant::TimedOut => return Err(self.full()),
                Grant::Stream => match open() {
                    Ok(stream) => return Ok(Opened::Stream(stream)),
                    Err(OpenBlocked::Permanently(error)) => return Err(error),
                    Err(OpenBlocked::ForNow(why)) => waiter.handle_no_stream(why),
                },
            }
        }
    }

    /// The answer to a request that got no stream in time.
    fn full(&self) -> NoStream {
        let streams =
            self.session.look(|session| session.stream_counts().map(|counts| counts.max_opened).sum());
        NoStream::Page(if streams == 0 { pages::overloaded() } else { pages::link_full(streams) })
    }

    fn try_open(&self, user: StreamUser, opening: &StreamHeader) -> Result<TunnelStream, OpenBlocked> {
        let opening = match &self.through {
            Some(owner) => {
                let service = format!("{owner}{}", opening.service);
                &StreamHeader { service, ..opening.clone() }
            }
            None => opening,
        };
        let opened = self.session.with(|session, now| {
            let opened = session.open(opening, now)?;
            if let Ok(mut stream) = session.stream(opened) {
                stream.set_group(user.group);
            }
            Ok(opened)
        });
        opened.map(|id| self.session.stream(id)).map_err(|error| blocked(&error))
    }
}

fn blocked(error: &OpenStreamError) -> OpenBlocked {
    if let OpenStreamError::Refused(error) = error
        && let Some(refusal) = OpenRefusal::new(*error)
    {
        return OpenBlocked::ForNow(refusal);
    }
    OpenBlocked::Permanently(match error {
        OpenStreamError::NotUp | OpenStreamError::Refused(OpenError::Draining) => NoStream::Gone,
        OpenStreamError::Header(_) => NoStream::Page(Page::bad_host()),
        _ => NoStream::Page(pages::overloaded()),
    })
}
