//! What of a relay is still in progress, and how far its shutdown is. It decides nothing: see [`crate::shutdown`].

use hvym_tunnel_net::shutdown::{CancellationToken, TaskTracker};
use std::time::Duration;

use smol::channel::{Receiver, Sender, bounded};

/// Requests to drain that wait. The relay's task receives them at once.
const DRAIN_CAPACITY: usize = 4;

/// A request to read files again, and who is told what is wrong with them.
pub(crate) type ReloadRequest = Option<Sender<Vec<String>>>;

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
    /// Requests to read files again; one that waits stands for all that want no answer.
    pub(crate) reloads: (Sender<ReloadRequest>, Receiver<ReloadRequest>),
    /// Requests to drain within so long. Closing it ends the relay at once.
    pub(crate) drains: (Sender<Duration>, Receiver<Duration>),
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
            drains: bounded(DRAIN_CAPACITY),
        }
    }
}

impl Lifecycle {
    /// Asks for an end: nothing new is taken, and what is under way may take so long.
    pub(crate) fn request_drain(&self, deadline: Duration) {
        // A full channel means that it was asked for before.
        let _asked_already = self.drains.0.try_send(deadline);
    }

    /// Takes nothing but what comes on connections that there are, each of which ends soon.
    pub(crate) fn drain(&self) {
        self.connections.close();
        self.links.close();
        self.draining.cancel();
    }
}
