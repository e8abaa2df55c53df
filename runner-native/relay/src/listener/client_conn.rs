//! Serves one visitor's connection, HTTP/1.1 or HTTP/2, from its first byte to its end.
//!
//! The protocol is detected by the HTTP/2 preface (RFC 9113 section 3.4).

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::net::{Shutdown, TcpStream};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{Either, select};
use futures_util::io::AsyncRead;
use hvym_proxy::Closing;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use socket2::SockRef;

use super::http1_conn::{self, Http1End};
use super::routing;
use crate::http1::rewind::Rewind;
use crate::http1::write_timeout::WriteTimeout;
use crate::http2::frame_guard::FrameGuard;
use crate::settings::{
    DRAIN_LINGER, H2_CONNECTION_WINDOW, H2_FAULTS, H2_PENDING_RESETS, H2_PING, H2_SEND_BYTES,
    H2_STREAM_WINDOW, H2_STREAMS, MAX_HEAD_BYTES, PARTING_TIMEOUT,
};
use crate::visitor::Visitor;
use hvym_tunnel_net::copy::LocalConnection;
use hvym_tunnel_net::hyper::Io;
use hvym_tunnel_net::hyper_rt::{HyperExecutor, HyperTimer};
use hvym_tunnel_net::shutdown::TaskGuard;
use hvym_tunnel_net::socket::Wire;
use hvym_tunnel_net::tcp::Tcp;
use hvym_tunnel_net::thread_buffer;
use hvym_tunnel_net::timeout::within;
use hvym_tunnel_net::timer::Timer;

/// The HTTP/2 connection preface (RFC 9113 section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Reads of what is discarded at the end before other tasks get their turn.
const PARTING_READS: usize = 8;

/// Serves a connection to its end, and drops `pass` when its last response is sent. `rest` is the same socket, to close it
/// after hyper.
pub(crate) async fn serve(visitor: &Arc<Visitor>, mut wire: Wire, rest: Arc<TcpStream>, pass: TaskGuard) {
    let limits = &visitor.state.settings.options.limits;
    let too_late = async {
        visitor.state.lifecycle.draining.cancelled().await;
        Timer::after(DRAIN_LINGER).await;
    };
    let opened = match select(pin!(within(limits.head_timeout, first_bytes(&mut wire))), pin!(too_late)).await
    {
        Either::Left((opened, _)) => opened,
        Either::Right(_) => None,
    };
    let Some(Ok(ahead)) = opened else { return };
    let closing = if ahead.starts_with(PREFACE) {
        // Boxed, so that its large future does not add to every connection.
        let wire = WriteTimeout::new(Rewind::put_back(ahead, wire), limits.send_timeout);
        let wire = FrameGuard::new(wire);
        let flooded = wire.flooded();
        // What a flood goes on to send is not waited for.
        Box::pin(http2(visitor, wire)).await.filter(|_| !flooded.get()).map(|closing| (closing, None))
    } else {
        let served = pin!(http1_conn::serve(visitor, wire, ahead));
        match select(served, pin!(visitor.state.lifecycle.closing.cancelled())).await {
            Either::Left((Http1End::Closed(closing, tcp), _)) => Some((closing, tcp)),
            Either::Left((Http1End::Gone, _)) | Either::Right(_) => None,
        }
    };
    drop(pass);
    if let Some((closing, tcp)) = closing {
        let closed = pin!(close_gracefully(rest, tcp, closing));
        select(closed, pin!(visitor.state.lifecycle.closing.cancelled())).await;
    }
}

/// Reads as many bytes as identify the protocol.
async fn first_bytes(wire: &mut Wire) -> io::Result<Bytes> {
    let mut ahead = poll_fn(|cx| wire.poll_read_bytes(cx)).await?;
    while !ahead.is_empty() && ahead.len() < PREFACE.len() && PREFACE.starts_with(&ahead) {
        let more = poll_fn(|cx| wire.poll_read_bytes(cx)).await?;
        if more.is_empty() {
            break;
        }
        ahead = [ahead, more].concat().into();
    }
    Ok(ahead)
}

async fn http2(visitor: &Arc<Visitor>, wire: FrameGuard) -> Option<Closing> {
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
    let ended =
        shutdown_gracefully(visitor, connection, |connection| connection.graceful_shutdown(), enough).await?;
    if let Err(error) = ended {
        tracing::debug!(%error, "a visitor's connection ended");
    }
    Some(Closing::Orderly)
}

/// Drives a connection until it ends, or until `enough` completes: then `finish` starts the graceful shutdown, which
/// may take as long as `enough` returned, or until the relay closes; `None` if it was cut.
async fn shutdown_gracefully<C: Future<Output = hyper::Result<()>>>(
    visitor: &Visitor,
    mut connection: Pin<&mut C>,
    finish: impl FnOnce(Pin<&mut C>),
    enough: impl Future<Output = Option<Duration>>,
) -> Option<hyper::Result<()>> {
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

/// Closes a connection so that the visitor can tell a complete response from an incomplete one. `tcp` is the same socket, if
/// it is at hand as it is registered.
async fn close_gracefully(socket: Arc<TcpStream>, tcp: Option<Tcp>, closing: Closing) {
    if closing == Closing::Reset {
        let _reset = SockRef::from(&*socket).set_linger(Some(Duration::ZERO));
        return;
    }
    // hyper and TLS have shut it down already.
    if let Err(error) = socket.shutdown(Shutdown::Write)
        && error.kind() != io::ErrorKind::NotConnected
    {
        return;
    }
    // Closing with unread data would send a reset, which can overtake the response (RFC 9112 section 9.6).
    let Ok(mut tcp) = tcp.map_or_else(|| Tcp::from_shared(socket), Ok) else { return };
    let unread = poll_fn(|cx| {
        thread_buffer::with(|scratch| {
            for _ in 0..PARTING_READS {
                if ready!(Pin::new(&mut tcp).poll_read(cx, scratch)).unwrap_or(0) == 0 {
                    return Poll::Ready(());
                }
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
    });
    let _in_time = within(PARTING_TIMEOUT, unread).await;
}
