//! The handle of a running relay: events, status, reload and shutdown.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hvym_tunnel_core::stellar::Address;
use smol::channel::Receiver;

use crate::config::RelayOptions;
use crate::error::RelayError;
use crate::event::RelayEvents;
use crate::handover::ListenerRole;
use crate::listener;
use crate::relay_state::RelayState;
use crate::tls::{ListenerKind, Tls};
use hvym_tunnel_net::runtime::{RuntimeHandle, spawn};
use hvym_tunnel_net::tcp::Tcp;

/// A snapshot of a relay's counters.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct RelayStatus {
    /// Agents' links, logged in or not yet.
    pub sessions: usize,
    /// Open connections, of visitors and agents.
    pub connections: usize,
    /// Requests since the start.
    pub requests: u64,
    /// Requests that wait for their response head.
    pub pending_requests: u64,
    /// Requests that got no response of their service.
    pub failed_requests: u64,
    /// Events that were dropped because their readers fell behind.
    pub lagged_events: u64,
}

/// A running relay. Dropping it stops the relay at once. Its futures may be awaited on any executor.
pub struct RelayHandle {
    state: Arc<RelayState>,
    local: SocketAddr,
    /// Where operators' programs are served.
    admin: Option<SocketAddr>,
    tls: Option<Tls>,
    events: RelayEvents,
    /// Closed when the relay has ended.
    ended: Receiver<Infallible>,
    /// Where it runs.
    runtime: RuntimeHandle,
}

impl RelayHandle {
    pub(super) fn new(
        state: Arc<RelayState>,
        (local, admin): (SocketAddr, Option<SocketAddr>),
        tls: Option<Tls>,
        events: RelayEvents,
        ended: Receiver<Infallible>,
    ) -> Self {
        Self { state, local, admin, tls, events, ended, runtime: RuntimeHandle::current() }
    }

    /// The relay's address, which agents can pin.
    pub fn address(&self) -> Address {
        self.state.info.address
    }

    /// The address it listens at, with the port that was assigned.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// The address of the listener for operators, with the port that was assigned.
    pub fn admin_addr(&self) -> Option<SocketAddr> {
        self.admin
    }

    /// The public URL of the relay's own page, and the URL that agents dial.
    pub fn urls(&self) -> (String, String) {
        let options = &self.state.settings.options;
        let front = options.public_url(&options.ingress.domain, self.local.port());
        (front, options.agent_url(self.local.port()).to_string())
    }

    /// The events from the start on; each is received by one reader. A reader that falls behind by more than the
    /// channel's capacity loses events, which [`RelayEvents::lagged`] counts.
    pub fn events(&self) -> RelayEvents {
        self.events.clone()
    }

    /// The counters now.
    pub fn status(&self) -> RelayStatus {
        let counts = self.state.metrics.counts();
        RelayStatus {
            sessions: self.state.sessions.all().len(),
            connections: self.state.limits.connections(),
            requests: counts.total,
            pending_requests: counts.pending,
            failed_requests: counts.failed,
            lagged_events: self.events.lagged(),
        }
    }

    /// Reloads the options of [`options_source`](crate::RelayBuilder::options_source), the certificates, the list of agents, and the
    /// keys that verify tokens of older systems. The results are sent as events.
    pub fn reload(&self) {
        self.state.request_reload();
    }

    /// Takes over other options while the relay runs: the agents of other systems, the origins of pages, the limits of visitors.
    /// Agents that are let in no more are cut off. Returns the groups of options that differ from those at the start, and have
    /// an effect after a restart only.
    ///
    /// # Errors
    /// The options contradict each other, or a file that they name cannot be used; nothing has changed then.
    pub fn apply(&self, options: RelayOptions) -> Result<Vec<&'static str>, RelayError> {
        self.state.take_over(options)
    }

    /// Whether [`Self::reload`] has anything to reload.
    pub fn has_files(&self) -> bool {
        self.tls.is_some()
            || self.state.live.get().compat_agents.has_file()
            || self.state.settings.options.access.allowed_file.is_some()
    }

    /// Serves a connection that another listener has accepted, as if it had come to the relay's own: so that one port serves a
    /// program's own pages and the relay. What came of it may have been peeked at, but not read. Does not wait.
    ///
    /// # Errors
    /// The other side is gone, or the process has no descriptor left.
    pub fn serve_connection(&self, stream: std::net::TcpStream) -> io::Result<()> {
        let _inside = self.runtime.enter();
        let (tcp, state) = (Tcp::new(stream)?, Arc::clone(&self.state));
        let (peer, kind) =
            (tcp.peer_addr()?, self.tls.clone().map_or(ListenerKind::Plain, ListenerKind::Tls));
        spawn(async move { listener::take(&state, tcp, peer, &kind).await }).detach();
        Ok(())
    }

    /// Starts draining: the relay accepts nothing new, tells its agents to connect elsewhere, and ends when every
    /// request in progress is done, at the latest after `deadline`.
    pub fn drain(&self, deadline: Duration) {
        self.state.lifecycle.request_drain(deadline);
    }

    /// The listeners of the relay, for the next process of it, which accepts from the same queues.
    ///
    /// # Errors
    /// The process has no descriptor left.
    pub fn listeners(&self) -> io::Result<Vec<(ListenerRole, std::net::TcpListener)>> {
        self.state.handover.clones()
    }

    /// As [`Self::drain`], when another process has taken over what [`Self::listeners`] told: agents find it there.
    pub fn hand_over(&self, deadline: Duration) {
        self.state.handover.set_successor();
        self.drain(deadline);
    }

    /// Stops the relay at once: agents receive a close frame (going away), visitors' connections are cut.
    pub fn stop(&self) {
        self.state.lifecycle.drains.0.close();
    }

    /// Waits until the relay has ended.
    pub async fn closed(&self) {
        let _end = self.ended.recv().await;
    }

    /// [`Self::drain`], then [`Self::closed`].
    pub async fn shutdown(self, deadline: Duration) {
        self.drain(deadline);
        self.closed().await;
    }
}

impl Drop for RelayHandle {
    fn drop(&mut self) {
        self.stop();
    }
}
