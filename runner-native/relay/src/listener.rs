//! The public listener: who may come in, and where each request leads by its host name.

mod client_conn;
mod path_route;

use std::io;
use std::net::{Shutdown, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::io::AsyncWriteExt;
use http::header::LOCATION;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version};
use hvym_tunnel_core::relay::{Name, NameError};
use hvym_tunnel_pages::{Format, Page};
use hyper::body::Incoming;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

use crate::api;
use crate::http1::forwarded::ClientInfo;
use crate::http1::head_rewrite;
use crate::http1::head_validation::RequestError;
use crate::http1::request_body::RequestBody;
use crate::http1::request_guard::GuardVerdict;
use crate::limits::concurrency::ConcurrencyPermit;
use crate::limits::ip::{IpLimitError, IpPermit};
use crate::pages;
use crate::proxy::forward::forward;
use crate::relay_state::{Counted, RelayState};
use crate::router::Route;
use crate::sessions::AgentSession;
use crate::sessions::HostTarget;
use crate::settings::{ACCEPT_REST, BACKLOG, MAX_FIELDS, TCP_KEEPALIVE, TLS_TIMEOUT};
use crate::tls;
use crate::tls::Tls;
use crate::upstream::response_body::{self, Answer};
use crate::visitor::in_flight::{InFlight, ResponseTracker};
use hvym_tunnel_net::runtime::spawn;
use hvym_tunnel_net::socket::Wire;
use hvym_tunnel_net::tcp::{Tcp, TcpListener};
use hvym_tunnel_net::timeout::within;
use hvym_tunnel_net::timer::Timer;

/// What a connection holds for as long as it lives, upgraded or not.
pub(super) struct ConnectionSlot {
    _counted: Counted,
    _entered: Option<IpPermit>,
    /// Of the requests that upgraded it.
    permits: Mutex<Vec<ConcurrencyPermit>>,
}

/// Whose connection a request came by.
pub(super) struct Visitor {
    pub(super) state: Arc<RelayState>,
    pub(super) peer: SocketAddr,
    pub(super) verdict: Arc<GuardVerdict>,
    slot: Arc<ConnectionSlot>,
    tls: bool,
    /// Whether the connection is no longer HTTP, and somebody else's.
    given_away: AtomicBool,
    /// Whether the visitor speaks HTTP/1.0, in which an answer may end where the connection does.
    knows_no_chunks: AtomicBool,
    /// What it asked, and was not yet answered to the last byte.
    pub(super) responses: Arc<ResponseTracker>,
}

impl Visitor {
    /// The connection is about to be upgraded.
    pub(super) fn give_away(&self) {
        self.given_away.store(true, Ordering::Release);
    }

    pub(super) fn is_given_away(&self) -> bool {
        self.given_away.load(Ordering::Acquire)
    }

    pub(super) fn knows_no_chunks(&self) -> bool {
        self.knows_no_chunks.load(Ordering::Acquire)
    }

    /// What is to be kept until the connection ends, by whoever takes it over.
    pub(super) fn slot(&self) -> Arc<ConnectionSlot> {
        Arc::clone(&self.slot)
    }

    /// Who is behind a request with these fields.
    pub(super) fn origin(&self, fields: &HeaderMap) -> ClientInfo {
        let options = &self.state.settings.options;
        ClientInfo::new(self.peer.ip(), self.scheme(), fields, &options.trusted_proxies)
    }

    /// What the visitor used: `https` too when it is a proxy in front of us that speaks TLS.
    fn scheme(&self) -> &'static str {
        let public = self.state.settings.options.public_scheme.usual_port();
        if self.tls || public == crate::config::PublicScheme::Https.usual_port() { "https" } else { "http" }
    }
}

/// Listens at `at`.
pub(super) fn listen(at: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(at), Type::STREAM, Some(Protocol::TCP))?;
    // Without it, a restart would wait for the connections of the previous run to time out.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.bind(&at.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::new(socket.into())
}

/// Accepts until it is dropped.
pub(super) async fn accept(state: Arc<RelayState>, listener: TcpListener, tls: Option<Tls>) {
    loop {
        let (tcp, peer) = next(&listener).await;
        match admit(&state, peer) {
            Ok(slot) => spawn(serve(Arc::clone(&state), tcp, peer, tls.clone(), slot)).detach(),
            Err(page) => {
                tracing::debug!(%peer, "turned away: {}", page.title);
                reject(tcp, &page, tls.is_some()).await;
            }
        }
    }
}

/// The next connection; an error of the listener is told and waited out.
pub(super) async fn next(listener: &TcpListener) -> (Tcp, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) if per_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections for a moment");
                Timer::after(ACCEPT_REST).await;
            }
        }
    }
}

/// What every visitor's connection is set to: no delay, and an end if its other side is lost.
pub(super) fn tune(tcp: &Tcp) -> io::Result<()> {
    let keepalive = TcpKeepalive::new().with_time(TCP_KEEPALIVE);
    tcp.set_nodelay(true).and_then(|()| SockRef::from(&*tcp.handle()).set_tcp_keepalive(&keepalive))
}

/// Errors that are one connection's own, gone before we looked at it.
fn per_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted)
}

/// A place for one more connection; the page says why there is none.
pub(super) fn admit(state: &Arc<RelayState>, peer: SocketAddr) -> Result<Arc<ConnectionSlot>, Page> {
    let counted = state.count().ok_or_else(pages::full)?;
    let ip = peer.ip().to_canonical();
    let settings = &state.settings;
    // Behind a proxy are many visitors, who come by one address.
    let is_many = settings.options.trusted_proxies.iter().any(|net| net.contains(&ip))
        || (ip.is_loopback() && !settings.limits.limit_loopback);
    let entered = if is_many {
        None
    } else {
        let entered = state.ip_limiter.enter(ip, state.clock.now());
        Some(entered.map_err(|turned| match turned {
            IpLimitError::TooMany => pages::too_many(),
            IpLimitError::TooFast => pages::too_fast(),
        })?)
    };
    Ok(Arc::new(ConnectionSlot { _counted: counted, _entered: entered, permits: Mutex::default() }))
}

/// Says `page` to a connection as far as that costs nothing.
async fn reject(mut tcp: Tcp, page: &Page, tls: bool) {
    if !tls {
        // A fresh socket takes a page at once.
        let _told = tcp.write(&page.response(Format::Html, "GET")).await;
        let _closed = tcp.handle().shutdown(Shutdown::Write);
    }
}

async fn serve(
    state: Arc<RelayState>,
    tcp: Tcp,
    peer: SocketAddr,
    tls: Option<Tls>,
    slot: Arc<ConnectionSlot>,
) {
    if tune(&tcp).is_err() {
        return;
    }
    let visitor = Arc::new(Visitor {
        peer,
        verdict: Arc::default(),
        slot,
        tls: tls.is_some(),
        given_away: AtomicBool::new(false),
        knows_no_chunks: AtomicBool::new(false),
        responses: ResponseTracker::new(state.clock),
        state,
    });
    // hyper keeps the connection to itself, and drops it when it has closed its own half.
    let rest = tcp.handle();
    let wire = match tls {
        None => Wire::Plain(tcp),
        Some(tls) => match within(TLS_TIMEOUT, tls::accept(&tls, tcp)).await {
            Some(Ok(stream)) => Wire::Boxed(Box::new(stream)),
            Some(Err(error)) => return tracing::debug!(%peer, %error, "no TLS"),
            None => return tracing::debug!(%peer, "no TLS in time"),
        },
    };
    client_conn::serve(&visitor, wire, rest).await;
}

/// Answers one request.
pub(super) async fn answer(visitor: &Arc<Visitor>, request: Request<Incoming>) -> Response<InFlight> {
    let pending = visitor.responses.begin();
    let (answer, mut permit) = route(visitor, request).await;
    if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
        let mut permits = visitor.slot.permits.lock().unwrap_or_else(PoisonError::into_inner);
        permits.extend(permit.take());
    } else {
        visitor.verdict.stays();
    }
    answer.map(|reply| InFlight::new(reply, permit, pending))
}

/// Sends one request where its host name leads.
async fn route(visitor: &Arc<Visitor>, request: Request<Incoming>) -> (Answer, Option<ConcurrencyPermit>) {
    let format = response_body::format(request.headers());
    if request.version() < Version::HTTP_11 {
        visitor.knows_no_chunks.store(true, Ordering::Release);
    }
    if let Some((request_error, format)) = request_error(visitor, &request) {
        return (response_body::page(&pages::refused(&request_error), format), None);
    }
    let (mut head, body) = request.into_parts();
    let Ok(host) = head_rewrite::settle_host(&mut head) else {
        return (response_body::page(&Page::bad_host(), format), None);
    };
    let host = match visitor.state.seams.router.route(&host) {
        Route::Here(name) if *name == host => host,
        Route::Here(name) => name.into_owned(),
        Route::Elsewhere(origin) => return (elsewhere(&origin, &head.uri), None),
    };
    let mut reached = visitor.state.sessions.find(&host);
    if matches!(reached, Err(NameError::Bare))
        && let Some(guest) = path_route::find(&visitor.state.sessions, &mut head.uri)
    {
        reached = Ok(guest);
    }
    let request = Request::from_parts(head, body);
    match reached {
        Ok(HostTarget::Agent(session, name)) => proxy(visitor, session, name, host, request).await,
        Ok(HostTarget::Absent(name)) => {
            (response_body::page(&Page::no_agent(&name.owner.to_string()), format), None)
        }
        // Boxed, so that what few ask costs the others no room.
        Err(name) => Box::pin(api::answer(visitor, &name, request)).await,
    }
}

/// Sends a visitor to another relay.
fn elsewhere(origin: &str, uri: &Uri) -> Answer {
    let mut answer = response_body::empty(StatusCode::TEMPORARY_REDIRECT);
    let path = uri.path_and_query().map_or("/", PathAndQuery::as_str);
    if let Ok(location) = HeaderValue::try_from(format!("{origin}{path}")) {
        answer.headers_mut().insert(LOCATION, location);
    }
    answer
}

/// Passes one request on to an agent, if there is room for it.
pub(super) async fn proxy(
    visitor: &Visitor,
    session: AgentSession,
    name: Name,
    host: String,
    request: Request<Incoming>,
) -> (Answer, Option<ConcurrencyPermit>) {
    let format = response_body::format(request.headers());
    match try_proxy(visitor, session, name, host, request).await {
        Ok((answer, permit)) => (answer, Some(permit)),
        Err(page) => (response_body::page(&page, format), None),
    }
}

/// The same; the page says what went wrong.
pub(super) async fn try_proxy(
    visitor: &Visitor,
    session: AgentSession,
    name: Name,
    host: String,
    request: Request<Incoming>,
) -> Result<(Answer, ConcurrencyPermit), Page> {
    let permit = visitor.state.load.enter(&name).ok_or_else(pages::overloaded)?;
    let limit = visitor.state.settings.limits.body_timeout;
    let (head, body) = request.into_parts();
    let body = RequestBody::new(body, &head.headers, limit);
    let request = Request::from_parts(head, body);
    Ok((forward(visitor, session, name, host, request).await?, permit))
}

/// Why a request leads nowhere, whatever its host.
fn request_error(visitor: &Visitor, request: &Request<Incoming>) -> Option<(RequestError, Format)> {
    let format = response_body::format(request.headers());
    let is_star = request.uri().path() == "*" && request.method() != Method::OPTIONS;
    if is_star && request.version() == Version::HTTP_11 {
        // The request guard lets no such request through, so it stands for one that was refused.
        return visitor.verdict.refused();
    }
    let request_error = match request.method() {
        &Method::CONNECT => RequestError::Proxy,
        _ if is_star => RequestError::Malformed("the target is no path and no URL".to_owned()),
        _ if request.headers().len() > MAX_FIELDS => RequestError::TooLarge,
        _ => return None,
    };
    Some((request_error, format))
}
