//! The HTTP server of the inspector: on a loopback address, for pages and programs of this machine.

mod access;
mod api;
mod change_events;
mod peer_user;
mod respond;
mod session;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::select;
use hvym_tunnel_agent::AgentView;
use hvym_tunnel_net::hyper::Io;
use hvym_tunnel_net::hyper_rt::HyperTimer;
use hvym_tunnel_net::listener::TcpListener;
use hvym_tunnel_net::runtime::{Task, spawn};
use hvym_tunnel_net::tcp::Tcp;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use smol::channel::{Receiver, Sender, bounded};

use self::session::Session;
use crate::capture::Capture;

/// Where other tunnels have theirs, and programs look for it.
pub const DEFAULT_PORT: u16 = 4300;
/// How many ports are tried, one after another, while they are taken: more than a person runs tunnels.
pub const PORTS_TRIED: u16 = 100;
/// How long a request head may take; all clients are on this machine.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// A running inspector. Dropped, it ends with its connections.
#[derive(Debug)]
pub struct Inspector {
    at: SocketAddr,
    _closing: Sender<()>,
    _serving: Task<()>,
}

impl Inspector {
    /// Listens at `at`, or at the next port that is free, and shows what `capture` keeps of `agents`, which are asked for each time.
    ///
    /// # Errors
    /// The address is none of this machine alone, or cannot be listened at.
    pub fn start(
        at: SocketAddr,
        capture: Arc<Capture>,
        agents: impl Fn() -> Vec<AgentView> + Send + Sync + 'static,
    ) -> io::Result<Self> {
        check(at)?;
        Self::serve(listen(at)?, capture, agents)
    }

    /// As [`start`](Self::start), at this port and no other.
    ///
    /// # Errors
    /// As for [`start`](Self::start).
    pub fn start_at(
        at: SocketAddr,
        capture: Arc<Capture>,
        agents: impl Fn() -> Vec<AgentView> + Send + Sync + 'static,
    ) -> io::Result<Self> {
        check(at)?;
        Self::serve(TcpListener::listen(at, None)?, capture, agents)
    }

    fn serve(
        listener: TcpListener,
        capture: Arc<Capture>,
        agents: impl Fn() -> Vec<AgentView> + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let at = listener.local_addr()?;
        let session = Arc::new(Session::new(capture, Box::new(agents)));
        let (closing, closed) = bounded(1);
        let serving = spawn(async move {
            loop {
                let (tcp, peer) = listener.accept().await;
                if !peer_user::is_served(peer, at) {
                    tracing::warn!(%peer, "another user of this machine asked for requests, and got nothing");
                    continue;
                }
                // What is beyond the limit is closed: one person has a few pages open.
                if let Some(place) = session.connections.take_one() {
                    let (session, closed) = (Arc::clone(&session), closed.clone());
                    spawn(async move {
                        converse(session, tcp, closed).await;
                        drop(place);
                    })
                    .detach();
                }
            }
        });
        Ok(Self { at, _closing: closing, _serving: serving })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.at
    }

    /// What a person opens in a browser.
    pub fn url(&self) -> String {
        format!("http://{}", self.at)
    }
}

fn check(at: SocketAddr) -> io::Result<()> {
    if at.ip().is_loopback() {
        return Ok(());
    }
    let reason = "requests are shown to this machine alone: name a loopback address";
    Err(io::Error::new(io::ErrorKind::InvalidInput, reason))
}

fn listen(at: SocketAddr) -> io::Result<TcpListener> {
    let mut next = at;
    for _ in 1..PORTS_TRIED {
        match TcpListener::listen(next, None) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && next.port() < u16::MAX => {
                next.set_port(next.port() + 1);
            }
            outcome => return outcome,
        }
    }
    TcpListener::listen(next, None)
}

/// Answers the requests of one connection until it ends, or the inspector does.
async fn converse(session: Arc<Session>, tcp: Tcp, closed: Receiver<()>) {
    let service = service_fn(|request| {
        let session = Arc::clone(&session);
        async move { Ok::<_, Infallible>(api::answer(&session, request).await) }
    });
    let mut builder = http1::Builder::new();
    builder.timer(HyperTimer).header_read_timeout(HEAD_TIMEOUT);
    let serving = Box::pin(builder.serve_connection(Io(tcp), service));
    select(serving, Box::pin(closed.recv())).await;
}
