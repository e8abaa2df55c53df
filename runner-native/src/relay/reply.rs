//! What a visitor is answered with: a page of our own, or a service's response as it arrives.

use std::pin::Pin;
use std::task::{Context, Poll};

use async_executor::Task;
use bytes::Bytes;
use http::header::{ACCEPT, HeaderMap};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;
use hvym_tunnel_core::http1::{Format, Page};
use hyper::body::{Body, Frame, Incoming, SizeHint};

use super::phases::Pass;

/// A response to a visitor.
pub(super) type Answer = Response<Reply>;

/// The body of an [`Answer`].
pub(super) enum Reply {
    /// Ours, known whole.
    Whole(Full<Bytes>),
    /// A service's, passed on frame by frame.
    Relayed(Relayed),
}

/// A service's response body. Dropped before its end, it tears the stream to the service down; at its end,
/// what is left of the request may still flow.
pub(super) struct Relayed {
    body: Incoming,
    /// Drives the connection to the service.
    connection: Option<Task<()>>,
    _pass: Pass,
}

impl Relayed {
    /// A body that has just begun, over the connection that `connection` drives.
    pub(super) fn new(body: Incoming, connection: Task<()>, pass: Pass) -> Self {
        Self { body, connection: Some(connection), _pass: pass }
    }

    fn let_go(&mut self) {
        if let Some(connection) = self.connection.take() {
            connection.detach();
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

impl Body for Reply {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match self.get_mut() {
            Reply::Whole(body) => match Pin::new(body).poll_frame(cx) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(None) => Poll::Ready(None),
                Poll::Ready(Some(Ok(frame))) => Poll::Ready(Some(Ok(frame))),
                Poll::Ready(Some(Err(never))) => match never {},
            },
            Reply::Relayed(relayed) => {
                let frame = Pin::new(&mut relayed.body).poll_frame(cx);
                if let Poll::Ready(None) = frame {
                    relayed.let_go();
                }
                frame
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Reply::Whole(body) => body.is_end_stream(),
            Reply::Relayed(relayed) => relayed.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Reply::Whole(body) => body.size_hint(),
            Reply::Relayed(relayed) => relayed.body.size_hint(),
        }
    }
}

/// An answer without a body.
pub(super) fn empty(status: StatusCode) -> Answer {
    let mut answer = Response::new(Reply::Whole(Full::default()));
    *answer.status_mut() = status;
    answer
}

/// What a request with these fields wants pages to be written in.
pub(super) fn format(fields: &HeaderMap) -> Format {
    Format::preferred(fields.get(ACCEPT).map(HeaderValue::as_bytes))
}

/// `page` as an answer.
pub(super) fn page(page: &Page, format: Format) -> Answer {
    crate::io::hyper::page(page, format).map(Reply::Whole)
}
