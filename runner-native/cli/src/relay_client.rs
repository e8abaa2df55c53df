//! Requests to a relay for its operator: over its Unix socket, or by HTTP with the operator's key.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use futures_util::io::{AsyncRead, AsyncWrite};
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hvym_tunnel_net::error_text::words;
use hvym_tunnel_net::host_connect;
use hvym_tunnel_net::hyper::exchange;
use hvym_tunnel_net::secret::Secret;
use hvym_tunnel_net::target::{authority, host_and_port, is_loopback_host};
use hvym_tunnel_net::timeout::within;
use hvym_tunnel_net::tls::{self, Trust};

use crate::exit::{Exit, ExitError};

/// How long an answer may take. A relay that is busy answers within seconds.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// The largest answer: ten thousand sessions take some 5 MB.
const MAX_ANSWER_BYTES: usize = 64 * 1024 * 1024;

/// Where a relay listens for its operator.
#[derive(Debug)]
pub(crate) enum RelayPlace {
    /// At this Unix socket, which is for its owner alone.
    Socket(PathBuf),
    /// There.
    Http(HttpPlace),
}

/// An HTTP server.
pub(crate) struct HttpPlace {
    is_tls: bool,
    host: String,
    port: u16,
    /// `Bearer` and the key.
    authorization: Option<HeaderValue>,
}

/// An answer.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
}

/// Without the key.
impl fmt::Debug for HttpPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_tls { "https" } else { "http" };
        write!(f, "{scheme}://{}", authority(&self.host, self.port))
    }
}

impl fmt::Display for RelayPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RelayPlace::Socket(path) => path.display().fmt(f),
            RelayPlace::Http(place) => write!(f, "{place:?}"),
        }
    }
}

impl RelayPlace {
    /// `http://` or `https://` with a host, or `host:port`; what follows the host is left out.
    ///
    /// # Errors
    /// It is none, or the key would travel readable.
    pub(crate) fn parse(url: &str, key: Option<Secret>) -> Result<Self, ExitError> {
        let wrong = |why: String| ExitError::new(Exit::Usage, format!("{url}: {why}"));
        let (is_tls, rest) = match url.split_once("://") {
            Some(("https" | "wss", rest)) => (true, rest),
            Some(("http" | "ws", rest)) => (false, rest),
            Some((scheme, _)) => return Err(wrong(format!("{scheme}:// is neither http:// nor https://"))),
            None => (true, url),
        };
        let place = rest.split('/').next().unwrap_or_default();
        let usual = if is_tls { 443 } else { 80 };
        let (host, port) = host_and_port(place, Some(usual)).map_err(|error| wrong(error.to_string()))?;
        if key.is_some() && !is_tls && !is_loopback_host(&host) {
            return Err(wrong("the key would be readable on the way: use https://".to_owned()));
        }
        let authorization = key.map(|key| bearer(&key)).transpose().map_err(wrong)?;
        Ok(RelayPlace::Http(HttpPlace { is_tls, host, port, authorization }))
    }

    /// Asks for `path`, with JSON as content where there is any.
    ///
    /// # Errors
    /// Nobody answers there.
    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        content: Option<String>,
    ) -> Result<Answer, ExitError> {
        let asked = within(ANSWER_LIMIT, self.exchange(method, path, content)).await;
        let late = || Err(io::Error::new(io::ErrorKind::TimedOut, "there was no answer in time"));
        asked.unwrap_or_else(late).map_err(|error| self.unreachable(&error))
    }

    fn unreachable(&self, error: &io::Error) -> ExitError {
        match self {
            RelayPlace::Socket(path) => {
                let message = format!("no relay takes commands at {}: {}", path.display(), words(error));
                ExitError::new(Exit::Config, message)
                    .with_hint("name its --control or --state-dir, as the user who runs it")
            }
            RelayPlace::Http(_) => {
                ExitError::new(Exit::RelayUnreachable, format!("{self} does not answer: {}", words(error)))
            }
        }
    }

    async fn exchange(&self, method: Method, path: &str, content: Option<String>) -> io::Result<Answer> {
        let request = self.request(method, path, content)?;
        match self {
            RelayPlace::Socket(socket) => connect_socket(socket, request).await,
            RelayPlace::Http(place) => {
                let (tcp, _) = host_connect::connect(&place.host, place.port, None).await?;
                match place.is_tls {
                    true => send(tls::client(tcp, &place.host, Trust::Verify).await?, request).await,
                    false => send(tcp, request).await,
                }
            }
        }
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        content: Option<String>,
    ) -> io::Result<Request<Full<Bytes>>> {
        let has_content = content.is_some();
        let mut request = Request::new(Full::from(content.unwrap_or_default()));
        *request.method_mut() = method;
        *request.uri_mut() = path.parse().map_err(io::Error::other)?;
        let host = match self {
            RelayPlace::Socket(_) => "localhost".to_owned(),
            RelayPlace::Http(HttpPlace { is_tls, host, port, .. }) => match (is_tls, port) {
                (true, 443) | (false, 80) if host.contains(':') => format!("[{host}]"),
                (true, 443) | (false, 80) => host.clone(),
                _ => authority(host, *port),
            },
        };
        let fields = request.headers_mut();
        fields.insert(HOST, HeaderValue::try_from(host).map_err(io::Error::other)?);
        if has_content {
            fields.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        if let RelayPlace::Http(HttpPlace { authorization: Some(authorization), .. }) = self {
            fields.insert(AUTHORIZATION, authorization.clone());
        }
        Ok(request)
    }
}

fn bearer(key: &Secret) -> Result<HeaderValue, String> {
    let value = HeaderValue::from_bytes(&[b"Bearer ", key.bytes()].concat());
    let mut value = value.map_err(|_| "the key has a character that cannot be sent".to_owned())?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(unix)]
async fn connect_socket(socket: &Path, request: Request<Full<Bytes>>) -> io::Result<Answer> {
    send(hvym_tunnel_net::tcp::Unix::connect_to(socket).await?, request).await
}

#[cfg(not(unix))]
async fn connect_socket(_socket: &Path, _request: Request<Full<Bytes>>) -> io::Result<Answer> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "this system has no Unix sockets"))
}

async fn send(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Full<Bytes>>,
) -> io::Result<Answer> {
    let response = exchange(stream, request).await.map_err(io::Error::other)?;
    let status = response.status();
    let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES).collect().await;
    Ok(Answer { status, body: body.map_err(io::Error::other)?.to_bytes() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(url: &str, key: Option<&str>) -> Result<String, String> {
        let place = RelayPlace::parse(url, key.map(Secret::from));
        place.map(|place| format!("{place:?}")).map_err(|error| error.message)
    }

    #[test]
    fn a_place_is_a_url_and_shows_no_key_and_sends_none_in_the_clear() {
        assert_eq!(
            parsed("https://tunnel.example/x", Some("hush")).as_deref(),
            Ok("Http(https://tunnel.example:443)")
        );
        assert_eq!(parsed("tunnel.example:8443", None).as_deref(), Ok("Http(https://tunnel.example:8443)"));
        assert_eq!(parsed("http://127.0.0.1:9", Some("hush")).as_deref(), Ok("Http(http://127.0.0.1:9)"));
        assert!(parsed("http://192.0.2.1:9", None).is_ok());
        for url in ["http://192.0.2.1:9", "ftp://a", "https://", "https://a:b"] {
            let told = parsed(url, Some("hush")).expect_err(url);
            assert!(!told.contains("hush"), "{told}");
        }
        assert!(parsed("https://a", Some("hu\nsh")).is_err());
    }
}
