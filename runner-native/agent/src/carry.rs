//! One connection of a service that carries bytes, from its visitor to the local place and back.
//!
//! It looks at no byte. A connection that is cut off on one side is cut off on the other, never ended.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::io::AsyncWriteExt;
use hvym_tunnel_core::dialect::StreamHeader;
use socket2::SockRef;

use super::proxy_protocol;
use super::upstream::Local;
use hvym_tunnel_net::copy::{Direction, splice};
use hvym_tunnel_net::stream::TunnelStream;

/// How a connection went.
pub(super) struct Carried {
    /// Bytes that came from the visitor.
    pub(super) received: u64,
    /// Bytes that went to the visitor.
    pub(super) sent: u64,
    /// Whether both sides ended it; if not, why.
    pub(super) outcome: io::Result<()>,
}

/// Moves bytes until both sides have ended, or one has broken. With `introduce`, the service is told first who the
/// visitor is.
pub(super) async fn carry(
    stream: TunnelStream,
    mut local: Local,
    opening: &StreamHeader,
    introduce: bool,
) -> Carried {
    let (mut received, mut sent) = (0, 0);
    let kept = if let Local::Plain(tcp) = &local { Some(tcp.handle()) } else { None };
    let outcome = async {
        if introduce {
            let known = |text: &Option<String>| text.as_ref()?.parse::<SocketAddr>().ok();
            let header = proxy_protocol::header(known(&opening.visitor), known(&opening.at));
            local.write_all(&header).await?;
        }
        let count = |way, bytes: Option<&[u8]>| {
            let total = if way == Direction::ToLocal { &mut received } else { &mut sent };
            *total += bytes.map_or(0, |bytes| bytes.len() as u64);
        };
        splice(stream, local, count).await
    };
    let outcome = outcome.await;
    if let (Err(_), Some(kept)) = (&outcome, kept) {
        // What is not whole must not end like a whole.
        let _reset = SockRef::from(&*kept).set_linger(Some(Duration::ZERO));
    }
    Carried { received, sent, outcome }
}
