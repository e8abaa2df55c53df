//! A forward over the link of an agent that runs for something else, and that may be replaced by another one meanwhile.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use hvym_tunnel_net::observer::Observer;
use hvym_tunnel_net::runtime::{RuntimeHandle, Task};
use hvym_tunnel_net::shutdown::CancellationToken;
use hvym_tunnel_net::target::ServiceAddress;

use super::local::{self, LocalListener, ServiceCheck};
use crate::error::AgentError;
use crate::event::AgentEvent;
use crate::view::AgentView;

/// A local port that leads to the service of another identity over the link of an agent. Dropped, it takes no connection any
/// more, and those that are open have ten seconds.
pub struct SharedForward {
    listen: SocketAddr,
    check: ServiceCheck,
    stop: CancellationToken,
    _accepting: Task<()>,
}

impl SharedForward {
    /// Listens at `at`, on the threads of `runtime`. Each connection to `to` takes the link of the agent that `agent` finds then.
    /// Why one is cut, `observer` is told.
    ///
    /// # Errors
    /// The address cannot be listened at.
    pub fn start(
        at: SocketAddr,
        to: ServiceAddress,
        agent: impl Fn() -> Option<AgentView> + Send + Sync + 'static,
        observer: Arc<dyn Observer<AgentEvent>>,
        runtime: &RuntimeHandle,
    ) -> Result<Self, AgentError> {
        let _inside = runtime.enter();
        let (listener, listen) = local::bind(at)?;
        let stop = CancellationToken::new();
        let listener = LocalListener::new(
            listener,
            to,
            Box::new(move || agent().map(AgentView::into_shared)),
            Box::new(move |event| observer.handle_event(&event)),
            stop.clone(),
        );
        let check = listener.check();
        let accepting = runtime.spawn(async move {
            listener.accept().await;
        });
        Ok(Self { listen, check, stop, _accepting: accepting })
    }

    /// Asks once whether the service can be reached. The observer is told if not, unless there is no link.
    pub fn check(&self) -> impl Future<Output = ()> + Send + use<> {
        self.check.clone().run()
    }

    /// Where local connections are taken.
    pub fn local_addr(&self) -> SocketAddr {
        self.listen
    }
}

impl Drop for SharedForward {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl fmt::Debug for SharedForward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedForward").field("listen", &self.listen).finish_non_exhaustive()
    }
}
