//! Sockets of visitors and agents: how the relay listens, accepts, and sets up what it accepted.

use std::io;
use std::net::SocketAddr;

use hvym_tunnel_net::tcp::{Tcp, TcpListener};
use hvym_tunnel_net::timer::Timer;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

use crate::settings::{ACCEPT_REST, BACKLOG, TCP_KEEPALIVE};

/// Listens at `at`.
///
/// # Errors
/// The system's: the address is taken, not of this machine, or below 1024 without the right.
pub(crate) fn listen(at: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(at), Type::STREAM, Some(Protocol::TCP))?;
    // Without it, a restart would wait for the connections of the previous run to time out.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.bind(&at.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::new(socket.into())
}

/// Waits for the next connection. Errors of the listener are logged, and followed by a pause.
pub(crate) async fn accept(listener: &TcpListener) -> (Tcp, SocketAddr) {
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

/// Errors of one connection that ended before it was accepted.
fn per_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted)
}

/// Sets the options of an accepted connection: `TCP_NODELAY`, and keepalive probes that end it when its peer is lost.
///
/// # Errors
/// The connection is gone already.
pub(crate) fn configure(tcp: &Tcp) -> io::Result<()> {
    let keepalive = TcpKeepalive::new().with_time(TCP_KEEPALIVE);
    tcp.set_nodelay(true).and_then(|()| SockRef::from(&*tcp.handle()).set_tcp_keepalive(&keepalive))
}
