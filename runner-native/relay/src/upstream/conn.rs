//! The connection that carries one request: HTTP/1.1 of its own, or shared HTTP/2.

use std::time::Duration;

use http::{Request, Response, response};
use hyper::body::Incoming;

use crate::upstream::error::UpstreamError;
use crate::upstream::h2::H2Conn;
use crate::upstream::pool::PooledConn;
use crate::upstream::request_upload::RequestUpload;
use hvym_tunnel_net::clock::Clock;

/// The connection of one request.
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
    /// Whether it carried a request before. A request that it loses may be retried on a fresh one.
    pub(crate) fn is_used(&self) -> bool {
        match self {
            UpstreamConn::Own(pooled) => pooled.is_used(),
            UpstreamConn::Shared { is_used, .. } => *is_used,
        }
    }

    /// Sends a request and waits for the head of its response, at most `limit` after the request last progressed.
    pub(crate) async fn ask(
        &mut self,
        request: Request<RequestUpload>,
        limit: Duration,
        clock: Clock,
    ) -> Result<Response<Incoming>, UpstreamError> {
        match self {
            UpstreamConn::Own(pooled) => {
                pooled.note_request(&request);
                pooled.h1_conn.ask(request, limit, clock).await
            }
            UpstreamConn::Shared { h2_conn, .. } => h2_conn.ask(request, limit, clock).await,
        }
    }

    /// Reads from a response head how long the service keeps the connection.
    pub(crate) fn note(&mut self, head: &response::Parts) {
        if let UpstreamConn::Own(pooled) = self {
            pooled.note(head);
        }
    }
}
