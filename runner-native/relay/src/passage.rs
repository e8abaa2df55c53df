//! The way of one request to its service: a conduit of its own, or a trunk that it shares.

use std::time::Duration;

use http::{Request, Response, response};
use hyper::body::Incoming;

use super::conduit::Failure;
use super::pool::Lent;
use super::trunk::Trunk;
use super::upload::Upload;
use hvym_tunnel_net::clock::Clock;

/// The way of one request.
pub(super) enum Passage {
    /// HTTP/1.1, for this request alone.
    Own(Lent),
    /// HTTP/2, together with others.
    Shared {
        /// The connection.
        trunk: Trunk,
        /// Whether it carried a request before.
        is_used: bool,
    },
}

impl Passage {
    /// Whether it carried a request before: what it then loses, another one may carry.
    pub(super) fn is_used(&self) -> bool {
        match self {
            Passage::Own(lent) => lent.is_used,
            Passage::Shared { is_used, .. } => *is_used,
        }
    }

    /// Sends a request and waits for the head of its response, at most `limit` after the request's last move.
    pub(super) async fn ask(
        &mut self,
        request: Request<Upload>,
        limit: Duration,
        clock: Clock,
    ) -> Result<Response<Incoming>, Failure> {
        match self {
            Passage::Own(lent) => lent.conduit.ask(request, limit, clock).await,
            Passage::Shared { trunk, .. } => trunk.ask(request, limit, clock).await,
        }
    }

    /// Notes what the service says of the connection, in the head of a response.
    pub(super) fn note(&mut self, head: &response::Parts) {
        if let Passage::Own(lent) = self {
            lent.note(head);
        }
    }
}
