//! The local connections of a forward: one stream for each.
//!
//! Knows nothing of dialling and login, nor whose agent it is. Each stream begins with a verdict: whether its owner admits this
//! identity.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use futures_util::future::{Either, select};
use hvym_tunnel_core::dialect::StreamHeader;
use hvym_tunnel_net::copy::Splice;
use hvym_tunnel_net::listener::TcpListener;
use hvym_tunnel_net::runtime::spawn;
use hvym_tunnel_net::shutdown::CancellationToken;
use hvym_tunnel_net::target::ServiceAddress;
use hvym_tunnel_net::tcp::Tcp;
use hvym_tunnel_net::timeout::within;
use hvym_tunnel_net::timer::Timer;
use socket2::SockRef;

use super::check::{VERDICT_TIMEOUT, ask, judged};
use crate::error::AgentError;
use crate::event::{AgentEvent, ForwardError};
use crate::runner::Shared;

/// How long connections may go on once nobody wants them any more.
const FINISH_LIMIT: Duration = Duration::from_secs(10);

/// The agent whose link the next connection takes; `None` while there is none.
pub(super) type FindAgent = Box<dyn Fn() -> Option<Shared> + Send + Sync>;
/// Who is told why a connection was cut.
pub(super) type Tell = Box<dyn Fn(AgentEvent) + Send + Sync>;

/// Takes local connections.
pub(super) struct LocalListener {
    listener: TcpListener,
    connections: Arc<Connections>,
}

/// What every local connection needs.
struct Connections {
    find: FindAgent,
    to: ServiceAddress,
    tell: Tell,
    /// Nobody wants them any more.
    stop: CancellationToken,
    /// Why the last connection was cut, so that the same reason is reported once.
    last_error: Mutex<Option<ForwardError>>,
}

/// Asks whether the service of a listener can be reached. It keeps no listener.
#[derive(Clone)]
pub(super) struct ServiceCheck(Weak<Connections>);

impl ServiceCheck {
    /// Asks once, and reports it if not. Says nothing while there is no link, nor if the listener or the link ends meanwhile:
    /// the link's own events do.
    pub(super) async fn run(self) {
        if let Some(connections) = self.0.upgrade() {
            connections.check().await;
        }
    }
}

/// How one connection ended early.
enum Broken {
    /// The service was not reached.
    Refused(ForwardError),
    /// The service was reached, and the connection broke later.
    Later(io::Error),
}

/// Binds a listener at `at`, and returns it with its address.
///
/// # Errors
/// The address is in use, not of this machine, or a port below 1024 without the permission.
pub(super) fn bind(at: SocketAddr) -> Result<(TcpListener, SocketAddr), AgentError> {
    let bound = TcpListener::listen(at, None)
        .and_then(|listener| listener.local_addr().map(|local| (listener, local)));
    bound.map_err(|error| AgentError::Listen { at, reason: error.to_string() })
}

impl LocalListener {
    /// Connections of `listener` lead to the service `to`; those that are open `FINISH_LIMIT` after `stop` are cut.
    pub(super) fn new(
        listener: TcpListener,
        to: ServiceAddress,
        find: FindAgent,
        tell: Tell,
        stop: CancellationToken,
    ) -> Self {
        let connections = Connections { find, to, tell, stop, last_error: Mutex::default() };
        Self { listener, connections: Arc::new(connections) }
    }

    /// Whether the service can be reached, to be asked later.
    pub(super) fn check(&self) -> ServiceCheck {
        ServiceCheck(Arc::downgrade(&self.connections))
    }

    /// Forwards every connection until the future is dropped. Open connections count as streams of the agent.
    pub(super) async fn accept(self) -> Infallible {
        loop {
            let (tcp, peer) = self.listener.accept().await;
            tracing::debug!(%peer, "a local connection");
            let connections = Arc::clone(&self.connections);
            let Some(shared) = (connections.find)() else {
                reset(&tcp.handle());
                connections.report(ForwardError::NotConnected("the link is stopped".to_owned()));
                continue;
            };
            // Counted before the next connection is taken, so that no end misses it.
            let guard = shared.table.drain().guard();
            spawn(async move {
                connections.forward(&shared, tcp).await;
                drop(guard);
            })
            .detach();
        }
    }
}

/// Has the connection end by RST (linger 0): a plain end would look like the service's own.
fn reset(socket: &std::net::TcpStream) {
    let _reset = SockRef::from(socket).set_linger(Some(Duration::ZERO));
}

impl Connections {
    /// Forwards one local connection until its end.
    async fn forward(&self, shared: &Shared, tcp: Tcp) {
        let socket = tcp.handle();
        let cut = async {
            self.stop.cancelled().await;
            Timer::after(FINISH_LIMIT).await;
        };
        let mut forwarding = pin!(self.try_forward(shared, tcp));
        let broken = match select(forwarding.as_mut(), pin!(cut)).await {
            Either::Left((Ok(()), _)) => return,
            Either::Left((Err(broken), _)) => broken,
            Either::Right(_) => Broken::Later(io::ErrorKind::TimedOut.into()),
        };
        reset(&socket);
        match broken {
            Broken::Refused(error) => self.report(error),
            Broken::Later(error) => tracing::debug!(%error, "a forwarded connection ended early"),
        }
    }

    async fn check(&self) {
        let Some(shared) = (self.find)() else { return };
        let asked = pin!(ask(&shared, &self.to));
        if let Either::Left((Some(Err(error)), _)) = select(asked, pin!(self.stop.cancelled())).await {
            self.report(error);
        }
    }

    async fn try_forward(&self, shared: &Shared, tcp: Tcp) -> Result<(), Broken> {
        let opening = StreamHeader::reaching(self.to.owner, self.to.service.as_str());
        let agent = &shared.agent;
        let opened = agent.with(|agent, now| agent.open(&opening, now));
        let id = opened.map_err(|error| Broken::Refused(ForwardError::NotConnected(error.to_string())))?;
        let mut splice = Splice::new(agent.stream(id), tcp, |_, _, _| ());
        judged(within(VERDICT_TIMEOUT, splice.verdict()).await).map_err(Broken::Refused)?;
        self.last_error().take();
        splice.await.map_err(Broken::Later)
    }

    /// Reports why a connection was cut, unless the last one was cut for the same reason.
    fn report(&self, error: ForwardError) {
        let last = self.last_error().replace(error.clone());
        if last.is_none_or(|last| last.code() != error.code()) {
            (self.tell)(AgentEvent::ForwardFailed(error));
        }
    }

    fn last_error(&self) -> MutexGuard<'_, Option<ForwardError>> {
        self.last_error.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
