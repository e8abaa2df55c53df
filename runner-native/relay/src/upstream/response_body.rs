//! The bodies of responses: of the relay itself, or streamed from a service.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::ACCEPT;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use http_body_util::combinators::UnsyncBoxBody;
use hvym_tunnel_pages::{Format, Page};
use hyper::body::{Body, Frame, SizeHint};

use crate::log_entry::LogEntry;
use crate::upstream::relayed::{Relayed, ServiceError};

/// A response to a visitor.
pub(crate) type Answer = Response<ResponseBody>;

/// The body of an [`Answer`].
pub(crate) enum ResponseBody {
    /// Of the relay, complete.
    Whole(Full<Bytes>),
    /// Of the relay, as it comes about.
    Streamed(UnsyncBoxBody<Bytes, Infallible>),
    /// Of a service, streamed.
    Relayed(Relayed),
    /// The same, seen by the log.
    Logged(Box<(Relayed, LogEntry)>),
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = ServiceError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ServiceError>>> {
        match self.get_mut() {
            ResponseBody::Whole(body) => infallible(Pin::new(body).poll_frame(cx)),
            ResponseBody::Streamed(body) => infallible(Pin::new(body).poll_frame(cx)),
            ResponseBody::Relayed(relayed) => relayed.poll_frame(cx),
            ResponseBody::Logged(logged) => {
                let frame = logged.0.poll_frame(cx);
                logged.1.handle_frame(&frame);
                frame
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            ResponseBody::Whole(body) => body.is_end_stream(),
            ResponseBody::Streamed(body) => body.is_end_stream(),
            ResponseBody::Relayed(relayed) => relayed.is_end_stream(),
            ResponseBody::Logged(logged) => logged.0.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            ResponseBody::Whole(body) => body.size_hint(),
            ResponseBody::Streamed(body) => body.size_hint(),
            ResponseBody::Relayed(relayed) => relayed.size_hint(),
            ResponseBody::Logged(logged) => logged.0.size_hint(),
        }
    }
}

fn infallible(
    frame: Poll<Option<Result<Frame<Bytes>, Infallible>>>,
) -> Poll<Option<Result<Frame<Bytes>, ServiceError>>> {
    frame.map(|frame| {
        frame.map(|frame| match frame {
            Ok(frame) => Ok(frame),
            Err(never) => match never {},
        })
    })
}

/// The body of an answer that has none.
pub(crate) fn no_body() -> ResponseBody {
    ResponseBody::Whole(Full::default())
}

/// An answer without a body.
pub(crate) fn empty(status: StatusCode) -> Answer {
    let mut answer = Response::new(ResponseBody::Whole(Full::default()));
    *answer.status_mut() = status;
    answer
}

/// The page format that a request prefers.
pub(crate) fn format<B>(request: &Request<B>) -> Format {
    let accept = request.headers().get(ACCEPT).map(HeaderValue::as_bytes);
    Format::preferred(request.method().as_str(), accept)
}

/// `page` as an answer.
pub(crate) fn page(page: &Page, format: Format) -> Answer {
    hvym_tunnel_net::hyper::page(page, format).map(ResponseBody::Whole)
}
