//! The body of a visitor's request, with `100-continue` and a timeout.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use http::header::{EXPECT, HeaderMap};
use http_body_util::Full;
use hvym_tunnel_core::time::Instant;
use hyper::body::{Body, Frame, Incoming, SizeHint};

use crate::http1::body_error::RequestBodyError;
use crate::http1::body_pipe::BodyReaderEnd;
use crate::http1::head_rewrite;
use crate::log_entry::body_text::BodyText;
use hvym_tunnel_net::coarse_timer::CoarseTimer;

/// How long a body waits for `100 Continue` of the service. Many services never send it; curl waits as long.
const CONTINUE_TIMEOUT: Duration = Duration::from_secs(1);

/// Releases a body that waits for `100 Continue`.
#[derive(Clone, Default)]
pub(crate) struct Permit(Arc<UploadPermit>);

#[derive(Default)]
struct UploadPermit {
    granted: AtomicBool,
    waker: AtomicWaker,
}

impl Permit {
    /// The service wants the body.
    pub(crate) fn grant(&self) {
        self.0.granted.store(true, Ordering::Release);
        self.0.waker.wake();
    }

    fn is_granted(&self) -> bool {
        self.0.granted.load(Ordering::Acquire)
    }
}

/// The body of a visitor's request. Reading it is what makes the visitor send: hyper says `100 Continue` then.
pub(crate) struct RequestBody {
    body: Source,
    limit: Duration,
    /// What is still waited for, if the visitor asked before it sends (RFC 9110 section 10.1.1).
    permit: Option<Permit>,
    timer: Option<CoarseTimer>,
    /// For the log.
    copy: Option<Arc<BodyText>>,
}

enum Source {
    /// From the visitor, as it is read.
    Coming(Incoming),
    /// From a visitor of HTTP/1.1, whose connection limits its time.
    Piped { pipe: BodyReaderEnd, length: SizeHint },
    /// Known whole.
    Here(Full<Bytes>),
}

impl RequestBody {
    /// `body`, of which something must come every `limit`.
    pub(crate) fn new(body: Incoming, limit: Duration) -> Self {
        Self { body: Source::Coming(body), limit, permit: None, timer: None, copy: None }
    }

    /// What comes through `pipe`, of `length` bytes if that is known.
    pub(crate) fn piped(pipe: BodyReaderEnd, length: Option<u64>) -> Self {
        let length = length.map_or_else(SizeHint::default, SizeHint::with_exact);
        Self {
            body: Source::Piped { pipe, length },
            limit: Duration::MAX,
            permit: None,
            timer: None,
            copy: None,
        }
    }

    /// It is for a service: if the visitor asked before it sends (RFC 9110 section 10.1.1), the service is waited for.
    pub(crate) fn wait_for_service(&mut self, fields: &HeaderMap) {
        let waits = head_rewrite::lists(fields, &EXPECT, "100-continue") && !self.is_end_stream();
        self.permit = waits.then(Permit::default);
    }

    /// One that is here already.
    pub(crate) fn whole(body: Bytes) -> Self {
        Self {
            body: Source::Here(Full::from(body)),
            limit: Duration::MAX,
            permit: None,
            timer: None,
            copy: None,
        }
    }

    /// Copies what passes, as far as it is text.
    pub(crate) fn copy_to(&mut self, text: Arc<BodyText>) {
        self.copy = Some(text);
    }

    /// What lets the body come, if it waits for that.
    pub(crate) fn permit(&self) -> Option<Permit> {
        self.permit.clone()
    }

    /// Waits until `deadline` for more of a body that was late.
    pub(crate) fn wait_until(&mut self, deadline: Instant) {
        self.timer = Some(CoarseTimer::at(deadline));
    }

    fn poll_timer(&mut self, limit: Duration, cx: &mut Context<'_>) -> Poll<()> {
        let timer = self.timer.get_or_insert_with(|| CoarseTimer::after(limit));
        Pin::new(timer).poll(cx)
    }

    fn poll_permit(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(permit) = self.permit.clone() else { return Poll::Ready(()) };
        permit.0.waker.register(cx.waker());
        if !permit.is_granted() {
            ready!(self.poll_timer(CONTINUE_TIMEOUT, cx));
        }
        (self.permit, self.timer) = (None, None);
        Poll::Ready(())
    }
}

impl RequestBody {
    fn poll_source(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, RequestBodyError>>> {
        ready!(self.poll_permit(cx));
        let polled = match &mut self.body {
            Source::Coming(body) => Pin::new(body).poll_frame(cx).map_err(RequestBodyError::Broken),
            Source::Piped { pipe, .. } => return pipe.poll_frame(cx),
            Source::Here(body) => Pin::new(body)
                .poll_frame(cx)
                .map(|frame| frame.map(|frame| frame.map_err(|never| match never {}))),
        };
        let Poll::Ready(frame) = polled else {
            let limit = self.limit;
            ready!(self.poll_timer(limit, cx));
            return Poll::Ready(Some(Err(RequestBodyError::Late(limit))));
        };
        self.timer = None;
        let frame = frame.map(|frame| {
            let mut frame = frame?;
            if let Some(trailers) = frame.trailers_mut() {
                head_rewrite::toward_service_last(trailers);
            }
            Ok(frame)
        });
        Poll::Ready(frame)
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = RequestBodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RequestBodyError>>> {
        let frame = self.poll_source(cx);
        if let (Some(copy), Poll::Ready(Some(Ok(frame)))) = (&self.copy, &frame)
            && let Some(data) = frame.data_ref()
        {
            copy.push(data);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        match &self.body {
            Source::Coming(body) => body.is_end_stream(),
            Source::Piped { pipe, length } => length.exact() == Some(0) || pipe.is_over(),
            Source::Here(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.body {
            Source::Coming(body) => body.size_hint(),
            Source::Piped { length, .. } => *length,
            Source::Here(body) => body.size_hint(),
        }
    }
}
