//! Serves one visitor's connection, HTTP/1.1 or HTTP/2, from its first byte to its end.
//!
//! The protocol is detected by the HTTP/2 preface (RFC 9113 section 3.4).

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

/// The HTTP/2 connection preface (RFC 9113 section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Serves a connection to its end. `rest` is the same socket, to close it after hyper.
pub(crate) async fn serve(visitor: &Arc<Visitor>, mut wire: Wire, rest: Arc<TcpStream>) {
    let Some(pass) = visitor.state.lifecycle.connections.enter() else { return };
    let limits = &visitor.state.settings.options.limits;
    // No request is in progress yet, so a relay that drains closes the connection.
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
        select(
            pin!(close_gracefully(visitor, rest, ended)),
            pin!(visitor.state.lifecycle.closing.cancelled()),
        )
        .await;
    }
}

/// Reads as many bytes as identify the protocol.
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

/// The result of a connection; `None` if it was cut.
type Ended = Option<hyper::Result<()>>;

async fn http1(visitor: &Arc<Visitor>, wire: WriteTimeout, ahead: &[u8]) -> Ended {
    let limits = &visitor.state.settings.options.limits;
    let asked = Arc::clone(visitor);
    let service = service_fn(move |request| {
        let visitor = Arc::clone(&asked);
        async move { Ok::<_, Infallible>(routing::answer(&visitor, request).await) }
    });
    let guard = RequestGuard::new(wire, ahead, Arc::clone(&visitor.verdict), limits.head_timeout);
    let connection = pin!(
        http1::Builder::new()
            .preserve_header_case(true)
            .max_headers(MAX_FIELDS)
            .max_header_size(MAX_HEAD_BYTES)
            .timer(HyperTimer)
            // The keep-alive timeout. The request guard limits the time of a head.
            .header_read_timeout(limits.idle_timeout)
            .serve_connection(Io(guard), service)
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

/// Drives a connection until it ends, or until `enough` completes: then `finish` starts the graceful shutdown, which
/// may take as long as `enough` returned, or until the relay closes.
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

/// Closes a connection so that the visitor can tell a complete response from an incomplete one.
async fn close_gracefully(visitor: &Visitor, tcp: Arc<TcpStream>, ended: hyper::Result<()>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "a visitor's connection ended");
        if error.is_user() && visitor.is_http10() {
            // The response is incomplete, and without chunks an orderly end would look complete.
            let _reset = SockRef::from(&*tcp).set_linger(Some(Duration::ZERO));
            return;
        }
    }
    // hyper has shut it down already, except after a declined upgrade.
    if let Err(error) = tcp.shutdown(Shutdown::Write)
        && error.kind() != io::ErrorKind::NotConnected
    {
        return;
    }
    // Closing with unread data would send a reset, which can overtake the response (RFC 9112 section 9.6).
    let Ok(mut tcp) = Tcp::from_shared(tcp) else { return };
    let unread = async {
        let mut sink = [0; 4096];
        while matches!(tcp.read(&mut sink).await, Ok(1..)) {}
    };
    let _in_time = within(PARTING_TIMEOUT, unread).await;
}
