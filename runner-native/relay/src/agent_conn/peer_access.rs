//! One identity at the service of another: finds the owner, and joins the caller's stream to one of the owner's.
//!
//! Who may is the owner's to say. A caller who may not learns one thing, after one time, whatever the reason is.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future;
use hvym_tunnel_core::dialect::{OpenResult, StreamHeader};
use hvym_tunnel_core::relay::Owner;
use hvym_tunnel_core::stellar::Address;
use hvym_tunnel_core::time::Instant;

use crate::relay_state::RelayState;
use hvym_tunnel_net::runtime::spawn;
use hvym_tunnel_net::stream::{TunnelReader, TunnelStream, TunnelWriter};
use hvym_tunnel_net::timeout::within;
use hvym_tunnel_net::timer::Timer;

/// Streams to other identities' services that one caller may hold. A pool of a busy application has a hundred; each
/// holds a window on two links.
const REACHED_STREAMS: usize = 128;
/// Time between two openings of one caller, once it has used up its burst of [`REACHED_STREAMS`]: 32 a second. An
/// application opens what it needs and keeps it; more is somebody who guesses names.
const REACH_INTERVAL: Duration = Duration::from_micros(31_250);
/// How long the owner of a service may take to say yes or no: as long as an opening may take, and its own connection.
const VERDICT_TIMEOUT: Duration = Duration::from_secs(10);
/// No refusal reaches a caller sooner after its opening. A way to the owner and back is shorter nearly always, so the
/// time does not tell whether there is an owner.
const REFUSAL_AFTER: Duration = Duration::from_millis(500);

/// One agent, as somebody who reaches others.
pub(crate) struct Caller {
    /// Held by each of its streams.
    streams: Arc<()>,
    /// When its next opening would be due, if it kept to [`REACH_INTERVAL`].
    due: Instant,
}

/// One place among the streams of a caller.
type StreamSlot = Arc<()>;

impl Caller {
    /// Somebody who has not reached anybody.
    pub(crate) fn new() -> Self {
        Self { streams: Arc::default(), due: Instant::ZERO }
    }

    /// Serves one stream that the caller opened, beside everything else.
    pub(crate) fn open(&mut self, state: &Arc<RelayState>, stream: TunnelStream, opening: StreamHeader) {
        let StreamHeader { service, to: Some(to), from: Some(from), .. } = opening else {
            // The session announces no other.
            return drop(stream);
        };
        let now = state.clock.now();
        let Some(slot) = self.slot(now) else {
            let verdict =
                OpenResult::refused(OpenResult::TOO_MANY, "you have too many streams, or open them too fast");
            return spawn(async move { refuse(stream.split().1, &verdict).await }).detach();
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

    /// A place, if there is one and the last one was not too long ago.
    fn slot(&mut self, now: Instant) -> Option<StreamSlot> {
        let burst = REACH_INTERVAL * u32::try_from(REACHED_STREAMS).unwrap_or(u32::MAX);
        let due = self.due.max(now);
        // Ours is one of them.
        let full = Arc::strong_count(&self.streams) > REACHED_STREAMS;
        if full || due - now >= burst {
            return None;
        }
        self.due = due + REACH_INTERVAL;
        Some(Arc::clone(&self.streams))
    }
}

/// One caller's wish.
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
        // Held until the end, so that a drain waits for this stream.
        let Some(_pass) = self.state.lifecycle.requests.enter() else {
            let verdict = OpenResult::refused(OpenResult::UNAVAILABLE, "the relay is restarting");
            return refuse(caller.split().1, &verdict).await;
        };
        let (from_caller, to_caller) = caller.split();
        let Some(owner) = self.open().await else {
            return self.reject(to_caller, &OpenResult::not_reachable()).await;
        };
        let (from_owner, to_owner) = owner.split();
        match future::try_join(pass_on(from_caller, to_owner), answer(from_owner, to_caller)).await {
            Ok(_) => Ok(()),
            Err(Ended::Broken(error)) => Err(error),
            // The owner's stream is gone by now: strangers that wait take no room on its link.
            Err(Ended::Refused(verdict, to_caller)) => self.reject(to_caller, &verdict).await,
        }
    }

    /// A stream to the owner.
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

/// Says no. The caller may go on sending for a moment; nobody reads that.
async fn refuse(mut caller: TunnelWriter, verdict: &OpenResult) -> io::Result<()> {
    caller.write_bytes(verdict.encode()).await?;
    caller.finish()
}

/// Why two streams are not one any more, before both halves have ended.
enum Ended {
    /// They never were: the owner said no, or nothing. The caller is still to be told.
    Refused(OpenResult, TunnelWriter),
    /// One of the two broke.
    Broken(io::Error),
}

impl From<io::Error> for Ended {
    fn from(error: io::Error) -> Self {
        Ended::Broken(error)
    }
}

/// What the owner says, and then its service.
async fn answer(mut owner: TunnelReader, mut caller: TunnelWriter) -> Result<(), Ended> {
    match within(VERDICT_TIMEOUT, owner.read_verdict()).await {
        Some(Ok(OpenResult::Accepted)) => {}
        Some(Ok(refused)) => return Err(Ended::Refused(refused, caller)),
        // An owner that hangs up, or says something else, does not offer this.
        Some(Err(_)) | None => return Err(Ended::Refused(OpenResult::not_reachable(), caller)),
    }
    caller.write_bytes(OpenResult::Accepted.encode()).await?;
    while let Some(data) = owner.read_bytes().await? {
        caller.write_bytes(data).await?;
    }
    Ok(caller.finish()?)
}

/// From the caller to the owner. An owner that takes nothing more may still have something to say.
async fn pass_on(mut caller: TunnelReader, mut owner: TunnelWriter) -> Result<(), Ended> {
    while let Some(data) = caller.read_bytes().await? {
        if let Err(error) = owner.write_bytes(data).await {
            tracing::debug!(%error, "the owner takes nothing more");
            return Ok(());
        }
    }
    // It may have hung up meanwhile, which its own half tells.
    let _ended = owner.finish();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_has_so_many_streams_and_no_more() {
        let (mut caller, now) = (Caller::new(), Instant::ZERO);
        let places: Vec<_> = std::iter::from_fn(|| caller.slot(now)).collect();
        assert_eq!(places.len(), REACHED_STREAMS);
        let later = now + REACH_INTERVAL * 1000;
        assert!(caller.slot(later).is_none());
        drop(places);
        assert!(caller.slot(later).is_some());
    }

    #[test]
    fn a_caller_that_lets_go_at_once_opens_a_burst_and_then_so_many_a_second() {
        let (mut caller, mut now) = (Caller::new(), Instant::ZERO);
        let opened = (0..1000).filter(|_| caller.slot(now).is_some()).count();
        assert_eq!(opened, REACHED_STREAMS);
        now = now + Duration::from_secs(1);
        assert_eq!((0..1000).filter(|_| caller.slot(now).is_some()).count(), 32);
    }
}
