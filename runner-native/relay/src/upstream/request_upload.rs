//! A request's body on its way to a service, with its progress.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hvym_proxy::{MinRate, RateMeter};
use hvym_tunnel_core::time::Instant;
use hyper::body::{Body, Frame, SizeHint};

use crate::http1::body_error::RequestBodyError;
use crate::http1::request_body::RequestBody;
use hvym_tunnel_net::clock::Clock;
use hvym_tunnel_net::timeout::within;

/// A request's body. An empty one has no progress to track.
pub(crate) struct RequestUpload(Option<Flowing>);

struct Flowing {
    body: RequestBody,
    clock: Clock,
    progress: Arc<UploadState>,
    /// How long it may be late once its response has begun.
    tunnel_timeout: Duration,
    /// Measures it until its response begins, if it must not be slow.
    meter: Option<RateMeter>,
}

/// Why a body did not arrive completely.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum UploadFailure {
    /// No byte of it arrived for the body timeout.
    TimedOut,
    /// The visitor's connection ended, or the body is malformed.
    Broken,
}

/// The progress of a body.
pub(crate) struct UploadState {
    clock: Clock,
    /// When the body, or its response, last progressed, microseconds of the clock.
    moved: AtomicU64,
    /// Whether its response has begun.
    answered: AtomicBool,
    /// Whether it failed.
    broken: AtomicBool,
    /// Whether it failed by the body timeout.
    late: AtomicBool,
}

impl RequestUpload {
    /// The body of a visitor's request. With `rate` it must not be slower, until its response begins: then both sides talk.
    /// Both sides may be silent for `tunnel_timeout` from then on.
    pub(crate) fn new(
        body: RequestBody,
        rate: Option<MinRate>,
        tunnel_timeout: Duration,
        clock: Clock,
    ) -> Self {
        if body.is_end_stream() {
            return Self::empty();
        }
        let progress = Arc::new(UploadState {
            clock,
            moved: AtomicU64::new(clock.now().as_micros()),
            answered: AtomicBool::new(false),
            broken: AtomicBool::new(false),
            late: AtomicBool::new(false),
        });
        Self(Some(Flowing { body, clock, progress, tunnel_timeout, meter: rate.map(RateMeter::new) }))
    }

    /// An empty body.
    pub(crate) fn empty() -> Self {
        Self(None)
    }

    /// Whether it is empty.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Its progress; `None` if it is empty.
    pub(crate) fn progress(&self) -> Option<Arc<UploadState>> {
        self.0.as_ref().map(|flowing| Arc::clone(&flowing.progress))
    }
}

impl Flowing {
    /// The next of the body. It is late only if its response stood still as long: who streams in both directions may
    /// listen for longer than the body timeout.
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, RequestBodyError>>> {
        loop {
            let polled = Pin::new(&mut self.body).poll_frame(cx);
            let Poll::Ready(Some(Err(RequestBodyError::Late(limit)))) = &polled else { return polled };
            let is_answered = self.progress.answered.load(Ordering::Relaxed);
            let limit = if is_answered { self.tunnel_timeout } else { *limit };
            let deadline = self.progress.last_progress() + limit;
            if deadline <= self.clock.now() {
                return polled;
            }
            self.body.wait_until(deadline);
        }
    }

    /// Measures what came, or that nothing did. Looks for those who are too slow whenever something comes of them: of the
    /// others, [`RequestBody`] notices that nothing does.
    fn measure(&mut self, came: Option<usize>, now: Instant) -> Result<(), RequestBodyError> {
        let is_answered = self.progress.answered.load(Ordering::Relaxed);
        let Some(meter) = self.meter.as_mut().filter(|_| !is_answered) else { return Ok(()) };
        let Some(count) = came else {
            meter.start(now);
            return Ok(());
        };
        if meter.is_late(now) {
            return Err(RequestBodyError::Slow);
        }
        meter.handle_bytes(count, true, now);
        meter.stop(now);
        Ok(())
    }
}

impl UploadState {
    /// The response has begun.
    pub(crate) fn answer(&self) {
        self.answered.store(true, Ordering::Relaxed);
        self.progressed(self.clock.now());
    }

    /// More of the response went to the visitor.
    pub(crate) fn response_progressed(&self) {
        self.progressed(self.clock.now());
    }

    fn progressed(&self, now: Instant) {
        self.moved.store(now.as_micros(), Ordering::Relaxed);
    }

    /// When the body or its response last progressed.
    fn last_progress(&self) -> Instant {
        Instant::from_micros(self.moved.load(Ordering::Relaxed))
    }

    /// Why the body did not arrive completely, if it failed.
    pub(crate) fn failure(&self) -> Option<UploadFailure> {
        let is_late = self.late.load(Ordering::Acquire);
        let failure = if is_late { UploadFailure::TimedOut } else { UploadFailure::Broken };
        self.broken.load(Ordering::Acquire).then_some(failure)
    }

    /// Runs `work`; `None` if `limit` passes after the body last progressed.
    pub(crate) async fn unless_idle<T>(
        &self,
        limit: Duration,
        clock: Clock,
        work: impl Future<Output = T>,
    ) -> Option<T> {
        let mut work = std::pin::pin!(work);
        loop {
            let idle = clock.now() - self.last_progress();
            let left = limit.checked_sub(idle).filter(|left| !left.is_zero())?;
            if let Some(done) = within(left, work.as_mut()).await {
                return Some(done);
            }
        }
    }
}

impl Body for RequestUpload {
    type Data = Bytes;
    type Error = RequestBodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RequestBodyError>>> {
        let Some(flowing) = &mut self.0 else { return Poll::Ready(None) };
        let polled = flowing.poll_body(cx);
        let now = flowing.clock.now();
        let came = match &polled {
            Poll::Ready(Some(Ok(frame))) => Some(frame.data_ref().map_or(0, Bytes::len)),
            Poll::Ready(_) => Some(0),
            Poll::Pending => None,
        };
        let measured = flowing.measure(came, now);
        let mut frame = ready!(polled);
        if let Err(error) = measured {
            frame = Some(Err(error));
        }
        flowing.progress.progressed(now);
        if let Some(Err(error)) = &frame {
            let is_late = matches!(error, RequestBodyError::Late(_) | RequestBodyError::Slow);
            flowing.progress.late.store(is_late, Ordering::Release);
            flowing.progress.broken.store(true, Ordering::Release);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(|flowing| flowing.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.0.as_ref().map_or_else(|| SizeHint::with_exact(0), |flowing| flowing.body.size_hint())
    }
}
