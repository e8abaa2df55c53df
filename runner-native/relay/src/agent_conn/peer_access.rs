//! Streams from one agent to a service of another: opens a stream to the service's owner, and copies between it and
//! the caller's stream.
//!
//! The owner decides about access. Every refusal has the same text and the same delay, so that a caller cannot tell
//! the reasons apart.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::{self, Either};
use hvym_tunnel_core::dialect::{OpenResult, StreamHeader};
use hvym_tunnel_core::relay::{CALLER_STREAMS, Owner, ReachError, ReachRate};
use hvym_tunnel_core::stellar::Address;
use hvym_tunnel_core::stellar::delegation::SignedDelegation;
use hvym_tunnel_core::time::Instant;
use thiserror::Error;

use crate::limits::reached::ReachedStream;
use crate::relay_state::RelayState;
use crate::sessions::Assigned;
use hvym_tunnel_net::runtime::spawn;
use hvym_tunnel_net::stream::{TunnelReader, TunnelStream, TunnelWriter};
use hvym_tunnel_net::timeout::within;
use hvym_tunnel_net::timer::Timer;

/// Timeout of the owner's answer, which includes its connection to the service.
const VERDICT_TIMEOUT: Duration = Duration::from_secs(10);
/// The delay of refusals after the stream was opened. The round trip to an owner is nearly always shorter, so the
/// time does not tell whether the owner exists.
const REFUSAL_AFTER: Duration = Duration::from_millis(500);

/// How long nothing may pass on a stream of an owner that has more than half of what it may have: whoever idles is in the way of
/// others then. Pools of databases check theirs more often.
const PRESSED_IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// The caller side of one agent.
pub(crate) struct Caller {
    rate: ReachRate,
}

impl Caller {
    /// A caller without streams.
    pub(crate) fn new() -> Self {
        Self { rate: ReachRate::new(CALLER_STREAMS) }
    }

    /// Serves one stream that the caller opened, in a task of its own.
    pub(crate) fn open(&mut self, state: &Arc<RelayState>, stream: TunnelStream, opening: StreamHeader) {
        let StreamHeader { service, to: Some(to), from: Some(from), delegation, probe, .. } = opening else {
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
        // Who has all streams that it may have is told that, however fast it asks for more.
        let slot = match state.reached.enter(from, to) {
            Err(error @ ReachError::Caller) => Err(error.to_string()),
            // As if there were no owner.
            counted => self.take(now).map(|()| counted.ok()).map_err(|error| error.to_string()),
        };
        let slot = match slot {
            Ok(slot) => slot,
            Err(error) => {
                let verdict = OpenResult::refused(OpenResult::TOO_MANY, &error);
                return spawn(async move { refuse(stream.split().1, &verdict).await }).detach();
            }
        };
        let state = Arc::clone(state);
        let reach = Reach { state, to, from, delegation, service, probe, opened: now, slot };
        spawn(async move {
            let stream_id = stream.id();
            if let Err(error) = reach.run(stream).await {
                tracing::debug!(stream = ?stream_id, %error, "a stream between two agents ended early");
            }
        })
        .detach();
    }

    /// Takes one stream of the caller's rate.
    fn take(&mut self, now: Instant) -> Result<(), TooFast> {
        if !self.rate.delay(now).is_zero() {
            return Err(TooFast);
        }
        self.rate.take(now);
        Ok(())
    }
}

/// A caller gets no other stream for a moment.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Error)]
#[error("you open connections faster than the relay takes them from one identity")]
struct TooFast;

/// One stream to another agent's service.
struct Reach {
    state: Arc<RelayState>,
    to: Address,
    from: Address,
    /// By what another key acts for `from`.
    delegation: Option<SignedDelegation>,
    service: String,
    /// Whether only the verdict is wanted.
    probe: bool,
    opened: Instant,
    /// `None`: the owner has all that it may have.
    slot: Option<ReachedStream>,
}

impl Reach {
    async fn run(self, caller: TunnelStream) -> io::Result<()> {
        // Held to the end, so that draining waits for this stream.
        let Some(_pass) = self.state.lifecycle.requests.enter() else {
            let verdict = OpenResult::refused(OpenResult::UNAVAILABLE, "the relay is restarting");
            return refuse(caller.split().1, &verdict).await;
        };
        if self.state.is_fenced() {
            let verdict = OpenResult::refused(
                OpenResult::UNAVAILABLE,
                "the relay is finding out which of several relays has the tunnel",
            );
            return refuse(caller.split().1, &verdict).await;
        }
        let caller_reset = caller.reset_watch();
        let (from_caller, to_caller) = caller.split();
        let Some((owner, _assigned)) = self.open().await else {
            return self.reject(to_caller, &OpenResult::not_reachable()).await;
        };
        let owner_reset = owner.reset_watch();
        let (from_owner, to_owner) = owner.split();
        let moved = AtomicU64::new(self.state.clock.now().as_micros());
        let note = || moved.store(self.state.clock.now().as_micros(), Ordering::Relaxed);
        let copying = Box::pin(future::try_join(
            pass_on(from_caller, to_owner, note),
            answer(from_owner, to_caller, note),
        ));
        // One that waits for the other side's room would not hear that its own is gone.
        let gone = future::select(caller_reset, owner_reset);
        let copied = match future::select(copying, future::select(gone, pin!(self.idle(&moved)))).await {
            Either::Left((copied, _)) => copied,
            Either::Right((Either::Left((Either::Left((error, _)) | Either::Right((error, _)), _)), _)) => {
                Err(Ended::Broken(error))
            }
            Either::Right((Either::Right(((), _)), _)) => Err(Ended::Broken(io::ErrorKind::TimedOut.into())),
        };
        match copied {
            Ok(_) => Ok(()),
            Err(Ended::Broken(error)) => Err(error),
            // The owner's stream is dropped by now: refused callers that wait hold no capacity of its link.
            Err(Ended::Refused(verdict, to_caller)) => self.reject(to_caller, &verdict).await,
        }
    }

    /// Waits until nothing has passed for too long: an hour by default, less where the owner's streams become few.
    async fn idle(&self, moved: &AtomicU64) {
        loop {
            let is_pressed = self.slot.as_ref().is_some_and(ReachedStream::is_pressed);
            let limit = self.state.settings.options.visitors.tunnel_timeout;
            let limit = if is_pressed { limit.min(PRESSED_IDLE_TIMEOUT) } else { limit };
            let now = self.state.clock.now();
            let until = Instant::from_micros(moved.load(Ordering::Relaxed)) + limit;
            if now >= until {
                return;
            }
            // Looked at again meanwhile: the owner's streams may become few.
            Timer::at(until.min(now + PRESSED_IDLE_TIMEOUT)).await;
        }
    }

    /// Opens a stream to the owner.
    async fn open(&self) -> Option<(TunnelStream, Assigned)> {
        self.slot.as_ref()?;
        let key = self.delegation.as_ref().map(|signed| signed.delegation.key);
        tracing::debug!(from = %self.from, ?key, to = %self.to, service = self.service, "reach");
        let delegated = |header: StreamHeader| {
            let header = StreamHeader { probe: self.probe, ..header };
            match &self.delegation {
                Some(signed) => header.delegated(signed, self.to),
                None => header,
            }
        };
        let (owner, sessions) = (Owner::Identity(self.to), &self.state.sessions);
        sessions.open_for_identity(&owner, &self.service, self.from, &delegated).await
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
async fn answer(mut owner: TunnelReader, mut caller: TunnelWriter, note: impl Fn()) -> Result<(), Ended> {
    match within(VERDICT_TIMEOUT, owner.read_verdict()).await {
        Some(Ok(OpenResult::Accepted)) => {}
        Some(Ok(refused)) => return Err(Ended::Refused(refused, caller)),
        // A closed stream or an invalid answer means that the service is not offered.
        Some(Err(_)) | None => return Err(Ended::Refused(OpenResult::not_reachable(), caller)),
    }
    caller.write_bytes(OpenResult::Accepted.encode()).await?;
    while let Some(data) = owner.read_bytes().await? {
        note();
        caller.write_bytes(data).await?;
    }
    Ok(caller.finish()?)
}

/// Copies from the caller to the owner. An owner that stops reading may still send.
async fn pass_on(mut caller: TunnelReader, mut owner: TunnelWriter, note: impl Fn()) -> Result<(), Ended> {
    while let Some(data) = caller.read_bytes().await? {
        note();
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
    fn a_caller_that_lets_go_at_once_opens_a_burst_and_then_so_many_a_second() {
        let (mut caller, mut now) = (Caller::new(), Instant::ZERO);
        let opened = (0..1000).filter(|_| caller.take(now).is_ok()).count();
        assert_eq!(opened, CALLER_STREAMS);
        assert_eq!(caller.take(now), Err(TooFast));
        now = now + Duration::from_secs(1);
        assert_eq!((0..1000).filter(|_| caller.take(now).is_ok()).count(), 32);
    }
}
