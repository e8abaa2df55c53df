//! What of a relay is still in progress, and how far its shutdown is. It decides nothing: see [`crate::shutdown`].

use hvym_tunnel_net::shutdown::{CancellationToken, TaskTracker};

/// The tasks of a relay, and the two steps of its shutdown.
#[derive(Default)]
pub(crate) struct Lifecycle {
    /// Visitors' requests.
    pub(crate) requests: TaskTracker,
    /// Visitors' connections, until their last response is sent.
    pub(crate) connections: TaskTracker,
    /// Agents' links.
    pub(crate) links: TaskTracker,
    /// Cancelled when nothing new is accepted.
    pub(crate) draining: CancellationToken,
    /// Cancelled when what is still open is cut.
    pub(crate) closing: CancellationToken,
}

impl Lifecycle {
    /// Accepts nothing new from now on.
    pub(crate) fn refuse_new(&self) {
        self.requests.close();
        self.connections.close();
        self.links.close();
        self.draining.cancel();
    }
}
