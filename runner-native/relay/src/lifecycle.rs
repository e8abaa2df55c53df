//! What of a relay is still in progress, and how far its shutdown is. It decides nothing: see [`crate::shutdown`].

use hvym_tunnel_net::shutdown::{CancellationToken, TaskTracker};
use smol::channel::{Receiver, Sender, bounded};

/// The tasks of a relay, and the two steps of its shutdown.
pub(crate) struct Lifecycle {
    /// Visitors' requests.
    pub(crate) requests: TaskTracker,
    /// Visitors' connections, until their last response is sent.
    pub(crate) connections: TaskTracker,
    /// Agents' links.
    pub(crate) links: TaskTracker,
    /// Cancelled when no connection is accepted any more.
    pub(crate) parting: CancellationToken,
    /// Cancelled when each connection is to end soon.
    pub(crate) draining: CancellationToken,
    /// Cancelled when what is still open is cut.
    pub(crate) closing: CancellationToken,
    /// Requests to read the list of agents again; one that waits stands for all.
    pub(crate) reloads: (Sender<()>, Receiver<()>),
}

impl Default for Lifecycle {
    fn default() -> Self {
        Self {
            requests: TaskTracker::default(),
            connections: TaskTracker::default(),
            links: TaskTracker::default(),
            parting: CancellationToken::default(),
            draining: CancellationToken::default(),
            closing: CancellationToken::default(),
            reloads: bounded(1),
        }
    }
}

impl Lifecycle {
    /// Takes nothing but what comes on connections that there are, each of which ends soon.
    pub(crate) fn drain(&self) {
        self.connections.close();
        self.links.close();
        self.draining.cancel();
    }
}
