//! HTTPS to a certificate authority: requests out, what matters of their responses in.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, HeaderName, LOCATION, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, Request, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hvym_tunnel_net::error_text::words;
use hvym_tunnel_net::host_connect::connect;
use hvym_tunnel_net::hyper::Io;
use hvym_tunnel_net::runtime::{Task, spawn};
use hvym_tunnel_net::timeout::within;
use hvym_tunnel_net::tls::{Trust, client};
use hyper::client::conn::http1::{SendRequest, handshake};

use crate::message::printable;
use crate::order::{AcmeRequest, AcmeResponse};

/// How long one request may take, with its connection.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// The longest response: a chain has some 8 KiB.
const MAX_RESPONSE_BYTES: usize = 128 * 1024;
/// The longest wait that a response can ask for.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(30 * 86_400);

const REPLAY_NONCE: HeaderName = HeaderName::from_static("replay-nonce");

/// A connection, and the task that drives it.
struct Connection {
    authority: String,
    sender: SendRequest<Full<Bytes>>,
    _driver: Task<()>,
}

/// A certificate authority. It has at most one connection at a time.
pub(crate) struct Authority {
    trust: Trust,
    connection: Option<Connection>,
}

impl Authority {
    pub(crate) fn new(trust: Trust) -> Self {
        Self { trust, connection: None }
    }

    /// Sends a request, and receives the whole response.
    ///
    /// # Errors
    /// A sentence that says where it failed.
    pub(crate) async fn send(&mut self, request: AcmeRequest) -> Result<AcmeResponse, String> {
        let url = request.url.clone();
        let sent = within(REQUEST_TIMEOUT, self.exchange(request)).await;
        let sent = sent.unwrap_or_else(|| Err(format!("no answer within {} s", REQUEST_TIMEOUT.as_secs())));
        sent.map_err(|reason| {
            self.connection = None;
            format!(
                "the certificate authority cannot be reached at {}: {}",
                printable(&url),
                printable(&reason)
            )
        })
    }

    async fn exchange(&mut self, request: AcmeRequest) -> Result<AcmeResponse, String> {
        let uri: Uri = request.url.parse().map_err(|_| "this is no URL")?;
        if uri.scheme_str() != Some("https") {
            return Err("this is no URL of https".to_owned());
        }
        let authority = uri.authority().ok_or("there is no host in it")?.as_str();
        let target = uri.path_and_query().map_or("/", |target| target.as_str());
        let sent = Request::builder()
            .method(request.method)
            .uri(target)
            .header(HOST, authority)
            .header(USER_AGENT, concat!("hvym-tunnel/", env!("CARGO_PKG_VERSION")))
            .header(CONTENT_TYPE, "application/jose+json")
            .body(Full::from(request.body))
            .map_err(|error| error.to_string())?;
        let connection = self.connection(&uri, authority).await?;
        let response = connection.sender.send_request(sent).await.map_err(|error| error.to_string())?;
        let (head, body) = response.into_parts();
        let body =
            Limited::new(body, MAX_RESPONSE_BYTES).collect().await.map_err(|error| error.to_string())?;
        let text = |name| head.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        Ok(AcmeResponse {
            status: head.status.as_u16(),
            nonce: text(REPLAY_NONCE),
            location: text(LOCATION),
            retry_after: retry_after(&head.headers, SystemTime::now()),
            body: body.to_bytes().into(),
        })
    }

    /// The connection there is, if it is still good, else a new one.
    async fn connection(&mut self, uri: &Uri, authority: &str) -> Result<&mut Connection, String> {
        let usable = match &mut self.connection {
            Some(connection) if connection.authority == authority => connection.sender.ready().await.is_ok(),
            _ => false,
        };
        if !usable {
            let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
            let connected = connect(host, uri.port_u16().unwrap_or(443), None).await;
            let (tcp, _) = connected.map_err(|error| words(&error.into()))?;
            let tls = client(tcp, host, self.trust.clone()).await.map_err(|error| words(&error))?;
            let (sender, driver) = handshake(Io(tls)).await.map_err(|error| error.to_string())?;
            let driver = spawn(async move {
                if let Err(error) = driver.await {
                    tracing::debug!(%error, "a connection to the certificate authority ended");
                }
            });
            self.connection = Some(Connection { authority: authority.to_owned(), sender, _driver: driver });
        }
        self.connection.as_mut().ok_or_else(|| "there is no connection".to_owned())
    }
}

/// When to come back (RFC 9110 section 10.2.3): in seconds, or as a date.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match value.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => httpdate::parse_http_date(value).ok()?.duration_since(now).unwrap_or_default(),
    };
    Some(wait.min(MAX_RETRY_AFTER))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_seconds_or_dates() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let wait = |value: &str| {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, value.parse().expect("a value"))]);
            retry_after(&headers, now).map(|wait| wait.as_secs())
        };
        let date = |at| httpdate::fmt_http_date(at);
        assert_eq!([wait("7"), wait(" 0 "), wait("-1"), wait("soon")], [Some(7), Some(0), None, None]);
        assert_eq!(wait(&date(now + Duration::from_secs(90))), Some(90));
        assert_eq!(wait(&date(now - Duration::from_secs(90))), Some(0));
        assert_eq!(wait("99999999999"), Some(MAX_RETRY_AFTER.as_secs()));
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }
}
