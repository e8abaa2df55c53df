//! Answers on their way to visitors: what counts as under way, and for how long a visitor may not read.
//!
//! Over HTTP/1.1 a visitor who does not read is seen on its connection. Over HTTP/2 the connection goes on while one
//! stream stands still, so each answer notes when it was last asked for more.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hvym_tunnel_core::time::Instant;
use hyper::body::{Body, Frame, SizeHint};
use thiserror::Error;

use crate::limits::concurrency::ConcurrencyPermit;
use crate::upstream::response_body::ResponseBody;
use hvym_tunnel_net::clock::Clock;
use hvym_tunnel_net::timer::Timer;

/// Why an answer did not come whole.
#[derive(Debug, Error)]
pub(crate) enum AnswerError {
    /// The service's end of it broke.
    #[error(transparent)]
    Service(#[from] hyper::Error),
    /// The visitor read nothing for too long.
    #[error("the visitor read nothing for too long")]
    Unread,
}

/// The answers of one connection.
pub(crate) struct ResponseTracker {
    clock: Clock,
    pending: AtomicUsize,
    /// When the last of them ended, microseconds.
    idle_since: AtomicU64,
    all: Mutex<Vec<Weak<Mutex<SlowReader>>>>,
}

/// One answer, as whoever looks for slow visitors sees it.
struct SlowReader {
    /// Gone once it was given up.
    reply: Option<ResponseBody>,
    /// Given back as soon as the service is done, even if the visitor is not.
    permit: Option<ConcurrencyPermit>,
    /// Whether it is the visitor, and not the service, that has to move next.
    waits: bool,
    at: Instant,
}

impl ResponseTracker {
    /// None yet.
    pub(crate) fn new(clock: Clock) -> Arc<Self> {
        Arc::new(Self {
            clock,
            pending: AtomicUsize::new(0),
            idle_since: AtomicU64::new(clock.now().as_micros()),
            all: Mutex::default(),
        })
    }

    /// A request came, and is under way until its answer ends.
    pub(crate) fn begin(self: &Arc<Self>) -> PendingResponse {
        self.pending.fetch_add(1, Ordering::AcqRel);
        PendingResponse(Arc::clone(self))
    }

    /// Waits until no request was under way for `idle`. Answers that nobody read for `unread` are given up meanwhile.
    pub(crate) async fn idle(&self, idle: Duration, unread: Duration) {
        loop {
            Timer::after(idle.min(unread)).await;
            let now = self.clock.now();
            self.give_up(now, unread);
            let since = Instant::from_micros(self.idle_since.load(Ordering::Acquire));
            if self.pending.load(Ordering::Acquire) == 0 && now - since >= idle {
                return;
            }
        }
    }

    fn give_up(&self, now: Instant, unread: Duration) {
        self.all().retain(|slow| {
            let Some(slow) = slow.upgrade() else { return false };
            let mut slow = lock(&slow);
            if slow.waits && now - slow.at >= unread {
                (slow.reply, slow.permit) = (None, None);
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

/// A request that is not answered to the last byte.
pub(crate) struct PendingResponse(Arc<ResponseTracker>);

impl Drop for PendingResponse {
    fn drop(&mut self) {
        self.0.idle_since.store(self.0.clock.now().as_micros(), Ordering::Release);
        self.0.pending.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The body of an answer, which counts as under way until its end.
pub(crate) struct InFlight {
    slow: Arc<Mutex<SlowReader>>,
    clock: Clock,
    _under_way: PendingResponse,
}

impl InFlight {
    /// `reply` has just begun.
    pub(crate) fn new(
        reply: ResponseBody,
        permit: Option<ConcurrencyPermit>,
        pending: PendingResponse,
    ) -> Self {
        let responses = &pending.0;
        let slow = SlowReader { reply: Some(reply), permit, waits: true, at: responses.clock.now() };
        let slow = Arc::new(Mutex::new(slow));
        let mut all = responses.all();
        // Those that ended are cleared away whenever they have doubled the list.
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
        slow.waits = matches!(frame, Poll::Ready(Some(_)));
        slow.at = self.clock.now();
        if matches!(frame, Poll::Ready(None)) {
            slow.permit = None;
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
