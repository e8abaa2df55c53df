//! An HTTP/2 connection to a service, over one stream, shared by many requests.
//!
//! A task of its own drives it. It knows no pool and no session.

use std::sync::Arc;
use std::time::Duration;

use http::header::{CONNECTION, HOST, UPGRADE};
use http::uri::{Authority, Scheme};
use http::{Request, Response, Uri, Version};
use hyper::body::Incoming;
use hyper::client::conn::http2;

use crate::settings::MAX_HEAD_BYTES;
use crate::upstream::error::UpstreamError;
use crate::upstream::request_upload::RequestUpload;
use crate::upstream::service_wire::ServiceWire;
use hvym_tunnel_net::clock::Clock;
use hvym_tunnel_net::hyper_rt::HyperExecutor;
use hvym_tunnel_net::runtime::spawn;
use hvym_tunnel_net::stream::TunnelStream;
use hvym_tunnel_net::timeout::within;

/// Requests that share one HTTP/2 connection: their windows take 32 MiB together. Services grant a hundred at once, as RFC 9113
/// section 6.5.2 asks them to, and what is above their number would wait there.
const MAX_SHARING: u32 = 64;
/// What one response may be ahead of its visitor. The multiplexer below grants windows that grow with the round-trip
/// time, so this one need only be no narrower than most of those: 5 MiB a second at 100 ms.
const STREAM_WINDOW: u32 = 512 * 1024;
/// The same for all responses of one HTTP/2 connection: as much as they have together, so that visitors who read nothing
/// leave all others their part.
const CONNECTION_WINDOW: u32 = MAX_SHARING * STREAM_WINDOW;

/// One connection for many. Clones are the same connection; it ends when the last is dropped and the last response
/// read.
#[derive(Clone)]
pub(crate) struct H2Conn {
    sender: http2::SendRequest<RequestUpload>,
    /// One for each HTTP/2 connection and each request of it.
    sharing: Arc<()>,
}

impl H2Conn {
    /// Over a stream that was just opened.
    pub(crate) async fn new(stream: TunnelStream) -> hyper::Result<Self> {
        let (sender, connection) = http2::Builder::new(HyperExecutor)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(u32::try_from(MAX_HEAD_BYTES).unwrap_or(u32::MAX))
            .handshake(ServiceWire::new(stream))
            .await?;
        spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a shared connection to a service ended");
            }
        })
        .detach();
        Ok(Self { sender, sharing: Arc::new(()) })
    }

    /// Whether it takes another request.
    pub(crate) fn has_room(&self) -> bool {
        !self.sender.is_closed() && Arc::strong_count(&self.sharing) <= MAX_SHARING as usize
    }

    /// Whether nobody uses it.
    pub(crate) fn is_idle(&self) -> bool {
        Arc::strong_count(&self.sharing) == 1
    }

    /// Whether it takes no request any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Sends a request and waits for the head of its response, at most `limit` after the request last progressed.
    pub(crate) async fn ask(
        &mut self,
        request: Request<RequestUpload>,
        limit: Duration,
        clock: Clock,
    ) -> Result<Response<Incoming>, UpstreamError> {
        let progress = request.body().progress();
        let request = as_http2(request).ok_or(UpstreamError::BadHost)?;
        let answer = self.sender.try_send_request(request);
        let answered = match &progress {
            None => within(limit, answer).await,
            Some(progress) => progress.unless_idle(limit, clock, answer).await,
        };
        answered.ok_or(UpstreamError::TooLate)?.map_err(|mut error| match error.take_message() {
            Some(request) => UpstreamError::Unsent(Box::new(request)),
            None => {
                let failure = progress.and_then(|progress| progress.failure());
                failure.map_or_else(|| UpstreamError::Lost(error.into_error().into()), UpstreamError::Upload)
            }
        })
    }
}

/// The request as HTTP/2 (RFC 9113 section 8.3.1); `None` if its host is no authority.
fn as_http2(request: Request<RequestUpload>) -> Option<Request<RequestUpload>> {
    let (mut head, body) = request.into_parts();
    // A retried request is HTTP/2 already.
    if head.uri.authority().is_none() {
        let host = head.headers.remove(HOST)?;
        let mut target = head.uri.into_parts();
        target.scheme = Some(Scheme::HTTP);
        target.authority = Some(Authority::try_from(host.as_bytes()).ok()?);
        head.uri = Uri::from_parts(target).ok()?;
    }
    head.headers.remove(CONNECTION);
    head.headers.remove(UPGRADE);
    head.version = Version::HTTP_2;
    Some(Request::from_parts(head, body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_said_in_the_words_of_http2_once() {
        let request = Request::get("/a?b")
            .header("host", "app.example:8080")
            .header("te", "trailers")
            .header("connection", "te")
            .body(RequestUpload::empty())
            .expect("a request");
        let once = as_http2(request).expect("a host");
        assert_eq!(once.uri(), "http://app.example:8080/a?b");
        let twice = as_http2(once).expect("the same host");
        assert_eq!(
            (twice.uri().to_string().as_str(), twice.version()),
            ("http://app.example:8080/a?b", Version::HTTP_2)
        );
        let names: Vec<&str> = twice.headers().keys().map(|name| name.as_str()).collect();
        assert_eq!(names, ["te"]);
    }

    #[test]
    fn a_host_that_is_none_is_not_passed_on() {
        let request =
            Request::get("/").header("host", "a b").body(RequestUpload::empty()).expect("a request");
        assert!(as_http2(request).is_none());
    }
}
