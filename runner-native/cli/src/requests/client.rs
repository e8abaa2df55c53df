//! HTTP to the inspector of an agent on this machine.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use bytes::Bytes;
use http::header::{AUTHORIZATION, HOST};
use http::{Request, Response};
use http_body_util::{BodyExt, Empty};
use hvym_tunnel_net::hyper::exchange;
use hvym_tunnel_net::tcp::Tcp;
use hyper::body::Incoming;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::exit::{Exit, ExitError};

/// The longest line of events: all that are kept, in the short form.
const MAX_LINE_BYTES: usize = 16 * 1024 * 1024;

/// Who is asked.
pub(super) struct Client {
    at: SocketAddr,
}

impl Client {
    /// The inspector at this place.
    ///
    /// # Errors
    /// It is none.
    pub(super) fn new(place: &str) -> Result<Self, ExitError> {
        let place = place.trim().trim_start_matches("http://").trim_end_matches('/');
        let place =
            place.strip_prefix("localhost").map_or(place.to_owned(), |port| format!("127.0.0.1{port}"));
        let local = |port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let at = place.parse().ok().or_else(|| place.parse().ok().map(local));
        let at =
            at.ok_or_else(|| ExitError::new(Exit::Usage, format!("{place} is no place of an inspector")));
        Ok(Self { at: at.map_err(|error| error.with_hint("a port as in 4300, or HOST:PORT"))? })
    }

    /// A value.
    ///
    /// # Errors
    /// Nobody is there, or there is no such thing.
    pub(super) async fn json<T: DeserializeOwned>(&self, path: &str) -> Result<T, ExitError> {
        let bytes = self.bytes(path).await?;
        serde_json::from_slice(&bytes).map_err(|error| self.other(&error.to_string()))
    }

    /// Bytes.
    ///
    /// # Errors
    /// As for [`Self::json`].
    pub(super) async fn bytes(&self, path: &str) -> Result<Vec<u8>, ExitError> {
        let token = if path.ends_with("?reveal") { Some(self.token().await?) } else { None };
        self.ask("GET", path, token).await
    }

    /// What is said to a change.
    ///
    /// # Errors
    /// As for [`Self::json`], or the change cannot be made.
    pub(super) async fn change(&self, method: &str, path: &str) -> Result<Vec<u8>, ExitError> {
        let token = self.token().await?;
        self.ask(method, path, Some(token)).await
    }

    /// What happens from now on, after what is there.
    ///
    /// # Errors
    /// As for [`Self::json`].
    pub(super) async fn events(&self) -> Result<Events, ExitError> {
        let response = self.send("GET", "/api/events", None).await?;
        Ok(Events { body: response.into_body(), at: self.at, pending: Vec::new() })
    }

    async fn token(&self) -> Result<String, ExitError> {
        let session = self.ask("GET", "/api/session", None).await?;
        let session: Value = serde_json::from_slice(&session).unwrap_or_default();
        let token = session["token"].as_str().map(str::to_owned);
        token.ok_or_else(|| self.other("it gives no token"))
    }

    async fn ask(&self, method: &str, path: &str, token: Option<String>) -> Result<Vec<u8>, ExitError> {
        let response = self.send(method, path, token).await?;
        let status = response.status();
        let body = response.into_body().collect().await.map_err(|error| self.other(&error.to_string()))?;
        let body = body.to_bytes().to_vec();
        if status.is_success() {
            return Ok(body);
        }
        let said: Value = serde_json::from_slice(&body).unwrap_or_default();
        let reason = said["error"].as_str().map_or_else(|| format!("it answers {status}"), str::to_owned);
        Err(ExitError::new(Exit::Config, reason))
    }

    async fn send(
        &self,
        method: &str,
        path: &str,
        token: Option<String>,
    ) -> Result<Response<Incoming>, ExitError> {
        let tcp = Tcp::connect(self.at).await.map_err(|error| self.absent(&error))?;
        let request = Request::builder().method(method).uri(path).header(HOST, self.at.to_string());
        let request = match token {
            Some(token) => request.header(AUTHORIZATION, format!("Bearer {token}")),
            None => request,
        };
        let request = request.body(Empty::<Bytes>::new()).map_err(|error| self.other(&error.to_string()))?;
        exchange(tcp, request).await.map_err(|error| self.other(&error.to_string()))
    }

    fn absent(&self, error: &io::Error) -> ExitError {
        let message = format!("no agent shows its requests at {}: {error}", self.at);
        ExitError::new(Exit::Config, message)
            .with_hint("expose with --inspect, and name the place that it prints with --inspector")
    }

    fn other(&self, reason: &str) -> ExitError {
        ExitError::new(Exit::Config, format!("what answers at {} is no inspector: {reason}", self.at))
    }
}

/// Events as they come.
pub(super) struct Events {
    body: Incoming,
    at: SocketAddr,
    /// Of an event that is incomplete.
    pending: Vec<u8>,
}

impl Events {
    /// The name and the data of the next one; `None` after the last.
    ///
    /// # Errors
    /// What comes is too long to be an event.
    pub(super) async fn next(&mut self) -> Result<Option<(String, Value)>, ExitError> {
        loop {
            if let Some(end) = self.pending.windows(2).position(|pair| pair == b"\n\n") {
                let event: Vec<u8> = self.pending.drain(..end + 2).collect();
                let event = String::from_utf8_lossy(&event);
                let of = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
                if let (Some(name), Some(data)) = (of("event:"), of("data:")) {
                    return Ok(Some((name.to_owned(), serde_json::from_str(data).unwrap_or_default())));
                }
                continue;
            }
            if self.pending.len() > MAX_LINE_BYTES {
                let message = format!("what answers at {} is no inspector", self.at);
                return Err(ExitError::new(Exit::Config, message));
            }
            match self.body.frame().await {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.pending.extend_from_slice(&data);
                    }
                }
                // The agent ends without a word.
                Some(Err(_)) | None => return Ok(None),
            }
        }
    }
}
