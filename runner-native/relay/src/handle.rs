//! What the owner of a running relay holds: its events, its status, and its end.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hvym_tunnel_core::stellar::Address;
use smol::channel::{Receiver, Sender};

use crate::event::{RelayEvent, RelayEvents};
use crate::relay_state::RelayState;
use crate::tls::Tls;

/// How things stand at a relay.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct RelayStatus {
    /// Agents' links, logged in or about to.
    pub sessions: usize,
    /// Open connections, of visitors and agents.
    pub connections: usize,
    /// Requests since the start.
    pub requests: u64,
    /// Those that wait for their answer.
    pub pending_requests: u64,
    /// Those without an answer of their service.
    pub failed_requests: u64,
    /// Events that were dropped because nobody read them.
    pub lagged_events: u64,
}

/// A running relay. Dropped, it ends at once. Its futures may be awaited on any executor.
pub struct RelayHandle {
    state: Arc<RelayState>,
    local: SocketAddr,
    tls: Option<Tls>,
    events: RelayEvents,
    /// A deadline asks to drain, closing the channel to stop.
    commands: Sender<Duration>,
    /// Closed after the end.
    ended: Receiver<Infallible>,
}

impl RelayHandle {
    pub(super) fn new(
        state: Arc<RelayState>,
        local: SocketAddr,
        tls: Option<Tls>,
        events: RelayEvents,
        commands: Sender<Duration>,
        ended: Receiver<Infallible>,
    ) -> Self {
        Self { state, local, tls, events, commands, ended }
    }

    /// Who the relay is: what agents may insist on.
    pub fn address(&self) -> Address {
        self.state.info.address
    }

    /// Where it really listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Where visitors and agents are told to begin: the relay's own page, and what agents dial.
    pub fn urls(&self) -> (String, String) {
        let options = &self.state.settings.options;
        let front = options.public_url(&options.ingress.domain, self.local.port());
        (front, options.agent_url(self.local.port()).to_string())
    }

    /// The events from the start on; each goes to one reader. A reader that falls behind by more than the channel's
    /// capacity loses events, which [`RelayEvents::lagged`] counts.
    pub fn events(&self) -> RelayEvents {
        self.events.clone()
    }

    /// How things stand now.
    pub fn status(&self) -> RelayStatus {
        let counts = self.state.metrics.counts();
        RelayStatus {
            sessions: self.state.sessions.all().len(),
            connections: self.state.limits.connections.open(),
            requests: counts.total,
            pending_requests: counts.pending,
            failed_requests: counts.failed,
            lagged_events: self.events.lagged(),
        }
    }

    /// Reads the certificates again, and the keys that check tokens of older systems. Events tell what came of it.
    pub fn reload(&self) {
        if let Some(tls) = &self.tls {
            self.state.emit(RelayEvent::Certificate(tls.source.reload()));
        }
        if let Some(reloaded) = self.state.compat_agents.reload() {
            self.state.emit(RelayEvent::Keys(reloaded));
        }
    }

    /// Whether there is anything to read again.
    pub fn has_files(&self) -> bool {
        self.tls.is_some() || self.state.compat_agents.has_file()
    }

    /// Asks the relay to finish: it takes nothing new, tells its agents to connect elsewhere, and ends when every request
    /// that is under way is done, at the latest after `deadline`.
    pub fn drain(&self, deadline: Duration) {
        // If the channel is full, the same was asked for before.
        let _asked_already = self.commands.try_send(deadline);
    }

    /// Asks the relay to end at once: agents are told that it goes away, visitors are cut off.
    pub fn stop(&self) {
        self.commands.close();
    }

    /// Waits for the end.
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
