//! The bodies of responses: of the relay itself, or streamed from a service.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::header::{ACCEPT, HeaderMap};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;
use hvym_tunnel_net::runtime::Task;
use hvym_tunnel_pages::{Format, Page};
use hyper::body::{Body, Frame, Incoming, SizeHint};

use crate::upstream::conn::UpstreamConn;
use crate::upstream::h2::H2Conn;
use crate::upstream::pool::PooledConn;
use hvym_tunnel_net::runtime::spawn;
use hvym_tunnel_net::shutdown::TaskGuard;

/// A response to a visitor.
pub(crate) type Answer = Response<ResponseBody>;

/// The body of an [`Answer`].
pub(crate) enum ResponseBody {
    /// Of the relay, complete.
    Whole(Full<Bytes>),
    /// Of a service, streamed.
    Relayed(Relayed),
}

/// A service's response body. Dropping it before its end resets the connection. At its end, the rest of the request
/// may still be sent; then the connection returns to the pool.
pub(crate) struct Relayed {
    body: Incoming,
    driving: Driving,
    /// The error of the body, held back while earlier data is flushed.
    broken: Option<hyper::Error>,
    _pass: TaskGuard,
}

/// What drives the connection of the body.
enum Driving {
    /// Reading the body does.
    Here(PooledConn),
    /// A task, because the visitor may still send the request without reading.
    Apart(Task<()>),
    /// The task of the HTTP/2 connection.
    Shared(#[expect(dead_code, reason = "held so that the connection is known to be in use")] H2Conn),
    /// Nothing: the body ended.
    Over,
}

impl Relayed {
    /// A body that has just begun. `still_asked`: its request has not been passed on in full.
    pub(crate) fn new(body: Incoming, upstream: UpstreamConn, still_asked: bool, pass: TaskGuard) -> Self {
        let driving = match upstream {
            UpstreamConn::Own(pooled) if still_asked => Driving::Apart(spawn(pooled.settled())),
            UpstreamConn::Own(pooled) => Driving::Here(pooled),
            UpstreamConn::Shared { h2_conn, .. } => Driving::Shared(h2_conn),
        };
        Self { body, driving, broken: None, _pass: pass }
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        if let Some(error) = self.broken.take() {
            return Poll::Ready(Some(Err(error)));
        }
        let frame = self.poll_body(cx);
        match frame {
            Poll::Ready(None) => self.let_go(),
            Poll::Ready(Some(Err(error))) => {
                // Returned by the next poll: hyper discards unflushed data when a body fails.
                self.broken = Some(error);
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            _ => {}
        }
        frame
    }

    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut self.driving {
            Driving::Here(pooled) => {
                // Only driving the HTTP/1.1 connection brings more, so nobody else need wake us for it.
                let mut quiet = Context::from_waker(Waker::noop());
                let frame = Pin::new(&mut self.body).poll_frame(&mut quiet);
                if frame.is_pending() {
                    let _over = pooled.h1_conn.poll_drive(cx);
                    Pin::new(&mut self.body).poll_frame(&mut quiet)
                } else {
                    frame
                }
            }
            Driving::Apart(_) | Driving::Shared(_) | Driving::Over => Pin::new(&mut self.body).poll_frame(cx),
        }
    }

    fn let_go(&mut self) {
        match std::mem::replace(&mut self.driving, Driving::Over) {
            Driving::Here(pooled) => pooled.give_back(),
            Driving::Apart(task) => task.detach(),
            Driving::Shared(_) | Driving::Over => {}
        }
    }
}

impl Drop for Relayed {
    fn drop(&mut self) {
        if self.body.is_end_stream() {
            self.let_go();
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match self.get_mut() {
            ResponseBody::Whole(body) => match Pin::new(body).poll_frame(cx) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(None) => Poll::Ready(None),
                Poll::Ready(Some(Ok(frame))) => Poll::Ready(Some(Ok(frame))),
                Poll::Ready(Some(Err(never))) => match never {},
            },
            ResponseBody::Relayed(relayed) => relayed.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            ResponseBody::Whole(body) => body.is_end_stream(),
            ResponseBody::Relayed(relayed) => relayed.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            ResponseBody::Whole(body) => body.size_hint(),
            ResponseBody::Relayed(relayed) => relayed.body.size_hint(),
        }
    }
}

/// An answer without a body.
pub(crate) fn empty(status: StatusCode) -> Answer {
    let mut answer = Response::new(ResponseBody::Whole(Full::default()));
    *answer.status_mut() = status;
    answer
}

/// The page format that a request with these fields prefers.
pub(crate) fn format(fields: &HeaderMap) -> Format {
    Format::preferred(fields.get(ACCEPT).map(HeaderValue::as_bytes))
}

/// `page` as an answer.
pub(crate) fn page(page: &Page, format: Format) -> Answer {
    hvym_tunnel_net::hyper::page(page, format).map(ResponseBody::Whole)
}
