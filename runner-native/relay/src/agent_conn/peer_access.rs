//! Streams from one agent to a service of another: opens a stream to the service's owner, and copies between it and
//! the caller's stream.
//!
//! The owner decides about access. Every refusal has the same text and the same delay, so that a caller cannot tell
//! the reasons apart.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{self, Either};
use hvym_tunnel_core::dialect::{OpenResult, StreamHeader};
use hvym_tunnel_core::relay::Owner;
use hvym_tunnel_core::stellar::Address;
use hvym_tunnel_core::time::Instant;
use thiserror::Error;

use crate::relay_state::RelayState;
use crate::settings::REACHED_STREAMS;
use hvym_tunnel_net::runtime::spawn;
use hvym_tunnel_net::stream::{TunnelReader, TunnelStream, TunnelWriter};
use hvym_tunnel_net::timeout::within;
use hvym_tunnel_net::timer::Timer;

/// Time between two streams of one caller, after a burst of [`REACHED_STREAMS`]: 32 a second. An application keeps
/// its connections; a higher rate indicates guessing of names.
const REACH_INTERVAL: Duration = Duration::from_micros(31_250);
/// Timeout of the owner's answer, which includes its connection to the service.
const VERDICT_TIMEOUT: Duration = Duration::from_secs(10);
/// The delay of refusals after the stream was opened. The round trip to an owner is nearly always shorter, so the
/// time does not tell whether the owner exists.
const REFUSAL_AFTER: Duration = Duration::from_millis(500);

/// The caller side of one agent.
pub(crate) struct Caller {
    /// Cloned by each of its streams, which counts them.
    streams: Arc<()>,
    /// The theoretical arrival time of its next stream at the rate of [`REACH_INTERVAL`].
    due: Instant,
}

/// One of the streams that a caller may have open.
type StreamSlot = Arc<()>;

impl Caller {
    /// A caller without streams.
    pub(crate) fn new() -> Self {
        Self { streams: Arc::default(), due: Instant::ZERO }
    }

    /// Serves one stream that the caller opened, in a task of its own.
    pub(crate) fn open(&mut self, state: &Arc<RelayState>, stream: TunnelStream, opening: StreamHeader) {
        let StreamHeader { service, to: Some(to), from: Some(from), .. } = opening else {
            // The session announces no other kind.
            return drop(stream);
        };
        if !state.settings.reaching {
            let verdict = OpenResult::refused(
                OpenResult::NOT_REACHABLE,
                "this relay leads to no other agent's services",
            );
            return spawn(async move { refuse(stream.split().1, &verdict).await }).detach();
        }
        let now = state.clock.now();
        let slot = match self.slot(now) {
            Ok(slot) => slot,
            Err(error) => {
                let verdict = OpenResult::refused(OpenResult::TOO_MANY, &error.to_string());
                return spawn(async move { refuse(stream.split().1, &verdict).await }).detach();
            }
        };
        let reach = Reach { state: Arc::clone(state), to, from, service, opened: now, _place: slot };
        spawn(async move {
            let stream_id = stream.id();
            if let Err(error) = reach.run(stream).await {
                tracing::debug!(stream = ?stream_id, %error, "a stream between two agents ended early");
            }
        })
        .detach();
    }

    fn slot(&mut self, now: Instant) -> Result<StreamSlot, SlotError> {
        let burst = REACH_INTERVAL * u32::try_from(REACHED_STREAMS).unwrap_or(u32::MAX);
        let due = self.due.max(now);
        // One reference is the caller's own.
        if Arc::strong_count(&self.streams) > REACHED_STREAMS {
            return Err(SlotError::Full);
        }
        if due - now >= burst {
            return Err(SlotError::TooFast);
        }
        self.due = due + REACH_INTERVAL;
        Ok(Arc::clone(&self.streams))
    }
}

/// Why a caller gets no other stream.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Error)]
enum SlotError {
    #[error("you have {REACHED_STREAMS} connections open, and the relay carries no more for one identity")]
    Full,
    #[error("you open connections faster than the relay takes them from one identity")]
    TooFast,
}

/// One stream to another agent's service.
struct Reach {
    state: Arc<RelayState>,
    to: Address,
    from: Address,
    service: String,
    opened: Instant,
    _place: StreamSlot,
}

impl Reach {
    async fn run(self, caller: TunnelStream) -> io::Result<()> {
        // Held to the end, so that draining waits for this stream.
        let Some(_pass) = self.state.lifecycle.requests.enter() else {
            let verdict = OpenResult::refused(OpenResult::UNAVAILABLE, "the relay is restarting");
            return refuse(caller.split().1, &verdict).await;
        };
        let caller_reset = caller.reset_watch();
        let (from_caller, to_caller) = caller.split();
        let Some(owner) = self.open().await else {
            return self.reject(to_caller, &OpenResult::not_reachable()).await;
        };
        let owner_reset = owner.reset_watch();
        let (from_owner, to_owner) = owner.split();
        let copying =
            Box::pin(future::try_join(pass_on(from_caller, to_owner), answer(from_owner, to_caller)));
        // One that waits for the other side's room would not hear that its own is gone.
        let copied = match future::select(copying, future::select(caller_reset, owner_reset)).await {
            Either::Left((copied, _)) => copied,
            Either::Right((Either::Left((error, _)) | Either::Right((error, _)), _)) => {
                Err(Ended::Broken(error))
            }
        };
        match copied {
            Ok(_) => Ok(()),
            Err(Ended::Broken(error)) => Err(error),
            // The owner's stream is dropped by now: refused callers that wait hold no capacity of its link.
            Err(Ended::Refused(verdict, to_caller)) => self.reject(to_caller, &verdict).await,
        }
    }

    /// Opens a stream to the owner.
    async fn open(&self) -> Option<TunnelStream> {
        let live = self.state.sessions.agent(&Owner::Identity(self.to))?;
        tracing::debug!(from = %self.from, to = %self.to, service = self.service, "reach");
        live.open_for(self.from, &self.service).await
    }

    async fn reject(&self, caller: TunnelWriter, verdict: &OpenResult) -> io::Result<()> {
        let now = self.state.clock.now();
        let left = REFUSAL_AFTER.saturating_sub(now - self.opened);
        Timer::after(left).await;
        refuse(caller, verdict).await
    }
}

/// Sends a refusal. What the caller still sends is not read.
async fn refuse(mut caller: TunnelWriter, verdict: &OpenResult) -> io::Result<()> {
    caller.write_bytes(verdict.encode()).await?;
    caller.finish()
}

/// Why copying ended before both directions did.
enum Ended {
    /// The owner refused or did not answer; the refusal is still to be sent to the caller.
    Refused(OpenResult, TunnelWriter),
    /// One of the streams failed.
    Broken(io::Error),
}

impl From<io::Error> for Ended {
    fn from(error: io::Error) -> Self {
        Ended::Broken(error)
    }
}

/// Copies the owner's answer, then the service's bytes, to the caller.
async fn answer(mut owner: TunnelReader, mut caller: TunnelWriter) -> Result<(), Ended> {
    match within(VERDICT_TIMEOUT, owner.read_verdict()).await {
        Some(Ok(OpenResult::Accepted)) => {}
        Some(Ok(refused)) => return Err(Ended::Refused(refused, caller)),
        // A closed stream or an invalid answer means that the service is not offered.
        Some(Err(_)) | None => return Err(Ended::Refused(OpenResult::not_reachable(), caller)),
    }
    caller.write_bytes(OpenResult::Accepted.encode()).await?;
    while let Some(data) = owner.read_bytes().await? {
        caller.write_bytes(data).await?;
    }
    Ok(caller.finish()?)
}

/// Copies from the caller to the owner. An owner that stops reading may still send.
async fn pass_on(mut caller: TunnelReader, mut owner: TunnelWriter) -> Result<(), Ended> {
    while let Some(data) = caller.read_bytes().await? {
        if let Err(error) = owner.write_bytes(data).await {
            tracing::debug!(%error, "the owner takes nothing more");
            return Ok(());
        }
    }
    // An error here is also seen by the other direction.
    let _ended = owner.finish();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_has_so_many_streams_and_no_more() {
        let (mut caller, now) = (Caller::new(), Instant::ZERO);
        let mut places: Vec<_> = std::iter::from_fn(|| caller.slot(now).ok()).collect();
        assert_eq!(places.len(), REACHED_STREAMS);
        let later = now + REACH_INTERVAL * 1000;
        assert_eq!(caller.slot(later), Err(SlotError::Full));
        places.pop();
        places.push(caller.slot(later).expect("one is free again"));
        assert_eq!(caller.slot(later), Err(SlotError::Full));
    }

    #[test]
    fn a_caller_that_lets_go_at_once_opens_a_burst_and_then_so_many_a_second() {
        let (mut caller, mut now) = (Caller::new(), Instant::ZERO);
        let opened = (0..1000).filter(|_| caller.slot(now).is_ok()).count();
        assert_eq!(opened, REACHED_STREAMS);
        assert_eq!(caller.slot(now), Err(SlotError::TooFast));
        now = now + Duration::from_secs(1);
        assert_eq!((0..1000).filter(|_| caller.slot(now).is_ok()).count(), 32);
    }
}
