//! An agent's session as visitors use it: pooled and new connections to its services, and waiting for stream
//! capacity.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use hvym_tunnel_core::dialect::{Proto, StreamHeader};
use hvym_tunnel_core::link::OpenStreamError;
use hvym_tunnel_core::relay::{Name, Session};
use hvym_tunnel_core::stellar::Address;
use hvym_tunnel_pages::Page;

use crate::metrics::Record;
use crate::pages;
use crate::settings::{BIND_TIMEOUT, ROOM_TIMEOUT};
use crate::upstream::conn::UpstreamConn;
use crate::upstream::h1::H1Conn;
use crate::upstream::h2::H2Conn;
use crate::upstream::pool::{Choice, Pool};
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
    /// Tasks that wait for stream capacity, or for a service to be bound.
    waiting: Arc<Mutex<Vec<Waker>>>,
}

/// Why no stream can be opened.
enum OpenBlocked {
    /// No stream capacity, until other streams end.
    Capacity,
    /// The service is not bound; a new session may bind it soon.
    Unbound(Page),
    /// Waiting does not help.
    Permanently(Page),
}

impl AgentSession {
    /// A handle without connections.
    pub(crate) fn new(session: LinkHandle<Session>, clock: Clock) -> Self {
        Self { session, pool: Arc::new(Pool::new(clock)), record: Arc::default(), waiting: Arc::default() }
    }

    /// Whether both are the same session.
    pub(crate) fn is(&self, other: &AgentSession) -> bool {
        Arc::ptr_eq(&self.pool, &other.pool)
    }

    /// Wakes the waiting tasks: capacity, services or the session itself changed.
    pub(crate) fn wake(&self) {
        self.waiting().drain(..).for_each(Waker::wake);
    }

    /// Whether it is logged in and not closing.
    pub(crate) fn is_up(&self) -> bool {
        self.session.look(Session::is_up)
    }

    /// Opens a stream for the identity `from`, as soon as there is capacity. Returns `None` if the agent is offline,
    /// the service unbound, or no stream is free; callers refuse without telling which.
    pub(crate) async fn open_for(&self, from: Address, service: &str) -> Option<TunnelStream> {
        let opened = poll_fn(|cx| self.poll_open_for(from, service, cx));
        within(ROOM_TIMEOUT, opened).await.flatten()
    }

    fn poll_open_for(
        &self,
        from: Address,
        service: &str,
        cx: &mut Context<'_>,
    ) -> Poll<Option<TunnelStream>> {
        for is_registered in [false, true] {
            if let Some(outcome) = self.try_open_for(from, service) {
                return Poll::Ready(outcome);
            }
            self.pool.make_room();
            if !is_registered {
                self.waiting().push(cx.waker().clone());
            }
        }
        Poll::Pending
    }

    /// The outer `None` means no capacity, the inner one a refusal.
    fn try_open_for(&self, from: Address, service: &str) -> Option<Option<TunnelStream>> {
        let opened = self.session.with(|session, now| {
            let service = session.service_for_identities(service)?;
            let opening = StreamHeader::reached(from, service, None);
            Some(session.open(&opening, now))
        });
        match opened {
            Some(Ok(id)) => Some(Some(self.session.stream(id))),
            Some(Err(error)) if error.is_transient() => None,
            Some(Err(_)) | None => Some(None),
        }
    }

    /// A connection to the service of `name`: a pooled one, or a new one as soon as there is capacity. With `is_new`,
    /// waits for the service to be bound.
    pub(crate) async fn upstream(
        &self,
        name: &Name,
        choice: Choice,
        is_new: bool,
    ) -> Result<UpstreamConn, Page> {
        let service = self.session.look(|session| {
            let service = session.service(name.service.as_deref())?;
            Some((service.name.clone(), service.proto))
        });
        let known = service.and_then(|(service, proto)| match proto {
            Proto::H2 => {
                let h2_conn = self.pool.h2_conn(&service, choice)?;
                Some(UpstreamConn::Shared { h2_conn, is_used: true })
            }
            Proto::Http | Proto::Tcp => self.pool.take(&service, choice).map(UpstreamConn::Own),
        });
        match known {
            Some(upstream) => Ok(upstream),
            None => self.fresh(name, is_new).await,
        }
    }

    async fn fresh(&self, name: &Name, is_new: bool) -> Result<UpstreamConn, Page> {
        let mut opening = StreamHeader::default();
        let stream = self.open(name, &mut opening, is_new).await?;
        tracing::debug!(stream = ?stream.id(), service = opening.service, "opened");
        let upstream = match opening.proto {
            Proto::H2 => H2Conn::new(stream).await.map(|h2_conn| {
                self.pool.share(&opening.service, &h2_conn);
                UpstreamConn::Shared { h2_conn, is_used: false }
            }),
            Proto::Http | Proto::Tcp => {
                let h1_conn = H1Conn::new(stream).await;
                h1_conn.map(|h1_conn| UpstreamConn::Own(self.pool.lend(&opening.service, h1_conn)))
            }
        };
        upstream.map_err(|error| {
            tracing::debug!(%error, "no connection to a service");
            pages::bad_answer()
        })
    }

    /// Opens a new stream, as soon as there is capacity. Sets service and protocol in `opening`; its `proto` says on
    /// entry whether TCP is wanted.
    pub(crate) async fn open(
        &self,
        name: &Name,
        opening: &mut StreamHeader,
        is_new: bool,
    ) -> Result<TunnelStream, Page> {
        let mut missing = None;
        let opened = poll_fn(|cx| self.poll_open(name, opening, is_new, &mut missing, cx));
        let limit = if is_new { BIND_TIMEOUT } else { ROOM_TIMEOUT };
        match within(limit, opened).await {
            Some(outcome) => outcome,
            None => Err(missing.unwrap_or_else(pages::overloaded)),
        }
    }

    fn poll_open(
        &self,
        name: &Name,
        opening: &mut StreamHeader,
        is_new: bool,
        missing: &mut Option<Page>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<TunnelStream, Page>> {
        for is_registered in [false, true] {
            match self.try_open(name, opening) {
                Ok(stream) => return Poll::Ready(Ok(stream)),
                Err(OpenBlocked::Permanently(page)) => return Poll::Ready(Err(page)),
                Err(OpenBlocked::Unbound(page)) if !is_new => return Poll::Ready(Err(page)),
                Err(OpenBlocked::Unbound(page)) => *missing = Some(page),
                // Idle connections are closed to free streams for a waiting request.
                Err(OpenBlocked::Capacity) => self.pool.make_room(),
            }
            // Capacity may have come before the waker was registered, so try again.
            if !is_registered {
                self.waiting().push(cx.waker().clone());
            }
        }
        Poll::Pending
    }

    fn try_open(&self, name: &Name, opening: &mut StreamHeader) -> Result<TunnelStream, OpenBlocked> {
        let absent = || OpenBlocked::Permanently(Page::no_agent(&name.owner.to_string()));
        let opened = self.session.with(|session, now| {
            if !session.is_up() {
                return Err(absent());
            }
            let Some(service) = session.service(name.service.as_deref()) else {
                let unknown = |name: &String| Page::unknown_service(name);
                return Err(OpenBlocked::Unbound(
                    name.service.as_ref().map_or_else(pages::nothing_offered, unknown),
                ));
            };
            if (service.proto == Proto::Tcp) != (opening.proto == Proto::Tcp) {
                return Err(OpenBlocked::Permanently(pages::other_language(&service.name)));
            }
            opening.service.clone_from(&service.name);
            opening.proto = service.proto;
            session.open(opening, now).map_err(|error| match error {
                error if error.is_transient() => OpenBlocked::Capacity,
                OpenStreamError::NotUp => absent(),
                OpenStreamError::Header(_) => OpenBlocked::Permanently(Page::bad_host()),
                _ => OpenBlocked::Permanently(pages::overloaded()),
            })
        });
        opened.map(|id| self.session.stream(id))
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Waker>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
