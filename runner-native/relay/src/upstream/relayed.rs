//! The body of a service's response, on its way to a visitor for whom hyper or a handler reads it.

use std::any::Any;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use hvym_proxy::UpstreamFailure;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use smol::channel::{Receiver, Sender, bounded};
use thiserror::Error;

use crate::upstream::h2::H2Conn;
use crate::upstream::pool::PooledConn;
use crate::upstream::request_upload::UploadState;
use hvym_tunnel_net::runtime::{Task, spawn};

/// Why a response is incomplete.
#[derive(Debug, Error)]
pub(crate) enum ServiceError {
    /// Over HTTP/1.1.
    #[error(transparent)]
    Http1(#[from] UpstreamFailure),
    /// Over HTTP/2.
    #[error(transparent)]
    Http2(#[from] hyper::Error),
}

type FrameResult = Result<Frame<Bytes>, ServiceError>;

/// What is held until a request is over.
pub(crate) type RequestGuard = Box<dyn Any + Send>;

/// A service's response body. Dropping it before its end resets the connection. At its end, the rest of the request
/// may still be sent; then the connection returns to the pool.
pub(crate) struct Relayed {
    source: Source,
    /// The error of the body, held back while earlier data is flushed.
    broken: Option<ServiceError>,
    /// The request's body, if there is one: while its response flows, it may stand still.
    upload: Option<Arc<UploadState>>,
    _guard: RequestGuard,
}

/// Where the body comes from.
enum Source {
    /// A connection that is driven by reading.
    Here(PooledConn),
    /// A task that drives the connection, because the visitor may still send the request without reading.
    Apart { frames: Pin<Box<Receiver<FrameResult>>>, task: Task<()>, hint: SizeHint },
    /// A shared connection, which is held so that it is known to be in use.
    Shared { body: Incoming, _h2_conn: H2Conn },
    /// Nothing more.
    Over,
}

impl Relayed {
    /// Over HTTP/1.1.
    pub(crate) fn http1(pooled: PooledConn, upload: Option<Arc<UploadState>>, guard: RequestGuard) -> Self {
        let source = if pooled.h1_conn.is_request_sent() { Source::Here(pooled) } else { apart(pooled) };
        Self { source, broken: None, upload, _guard: guard }
    }

    /// Over HTTP/2.
    pub(crate) fn http2(
        body: Incoming,
        h2_conn: H2Conn,
        upload: Option<Arc<UploadState>>,
        guard: RequestGuard,
    ) -> Self {
        let source = Source::Shared { body, _h2_conn: h2_conn };
        Self { source, broken: None, upload, _guard: guard }
    }

    pub(super) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<FrameResult>> {
        if let Some(error) = self.broken.take() {
            return Poll::Ready(Some(Err(error)));
        }
        let frame = self.poll_source(cx);
        match frame {
            Poll::Ready(None) => self.let_go(),
            Poll::Ready(Some(Err(error))) => {
                // Returned by the next poll: hyper discards unflushed data when a body fails.
                self.broken = Some(error);
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Poll::Ready(Some(Ok(_))) => {
                if let Some(upload) = &self.upload {
                    upload.response_progressed();
                }
            }
            Poll::Pending => {}
        }
        frame
    }

    fn poll_source(&mut self, cx: &mut Context<'_>) -> Poll<Option<FrameResult>> {
        match &mut self.source {
            Source::Here(pooled) => pooled
                .h1_conn
                .poll_frame(cx)
                .map(|frame| frame.map(|frame| frame.map_err(ServiceError::Http1))),
            Source::Apart { frames, .. } => futures_util::Stream::poll_next(frames.as_mut(), cx),
            Source::Shared { body, .. } => Pin::new(body)
                .poll_frame(cx)
                .map(|frame| frame.map(|frame| frame.map_err(ServiceError::Http2))),
            Source::Over => Poll::Ready(None),
        }
    }

    fn let_go(&mut self) {
        match std::mem::replace(&mut self.source, Source::Over) {
            Source::Here(pooled) => pooled.give_back(),
            Source::Apart { task, .. } => task.detach(),
            Source::Shared { .. } | Source::Over => {}
        }
    }

    pub(super) fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Shared { body, .. } => body.is_end_stream(),
            // The end of an empty body has to be read, so that the connection is given back.
            Source::Here(_) | Source::Apart { .. } => false,
            Source::Over => self.broken.is_none(),
        }
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Here(pooled) => pooled.h1_conn.size_hint(),
            Source::Apart { hint, .. } => *hint,
            Source::Shared { body, .. } => body.size_hint(),
            Source::Over => SizeHint::with_exact(0),
        }
    }
}

fn apart(pooled: PooledConn) -> Source {
    let hint = pooled.h1_conn.size_hint();
    let (sender, frames) = bounded(1);
    Source::Apart { frames: Box::pin(frames), task: spawn(drive(pooled, sender)), hint }
}

/// Sends the rest of a request while its response is read, and gives the connection back.
async fn drive(mut pooled: PooledConn, frames: Sender<FrameResult>) {
    while let Some(frame) = poll_fn(|cx| pooled.h1_conn.poll_frame(cx)).await {
        let is_broken = frame.is_err();
        let mut sent = pin!(frames.send(frame.map_err(ServiceError::Http1)));
        let sent = poll_fn(|cx| {
            let _sent = pooled.h1_conn.poll_upload(cx);
            sent.as_mut().poll(cx)
        });
        if sent.await.is_err() || is_broken {
            return;
        }
    }
    drop(frames);
    poll_fn(|cx| pooled.h1_conn.poll_upload(cx)).await;
    pooled.give_back();
}
