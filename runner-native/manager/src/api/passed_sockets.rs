//! Sockets at which the API listens, and which somebody else has opened for it.
//!
//! Knows no request.

use std::io;

use hvym_tunnel_net::listener::TcpListener;
#[cfg(unix)]
use hvym_tunnel_net::unix_listener::UnixListener;

/// Sockets that listen already: the TCP sockets in place of all addresses of the settings, the Unix socket in place of theirs.
/// Copies of them are used, so that the API can listen there again after other settings.
#[derive(Debug, Default)]
pub struct PassedSockets {
    /// At addresses of this machine.
    pub tcp: Vec<std::net::TcpListener>,
    /// One that no other user can open.
    #[cfg(unix)]
    pub unix: Option<std::os::unix::net::UnixListener>,
}

impl PassedSockets {
    /// Whether the Unix socket is among them.
    #[cfg(unix)]
    pub const fn has_unix(&self) -> bool {
        self.unix.is_some()
    }

    /// There is none here.
    #[cfg(not(unix))]
    pub const fn has_unix(&self) -> bool {
        false
    }

    /// The TCP sockets; `None` without any.
    pub(super) fn tcp(&self) -> Option<io::Result<Vec<TcpListener>>> {
        let copy =
            |listener: &std::net::TcpListener| TcpListener::from_listening(listener.try_clone()?, None);
        (!self.tcp.is_empty()).then(|| self.tcp.iter().map(copy).collect())
    }

    /// The Unix socket.
    #[cfg(unix)]
    pub(super) fn unix(&self) -> Option<io::Result<UnixListener>> {
        self.unix.as_ref().map(|listener| UnixListener::from_listening(listener.try_clone()?))
    }
}
