//! An HTTP/1.1 connection to a service, over one stream, and requests over it whose bodies come and go as hyper has them.
//!
//! It has no task: its user drives it, which saves a switch between tasks for each request. It knows no pool and no
//! session.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, HeaderName, HeaderValue, UPGRADE};
use http::{HeaderMap, Request, Response, StatusCode, Version, request};
use hvym_http1::{Framing, MessageKind, ResponseRewrite, ResponseView, trailer_fields};
use hvym_proxy::{
    BodyMode, ConnHistory, MethodKind, RequestFacts, SendQueue, Upstream, UpstreamEvent, UpstreamFailure,
};
use hvym_tunnel_core::mux::StreamId;
use hvym_tunnel_core::time::Instant;
use hyper::body::{Body, Frame, SizeHint};

use crate::http1::request_body::Permit;
use crate::upstream::error::UpstreamError;
use crate::upstream::request_upload::{RequestUpload, UploadState};
use hvym_tunnel_net::clock::Clock;
use hvym_tunnel_net::stream::TunnelStream;
use hvym_tunnel_net::timeout::within;

/// What one read takes out of a stream at most.
pub(crate) const READ_BYTES: usize = 64 * 1024;
/// Bytes of a request's body that wait for the stream; above it, the visitor waits.
const MAX_UNSENT: usize = 64 * 1024;

/// One connection to a service. Dropping it during a request resets its stream.
pub(crate) struct H1Conn {
    pub(crate) stream: TunnelStream,
    /// Elsewhere while the loop of a visitor's connection drives it.
    pub(crate) upstream: Option<Box<Upstream>>,
    upload: Option<Upload>,
    /// Payload of the response that is still to come, if its length is known.
    remaining: Option<u64>,
}

/// Why an idle connection is over.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum IdleEnd {
    /// It ended.
    Ended,
    /// The service said something that nobody asked for.
    Unasked,
}

/// A request's body on its way.
struct Upload {
    body: std::pin::Pin<Box<RequestUpload>>,
    is_chunked: bool,
}

impl H1Conn {
    /// Over a stream that was just opened.
    pub(crate) fn new(stream: TunnelStream) -> Self {
        Self { stream, upstream: Some(Box::default()), upload: None, remaining: None }
    }

    /// Whether it can take a request now: the one before is answered in full, and was itself sent in full.
    pub(crate) fn is_free(&self) -> bool {
        self.upstream.as_ref().is_some_and(|upstream| upstream.is_reusable())
    }

    /// The stream that it is over.
    pub(crate) fn stream_id(&self) -> StreamId {
        self.stream.id()
    }

    /// What it has carried.
    pub(crate) fn history(&self) -> ConnHistory {
        self.upstream.as_ref().map(|upstream| *upstream.history()).unwrap_or_default()
    }

    /// Looks at an idle connection. Ready when it is over.
    pub(crate) fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<IdleEnd> {
        self.stream.poll_some(READ_BYTES, cx).map(|read| match read {
            Ok(Some(_)) => IdleEnd::Unasked,
            Ok(None) | Err(_) => IdleEnd::Ended,
        })
    }

    /// Moves what can be moved. Returns whether anything was.
    ///
    /// # Errors
    /// The body of the request did not arrive completely.
    fn drive(&mut self, cx: &mut Context<'_>) -> Result<bool, ()> {
        let Some(upstream) = &mut self.upstream else { return Ok(false) };
        let mut moved = false;
        while let Some(upload) = self.upload.as_mut().filter(|_| upstream.unsent() < MAX_UNSENT) {
            let Poll::Ready(frame) = upload.body.as_mut().poll_frame(cx) else { break };
            let is_chunked = upload.is_chunked;
            moved = true;
            match frame {
                None => end_upload(upstream, is_chunked, None),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => {
                        send_upload(upstream, is_chunked, data);
                        continue;
                    }
                    Err(frame) => end_upload(upstream, is_chunked, frame.trailers_ref()),
                },
                Some(Err(_)) => {
                    self.upload = None;
                    return Err(());
                }
            }
            self.upload = None;
        }
        moved |= send(&mut self.stream, upstream, cx);
        Ok(moved | receive(&mut self.stream, upstream, cx))
    }

    /// Sends a request and waits for the head of its response, at most `limit` after the request last progressed. `permit` is
    /// granted when the service wants the body.
    pub(crate) async fn ask(
        &mut self,
        request: Request<RequestUpload>,
        permit: Option<Permit>,
        limit: Duration,
        clock: Clock,
    ) -> Result<Response<()>, UpstreamError> {
        if !self.is_free() {
            return Err(UpstreamError::Unsent(Box::new(request)));
        }
        let progress = request.body().progress();
        self.begin(request);
        let answered = poll_fn(|cx| self.poll_head(permit.as_ref(), cx));
        let answered = match &progress {
            None => within(limit, answered).await,
            Some(progress) => progress.unless_idle(limit, clock, answered).await,
        };
        answered.ok_or(UpstreamError::TooLate)?.map_err(|failure| {
            let upload = progress.as_deref().and_then(UploadState::failure);
            match (upload, failure) {
                (Some(failure), _) => UpstreamError::Upload(failure),
                (None, Some(UpstreamFailure::Lost | UpstreamFailure::Unsent)) => {
                    UpstreamError::Lost(UpstreamFailure::Lost.into())
                }
                (None, Some(failure)) => UpstreamError::Bad(failure.into()),
                (None, None) => UpstreamError::Lost(UpstreamFailure::Lost.into()),
            }
        })
    }

    fn begin(&mut self, request: Request<RequestUpload>) {
        let Some(upstream) = &mut self.upstream else { return };
        let (head, body) = request.into_parts();
        let framing = match body.size_hint().exact() {
            _ if body.is_empty() => Framing::Empty,
            Some(length) => Framing::Length(length),
            None => Framing::Chunked,
        };
        let method = MethodKind::new(head.method.as_str());
        let facts = RequestFacts {
            method,
            framing,
            wants_upgrade: head.headers.contains_key(UPGRADE),
            logs_in_connection: crate::http1::auth::logs_in_connection(&head.headers),
            ..RequestFacts::default()
        };
        upstream.begin(write_head(&head, framing), facts);
        if facts.has_body() {
            let is_chunked = framing == Framing::Chunked;
            self.upload = Some(Upload { body: Box::pin(body), is_chunked });
        }
    }

    fn poll_head(
        &mut self,
        permit: Option<&Permit>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Response<()>, Option<UpstreamFailure>>> {
        loop {
            let Some(upstream) = &mut self.upstream else { return Poll::Ready(Err(None)) };
            match upstream.poll_event() {
                Some(UpstreamEvent::Interim(view)) => {
                    if let Some(permit) = permit.filter(|_| view.status() == 100) {
                        permit.grant();
                    }
                }
                Some(UpstreamEvent::Response(view)) => {
                    let response = read_head(&view);
                    self.remaining = match view.framing() {
                        Framing::Length(length) => Some(length),
                        Framing::Empty => Some(0),
                        Framing::Chunked | Framing::UntilClose | Framing::Tunnel => None,
                    };
                    upstream.set_body_mode(BodyMode::Payload);
                    return Poll::Ready(Ok(response));
                }
                Some(UpstreamEvent::Failed(failure)) => return Poll::Ready(Err(Some(failure))),
                Some(_) => {}
                None => match self.drive(cx) {
                    Ok(true) => {}
                    Ok(false) => return Poll::Pending,
                    Err(()) => return Poll::Ready(Err(None)),
                },
            }
        }
    }

    /// The next frame of the response's body, while the rest of the request is sent.
    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UpstreamFailure>>> {
        loop {
            let Some(upstream) = &mut self.upstream else { return Poll::Ready(None) };
            match upstream.poll_event() {
                Some(UpstreamEvent::Body(data)) => {
                    self.remaining = self.remaining.map(|left| left.saturating_sub(data.len() as u64));
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Some(UpstreamEvent::Trailers(section)) => {
                    return Poll::Ready(Some(Ok(Frame::trailers(trailers(&section)))));
                }
                Some(UpstreamEvent::Failed(failure)) => return Poll::Ready(Some(Err(failure))),
                Some(UpstreamEvent::End) => return Poll::Ready(None),
                Some(UpstreamEvent::Interim(_) | UpstreamEvent::Response(_)) => {}
                // After the events: the end of a chunk is none, and makes room for what has to be waited for.
                None => match self.drive(cx) {
                    Ok(true) => {}
                    Ok(false) => return Poll::Pending,
                    // That the request broke off is no end of its response, but the service may wait for the rest.
                    Err(()) => return Poll::Ready(Some(Err(UpstreamFailure::Lost))),
                },
            }
        }
    }

    /// Sends the rest of the request. Ready when that is done, or cannot be.
    pub(crate) fn poll_upload(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while let Ok(true) = self.drive(cx) {}
        let is_sent =
            self.upload.is_none() && self.upstream.as_ref().is_none_or(|upstream| upstream.is_flushed());
        if is_sent { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Whether the request was sent in full.
    pub(crate) fn is_request_sent(&self) -> bool {
        self.upload.is_none()
    }

    /// Payload of the response that is still to come.
    pub(crate) fn size_hint(&self) -> SizeHint {
        self.remaining.map_or_else(SizeHint::default, SizeHint::with_exact)
    }

    /// The stream, and what is to be sent to the visitor and to the service first: both speak another protocol from now on.
    pub(crate) fn into_tunnel(self) -> (TunnelStream, SendQueue, Bytes) {
        let (to_service, early) = self.upstream.map(|upstream| upstream.into_tunnel()).unwrap_or_default();
        (self.stream, to_service, early)
    }
}

/// Sends what waits for the service. Returns whether anything was sent.
fn send(stream: &mut TunnelStream, upstream: &mut Upstream, cx: &mut Context<'_>) -> bool {
    if upstream.is_write_closed() {
        return false;
    }
    match send_queue(stream, upstream.output(), Clock::new().now(), cx) {
        Ok(moved) => moved,
        Err(error) => {
            tracing::debug!(%error, "a service takes nothing more");
            upstream.handle_write_closed();
            true
        }
    }
}

/// Sends what the stream takes. Returns whether it took anything.
///
/// # Errors
/// The stream's.
pub(crate) fn send_queue(
    stream: &mut TunnelStream,
    queue: &mut SendQueue,
    now: Instant,
    cx: &mut Context<'_>,
) -> io::Result<bool> {
    let before = queue.len();
    queue.send_with(|data| {
        while !data.is_empty() {
            match stream.poll_write_at(data, now, cx) {
                Poll::Ready(written) => drop(written?),
                Poll::Pending => break,
            }
        }
        Ok::<_, io::Error>(())
    })?;
    Ok(queue.len() < before)
}

/// Reads what the service has sent, if it is wanted. Returns whether anything came.
fn receive(stream: &mut TunnelStream, upstream: &mut Upstream, cx: &mut Context<'_>) -> bool {
    if !upstream.wants_data() {
        return false;
    }
    match stream.poll_some(READ_BYTES, cx) {
        Poll::Pending => return false,
        Poll::Ready(Ok(Some(data))) => upstream.handle_data(data),
        Poll::Ready(Ok(None)) => upstream.handle_end(),
        Poll::Ready(Err(_)) => upstream.handle_reset(),
    }
    true
}

fn send_upload(upstream: &mut Upstream, is_chunked: bool, data: Bytes) {
    if !is_chunked {
        return upstream.send_body(data);
    }
    if !data.is_empty() {
        upstream.send_body(Bytes::from(format!("{:x}\r\n", data.len())));
        upstream.send_body(data);
        upstream.send_body(Bytes::from_static(b"\r\n"));
    }
}

fn end_upload(upstream: &mut Upstream, is_chunked: bool, trailers: Option<&HeaderMap>) {
    if is_chunked {
        let mut end = BytesMut::from(&b"0\r\n"[..]);
        trailers.into_iter().for_each(|trailers| write_fields(trailers, &mut end));
        end.extend_from_slice(b"\r\n");
        upstream.send_body(end.freeze());
    }
    upstream.end_body();
}

/// The head of a request that was rewritten for the service.
fn write_head(head: &request::Parts, framing: Framing) -> Bytes {
    let mut out = BytesMut::with_capacity(512);
    let target = head.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    for part in [head.method.as_str(), " ", target, " HTTP/1.1\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
    write_fields(&head.headers, &mut out);
    match framing {
        Framing::Length(length) if !head.headers.contains_key(CONTENT_LENGTH) => {
            out.extend_from_slice(format!("content-length: {length}\r\n").as_bytes());
        }
        Framing::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        _ => {}
    }
    out.extend_from_slice(b"\r\n");
    out.freeze()
}

/// Appends the lines of `fields`.
pub(crate) fn write_fields(fields: &HeaderMap, out: &mut BytesMut) {
    for (name, value) in fields {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            out.extend_from_slice(part);
        }
    }
}

fn read_head(view: &ResponseView<'_>) -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::from_u16(view.status()).unwrap_or(StatusCode::BAD_GATEWAY);
    *response.version_mut() = Version::HTTP_11;
    let fields = response.headers_mut();
    let mut put = |name: &str, value: &[u8]| {
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(value))
        {
            fields.append(name, value);
        }
    };
    view.forward_fields(&ResponseRewrite::default(), &mut put);
    if let Some(protocol) = view.upgrade() {
        put("upgrade", protocol);
    }
    response
}

fn trailers(section: &[u8]) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    for (name, value) in trailer_fields(section, MessageKind::Response) {
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(value))
        {
            trailers.append(name, value);
        }
    }
    trailers
}
