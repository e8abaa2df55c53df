//! Copies one connection of a TCP service between its visitor and the local place.
//!
//! Knows nothing of the bytes. A connection that breaks on one side is reset on the other, never ended in good order.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::io::AsyncWriteExt;
use hvym_tunnel_core::dialect::StreamHeader;
use hvym_tunnel_net::copy::{Direction, splice};
use hvym_tunnel_net::stream::TunnelStream;
use socket2::SockRef;

use super::proxy_protocol;
use super::upstream::UpstreamStream;

/// How a connection went.
pub(super) struct Transferred {
    /// Bytes that came from the visitor.
    pub(super) received: u64,
    /// Bytes that went to the visitor.
    pub(super) sent: u64,
    /// Whether both sides ended it; if not, why.
    pub(super) outcome: io::Result<()>,
}

impl Transferred {
    /// Nothing was copied.
    pub(super) fn none() -> Self {
        Self { received: 0, sent: 0, outcome: Ok(()) }
    }
}

/// Copies until both sides have ended, or one has broken. With `announce`, the service first gets the visitor's
/// address. `show` sees everything that passes.
pub(super) async fn copy(
    stream: TunnelStream,
    mut local: UpstreamStream,
    opening: &StreamHeader,
    announce: bool,
    show: impl Fn(Direction, Option<&[u8]>) + Send + Sync,
) -> Transferred {
    let (mut received, mut sent) = (0, 0);
    let kept = if let UpstreamStream::Plain(tcp) = &local { Some(tcp.handle()) } else { None };
    let outcome = async {
        if announce {
            let known = |text: &Option<String>| text.as_ref()?.parse::<SocketAddr>().ok();
            let header = proxy_protocol::header(known(&opening.visitor), known(&opening.at));
            local.write_all(&header).await?;
        }
        let count = |direction, bytes: Option<&[u8]>, _| {
            show(direction, bytes);
            let total = if direction == Direction::ToLocal { &mut received } else { &mut sent };
            *total += bytes.map_or(0, |bytes| bytes.len() as u64);
        };
        splice(stream, local, count).await
    };
    let outcome = outcome.await;
    if let (Err(_), Some(kept)) = (&outcome, kept) {
        // Closing now sends RST (linger 0), so that the service does not take a truncated connection for a complete one.
        let _reset = SockRef::from(&*kept).set_linger(Some(Duration::ZERO));
    }
    Transferred { received, sent, outcome }
}
