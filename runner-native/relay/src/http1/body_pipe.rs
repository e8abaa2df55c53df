//! The body of a request on its way from the task of its visitor's connection to whoever reads it.
//!
//! It holds one piece: the connection reads more when that was taken. That it is asked for is what makes a visitor send
//! who waits for `100 Continue`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::HeaderMap;
use hyper::body::Frame;

use super::body_error::RequestBodyError;

#[derive(Default)]
struct PipeState {
    piece: Option<Frame<Bytes>>,
    end: Option<Result<(), RequestBodyError>>,
    /// Whether the reader waits for a piece.
    is_wanted: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// The end of the visitor's connection.
pub(crate) struct BodyWriterEnd(Arc<Mutex<PipeState>>);

/// The end of the reader.
pub(crate) struct BodyReaderEnd(Arc<Mutex<PipeState>>);

/// An empty pipe.
pub(crate) fn body_pipe() -> (BodyWriterEnd, BodyReaderEnd) {
    let state = Arc::<Mutex<PipeState>>::default();
    (BodyWriterEnd(Arc::clone(&state)), BodyReaderEnd(state))
}

fn lock(state: &Mutex<PipeState>) -> MutexGuard<'_, PipeState> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl BodyWriterEnd {
    /// Ready when the reader waits for a piece.
    pub(crate) fn poll_wanted(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = lock(&self.0);
        if state.is_wanted && state.end.is_none() {
            return Poll::Ready(());
        }
        state.writer = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Hands over the piece that was wanted.
    pub(crate) fn send(&self, piece: Frame<Bytes>) {
        let mut state = lock(&self.0);
        (state.piece, state.is_wanted) = (Some(piece), false);
        wake(state);
    }

    /// The body is over.
    pub(crate) fn end(&self, end: Result<(), RequestBodyError>) {
        let mut state = lock(&self.0);
        if state.end.is_none() {
            state.end = Some(end);
        }
        wake(state);
    }
}

fn wake(mut state: MutexGuard<'_, PipeState>) {
    let waker = state.reader.take();
    drop(state);
    if let Some(waker) = waker {
        waker.wake();
    }
}

impl Drop for BodyWriterEnd {
    fn drop(&mut self) {
        self.end(Err(RequestBodyError::Aborted));
    }
}

impl BodyReaderEnd {
    /// The next piece.
    pub(crate) fn poll_frame(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RequestBodyError>>> {
        let mut state = lock(&self.0);
        if let Some(piece) = state.piece.take() {
            return Poll::Ready(Some(Ok(piece)));
        }
        if let Some(end) = state.end.take() {
            state.end = Some(Ok(()));
            return Poll::Ready(end.err().map(Err));
        }
        (state.is_wanted, state.reader) = (true, Some(cx.waker().clone()));
        let writer = state.writer.take();
        drop(state);
        if let Some(writer) = writer {
            writer.wake();
        }
        Poll::Pending
    }

    /// Whether nothing follows.
    pub(crate) fn is_over(&self) -> bool {
        let state = lock(&self.0);
        state.piece.is_none() && matches!(state.end, Some(Ok(())))
    }
}

/// The fields of a trailer section.
pub(crate) fn trailers(section: &[u8]) -> HeaderMap {
    let fields = hvym_http1::trailer_fields(section, hvym_http1::MessageKind::Request);
    let parsed = fields.filter_map(|(name, value)| {
        Some((
            http::HeaderName::from_bytes(name.as_bytes()).ok()?,
            http::HeaderValue::from_bytes(value).ok()?,
        ))
    });
    let mut trailers = HeaderMap::new();
    parsed.for_each(|(name, value)| {
        trailers.append(name, value);
    });
    trailers
}
