//! The public listener: who may come in, and where each request leads by its host name.

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

use super::answering::{Answering, Answers};
use super::framing::Fault;
use super::live::Live;
use super::load::Ticket;
use super::origin::Origin;
use super::question::Question;
use super::reply::{self, Answer};
use super::roster::Reached;
use super::router::Route;
use super::settings::{ACCEPT_REST, BACKLOG, MAX_FIELDS, TCP_KEEPALIVE, TLS_TIMEOUT};
use super::switchboard::{Counted, Switchboard};
use super::threshold::Verdicts;
use super::tls::Tls;
use super::turnstile::{Entered, Turned};
use super::{by_path, conversation, heads, ingress, pages, surface, tls};
use hvym_tunnel_net::clock::within;
use hvym_tunnel_net::runtime::spawn;
use hvym_tunnel_net::socket::Wire;
use hvym_tunnel_net::tcp::{Tcp, TcpListener};
use hvym_tunnel_net::timer::Timer;

/// What a connection holds for as long as it lives, upgraded or not.
pub(super) struct Place {
    _counted: Counted,
    _entered: Option<Entered>,
    /// Of the requests that upgraded it.
    tickets: Mutex<Vec<Ticket>>,
}

/// Whose connection a request came by.
pub(super) struct Visitor {
    pub(super) board: Arc<Switchboard>,
    pub(super) peer: SocketAddr,
    pub(super) verdicts: Arc<Verdicts>,
    place: Arc<Place>,
    tls: bool,
    /// Whether the connection is no longer HTTP, and somebody else's.
    given_away: AtomicBool,
    /// Whether the visitor speaks HTTP/1.0, in which an answer may end where the connection does.
    knows_no_chunks: AtomicBool,
    /// What it asked, and was not yet answered to the last byte.
    pub(super) answers: Arc<Answers>,
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
    pub(super) fn place(&self) -> Arc<Place> {
        Arc::clone(&self.place)
    }

    /// Who is behind a request with these fields.
    pub(super) fn origin(&self, fields: &HeaderMap) -> Origin {
        let options = &self.board.settings.options;
        Origin::new(self.peer.ip(), self.scheme(), fields, &options.trusted_proxies)
    }

    /// What the visitor used: `https` too when it is a proxy in front of us that speaks TLS.
    fn scheme(&self) -> &'static str {
        let public = self.board.settings.options.public_scheme.usual_port();
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
pub(super) async fn accept(board: Arc<Switchboard>, listener: TcpListener, tls: Option<Tls>) {
    loop {
        let (tcp, peer) = next(&listener).await;
        match admit(&board, peer) {
            Ok(place) => spawn(serve(Arc::clone(&board), tcp, peer, tls.clone(), place)).detach(),
            Err(page) => {
                tracing::debug!(%peer, "turned away: {}", page.title);
                turn_away(tcp, &page, tls.is_some()).await;
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
pub(super) fn admit(board: &Arc<Switchboard>, peer: SocketAddr) -> Result<Arc<Place>, Page> {
    let counted = board.count().ok_or_else(pages::full)?;
    let ip = peer.ip().to_canonical();
    let settings = &board.settings;
    // Behind a proxy are many visitors, who come by one address.
    let is_many = settings.options.trusted_proxies.iter().any(|net| net.contains(&ip))
        || (ip.is_loopback() && !settings.limits.limit_loopback);
    let entered = if is_many {
        None
    } else {
        let entered = board.turnstile.enter(ip, board.clock.now());
        Some(entered.map_err(|turned| match turned {
            Turned::TooMany => pages::too_many(),
            Turned::TooFast => pages::too_fast(),
        })?)
    };
    Ok(Arc::new(Place { _counted: counted, _entered: entered, tickets: Mutex::default() }))
}

/// Says `page` to a connection as far as that costs nothing.
async fn turn_away(mut tcp: Tcp, page: &Page, tls: bool) {
    if !tls {
        // A fresh socket takes a page at once.
        let _told = tcp.write(&page.response(Format::Html, "GET")).await;
        let _closed = tcp.handle().shutdown(Shutdown::Write);
    }
}

async fn serve(board: Arc<Switchboard>, tcp: Tcp, peer: SocketAddr, tls: Option<Tls>, place: Arc<Place>) {
    if tune(&tcp).is_err() {
        return;
    }
    let visitor = Arc::new(Visitor {
        peer,
        verdicts: Arc::default(),
        place,
        tls: tls.is_some(),
        given_away: AtomicBool::new(false),
        knows_no_chunks: AtomicBool::new(false),
        answers: Answers::new(board.clock),
        board,
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
    conversation::hold(&visitor, wire, rest).await;
}

/// Answers one request.
pub(super) async fn answer(visitor: &Arc<Visitor>, request: Request<Incoming>) -> Response<Answering> {
    let under_way = visitor.answers.begin();
    let (answer, mut ticket) = lead(visitor, request).await;
    if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
        let mut tickets = visitor.place.tickets.lock().unwrap_or_else(PoisonError::into_inner);
        tickets.extend(ticket.take());
    } else {
        visitor.verdicts.stays();
    }
    answer.map(|reply| Answering::new(reply, ticket, under_way))
}

/// Sends one request where its host name leads.
async fn lead(visitor: &Arc<Visitor>, request: Request<Incoming>) -> (Answer, Option<Ticket>) {
    let format = reply::format(request.headers());
    if request.version() < Version::HTTP_11 {
        visitor.knows_no_chunks.store(true, Ordering::Release);
    }
    if let Some((fault, format)) = fault(visitor, &request) {
        return (reply::page(&pages::refused(&fault), format), None);
    }
    let (mut head, body) = request.into_parts();
    let Ok(host) = heads::settle_host(&mut head) else {
        return (reply::page(&Page::bad_host(), format), None);
    };
    let host = match visitor.board.seams.router.route(&host) {
        Route::Here(name) if *name == host => host,
        Route::Here(name) => name.into_owned(),
        Route::Elsewhere(origin) => return (elsewhere(&origin, &head.uri), None),
    };
    let mut reached = visitor.board.roster.find(&host);
    if matches!(reached, Err(NameError::Bare))
        && let Some(guest) = by_path::find(&visitor.board.roster, &mut head.uri)
    {
        reached = Ok(guest);
    }
    let request = Request::from_parts(head, body);
    match reached {
        Ok(Reached::Agent(session, name)) => pass(visitor, session, name, host, request).await,
        Ok(Reached::Absent(name)) => (reply::page(&Page::no_agent(&name.owner.to_string()), format), None),
        // Boxed, so that what few ask costs the others no room.
        Err(name) => Box::pin(surface::answer(visitor, &name, request)).await,
    }
}

/// Sends a visitor to another relay.
fn elsewhere(origin: &str, uri: &Uri) -> Answer {
    let mut answer = reply::empty(StatusCode::TEMPORARY_REDIRECT);
    let path = uri.path_and_query().map_or("/", PathAndQuery::as_str);
    if let Ok(location) = HeaderValue::try_from(format!("{origin}{path}")) {
        answer.headers_mut().insert(LOCATION, location);
    }
    answer
}

/// Passes one request on to an agent, if there is room for it.
pub(super) async fn pass(
    visitor: &Visitor,
    session: Live,
    name: Name,
    host: String,
    request: Request<Incoming>,
) -> (Answer, Option<Ticket>) {
    let format = reply::format(request.headers());
    match try_pass(visitor, session, name, host, request).await {
        Ok((answer, ticket)) => (answer, Some(ticket)),
        Err(page) => (reply::page(&page, format), None),
    }
}

/// The same; the page says what went wrong.
pub(super) async fn try_pass(
    visitor: &Visitor,
    session: Live,
    name: Name,
    host: String,
    request: Request<Incoming>,
) -> Result<(Answer, Ticket), Page> {
    let ticket = visitor.board.load.enter(&name).ok_or_else(pages::overloaded)?;
    let limit = visitor.board.settings.limits.body_timeout;
    let (head, body) = request.into_parts();
    let body = Question::new(body, &head.headers, limit);
    let request = Request::from_parts(head, body);
    Ok((ingress::ask(visitor, session, name, host, request).await?, ticket))
}

/// Why a request leads nowhere, whatever its host.
fn fault(visitor: &Visitor, request: &Request<Incoming>) -> Option<(Fault, Format)> {
    let format = reply::format(request.headers());
    let is_star = request.uri().path() == "*" && request.method() != Method::OPTIONS;
    if is_star && request.version() == Version::HTTP_11 {
        // The threshold lets no such request through, so it stands for one that was refused.
        return visitor.verdicts.refused();
    }
    let fault = match request.method() {
        &Method::CONNECT => Fault::Proxy,
        _ if is_star => Fault::Malformed("the target is no path and no URL".to_owned()),
        _ if request.headers().len() > MAX_FIELDS => Fault::TooLarge,
        _ => return None,
    };
    Some((fault, format))
}
