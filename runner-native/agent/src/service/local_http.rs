//! An HTTP/1.1 server on one stream, for services with a filter and for folders.
//!
//! Bodies are streamed. A request is answered by the filter, by a folder, or by the service that it is forwarded to.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};
use std::task::Poll;

use bytes::Bytes;
use futures_util::future::try_join;
use futures_util::io::AsyncWriteExt;
use http::header::CONNECTION;
use http::{HeaderValue, Request, Response};
use http_body_util::BodyExt;
use hvym_http1::MAX_HEAD_BYTES;
use hvym_tunnel_net::clock::Clock;
use hvym_tunnel_net::copy::{Direction, splice};
use hvym_tunnel_net::hyper::Io;
use hvym_tunnel_net::stream::TunnelStream;
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::{OnUpgrade, Parts};

use super::access_filter::{self, AccessFilter};
use super::body::{ResponseBody, full};
use super::error_page;
use super::folder::Folder;
use super::request_log::{RequestLog, RequestNotes};
use super::tapped_stream::TappedStream;
use super::upstream::UpstreamStream;
use super::upstream_client::{MAX_FIELDS, PooledConnection, UpstreamClient};
use crate::shutdown::{DrainGuard, Finishing};

/// The server of one stream.
pub(super) struct LocalHttp<'a> {
    filter: &'a AccessFilter,
    handler: Handler<'a>,
    notes: RequestNotes,
    /// The service's side of a connection that is upgraded, once it is.
    upgrading: Mutex<Option<Upgrading>>,
}

/// What answers the requests that pass the filter.
pub(super) enum Handler<'a> {
    /// A service.
    Upstream(UpstreamClient<'a>),
    /// Files.
    Folder(&'a Folder),
}

/// A service that agreed to another protocol (101).
struct Upgrading {
    service: OnUpgrade,
    /// Drives the connection to the service until it is handed over.
    _connection: PooledConnection,
}

impl<'a> LocalHttp<'a> {
    /// Passes requests through `filter` to `handler`, and adds to `notes` what was unusual about each.
    pub(super) fn new(filter: &'a AccessFilter, handler: Handler<'a>, notes: RequestNotes) -> Self {
        Self { filter, handler, notes, upgrading: Mutex::new(None) }
    }

    /// Answers requests of `stream` until it ends, or until `guard` asks for the end between two requests.
    ///
    /// # Errors
    /// If the stream or the service breaks.
    pub(super) async fn serve(&self, stream: TappedStream, mut guard: DrainGuard) -> io::Result<()> {
        let begun = stream.begun();
        let service = service_fn(|request| Box::pin(self.answer(request)));
        let mut connection = http1::Builder::new()
            .preserve_header_case(true)
            .auto_date_header(false)
            .max_headers(MAX_FIELDS)
            .max_header_size(MAX_HEAD_BYTES)
            .header_read_timeout(None)
            .serve_connection(Io(stream), service);
        let mut is_shutting_down = false;
        poll_fn(|cx| {
            if Pin::new(&mut connection).poll(cx)?.is_ready() {
                return Poll::Ready(Ok(()));
            }
            // hyper would close a connection on which no request came yet, and the first one is on its way.
            if !is_shutting_down && guard.is_asked_to_finish(cx) && begun.load(Ordering::Acquire) {
                is_shutting_down = true;
                Pin::new(&mut connection).graceful_shutdown();
                return Pin::new(&mut connection).poll(cx);
            }
            Poll::Pending
        })
        .await
        .map_err(io::Error::other)?;
        let parts = connection.into_parts();
        let (stream, mut log) = parts.io.0.into_parts();
        let upgrading = self.upgrading.lock().unwrap_or_else(PoisonError::into_inner).take();
        match upgrading {
            Some(upgrading) => upgrading.run(stream, log, parts.read_buf, guard).await,
            None => {
                log.pass(Direction::ToTunnel, None, Clock::new().now());
                error_page::finish(stream).await
            }
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Result<Response<ResponseBody>, Infallible> {
        // A refused request may have a long body, which is not read.
        let is_long = !request.body().is_end_stream();
        let (mut head, body) = request.into_parts();
        let format = access_filter::format(&head.headers);
        if let Err(refusal) = self.filter.pass(&mut head) {
            self.notes.push(Some(refusal.note));
            return Ok(closing(refusal.answer.map(full), is_long));
        }
        match &self.handler {
            Handler::Folder(folder) => {
                let answer = folder.answer(&head, format).await;
                self.notes.push(None);
                Ok(closing(answer, is_long))
            }
            Handler::Upstream(client) => match client.send(Request::from_parts(head, body)).await {
                Ok((response, connection)) => {
                    self.notes.push(None);
                    Ok(self.pass_on(response, connection, client))
                }
                Err(error) => {
                    self.notes.push(error.note(client));
                    let answer = hvym_tunnel_net::hyper::page(&error.page(client), format);
                    Ok(closing(answer.map(full), is_long))
                }
            },
        }
    }

    fn pass_on(
        &self,
        mut response: Response<Incoming>,
        connection: PooledConnection,
        client: &UpstreamClient<'_>,
    ) -> Response<ResponseBody> {
        if response.status() != http::StatusCode::SWITCHING_PROTOCOLS {
            // These are about the connection to the service (RFC 9110 section 7.6.1).
            for name in [CONNECTION, http::HeaderName::from_static("keep-alive")] {
                response.headers_mut().remove(name);
            }
            client.keep(connection);
        } else {
            let service = hyper::upgrade::on(&mut response);
            let upgrading = Upgrading { service, _connection: connection };
            *self.upgrading.lock().unwrap_or_else(PoisonError::into_inner) = Some(upgrading);
        }
        response.map(|body| body.map_err(Into::into).boxed_unsync())
    }
}

/// A response after which the stream ends, if its request has a body that is not read.
fn closing(mut answer: Response<ResponseBody>, is_long: bool) -> Response<ResponseBody> {
    if is_long {
        answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    answer
}

impl Upgrading {
    /// Copies bytes from now on; `early` is what the visitor sent after its request.
    async fn run(
        self,
        mut stream: TunnelStream,
        mut log: RequestLog,
        early: Bytes,
        guard: DrainGuard,
    ) -> io::Result<()> {
        let parts = self.service.await.map_err(io::Error::other)?.downcast::<Io<UpstreamStream>>();
        let Parts { io: Io(mut local), read_buf: response, .. } =
            parts.map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
        let write_early = async {
            local.write_all(&early).await?;
            local.flush().await
        };
        if !response.is_empty() {
            log.pass(Direction::ToTunnel, Some(&response), Clock::new().now());
        }
        try_join(write_early, stream.write_bytes(response)).await?;
        let local = Finishing::new(local, guard);
        splice(stream, local, move |direction, bytes, now| log.pass(direction, bytes, now)).await
    }
}
