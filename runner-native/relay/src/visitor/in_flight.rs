//! Responses in progress of one connection: counts them, and gives up those that the visitor does not read.
//!
//! Over HTTP/1.1 the write timeout of the connection does this. Over HTTP/2 one stream can stall while the connection
//! goes on, so each response records when it was last polled.

use std::mem;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hvym_proxy::{MinRate, RateMeter};
use hvym_tunnel_core::time::Instant;
use hyper::body::{Body, Frame, SizeHint};
use thiserror::Error;

use crate::access_log::AccessRecord;
use crate::limits::visitor_counts::RequestPermit;
use crate::upstream::relayed::ServiceError;
use crate::upstream::response_body::ResponseBody;
use hvym_tunnel_net::clock::Clock;
use hvym_tunnel_net::timer::Timer;

/// Why a response is incomplete.
#[derive(Debug, Error)]
pub(crate) enum AnswerError {
    /// The connection to the service failed.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// The visitor read nothing for the send timeout.
    #[error("the visitor read nothing for too long")]
    Unread,
}

/// The responses of one connection.
pub(crate) struct ResponseTracker {
    clock: Clock,
    rate: MinRate,
    pending: AtomicUsize,
    /// When the last one ended, microseconds of the clock.
    idle_since: AtomicU64,
    all: Mutex<Vec<Weak<Mutex<SlowReader>>>>,
}

/// The state of one response, shared with the tracker.
struct SlowReader {
    /// `None` once it was given up.
    reply: Option<ResponseBody>,
    /// Released when the service is done, even if the visitor is not.
    permit: Option<RequestPermit>,
    /// Runs while the visitor has to read next, and not the service to send.
    meter: RateMeter,
    /// What the visitor has to read of it.
    unread: usize,
    /// Its line in the access log.
    record: Option<AccessRecord>,
}

impl SlowReader {
    /// The response has ended.
    fn leave(&mut self) {
        drop(self.permit.take().map(RequestPermit::over));
    }

    /// The visitor took what was unread; `frame` is what it has to read next.
    fn note<E>(&mut self, frame: &Poll<Option<Result<Frame<Bytes>, E>>>, now: Instant) {
        let is_enforced = self.permit.as_ref().is_some_and(RequestPermit::is_pressed);
        self.meter.handle_bytes(mem::take(&mut self.unread), is_enforced, now);
        if let Poll::Ready(Some(frame)) = frame {
            let data = frame.as_ref().ok().and_then(Frame::data_ref);
            self.unread = data.map_or(0, Bytes::len);
            if let Some(record) = &mut self.record {
                record.add_bytes(self.unread as u64);
            }
            self.meter.start(now);
        } else {
            self.meter.stop(now);
        }
    }

    fn give_up(&mut self) {
        self.reply = None;
        self.leave();
    }
}

impl Drop for SlowReader {
    fn drop(&mut self) {
        // A response that has no body, or no more of it, is not read to its end.
        if self.reply.as_ref().is_none_or(Body::is_end_stream) {
            self.leave();
        }
    }
}

impl ResponseTracker {
    /// A tracker without responses.
    pub(crate) fn new(rate: MinRate, clock: Clock) -> Arc<Self> {
        Arc::new(Self {
            clock,
            rate,
            pending: AtomicUsize::new(0),
            idle_since: AtomicU64::new(clock.now().as_micros()),
            all: Mutex::default(),
        })
    }

    /// Counts a request, until its response ends.
    pub(crate) fn begin(self: &Arc<Self>) -> PendingResponse {
        self.pending.fetch_add(1, Ordering::AcqRel);
        PendingResponse(Arc::clone(self))
    }

    /// Waits until no request was in progress for `idle`. Gives up responses that were not read for `unread`
    /// meanwhile.
    pub(crate) async fn idle(&self, idle: Duration, unread: Duration) {
        loop {
            Timer::after(idle.min(unread)).await;
            let now = self.clock.now();
            self.give_up(now);
            let since = Instant::from_micros(self.idle_since.load(Ordering::Acquire));
            if self.pending.load(Ordering::Acquire) == 0 && now - since >= idle {
                return;
            }
        }
    }

    fn give_up(&self, now: Instant) {
        self.all().retain(|slow| {
            let Some(slow) = slow.upgrade() else { return false };
            let mut slow = lock(&slow);
            if slow.meter.is_late(now) {
                slow.give_up();
            }
            slow.reply.is_some()
        });
    }

    fn all(&self) -> MutexGuard<'_, Vec<Weak<Mutex<SlowReader>>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn lock(slow: &Mutex<SlowReader>) -> MutexGuard<'_, SlowReader> {
    slow.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A request whose response is not sent completely.
pub(crate) struct PendingResponse(Arc<ResponseTracker>);

impl Drop for PendingResponse {
    fn drop(&mut self) {
        self.0.idle_since.store(self.0.clock.now().as_micros(), Ordering::Release);
        self.0.pending.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The body of a response, which is in progress until its end.
pub(crate) struct InFlight {
    slow: Arc<Mutex<SlowReader>>,
    clock: Clock,
    _under_way: PendingResponse,
}

impl InFlight {
    /// A response that has just begun.
    pub(crate) fn new(
        reply: ResponseBody,
        (permit, record): (Option<RequestPermit>, Option<AccessRecord>),
        pending: PendingResponse,
    ) -> Self {
        let responses = &pending.0;
        let mut meter = RateMeter::new(responses.rate);
        meter.start(responses.clock.now());
        let slow = SlowReader { reply: Some(reply), permit, meter, unread: 0, record };
        let slow = Arc::new(Mutex::new(slow));
        let mut all = responses.all();
        // Ended responses are removed whenever the list would grow.
        if all.len() == all.capacity() {
            all.retain(|slow| slow.strong_count() > 0);
        }
        all.push(Arc::downgrade(&slow));
        drop(all);
        Self { slow, clock: responses.clock, _under_way: pending }
    }
}

impl Body for InFlight {
    type Data = Bytes;
    type Error = AnswerError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, AnswerError>>> {
        let mut slow = lock(&self.slow);
        let Some(reply) = &mut slow.reply else {
            return Poll::Ready(Some(Err(AnswerError::Unread)));
        };
        let frame = Pin::new(reply).poll_frame(cx);
        slow.note(&frame, self.clock.now());
        if matches!(frame, Poll::Ready(None)) {
            slow.leave();
        }
        frame.map_err(AnswerError::Service)
    }

    fn is_end_stream(&self) -> bool {
        lock(&self.slow).reply.as_ref().is_some_and(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        lock(&self.slow).reply.as_ref().map_or_else(SizeHint::default, Body::size_hint)
    }
}
