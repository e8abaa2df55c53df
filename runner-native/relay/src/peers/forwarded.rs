//! Streams that another relay opens for its visitors and callers: each goes to an agent of this relay, as it is.
//!
//! The other relay has checked, counted and logged whoever it is for. Nothing goes on to a third relay.

use std::io;
use std::sync::Arc;

use futures_util::future::{Either, select, try_join};
use hvym_tunnel_cluster::ServiceKey;
use hvym_tunnel_core::dialect::{OpenResult, Proto, StreamHeader};
use hvym_tunnel_net::runtime::spawn;
use hvym_tunnel_net::stream::{TunnelReader, TunnelStream, TunnelWriter};
use hvym_tunnel_pages::{Format, Page};

use crate::relay_state::RelayState;
use crate::sessions::Assigned;

/// Serves one stream, in a task of its own.
pub(super) fn serve(state: &Arc<RelayState>, stream: TunnelStream, header: StreamHeader) {
    let state = Arc::clone(state);
    spawn(async move {
        let id = stream.id();
        if let Err(error) = run(&state, stream, &header).await {
            tracing::debug!(stream = ?id, service = header.service, %error, "a forwarded stream ended early");
        }
    })
    .detach();
}

async fn run(state: &RelayState, stream: TunnelStream, header: &StreamHeader) -> io::Result<()> {
    // Held to the end, so that draining waits for this stream.
    let Some(_pass) = state.lifecycle.requests.enter() else { return refuse(stream, header).await };
    let Some((own, _assigned)) = open(state, header).await else { return refuse(stream, header).await };
    let (stream_reset, own_reset) = (stream.reset_watch(), own.reset_watch());
    let ((from_peer, to_peer), (from_own, to_own)) = (stream.split(), own.split());
    let copied = Box::pin(try_join(forward(from_peer, to_own), copy(from_own, to_peer)));
    // One that waits for room on the other side would not hear that its own is gone.
    match select(copied, select(stream_reset, own_reset)).await {
        Either::Left((copied, _)) => copied.map(drop),
        Either::Right((Either::Left((error, _)) | Either::Right((error, _)), _)) => Err(error),
    }
}

/// A stream to the agent of this relay that serves what the header names.
async fn open(state: &RelayState, header: &StreamHeader) -> Option<(TunnelStream, Assigned)> {
    let key: ServiceKey = header.service.parse().ok()?;
    let is_visitor = header.from.is_none();
    let target = state.sessions.served_here(&key.owner, &key.service, is_visitor)?;
    let assigned = target.assign()?;
    let stream = assigned.open_forwarded(header).await?;
    Some((stream, assigned))
}

/// Answers a stream that leads nowhere by what its opener can pass on.
async fn refuse(mut stream: TunnelStream, header: &StreamHeader) -> io::Result<()> {
    let answer = match (header.from, header.proto) {
        (Some(_), _) => OpenResult::not_reachable().encode(),
        (None, Proto::Http) => {
            let owner = header.service.split('/').next().unwrap_or_default();
            Page::no_agent(owner).response(Format::Html, "GET")
        }
        // A reset is all that these have for it.
        (None, Proto::H2 | Proto::Tcp) => return Ok(()),
    };
    stream.write_bytes(answer).await?;
    stream.finish()
}

/// Copies to the agent. One whose service reads no more may still answer.
async fn forward(from: TunnelReader, to: TunnelWriter) -> io::Result<()> {
    if let Err(error) = copy(from, to).await {
        tracing::debug!(%error, "an agent takes nothing more");
    }
    Ok(())
}

async fn copy(mut from: TunnelReader, mut to: TunnelWriter) -> io::Result<()> {
    while let Some(data) = from.read_bytes().await? {
        to.write_bytes(data).await?;
    }
    to.finish()
}
