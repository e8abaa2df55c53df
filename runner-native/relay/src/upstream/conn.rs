//! The way of one request to its service: an HTTP/1.1 connection of its own, or an HTTP/2 connection that it shares.

use std::time::Duration;

use http::{Request, Response, response};
use hyper::body::Incoming;

use crate::upstream::error::UpstreamError;
use crate::upstream::h2::H2Conn;
use crate::upstream::pool::PooledConn;
use crate::upstream::request_upload::RequestUpload;
use hvym_tunnel_net::clock::Clock;

/// The way of one request.
pub(crate) enum UpstreamConn {
    /// HTTP/1.1, for this request alone.
    Own(PooledConn),
    /// HTTP/2, together with others.
    Shared {
        /// The connection.
        h2_conn: H2Conn,
        /// Whether it carried a request before.
        is_used: bool,
    },
}

impl UpstreamConn {
    /// Whether it carried a request before: what it then loses, another one may carry.
    pub(crate) fn is_used(&self) -> bool {
        match self {
            UpstreamConn::Own(lent) => lent.is_used,
            UpstreamConn::Shared { is_used, .. } => *is_used,
        }
    }

    /// Sends a request and waits for the head of its response, at most `limit` after the request's last move.
    pub(crate) async fn ask(
        &mut self,
        request: Request<RequestUpload>,
        limit: Duration,
        clock: Clock,
    ) -> Result<Response<Incoming>, UpstreamError> {
        match self {
            UpstreamConn::Own(lent) => lent.h1_conn.ask(request, limit, clock).await,
            UpstreamConn::Shared { h2_conn, .. } => h2_conn.ask(request, limit, clock).await,
        }
    }

    /// Notes what the service says of the connection, in the head of a response.
    pub(crate) fn note(&mut self, head: &response::Parts) {
        if let UpstreamConn::Own(lent) = self {
            lent.note(head);
        }
    }
}
