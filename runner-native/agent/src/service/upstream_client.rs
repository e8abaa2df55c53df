//! The HTTP/1.1 client of one stream to its service, with one kept connection.
//!
//! It changes nothing of a request but its version.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty};
use hvym_http1::{HeadError, MAX_HEAD_BYTES};
use hvym_tunnel_net::hyper::Io;
use hvym_tunnel_net::runtime::Task;
use hvym_tunnel_net::runtime::spawn;
use hvym_tunnel_pages::Page;
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1::{self, SendRequest};

use super::upstream::{ConnectError, Upstream};
use super::{LocalService, error_page};
use crate::event::RequestNote;
use crate::event_sink::EventSink;

/// Fields of one head. A browser sends thirty; hyper's parser keeps this many on its stack.
pub(super) const MAX_FIELDS: usize = 100;

type RequestBody = UnsyncBoxBody<Bytes, hyper::Error>;

/// Sends the requests of one stream, which come one after another.
pub(super) struct UpstreamClient<'a> {
    service: &'a LocalService,
    upstream: &'a Upstream,
    sink: &'a EventSink,
    kept: Mutex<Option<PooledConnection>>,
}

/// A connection to a service. Dropped, it is closed, unless it was upgraded.
pub(super) struct PooledConnection {
    sender: SendRequest<RequestBody>,
    _driver: Task<()>,
}

/// Why a service gave no response.
pub(super) enum UpstreamError {
    /// It cannot be reached.
    Unreachable(ConnectError),
    /// The connection failed after it was made.
    Broken(hyper::Error),
}

impl<'a> UpstreamClient<'a> {
    /// A client of `upstream`, where `service` is served; nothing is connected yet.
    pub(super) fn new(service: &'a LocalService, upstream: &'a Upstream, sink: &'a EventSink) -> Self {
        Self { service, upstream, sink, kept: Mutex::new(None) }
    }

    /// Sends a request, and waits for the head of the response.
    ///
    /// # Errors
    /// There is no response.
    pub(super) async fn send(
        &self,
        mut request: Request<Incoming>,
    ) -> Result<(Response<Incoming>, PooledConnection), UpstreamError> {
        *request.version_mut() = Version::HTTP_11;
        let mut request = request.map(BodyExt::boxed_unsync);
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut connection) = kept
            && connection.sender.ready().await.is_ok()
        {
            // A service may close a kept connection at the moment it is used. A safe request without a body can be sent
            // again (RFC 9110 section 9.2.1).
            let again = request.method().is_safe() && request.body().is_end_stream();
            let spare = again.then(|| copy(&request));
            match connection.sender.try_send_request(request).await {
                Ok(response) => return Ok((response, connection)),
                Err(mut error) => match error.take_message().or(spare) {
                    Some(unsent) => request = unsent,
                    None => return Err(UpstreamError::Broken(error.into_error())),
                },
            }
        }
        let mut connection = self.open().await?;
        let response = connection.sender.send_request(request).await.map_err(UpstreamError::Broken)?;
        Ok((response, connection))
    }

    /// Takes back a connection for the next request.
    pub(super) fn keep(&self, connection: PooledConnection) {
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(connection);
    }

    async fn open(&self) -> Result<PooledConnection, UpstreamError> {
        let connected = self.upstream.connect().await;
        self.service.note(self.upstream, connected.as_ref().err(), self.sink);
        let local = connected.map_err(UpstreamError::Unreachable)?;
        let (sender, connection) = http1::Builder::new()
            .preserve_header_case(true)
            .max_headers(MAX_FIELDS)
            .max_header_size(MAX_HEAD_BYTES)
            .handshake(Io(local))
            .await
            .map_err(UpstreamError::Broken)?;
        let driver = spawn(async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(%error, "a connection to a service ended");
            }
        });
        Ok(PooledConnection { sender, _driver: driver })
    }
}

/// The same request, if it has no body.
fn copy(request: &Request<RequestBody>) -> Request<RequestBody> {
    let body = Empty::new().map_err(|never| match never {}).boxed_unsync();
    let mut copy = Request::new(body);
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    *copy.extensions_mut() = request.extensions().clone();
    copy
}

impl UpstreamError {
    /// What the visitor gets.
    pub(super) fn page(&self, client: &UpstreamClient<'_>) -> Page {
        let what = match self {
            UpstreamError::Unreachable(error) => return error_page::unreachable(error, client.upstream),
            UpstreamError::Broken(error) if error.is_parse() => "did not answer in HTTP",
            UpstreamError::Broken(_) => "closed the connection without an answer",
        };
        Page {
            status: 502,
            title: "The service gave no answer".to_owned(),
            text: format!("The tunnel works, but the service behind it {what}."),
            hint: "If this is your tunnel, see what the service says.".to_owned(),
            retry_after: None,
        }
    }

    /// What is recorded with the request.
    pub(super) fn note(&self, client: &UpstreamClient<'_>) -> Option<RequestNote> {
        let place = client.upstream.target().place();
        match self {
            // It has an event of its own.
            UpstreamError::Unreachable(_) => None,
            UpstreamError::Broken(error) if error.is_parse() => {
                Some(RequestNote::BadResponse { place, reason: HeadError::StatusLine.into() })
            }
            UpstreamError::Broken(_) => Some(RequestNote::ClosedWithoutResponse { place }),
        }
    }
}
