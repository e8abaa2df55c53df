//! Speaks HTTP/1.1 itself on a stream: where somebody other than the service has a say in the answer.
//!
//! Bodies pass piece by piece. What answers a request is the gate, a folder, or the service that it is forwarded to.

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
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::{OnUpgrade, Parts};

use super::answer;
use super::drain::{Finishing, Ticket};
use super::folder::Folder;
use super::forward::{Connection, Forward};
use super::gate::{self, Gate};
use super::serve::{Notes, Seen};
use super::upstream::Local;
use super::watched::Watched;
use hvym_tunnel_net::copy::{Direction, splice};
use hvym_tunnel_net::hyper::Io;
use hvym_tunnel_net::stream::TunnelStream;

/// The largest head of a request or response, as the relay has it.
pub(super) const MAX_HEAD_BYTES: usize = hvym_http1::MAX_HEAD_BYTES;
/// Fields of one head. A browser sends thirty; hyper's parser keeps this many on its stack.
pub(super) const MAX_FIELDS: usize = 100;

/// A body that comes from anywhere.
pub(super) type Content = UnsyncBoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

/// What answers the requests of one stream.
pub(super) struct Desk<'a> {
    gate: &'a Gate,
    counter: Counter<'a>,
    notes: Notes,
    /// The service's side of a connection that changes its protocol, once it does.
    upgrading: Mutex<Option<Upgrading>>,
}

/// Who answers behind the gate.
pub(super) enum Counter<'a> {
    /// A service.
    Forward(Forward<'a>),
    /// Files.
    Folder(&'a Folder),
}

/// A service that agreed to speak something else.
struct Upgrading {
    service: OnUpgrade,
    /// Drives the connection to the service until it is handed over.
    _connection: Connection,
}

impl<'a> Desk<'a> {
    /// Lets requests through `gate` to `counter`, and writes in `notes` what the owner should know of each.
    pub(super) fn new(gate: &'a Gate, counter: Counter<'a>, notes: Notes) -> Self {
        Self { gate, counter, notes, upgrading: Mutex::new(None) }
    }

    /// Answers what comes on `stream` until it ends, or until `ticket` asks for the end between two requests.
    ///
    /// # Errors
    /// If the stream or the service breaks.
    pub(super) async fn serve(&self, stream: Watched, mut ticket: Ticket) -> io::Result<()> {
        let begun = stream.begun();
        let service = service_fn(|request| Box::pin(self.answer(request)));
        let mut connection = http1::Builder::new()
            .preserve_header_case(true)
            .auto_date_header(false)
            .max_headers(MAX_FIELDS)
            .max_header_size(MAX_HEAD_BYTES)
            .header_read_timeout(None)
            .serve_connection(Io(stream), service);
        let mut is_told = false;
        poll_fn(|cx| {
            if Pin::new(&mut connection).poll(cx)?.is_ready() {
                return Poll::Ready(Ok(()));
            }
            // hyper would close a connection on which nothing was asked yet, and the question is on its way.
            if !is_told && ticket.is_asked_to_finish(cx) && begun.load(Ordering::Acquire) {
                is_told = true;
                Pin::new(&mut connection).graceful_shutdown();
                return Pin::new(&mut connection).poll(cx);
            }
            Poll::Pending
        })
        .await
        .map_err(io::Error::other)?;
        let parts = connection.into_parts();
        let (stream, mut seen) = parts.io.0.into_parts();
        let upgrading = self.upgrading.lock().unwrap_or_else(PoisonError::into_inner).take();
        match upgrading {
            Some(upgrading) => upgrading.run(stream, seen, parts.read_buf, ticket).await,
            None => {
                seen.pass(Direction::ToTunnel, None);
                answer::conclude(stream).await
            }
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Content>, Infallible> {
        // Whoever is refused may be far from the end of what it sends, and nobody will read it.
        let is_long = !request.body().is_end_stream();
        let (mut head, body) = request.into_parts();
        let format = gate::format(&head.headers);
        if let Err(refusal) = self.gate.pass(&mut head) {
            self.notes.push(Some(refusal.note));
            return Ok(closing(refusal.answer.map(whole), is_long));
        }
        match &self.counter {
            Counter::Folder(folder) => {
                let answer = folder.answer(&head, format).await;
                self.notes.push(None);
                Ok(closing(answer, is_long))
            }
            Counter::Forward(forward) => match forward.send(Request::from_parts(head, body)).await {
                Ok((response, connection)) => {
                    self.notes.push(None);
                    Ok(self.pass_on(response, connection, forward))
                }
                Err(trouble) => {
                    self.notes.push(trouble.note(forward));
                    let answer = hvym_tunnel_net::hyper::page(&trouble.page(forward), format);
                    Ok(closing(answer.map(whole), is_long))
                }
            },
        }
    }

    fn pass_on(
        &self,
        mut response: Response<Incoming>,
        connection: Connection,
        forward: &Forward<'_>,
    ) -> Response<Content> {
        if response.status() != http::StatusCode::SWITCHING_PROTOCOLS {
            // Whether this connection stays is not the service's to say.
            for name in [CONNECTION, http::HeaderName::from_static("keep-alive")] {
                response.headers_mut().remove(name);
            }
            forward.keep(connection);
        } else {
            let service = hyper::upgrade::on(&mut response);
            let upgrading = Upgrading { service, _connection: connection };
            *self.upgrading.lock().unwrap_or_else(PoisonError::into_inner) = Some(upgrading);
        }
        response.map(|body| body.map_err(Into::into).boxed_unsync())
    }
}

/// A body of ours.
pub(super) fn whole(body: Full<Bytes>) -> Content {
    body.map_err(|never| match never {}).boxed_unsync()
}

/// An answer after which the stream ends, if the request it belongs to is not read.
fn closing(mut answer: Response<Content>, is_long: bool) -> Response<Content> {
    if is_long {
        answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    answer
}

impl Upgrading {
    /// Lets bytes pass from now on; `asked` is what the visitor sent together with its question.
    async fn run(
        self,
        mut stream: TunnelStream,
        mut seen: Seen,
        asked: Bytes,
        ticket: Ticket,
    ) -> io::Result<()> {
        let parts = self.service.await.map_err(io::Error::other)?.downcast::<Io<Local>>();
        let Parts { io: Io(mut local), read_buf: answered, .. } =
            parts.map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
        let early = async {
            local.write_all(&asked).await?;
            local.flush().await
        };
        if !answered.is_empty() {
            seen.pass(Direction::ToTunnel, Some(&answered));
        }
        try_join(early, stream.write_bytes(answered)).await?;
        let local = Finishing::new(local, ticket);
        splice(stream, local, move |way, bytes| seen.pass(way, bytes)).await
    }
}
