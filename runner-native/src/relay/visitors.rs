//! The public listener: one task per connection, and each request to where its host name leads.

use std::convert::Infallible;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_rustls::TlsAcceptor;
use futures_util::future::{Either, select};
use futures_util::io::{AsyncReadExt, AsyncWriteExt};
use http::{Method, Request, Version};
use hvym_tunnel_core::http1::Page;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use smol::net::{TcpListener, TcpStream};
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

use super::reply::{self, Answer};
use super::roster::Reached;
use super::settings::{
    ACCEPT_REST, BACKLOG, HEAD_TIMEOUT, MAX_FIELDS, MAX_HEAD_BYTES, PARTING_TIMEOUT, TCP_KEEPALIVE,
    TLS_TIMEOUT,
};
use super::switchboard::{Counted, Switchboard};
use super::timer::Clockwork;
use super::{heads, ingress, pages, surface, tls};
use crate::io::clock::within;
use crate::io::executor::spawn;
use crate::io::hyper::Io;
use crate::io::socket::Wire;

/// Said to a connection for which there is no room, as soon as it is accepted.
const FULL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nretry-after: 5\r\nconnection: close\r\n\r\n";

/// Whose connection a request came by.
pub(super) struct Visitor {
    pub(super) board: Arc<Switchboard>,
    pub(super) peer: SocketAddr,
    tls: bool,
    /// Whether the connection is no longer HTTP, and somebody else's.
    given_away: AtomicBool,
    /// Whether the visitor speaks HTTP/1.0, in which an answer may end where the connection does.
    knows_no_chunks: AtomicBool,
}

impl Visitor {
    /// The connection is about to be upgraded.
    pub(super) fn give_away(&self) {
        self.given_away.store(true, Ordering::Release);
    }

    /// What the visitor used: `https` too when it is a proxy in front of us that speaks TLS.
    pub(super) fn scheme(&self) -> &'static str {
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
    TcpListener::try_from(std::net::TcpListener::from(socket))
}

/// Accepts until it is dropped.
pub(super) async fn accept(board: Arc<Switchboard>, listener: TcpListener, tls: Option<TlsAcceptor>) {
    loop {
        let (mut tcp, peer) = next(&listener).await;
        let Some(counted) = board.count() else {
            tracing::debug!(%peer, "turned away: too many connections");
            if tls.is_none() {
                // A fresh socket takes these few bytes at once.
                let _told = tcp.write(FULL).await;
            }
            continue;
        };
        spawn(serve(Arc::clone(&board), tcp, peer, tls.clone(), counted)).detach();
    }
}

/// The next connection; an error of the listener is told and waited out.
pub(super) async fn next(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) if per_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections for a moment");
                smol::Timer::after(ACCEPT_REST).await;
            }
        }
    }
}

/// What every visitor's connection is set to: no delay, and an end if its other side is lost.
pub(super) fn tune(tcp: &TcpStream) -> io::Result<()> {
    let keepalive = TcpKeepalive::new().with_time(TCP_KEEPALIVE);
    tcp.set_nodelay(true).and_then(|()| SockRef::from(tcp).set_tcp_keepalive(&keepalive))
}

/// Errors that are one connection's own, gone before we looked at it.
fn per_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted)
}

async fn serve(
    board: Arc<Switchboard>,
    tcp: TcpStream,
    peer: SocketAddr,
    tls: Option<TlsAcceptor>,
    _counted: Counted,
) {
    if tune(&tcp).is_err() {
        return;
    }
    let visitor = Arc::new(Visitor {
        board: Arc::clone(&board),
        peer,
        tls: tls.is_some(),
        given_away: AtomicBool::new(false),
        knows_no_chunks: AtomicBool::new(false),
    });
    // hyper keeps the connection to itself, and drops it when it has closed its own half.
    let rest = tcp.clone();
    let wire = match tls {
        None => Wire::Plain(tcp),
        Some(acceptor) => match within(TLS_TIMEOUT, tls::accept(&acceptor, tcp)).await {
            Some(Ok(stream)) => Wire::Boxed(Box::new(stream)),
            Some(Err(error)) => return tracing::debug!(%peer, %error, "no TLS"),
            None => return tracing::debug!(%peer, "no TLS in time"),
        },
    };
    let asked = Arc::clone(&visitor);
    let service = service_fn(move |request| {
        let visitor = Arc::clone(&asked);
        async move { Ok::<Answer, Infallible>(answer(&visitor, request).await) }
    });
    let mut connection = pin!(
        http1::Builder::new()
            .preserve_header_case(true)
            .max_headers(MAX_FIELDS)
            .max_header_size(MAX_HEAD_BYTES)
            .timer(Clockwork)
            .header_read_timeout(HEAD_TIMEOUT)
            .serve_connection(Io(wire), service)
            .with_upgrades()
    );
    let ended = match select(connection.as_mut(), pin!(board.draining.wait())).await {
        Either::Left((ended, _)) => ended,
        Either::Right(_) => {
            connection.as_mut().graceful_shutdown();
            match select(connection.as_mut(), pin!(board.closing.wait())).await {
                Either::Left((ended, _)) => ended,
                Either::Right(_) => return,
            }
        }
    };
    if !visitor.given_away.load(Ordering::Acquire) {
        select(pin!(part(&visitor, rest, ended)), pin!(board.closing.wait())).await;
    }
}

/// Ends a connection so that the visitor sees what happened: a whole answer, or that it is not whole.
async fn part(visitor: &Visitor, mut tcp: TcpStream, ended: hyper::Result<()>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "a visitor's connection ended");
        if error.is_user() && visitor.knows_no_chunks.load(Ordering::Acquire) {
            // The answer broke off, and a plain end would look like the whole.
            let _reset = SockRef::from(&tcp).set_linger(Some(Duration::ZERO));
            return;
        }
        if tcp.shutdown(Shutdown::Write).is_err() {
            return;
        }
    }
    // Closing while the visitor still sends would be a reset, which can overtake our answer (RFC 9112 section 9.6).
    let unread = async {
        let mut sink = [0; 4096];
        while matches!(tcp.read(&mut sink).await, Ok(1..)) {}
    };
    let _in_time = within(PARTING_TIMEOUT, unread).await;
}

/// Sends one request where its host name leads.
async fn answer(visitor: &Visitor, request: Request<Incoming>) -> Answer {
    let format = reply::format(request.headers());
    if request.version() < Version::HTTP_11 {
        visitor.knows_no_chunks.store(true, Ordering::Release);
    }
    if request.method() == Method::CONNECT {
        return reply::page(&pages::no_proxy(), format);
    }
    let (mut head, body) = request.into_parts();
    let Ok(host) = heads::settle_host(&mut head) else {
        return reply::page(&Page::bad_host(), format);
    };
    let request = Request::from_parts(head, body);
    match visitor.board.roster.find(&host) {
        Ok(Reached::Agent(session, name)) => ingress::forward(visitor, session, name, host, request).await,
        Ok(Reached::Absent(name)) => reply::page(&Page::no_agent(&name.address.to_string()), format),
        Err(name) => surface::answer(visitor, &name, request),
    }
}
