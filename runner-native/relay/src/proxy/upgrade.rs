//! Upgraded connections, mostly WebSockets: copies bytes both ways, unread.

use futures_util::future::{Either, select};
use futures_util::io::AsyncWriteExt;
use http::Response;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use crate::http1::head_rewrite;
use crate::limits::tunnel_idle::splice_until_idle;
use crate::upstream::conn::UpstreamConn;
use crate::upstream::h1::ServiceWire;
use crate::upstream::response_body::{self, Answer};
use crate::visitor::{Visitor, upgraded};
use hvym_tunnel_net::clock::Clock;
use hvym_tunnel_net::runtime::spawn;
use hvym_tunnel_net::shutdown::TaskGuard;

/// Joins the connections of visitor and service, and returns the 101 response.
pub(crate) fn join(
    visitor: &Visitor,
    visitor_upgrade: OnUpgrade,
    mut response: Response<Incoming>,
    upstream: UpstreamConn,
    pass: TaskGuard,
) -> Answer {
    let service_upgrade = hyper::upgrade::on(&mut response);
    visitor.mark_upgraded();
    if let UpstreamConn::Own(pooled) = upstream {
        // It completes as soon as it has handed its stream over.
        spawn(pooled.settled()).detach();
    }
    let state = Arc::clone(&visitor.state);
    let (slot, limit) = (visitor.slot(), state.settings.options.visitors.tunnel_timeout);
    spawn(async move {
        let splicing = pin!(run(visitor_upgrade, service_upgrade, limit, state.clock));
        if let Either::Left((Err(error), _)) =
            select(splicing, pin!(state.lifecycle.closing.cancelled())).await
        {
            tracing::debug!(%error, "an upgraded connection ended");
        }
        drop((pass, slot));
    })
    .detach();
    let (mut head, _) = response.into_parts();
    head_rewrite::rewrite_response(&mut head);
    let mut answer = response_body::empty(head.status);
    *answer.headers_mut() = head.headers;
    *answer.extensions_mut() = head.extensions;
    answer
}

async fn run(visitor: OnUpgrade, service: OnUpgrade, limit: Duration, clock: Clock) -> io::Result<()> {
    let service = upgraded::completed(service).await?;
    let mut visitor = upgraded::reclaim(upgraded::completed(visitor).await?);
    let parts = service.downcast::<ServiceWire>().map_err(|_| io::ErrorKind::InvalidData)?;
    if !parts.read_buf.is_empty() {
        visitor.write_all(&parts.read_buf).await?;
        visitor.flush().await?;
    }
    splice_until_idle(parts.io.stream, visitor, limit, clock).await
}
