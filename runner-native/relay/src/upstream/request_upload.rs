//! A request's body on its way to a service, with its progress.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
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
    /// When it last progressed, microseconds of the clock.
    moved: AtomicU64,
    /// Whether it failed.
    broken: AtomicBool,
    /// Whether it failed by the body timeout.
    late: AtomicBool,
}

impl RequestUpload {
    /// The body of a visitor's request.
    pub(crate) fn new(body: RequestBody, clock: Clock) -> Self {
        if body.is_end_stream() {
            return Self::empty();
        }
        let progress = Arc::new(UploadState {
            moved: AtomicU64::new(clock.now().as_micros()),
            broken: AtomicBool::new(false),
            late: AtomicBool::new(false),
        });
        Self(Some(Flowing { body, clock, progress }))
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

impl UploadState {
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
            let idle = clock.now() - Instant::from_micros(self.moved.load(Ordering::Relaxed));
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
        let frame = ready!(Pin::new(&mut flowing.body).poll_frame(cx));
        flowing.progress.moved.store(flowing.clock.now().as_micros(), Ordering::Relaxed);
        if let Some(Err(error)) = &frame {
            flowing.progress.late.store(matches!(error, RequestBodyError::Late(_)), Ordering::Release);
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
