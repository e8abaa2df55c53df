//! An HTTP/1.1 connection to a service, over one stream.
//!
//! It has no task: its user drives it, which saves a switch between tasks for each request. It knows no pool and no
//! session.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use http::{Request, Response};
use hvym_tunnel_core::mux::StreamId;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::rt::{Read, ReadBufCursor, Write};

use crate::settings::{MAX_FIELDS, MAX_HEAD_BYTES};
use crate::upstream::error::UpstreamError;
use crate::upstream::request_upload::RequestUpload;
use hvym_tunnel_net::clock::Clock;
use hvym_tunnel_net::stream::TunnelStream;
use hvym_tunnel_net::timeout::within;

/// One connection to a service. Dropping it during a request resets its stream.
pub(crate) struct H1Conn {
    sender: http1::SendRequest<RequestUpload>,
    /// `None` once it ended.
    connection: Option<Connection>,
    /// Whether the service sent anything since the last request began.
    heard: Arc<AtomicBool>,
    stream_id: StreamId,
}

/// Also hands its stream over when both sides change their protocol.
type Connection = Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>;

impl H1Conn {
    /// Over a stream that was just opened.
    pub(crate) async fn new(stream: TunnelStream) -> hyper::Result<Self> {
        let stream_id = stream.id();
        let wire = ServiceWire::new(stream);
        let heard = Arc::clone(&wire.heard);
        let (sender, connection) = http1::Builder::new()
            .preserve_header_case(true)
            .max_headers(MAX_FIELDS)
            .max_header_size(MAX_HEAD_BYTES)
            .handshake(wire)
            .await?;
        let connection: Connection = Box::pin(connection.with_upgrades());
        Ok(Self { sender, connection: Some(connection), heard, stream_id })
    }

    /// The stream that it is over.
    pub(crate) const fn stream_id(&self) -> StreamId {
        self.stream_id
    }

    /// Whether it can take a request now: the one before is answered in full, and was itself sent in full.
    pub(crate) fn is_free(&self) -> bool {
        self.connection.is_some() && self.sender.is_ready()
    }

    /// Moves what can be moved. Ready when the connection is over.
    pub(crate) fn poll_drive(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(connection) = &mut self.connection else { return Poll::Ready(()) };
        let ended = ready!(connection.as_mut().poll(cx));
        self.connection = None;
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection to a service ended");
        }
        Poll::Ready(())
    }

    /// Drives until it can take a request, or never again.
    pub(crate) async fn settled(&mut self) {
        poll_fn(|cx| match self.poll_drive(cx) {
            Poll::Ready(()) => Poll::Ready(()),
            Poll::Pending => self.sender.poll_ready(cx).map(drop),
        })
        .await;
    }

    /// Sends a request and waits for the head of its response, at most `limit` after the request last progressed.
    pub(crate) async fn ask(
        &mut self,
        request: Request<RequestUpload>,
        limit: Duration,
        clock: Clock,
    ) -> Result<Response<Incoming>, UpstreamError> {
        self.heard.store(false, Ordering::Relaxed);
        let progress = request.body().progress();
        let mut answer = pin!(self.sender.try_send_request(request));
        let connection = &mut self.connection;
        let answered = poll_fn(|cx| {
            if connection.as_mut().is_some_and(|connection| connection.as_mut().poll(cx).is_ready()) {
                *connection = None;
            }
            // Only driving the connection brings an answer, so nobody else need wake us for it.
            answer.as_mut().poll(&mut Context::from_waker(Waker::noop()))
        });
        let answered = match &progress {
            None => within(limit, answered).await,
            Some(progress) => progress.unless_idle(limit, clock, answered).await,
        };
        answered.ok_or(UpstreamError::TooLate)?.map_err(|mut error| match error.take_message() {
            Some(request) => UpstreamError::Unsent(Box::new(request)),
            None => match progress.and_then(|progress| progress.failure()) {
                Some(failure) => UpstreamError::Upload(failure),
                None if self.heard.load(Ordering::Relaxed) => UpstreamError::Bad(error.into_error()),
                None => UpstreamError::Lost(error.into_error()),
            },
        })
    }
}

/// A stream to a service that may respond before it has read the whole request: failed writes are ignored, and
/// reading finds out whether there is a response.
pub(crate) struct ServiceWire {
    pub(crate) stream: TunnelStream,
    heard: Arc<AtomicBool>,
}

impl ServiceWire {
    /// Over a stream that was just opened.
    pub(crate) fn new(stream: TunnelStream) -> Self {
        Self { stream, heard: Arc::default() }
    }
}

impl Read for ServiceWire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let data = ready!(self.stream.poll_some(buf.remaining(), cx))?;
        if let Some(data) = data {
            self.heard.store(true, Ordering::Relaxed);
            buf.put_slice(&data);
        }
        Poll::Ready(Ok(()))
    }
}

impl Write for ServiceWire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(self.stream.poll_write_slices(&[io::IoSlice::new(buf)], cx));
        Poll::Ready(Ok(written.unwrap_or(buf.len())))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(self.stream.poll_write_slices(bufs, cx));
        Poll::Ready(Ok(written.unwrap_or_else(|_| bufs.iter().map(|buf| buf.len()).sum())))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The link sends as soon as its socket takes it.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.stream.finish())
    }
}
