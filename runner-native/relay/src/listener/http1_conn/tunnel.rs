//! A visitor's connection after a 101: bytes are copied both ways, unread, or somebody else has the connection.

use std::io;
use std::pin::pin;

use futures_util::future::{Either, select};
use futures_util::io::AsyncWriteExt;
use hvym_proxy::SendQueue;

use super::Http1Conn;
use super::local::LocalAnswer;
use crate::http1::rewind::Rewind;
use crate::limits::tunnel_idle::splice_until_idle;
use hvym_tunnel_net::socket::Wire;

/// Carries the connection to its end.
pub(super) async fn run(conn: Http1Conn<'_>) {
    let Http1Conn { visitor, mut wire, exchange, service, request, local, .. } = conn;
    let (to_visitor, to_service) = exchange.into_tunnel();
    let carried = async {
        send_all(&mut wire, &to_visitor).await?;
        match (service, local) {
            (Some(pooled), _) => {
                let mut stream = pooled.h1_conn.stream;
                for data in to_service.buffers() {
                    stream.write_bytes(data.clone()).await?;
                }
                let limit = visitor.state.settings.options.visitors.tunnel_timeout;
                splice_until_idle(stream, wire, limit, visitor.state.clock).await
            }
            (None, Some(LocalAnswer::Upgrading(upgrade))) => {
                let early = to_service.buffers().flatten().copied().collect();
                // Whoever waited may have given up.
                let _given = upgrade.send(Rewind::put_back(early, wire)).await;
                Ok(())
            }
            (None, _) => Ok(()),
        }
    };
    let closing = pin!(visitor.state.lifecycle.closing.cancelled());
    if let Either::Left((Err(error), _)) = select(pin!(carried), closing).await {
        tracing::debug!(%error, "an upgraded connection ended");
    }
    // Counted until now, and no reset.
    if let Some(mut request) = request {
        request.leave();
    }
}

async fn send_all(wire: &mut Wire, queue: &SendQueue) -> io::Result<()> {
    for data in queue.buffers() {
        wire.write_all(data).await?;
    }
    wire.flush().await
}
