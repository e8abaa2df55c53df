//! The public listener: accepts connections within the limits, and terminates TLS.

mod client_conn;
mod held;
mod http1_conn;
mod https_redirect;
mod path_route;
mod proxy_prefix;
mod request_log;
mod routing;

use std::net::{Shutdown, SocketAddr, TcpStream};
use std::pin::pin;
use std::sync::Arc;

use futures_util::future::{Either, select};
use futures_util::io::AsyncWriteExt;
use hvym_proxy::limits::LimitError;
use hvym_tunnel_pages::{Format, Page};

use crate::limits::visitor_counts::ConnectionSlot;
use crate::pages;
use crate::relay_state::RelayState;
use crate::settings::{HANDSHAKE_LINGER, TLS_TIMEOUT};
use crate::tls::{self, ListenerKind};
use crate::visitor::Visitor;
use hvym_tunnel_net::listener::TcpListener;
use hvym_tunnel_net::runtime::spawn;
use hvym_tunnel_net::shutdown::TaskGuard;
use hvym_tunnel_net::socket::Wire;
use hvym_tunnel_net::tcp::Tcp;
use hvym_tunnel_net::timeout::within;
use hvym_tunnel_net::timer::Timer;

/// Accepts connections until it is dropped, or until the relay ends: then those that have begun, and no more.
pub(crate) async fn accept(state: Arc<RelayState>, listener: Arc<TcpListener>, kind: ListenerKind) {
    accept_until(&state, &listener, &kind, state.lifecycle.parting.cancelled()).await;
    // What the next process has of this one is the same socket.
    let is_own = !state.handover.has_successor();
    if state.settings.options.restart.reuse_port && is_own && listener.pause().is_ok() {
        // Those that are half open would be reset, and belong to nobody else.
        accept_until(&state, &listener, &kind, Timer::after(HANDSHAKE_LINGER)).await;
    }
    while let Some((tcp, peer)) = listener.accept_now() {
        take(&state, tcp, peer, &kind).await;
    }
}

async fn accept_until(
    state: &Arc<RelayState>,
    listener: &TcpListener,
    kind: &ListenerKind,
    end: impl Future<Output = ()>,
) {
    let mut end = pin!(end);
    while let Either::Right(((tcp, peer), _)) = select(end.as_mut(), pin!(listener.accept())).await {
        take(state, tcp, peer, kind).await;
    }
}

/// Serves a connection in a task of its own, within the limits.
pub(crate) async fn take(state: &Arc<RelayState>, tcp: Tcp, peer: SocketAddr, kind: &ListenerKind) {
    let Some(pass) = state.lifecycle.connections.enter() else { return };
    if state.network_bans.contains(peer.ip(), || state.clock.wall().unix) {
        tracing::debug!(%peer, "a connection from a banned network");
        return reject(tcp, &pages::banned(), matches!(kind, ListenerKind::Tls(_))).await;
    }
    match admit(state, &tcp, peer) {
        // Boxed, for the executor moves a future several times before it runs, and this one is large.
        Ok(admitted) => {
            spawn(Box::pin(serve(Arc::clone(state), tcp, peer, kind.clone(), admitted, pass))).detach();
        }
        Err(error) => {
            tracing::debug!(%peer, %error, "refused a connection");
            reject(tcp, &pages::over_limit(error), matches!(kind, ListenerKind::Tls(_))).await;
        }
    }
}

/// What a connection has of the limits, and its handle if it is in the reserve.
type Admitted = (Arc<ConnectionSlot>, Option<Arc<TcpStream>>);

/// Takes a connection in within the limits. Where all have what they may have, it comes into the reserve.
fn admit(state: &RelayState, tcp: &Tcp, peer: SocketAddr) -> Result<Admitted, LimitError> {
    match state.limits.connect(peer) {
        Err(LimitError::Connections) => {
            let slot = state.limits.connect_beyond(peer)?;
            let handle = tcp.handle();
            state.reserve.enter(&handle);
            Ok((slot, Some(handle)))
        }
        slot => slot.map(|slot| (slot, None)),
    }
}

/// Sends `page`, if that needs no TLS handshake.
async fn reject(mut tcp: Tcp, page: &Page, is_tls: bool) {
    if !is_tls {
        // The send buffer of a fresh socket takes a page at once.
        let _told = tcp.write(&page.response(Format::Html, "GET")).await;
        let _closed = tcp.handle().shutdown(Shutdown::Write);
    }
}

async fn serve(
    state: Arc<RelayState>,
    tcp: Tcp,
    peer: SocketAddr,
    kind: ListenerKind,
    (slot, reserved): Admitted,
    pass: TaskGuard,
) {
    let visitor = Arc::new(Visitor::new(state, peer, slot, reserved, &kind));
    // hyper keeps the connection to itself, and drops it when it has closed its own half.
    let rest = tcp.handle();
    let wire = match kind {
        ListenerKind::Plain | ListenerKind::HttpsRedirect => Wire::Plain(tcp),
        // Boxed, so that its large future does not add to every connection.
        ListenerKind::Tls(tls) => match Box::pin(within(TLS_TIMEOUT, tls::accept(&tls, tcp))).await {
            Some(Ok(stream)) => Wire::Boxed(Box::new(stream)),
            Some(Err(error)) => return tracing::debug!(%peer, %error, "no TLS"),
            None => return tracing::debug!(%peer, "no TLS in time"),
        },
    };
    client_conn::serve(&visitor, wire, rest, pass).await;
}
