//! One visitor's connection, once it is open: HTTP/1.1 or HTTP/2, from its first byte to its end.
//!
//! Which of the two it is, the first bytes say: those of HTTP/2 are no request of HTTP/1.1 (RFC 9113 section 3.4).

use std::convert::Infallible;
use std::io;
use std::net::{Shutdown, TcpStream};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::future::{Either, select};
use futures_util::io::AsyncReadExt;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use socket2::SockRef;

use super::routing;
use crate::http1::request_guard::RequestGuard;
use crate::http1::rewind::Rewind;
use crate::http1::write_timeout::WriteTimeout;
use crate::settings::{
    H2_CONNECTION_WINDOW, H2_FAULTS, H2_PENDING_RESETS, H2_PING, H2_SEND_BYTES, H2_STREAM_WINDOW, H2_STREAMS,
    MAX_FIELDS, MAX_HEAD_BYTES, PARTING_TIMEOUT,
};
use crate::visitor::Visitor;
use hvym_tunnel_net::hyper::Io;
use hvym_tunnel_net::hyper_rt::{HyperExecutor, HyperTimer};
use hvym_tunnel_net::socket::Wire;
use hvym_tunnel_net::tcp::Tcp;
use hvym_tunnel_net::timeout::within;

/// What every HTTP/2 connection begins with.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Holds a conversation to its end. `rest` is the same connection, for what is to be done after it.
pub(crate) async fn serve(visitor: &Arc<Visitor>, mut wire: Wire, rest: Arc<TcpStream>) {
    let Some(pass) = visitor.state.lifecycle.connections.enter() else { return };
    let limits = &visitor.state.settings.options.limits;
    // Nothing was asked yet, so nothing is owed when the relay ends.
    let opened = match select(
        pin!(within(limits.head_timeout, first_bytes(&mut wire))),
        pin!(visitor.state.lifecycle.draining.cancelled()),
    )
    .await
    {
        Either::Left((opened, _)) => opened,
        Either::Right(_) => None,
    };
    let Some(Ok(ahead)) = opened else { return };
    let ended = if ahead.starts_with(PREFACE) {
        http2(visitor, WriteTimeout::new(Rewind::put_back(ahead, wire), limits.send_timeout)).await
    } else {
        http1(visitor, WriteTimeout::new(wire, limits.send_timeout), &ahead).await
    };
    drop(pass);
    if let Some(ended) = ended
        && !visitor.is_upgraded()
    {
        select(pin!(part(visitor, rest, ended)), pin!(visitor.state.lifecycle.closing.cancelled())).await;
    }
}

/// As many bytes as tell which protocol they are.
async fn first_bytes(wire: &mut Wire) -> io::Result<Bytes> {
    let mut ahead = BytesMut::new();
    let mut room = [0; 4096];
    while ahead.is_empty() || (ahead.len() < PREFACE.len() && PREFACE.starts_with(&ahead)) {
        match wire.read(&mut room).await? {
            0 => break,
            n => ahead.extend_from_slice(&room[..n]),
        }
    }
    Ok(ahead.freeze())
}

/// How a conversation ended; `None` if it was cut.
type Ended = Option<hyper::Result<()>>;

async fn http1(visitor: &Arc<Visitor>, wire: WriteTimeout, ahead: &[u8]) -> Ended {
    let limits = &visitor.state.settings.options.limits;
    let asked = Arc::clone(visitor);
    let service = service_fn(move |request| {
        let visitor = Arc::clone(&asked);
        async move { Ok::<_, Infallible>(routing::answer(&visitor, request).await) }
    });
    let threshold = RequestGuard::new(wire, ahead, Arc::clone(&visitor.verdict), limits.head_timeout);
    let connection = pin!(
        http1::Builder::new()
            .preserve_header_case(true)
            .max_headers(MAX_FIELDS)
            .max_header_size(MAX_HEAD_BYTES)
            .timer(HyperTimer)
            // Counts from the end of the last answer; how long a head takes is for the request guard to say.
            .header_read_timeout(limits.idle_timeout)
            .serve_connection(Io(threshold), service)
            .with_upgrades()
    );
    let enough = async {
        visitor.state.lifecycle.draining.cancelled().await;
        None
    };
    shutdown_gracefully(visitor, connection, |connection| connection.graceful_shutdown(), enough).await
}

async fn http2(visitor: &Arc<Visitor>, wire: WriteTimeout) -> Ended {
    let asked = Arc::clone(visitor);
    let service = service_fn(move |request| {
        let visitor = Arc::clone(&asked);
        async move { Ok::<_, Infallible>(routing::answer(&visitor, request).await) }
    });
    let (ping_interval, ping_timeout) = H2_PING;
    let connection = pin!(
        http2::Builder::new(HyperExecutor)
            .timer(HyperTimer)
            .max_concurrent_streams(H2_STREAMS)
            .max_header_list_size(u32::try_from(MAX_HEAD_BYTES).unwrap_or(u32::MAX))
            .max_pending_accept_reset_streams(H2_PENDING_RESETS)
            .max_local_error_reset_streams(H2_FAULTS)
            .initial_stream_window_size(H2_STREAM_WINDOW)
            .initial_connection_window_size(H2_CONNECTION_WINDOW)
            .max_send_buf_size(H2_SEND_BYTES)
            .keep_alive_interval(ping_interval)
            .keep_alive_timeout(ping_timeout)
            .serve_connection(Io(wire), service)
    );
    let limits = &visitor.state.settings.options.limits;
    let enough = async {
        let idle = visitor.responses.idle(limits.idle_timeout, limits.send_timeout);
        match select(pin!(visitor.state.lifecycle.draining.cancelled()), pin!(idle)).await {
            Either::Left(_) => None,
            Either::Right(_) => Some(PARTING_TIMEOUT),
        }
    };
    shutdown_gracefully(visitor, connection, |connection| connection.graceful_shutdown(), enough).await
}

/// Drives a connection until it ends, or until there was `enough` of it: then `finish` lets what is under way be
/// finished, for as long as `enough` says or the relay lives.
async fn shutdown_gracefully<C: Future<Output = hyper::Result<()>>>(
    visitor: &Visitor,
    mut connection: Pin<&mut C>,
    finish: impl FnOnce(Pin<&mut C>),
    enough: impl Future<Output = Option<Duration>>,
) -> Ended {
    let limit_after = match select(connection.as_mut(), pin!(enough)).await {
        Either::Left((ended, _)) => return Some(ended),
        Either::Right((limit_after, _)) => limit_after,
    };
    finish(connection.as_mut());
    let cut = async {
        let closing = visitor.state.lifecycle.closing.cancelled();
        match limit_after {
            Some(limit_after) => drop(within(limit_after, closing).await),
            None => closing.await,
        }
    };
    match select(connection, pin!(cut)).await {
        Either::Left((ended, _)) => Some(ended),
        Either::Right(_) => None,
    }
}

/// Ends a connection so that the visitor sees what happened: a whole answer, or that it is not whole.
async fn part(visitor: &Visitor, tcp: Arc<TcpStream>, ended: hyper::Result<()>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "a visitor's connection ended");
        if error.is_user() && visitor.is_http10() {
            // The answer broke off, and a plain end would look like the whole.
            let _reset = SockRef::from(&*tcp).set_linger(Some(Duration::ZERO));
            return;
        }
    }
    // hyper has done it already, except where an upgrade was asked for and declined.
    if let Err(error) = tcp.shutdown(Shutdown::Write)
        && error.kind() != io::ErrorKind::NotConnected
    {
        return;
    }
    // Closing while the visitor still sends would be a reset, which can overtake our answer (RFC 9112 section 9.6).
    let Ok(mut tcp) = Tcp::from_shared(tcp) else { return };
    let unread = async {
        let mut sink = [0; 4096];
        while matches!(tcp.read(&mut sink).await, Ok(1..)) {}
    };
    let _in_time = within(PARTING_TIMEOUT, unread).await;
}
