//! Connections that change their protocol, WebSockets above all: from then on bytes pass both ways, unread.

use bytes::Bytes;
use futures_util::future::{Either, select};
use futures_util::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use http::Response;
use hyper::body::Incoming;
use hyper::upgrade::{OnUpgrade, Upgraded};

use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::http1::head_rewrite;
use crate::http1::request_guard::RequestGuard;
use crate::listener::Visitor;
use crate::settings::UPGRADE_TIMEOUT;
use crate::upstream::conn::UpstreamConn;
use crate::upstream::h1::ServiceWire;
use crate::upstream::response_body::{self, Answer};
use hvym_tunnel_net::copy::splice;
use hvym_tunnel_net::hyper::Io;
use hvym_tunnel_net::runtime::spawn;
use hvym_tunnel_net::shutdown::TaskGuard;
use hvym_tunnel_net::socket::Wire;
use hvym_tunnel_net::timeout::within;

/// Joins a visitor to a service that both change their protocol. The answer tells the visitor.
pub(crate) fn join(
    visitor: &Visitor,
    visitor_upgrade: OnUpgrade,
    mut response: Response<Incoming>,
    upstream: UpstreamConn,
    pass: TaskGuard,
) -> Answer {
    let service_upgrade = hyper::upgrade::on(&mut response);
    visitor.give_away();
    if let UpstreamConn::Own(lent) = upstream {
        // It ends as soon as it has handed its stream over.
        spawn(lent.settled()).detach();
    }
    let state = Arc::clone(&visitor.state);
    let slot = visitor.slot();
    spawn(async move {
        let splicing = pin!(run(visitor_upgrade, service_upgrade));
        if let Either::Left((Err(error), _)) = select(splicing, pin!(state.closing.cancelled())).await {
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

async fn run(visitor: OnUpgrade, service: OnUpgrade) -> io::Result<()> {
    let service = timely(service).await?;
    let mut visitor = reclaim(timely(visitor).await?);
    let parts = service.downcast::<ServiceWire>().map_err(|_| io::ErrorKind::InvalidData)?;
    if !parts.read_buf.is_empty() {
        visitor.write_all(&parts.read_buf).await?;
        visitor.flush().await?;
    }
    splice(parts.io.stream, visitor, |_, _| {}).await
}

/// The connection of an upgrade, once the 101 has left.
pub(crate) async fn timely(upgrade: OnUpgrade) -> io::Result<Upgraded> {
    let upgraded = within(UPGRADE_TIMEOUT, upgrade).await.ok_or(io::ErrorKind::TimedOut)?;
    upgraded.map_err(io::Error::other)
}

/// The connection of a visitor or agent as it was before HTTP, with what was read too early put back.
pub(crate) fn reclaim(upgraded: Upgraded) -> Wire {
    match upgraded.downcast::<Io<RequestGuard>>() {
        Ok(parts) => {
            let (wire, ahead) = parts.io.0.into_parts();
            let wire = Early::put_back(ahead, wire);
            Early::put_back(parts.read_buf, wire)
        }
        Err(upgraded) => Wire::Boxed(Box::new(Io(upgraded))),
    }
}

/// A connection with bytes that were read from it already.
pub(crate) struct Early {
    ahead: Bytes,
    wire: Wire,
}

impl Early {
    /// `wire`, with `ahead` to be read before what comes from it.
    pub(crate) fn put_back(ahead: Bytes, wire: Wire) -> Wire {
        if ahead.is_empty() { wire } else { Wire::Boxed(Box::new(Early { ahead, wire })) }
    }
}

impl AsyncRead for Early {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.ahead.is_empty() {
            return Pin::new(&mut this.wire).poll_read(cx, buf);
        }
        let n = this.ahead.len().min(buf.len());
        buf[..n].copy_from_slice(&this.ahead.split_to(n));
        Poll::Ready(Ok(n))
    }
}

impl AsyncWrite for Early {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().wire).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().wire).poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().wire).poll_close(cx)
    }
}
