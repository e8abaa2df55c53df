//! Sends the requests of one stream to its service, over a connection that is kept from one to the next.
//!
//! It changes nothing of a request.

use std::sync::{Mutex, PoisonError};

use async_executor::Task;
use bytes::Bytes;
use http::{Request, Response, Version};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty};
use hvym_tunnel_pages::Page;
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1::{self, SendRequest};

use super::http::{MAX_FIELDS, MAX_HEAD_BYTES};
use super::serve::{self, Services};
use super::upstream::{ConnectError, Upstream};
use hvym_tunnel_net::executor::spawn;
use hvym_tunnel_net::hyper::Io;

type Question = UnsyncBoxBody<Bytes, hyper::Error>;

/// The way to a service for the requests of one stream, which come one after another.
pub(super) struct Forward<'a> {
    services: &'a Services,
    name: &'a str,
    upstream: &'a Upstream,
    kept: Mutex<Option<Connection>>,
}

/// A connection to a service. Dropped, it is closed, unless it was handed over.
pub(super) struct Connection {
    sender: SendRequest<Question>,
    _driver: Task<()>,
}

/// Why a service gave no answer.
pub(super) enum Trouble {
    /// It cannot be reached.
    Unreachable(ConnectError),
    /// It was reached, and then this.
    Broken(hyper::Error),
}

impl<'a> Forward<'a> {
    /// The way to `upstream`, which is exposed under `name`.
    pub(super) fn new(services: &'a Services, name: &'a str, upstream: &'a Upstream) -> Self {
        Self { services, name, upstream, kept: Mutex::new(None) }
    }

    /// Sends a request, and waits for the head of the answer.
    ///
    /// # Errors
    /// No answer.
    pub(super) async fn send(
        &self,
        mut request: Request<Incoming>,
    ) -> Result<(Response<Incoming>, Connection), Trouble> {
        *request.version_mut() = Version::HTTP_11;
        let mut request = request.map(BodyExt::boxed_unsync);
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut connection) = kept
            && connection.sender.ready().await.is_ok()
        {
            // A service may close what it kept at the very moment we use it. Then these can be asked once more, for
            // asking twice is as asking once (RFC 9110 section 9.2.1).
            let again = request.method().is_safe() && request.body().is_end_stream();
            let spare = again.then(|| copy(&request));
            match connection.sender.try_send_request(request).await {
                Ok(response) => return Ok((response, connection)),
                Err(mut error) => match error.take_message().or(spare) {
                    Some(unsent) => request = unsent,
                    None => return Err(Trouble::Broken(error.into_error())),
                },
            }
        }
        let mut connection = self.open().await?;
        let response = connection.sender.send_request(request).await.map_err(Trouble::Broken)?;
        Ok((response, connection))
    }

    /// Takes back a connection for the next request.
    pub(super) fn keep(&self, connection: Connection) {
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(connection);
    }

    async fn open(&self) -> Result<Connection, Trouble> {
        let connected = self.upstream.connect().await;
        self.services.note(self.name, self.upstream, connected.as_ref().err());
        let local = connected.map_err(Trouble::Unreachable)?;
        let (sender, connection) = http1::Builder::new()
            .preserve_header_case(true)
            .max_headers(MAX_FIELDS)
            .max_header_size(MAX_HEAD_BYTES)
            .handshake(Io(local))
            .await
            .map_err(Trouble::Broken)?;
        let driver = spawn(async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(%error, "a connection to a service ended");
            }
        });
        Ok(Connection { sender, _driver: driver })
    }
}

/// A request without a body, once more.
fn copy(request: &Request<Question>) -> Request<Question> {
    let body = Empty::new().map_err(|never| match never {}).boxed_unsync();
    let mut copy = Request::new(body);
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    *copy.extensions_mut() = request.extensions().clone();
    copy
}

impl Trouble {
    /// What the visitor gets.
    pub(super) fn page(&self, forward: &Forward<'_>) -> Page {
        let what = match self {
            Trouble::Unreachable(error) => return serve::page(error, forward.upstream),
            Trouble::Broken(error) if error.is_parse() => "did not answer in HTTP",
            Trouble::Broken(_) => "closed the connection without an answer",
        };
        Page {
            status: 502,
            title: "The service gave no answer".to_owned(),
            text: format!("The tunnel works, but the service behind it {what}."),
            hint: "If this is your tunnel, see what the service says.".to_owned(),
            retry_after: None,
        }
    }

    /// What the owner is told beside the request.
    pub(super) fn note(&self, forward: &Forward<'_>) -> Option<String> {
        let place = forward.upstream.target().place();
        match self {
            // Told once, on its own.
            Trouble::Unreachable(_) => None,
            Trouble::Broken(error) if error.is_parse() => Some(format!("{place} did not answer in HTTP/1.1")),
            Trouble::Broken(_) => Some(format!("{place} closed the connection without an answer")),
        }
    }
}
