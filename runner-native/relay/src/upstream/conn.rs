//! The connection that carries one request: HTTP/1.1 of its own, or shared HTTP/2.

use crate::upstream::h2::H2Conn;
use crate::upstream::pool::PooledConn;

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
}
