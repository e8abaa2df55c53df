//! Connections that leave HTTP by way of a handler, mostly WebSockets: copies bytes both ways, unread.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use futures_util::io::AsyncWriteExt;

use crate::limits::tunnel_idle::splice_until_idle;
use crate::upstream::pool::PooledConn;
use crate::upstream::relayed::RequestGuard;
use crate::visitor::Visitor;
use crate::visitor::upgraded::OnUpgrade;
use hvym_tunnel_net::clock::Clock;
use hvym_tunnel_net::runtime::spawn;

/// Joins the connections of visitor and service, once the visitor has the 101.
pub(crate) fn join(visitor: &Visitor, on_upgrade: OnUpgrade, pooled: PooledConn, guard: RequestGuard) {
    let (state, slot) = (Arc::clone(&visitor.state), visitor.slot());
    let limit = state.settings.options.visitors.tunnel_timeout;
    spawn(async move {
        let splicing = pin!(run(on_upgrade, pooled, limit, state.clock));
        if let Either::Left((Err(error), _)) =
            select(splicing, pin!(state.lifecycle.closing.cancelled())).await
        {
            tracing::debug!(%error, "an upgraded connection ended");
        }
        drop((guard, slot));
    })
    .detach();
}

async fn run(on_upgrade: OnUpgrade, pooled: PooledConn, limit: Duration, clock: Clock) -> io::Result<()> {
    let mut visitor = on_upgrade.completed().await.ok_or(io::ErrorKind::TimedOut)?;
    let (mut stream, to_service, early) = pooled.h1_conn.into_tunnel();
    visitor.write_all(&early).await?;
    visitor.flush().await?;
    for data in to_service.buffers() {
        stream.write_bytes(data.clone()).await?;
    }
    splice_until_idle(stream, visitor, limit, clock).await
}
