//! A visitor's request through an agent's stream and the service's answer back, both as they arrive.
//!
//! One stream for each request: nothing of one visitor can reach another, and a stale connection is never reused.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_executor::Task;
use bytes::Bytes;
use futures_util::io::{AsyncRead, AsyncWrite};
use http::{Request, Response, StatusCode, request};
use hvym_tunnel_core::dialect::Opening;
use hvym_tunnel_core::http1::{Format, Page};
use hvym_tunnel_core::relay::Name;
use hvym_tunnel_core::time::Instant;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::http1;

use super::heads;
use super::live::Live;
use super::origin::Origin;
use super::phases::Pass;
use super::question::{Question, QuestionError};
use super::reply::{self, Answer, Relayed, Reply};
use super::settings::{MAX_FIELDS, MAX_HEAD_BYTES};
use super::visitors::Visitor;
use super::{pages, upgrade};
use crate::io::clock::{Clock, within};
use crate::io::executor::spawn;
use crate::io::hyper::Io;
use crate::io::stream::TunnelStream;

/// Passes one request on to the agent behind `live`.
pub(super) async fn forward(
    visitor: &Visitor,
    live: Live,
    name: Name,
    host: String,
    mut request: Request<Question>,
) -> Answer {
    let format = reply::format(request.headers());
    let board = &visitor.board;
    let Some(pass) = board.requests.enter() else {
        return reply::page(&pages::draining(), format);
    };
    let id = board.request_id();
    let origin = visitor.origin(request.headers());
    let stream = match live.open(&name, opening(visitor, &origin, &host, id.clone())).await {
        Ok(stream) => stream,
        Err(page) => return reply::page(&page, format),
    };
    tracing::debug!(id, stream = ?stream.id(), method = %request.method(), "request");
    // Taken before the request is, because it stays with what came in.
    let visitor_upgrade = hyper::upgrade::on(&mut request);
    let (mut head, body) = request.into_parts();
    let wanted = heads::toward_service(&mut head, &host, &origin);
    match send(visitor, stream, head, body).await {
        Ok((response, connection)) if response.status() != StatusCode::SWITCHING_PROTOCOLS => {
            relayed(response, connection, pass)
        }
        Ok((response, connection)) if wanted.is_some() => {
            upgrade::join(visitor, visitor_upgrade, response, connection, pass)
        }
        Ok(_) => reply::page(&pages::bad_answer(), format),
        Err(failure) => failed(failure, &id, &live, &name, format),
    }
}

fn opening(visitor: &Visitor, origin: &Origin, host: &str, id: String) -> Opening {
    // Which port a visitor has behind its proxy, nobody says.
    let who = if origin.is_told() { origin.visitor().to_string() } else { visitor.peer.to_string() };
    Opening { visitor: Some(who), host: Some(host.to_owned()), id: Some(id), ..Opening::default() }
}

/// Why no response head came.
enum Failure {
    Http(hyper::Error),
    TooLate,
}

/// Sends the request, and waits for the head of its response. The task drives the connection; dropped, it
/// tears the stream down.
async fn send(
    visitor: &Visitor,
    stream: TunnelStream,
    head: request::Parts,
    body: Question,
) -> Result<(Response<Incoming>, Task<()>), Failure> {
    let (mut sender, connection) = http1::Builder::new()
        .preserve_header_case(true)
        .max_headers(MAX_FIELDS)
        .max_header_size(MAX_HEAD_BYTES)
        .handshake(Io(ServiceWire(stream)))
        .await
        .map_err(Failure::Http)?;
    let connection = spawn(async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "a connection to a service ended");
        }
    });
    let clock = visitor.board.clock;
    let moved = Arc::new(AtomicU64::new(clock.now().as_micros()));
    let upload = Upload { body, clock, moved: Arc::clone(&moved) };
    let permit = upload.body.permit();
    let mut request = Request::from_parts(head, upload);
    if let Some(permit) = permit {
        hyper::ext::on_informational(&mut request, move |interim| {
            if interim.status() == StatusCode::CONTINUE {
                permit.grant();
            }
        });
    }
    let answer = sender.send_request(request);
    let limit = visitor.board.settings.limits.response_timeout;
    let response = unless_idle(limit, clock, &moved, answer).await.ok_or(Failure::TooLate)?;
    response.map(|response| (response, connection)).map_err(Failure::Http)
}

fn relayed(response: Response<Incoming>, connection: Task<()>, pass: Pass) -> Answer {
    let (mut head, body) = response.into_parts();
    heads::toward_visitor(&mut head);
    Response::from_parts(head, Reply::Relayed(Relayed::new(body, connection, pass)))
}

fn failed(failure: Failure, id: &str, live: &Live, name: &Name, format: Format) -> Answer {
    let page = match failure {
        Failure::TooLate => Page::upstream_timeout(),
        Failure::Http(error) => {
            tracing::debug!(id, %error, address = %name.address, "no response");
            match error {
                // What failed is the body that came from the visitor.
                error if QuestionError::is_late(&error) => pages::late_body(),
                error if error.is_user() => pages::broken_request(),
                _ if live.is_up() => pages::bad_answer(),
                _ => Page::agent_lost(),
            }
        }
    };
    reply::page(&page, format)
}

/// A stream to a service that may answer before it has taken the whole question: what it no longer takes is
/// dropped, and whether there is an answer is for reading to find out.
pub(super) struct ServiceWire(pub(super) TunnelStream);

impl AsyncRead for ServiceWire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for ServiceWire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.0).poll_write(cx, buf));
        Poll::Ready(Ok(written.unwrap_or(buf.len())))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_close(cx)
    }
}

/// What `work` came to, unless `limit` passes after the last move of the request's body.
async fn unless_idle<T>(
    limit: Duration,
    clock: Clock,
    moved: &AtomicU64,
    work: impl Future<Output = T>,
) -> Option<T> {
    let mut work = std::pin::pin!(work);
    loop {
        let idle = clock.now() - Instant::from_micros(moved.load(Ordering::Relaxed));
        let left = limit.checked_sub(idle).filter(|left| !left.is_zero())?;
        if let Some(done) = within(left, work.as_mut()).await {
            return Some(done);
        }
    }
}

/// A request's body that notes when it last moved.
struct Upload {
    body: Question,
    clock: Clock,
    moved: Arc<AtomicU64>,
}

impl Body for Upload {
    type Data = Bytes;
    type Error = QuestionError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, QuestionError>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        self.moved.store(self.clock.now().as_micros(), Ordering::Relaxed);
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
