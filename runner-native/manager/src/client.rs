//! A client of the API: one request at a time, over the Unix socket of the same user or over TCP.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{HeaderValue, Method, Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hvym_tunnel_net::error_text::words;
use hvym_tunnel_net::host_connect;
use hvym_tunnel_net::hyper::exchange;
use hvym_tunnel_net::target::{PlaceError, authority, host_and_port};
use hvym_tunnel_net::timeout::within;
use hyper::body::Incoming;
use serde_json::Value;
use thiserror::Error;

use crate::settings::API_PORT;

/// How long an answer may take: a link that is stopped may take ten seconds.
const ANSWER_LIMIT: Duration = Duration::from_secs(90);
/// The largest answer: the status of some thousand services.
const MAX_ANSWER_BYTES: usize = 16 * 1024 * 1024;

/// Where a manager listens.
#[derive(Clone, PartialEq, Eq)]
pub enum ApiAddress {
    /// At this Unix socket.
    Socket(PathBuf),
    /// At this host and port, where the token may be needed.
    Tcp {
        /// The host.
        host: String,
        /// The port.
        port: u16,
        /// The token.
        token: Option<String>,
    },
}

/// Without the token.
impl std::fmt::Debug for ApiAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}

impl std::fmt::Display for ApiAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ApiAddress::Socket(path) => path.display().fmt(f),
            ApiAddress::Tcp { host, port, .. } => write!(f, "http://{}", authority(host, *port)),
        }
    }
}

/// Why there is no answer.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum ClientError {
    /// Nobody listens.
    #[error("no manager listens at {0}: {1}")]
    NotReached(String, String),
    /// The connection broke off, or the answer is not one.
    #[error("the manager did not answer: {0}")]
    NoAnswer(String),
    /// It answered that it does not do it.
    #[error("{message}")]
    Refused {
        /// The status.
        status: u16,
        /// Its text.
        message: String,
    },
}

impl ApiAddress {
    /// `http://host:port`; without a port the usual one.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(text: &str, token: Option<String>) -> Result<Self, PlaceError> {
        let place = text.strip_prefix("http://").unwrap_or(text).trim_end_matches('/');
        let (host, port) = host_and_port(place, Some(API_PORT))?;
        Ok(ApiAddress::Tcp { host, port, token })
    }

    /// Sends a request, and reads the answer as JSON.
    ///
    /// # Errors
    /// There is none, or its status is not a success.
    pub async fn call(
        &self,
        method: Method,
        path: &str,
        content: Option<&Value>,
    ) -> Result<Value, ClientError> {
        let no_answer = |error: String| ClientError::NoAnswer(error);
        let exchange = async {
            let response = self.open(method, path, content).await?;
            let status = response.status();
            let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES).collect().await;
            let body = body.map_err(|error| no_answer(error.to_string()))?.to_bytes();
            let value: Value = serde_json::from_slice(&body).map_err(|error| no_answer(error.to_string()))?;
            if status.is_success() {
                return Ok(value);
            }
            let text = value["message"].as_str().or_else(|| value["error"].as_str()).unwrap_or_default();
            Err(ClientError::Refused { status: status.as_u16(), message: text.to_owned() })
        };
        within(ANSWER_LIMIT, exchange).await.unwrap_or_else(|| Err(no_answer("it took too long".to_owned())))
    }

    /// Sends a request; the content of the response follows as it comes.
    ///
    /// # Errors
    /// There is no response.
    pub async fn open(
        &self,
        method: Method,
        path: &str,
        content: Option<&Value>,
    ) -> Result<Response<Incoming>, ClientError> {
        let no_answer = |error: hyper::Error| ClientError::NoAnswer(error.to_string());
        let request = self.request(method, path, content);
        match self {
            #[cfg(unix)]
            ApiAddress::Socket(socket) => {
                let stream = hvym_tunnel_net::tcp::Unix::connect_to(socket).await;
                exchange(stream.map_err(|error| self.not_reached(&error))?, request).await.map_err(no_answer)
            }
            #[cfg(not(unix))]
            ApiAddress::Socket(_) => Err(self.not_reached(&io::ErrorKind::Unsupported.into())),
            ApiAddress::Tcp { host, port, .. } => {
                let connected = host_connect::connect(host, *port, None).await;
                let (stream, _) = connected.map_err(|error| self.not_reached(&error.into()))?;
                exchange(stream, request).await.map_err(no_answer)
            }
        }
    }

    fn not_reached(&self, error: &io::Error) -> ClientError {
        ClientError::NotReached(self.to_string(), words(error))
    }

    fn request(&self, method: Method, path: &str, content: Option<&Value>) -> Request<Full<Bytes>> {
        let body = content.map(Value::to_string).unwrap_or_default();
        let mut request = Request::new(Full::from(body));
        *request.method_mut() = method;
        *request.uri_mut() = path.parse().unwrap_or_default();
        let fields = request.headers_mut();
        let (host, token) = match self {
            ApiAddress::Socket(_) => ("localhost".to_owned(), None),
            ApiAddress::Tcp { host, port, token } => (authority(host, *port), token.as_ref()),
        };
        if let Ok(host) = HeaderValue::from_str(&host) {
            fields.insert(HOST, host);
        }
        if content.is_some() {
            fields.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        if let Some(Ok(mut shown)) = token.map(|token| HeaderValue::from_str(&format!("Bearer {token}"))) {
            shown.set_sensitive(true);
            fields.insert(AUTHORIZATION, shown);
        }
        request
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_url_and_shows_no_token() {
        let parsed = ApiAddress::parse("http://127.0.0.1:9/", Some("secret".to_owned())).expect("an address");
        assert_eq!(format!("{parsed} {parsed:?}"), "http://127.0.0.1:9 http://127.0.0.1:9");
        let usual = ApiAddress::parse("localhost", None).map(|address| address.to_string());
        assert_eq!(usual.as_deref(), Ok("http://localhost:8765"));
        assert!(ApiAddress::parse("http://x:y", None).is_err());
    }
}
