//! One question to the local place of a service, beside any tunnel: whether it is there, and what it answers to an HTTP request.

use std::io;
use std::path::Path;

use futures_util::io::{AsyncReadExt, AsyncWriteExt};
use hvym_http1::ResponseHead;
use hvym_tunnel_net::error_text::words;
use hvym_tunnel_net::target::Target;
use thiserror::Error;

use crate::error::{AgentError, AuthorityRole};
use crate::event::ConnectError;
use crate::service::trust;
use crate::service::upstream::Upstream;

/// The longest response that is read: a list of some hundred models.
const MAX_RESPONSE_BYTES: u64 = 256 * 1024;

/// The local place of a service, to be asked now and then.
pub struct LocalProbe {
    upstream: Upstream,
}

/// What to ask.
#[derive(Copy, Clone, Debug)]
#[non_exhaustive]
pub struct ProbeRequest<'a> {
    /// The method.
    pub method: &'a str,
    /// The path, and a query if there is one.
    pub path: &'a str,
    /// The type of the content, and the content.
    pub content: Option<(&'a str, &'a [u8])>,
}

impl<'a> ProbeRequest<'a> {
    /// A GET of `path`.
    pub fn get(path: &'a str) -> Self {
        Self { method: "GET", path, content: None }
    }

    /// A POST of `content` to `path`.
    pub fn post(path: &'a str, content_type: &'a str, content: &'a [u8]) -> Self {
        Self { method: "POST", path, content: Some((content_type, content)) }
    }
}

/// What was answered.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct ProbeResponse {
    /// The status.
    pub status: u16,
    /// The content, without the framing of a transfer coding: the request is of HTTP/1.0, to which nobody sends one.
    pub body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum ProbeError {
    /// The place cannot be reached.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The connection broke off.
    #[error("{0} did not answer: {1}")]
    Io(String, String),
    /// What came is not HTTP.
    #[error("{0} does not speak HTTP/1.1")]
    NotHttp(String),
}

impl LocalProbe {
    /// Of the place `target`, whose certificate one of the authorities in the PEM file `ca` may vouch for.
    ///
    /// # Errors
    /// The file cannot be used.
    pub fn new(target: Target, ca: Option<&Path>) -> Result<Self, AgentError> {
        Ok(Self { upstream: Upstream::new(target, trust(ca, AuthorityRole::Service)?) })
    }

    /// Connects, and closes. A folder is always there. Takes 5 s at most.
    ///
    /// # Errors
    /// Nobody takes the connection.
    pub async fn connect(&self) -> Result<(), ConnectError> {
        match self.upstream.target() {
            Target::Folder(_) => Ok(()),
            _ => self.upstream.connect().await.map(drop),
        }
    }

    /// Sends `request`, and reads the answer. The caller limits the time.
    ///
    /// # Errors
    /// There is no answer, or one that is not HTTP or larger than 256 KiB.
    pub async fn request(&self, request: ProbeRequest<'_>) -> Result<ProbeResponse, ProbeError> {
        let place = || self.upstream.target().place();
        let broken = |error: io::Error| ProbeError::Io(place(), words(&error));
        let mut stream = self.upstream.connect().await?;
        let head = request_head(self.upstream.target(), &request);
        // In one write, because some small services read once and answer.
        let sent = request.content.map_or(&[][..], |(_, content)| content);
        stream.write_all(&[head.as_bytes(), sent].concat()).await.map_err(broken)?;
        stream.flush().await.map_err(broken)?;
        let mut response = Vec::new();
        let read = (&mut stream).take(MAX_RESPONSE_BYTES).read_to_end(&mut response).await;
        match ResponseHead::parse(&response) {
            Ok(Some((head, length))) => {
                let body = content(&head, &response[length..]);
                Ok(ProbeResponse { status: head.status, body })
            }
            // What was read before the connection broke off may be the whole of it.
            Ok(None) => Err(broken(read.err().unwrap_or_else(|| io::ErrorKind::UnexpectedEof.into()))),
            Err(_) => Err(ProbeError::NotHttp(place())),
        }
    }
}

/// The content of a response whose connection has ended.
fn content(head: &ResponseHead, rest: &[u8]) -> Vec<u8> {
    let declared = head.headers.first("content-length");
    let declared = declared.and_then(|value| std::str::from_utf8(value).ok()?.trim().parse().ok());
    rest[..declared.unwrap_or(rest.len()).min(rest.len())].to_vec()
}

/// Of version 1.0, so that the end of the connection is the end of the response.
fn request_head(target: &Target, request: &ProbeRequest<'_>) -> String {
    let host = match target {
        Target::Origin(origin) => origin.authority(),
        Target::Socket(_) | Target::Folder(_) => "localhost".to_owned(),
    };
    let ProbeRequest { method, path, content } = request;
    let fields = content
        .map(|(kind, content)| format!("Content-Type: {kind}\r\nContent-Length: {}\r\n", content.len()));
    let fields = fields.unwrap_or_default();
    format!("{method} {path} HTTP/1.0\r\nHost: {host}\r\nAccept: application/json, */*\r\n{fields}\r\n")
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use hvym_tunnel_net::runtime::Runtime;

    use super::*;

    /// What a service that answers `response` is asked, and what the probe makes of it.
    fn asked(
        request: ProbeRequest<'_>,
        response: &'static [u8],
    ) -> (String, Result<ProbeResponse, ProbeError>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("its address").port();
        let end: &[u8] = if request.content.is_some() { b"}" } else { b"\r\n\r\n" };
        let service = std::thread::spawn(move || {
            let (mut client, _) = listener.accept().expect("the probe comes");
            let mut got = Vec::new();
            let mut buffer = [0; 1024];
            while !got.ends_with(end) {
                let count = client.read(&mut buffer).expect("a request");
                got.extend_from_slice(&buffer[..count]);
            }
            client.write_all(response).expect("the probe reads");
            String::from_utf8(got).expect("text")
        });
        let runtime = Runtime::with_threads(2).expect("threads and descriptors");
        let target = format!("127.0.0.1:{port}").parse().expect("a target");
        let probe = LocalProbe::new(target, None).expect("no file");
        let answer = runtime.block_on(probe.request(request));
        (service.join().expect("the service"), answer)
    }

    #[test]
    fn a_service_is_asked_and_its_answer_read() {
        let (head, answer) = asked(
            ProbeRequest::get("/api/version"),
            b"HTTP/1.1 200 OK\r\nContent-Length: 19\r\n\r\n{\"version\":\"0.9.0\"}",
        );
        assert!(head.starts_with("GET /api/version HTTP/1.0\r\nHost: 127.0.0.1:"), "{head}");
        assert_eq!(answer, Ok(ProbeResponse { status: 200, body: b"{\"version\":\"0.9.0\"}".to_vec() }));
        let (head, answer) =
            asked(ProbeRequest::post("/hook", "application/json", b"{}"), b"HTTP/1.0 204 No Content\r\n\r\n");
        assert!(head.contains("Content-Length: 2\r\n") && head.ends_with("\r\n\r\n{}"), "{head}");
        assert_eq!(answer.map(|answer| answer.status), Ok(204));
    }

    #[test]
    fn what_is_no_answer_is_an_error_that_says_so() {
        let (_, answer) = asked(ProbeRequest::get("/"), b"SSH-2.0-x\r\n\r\n");
        assert!(matches!(answer, Err(ProbeError::NotHttp(_))), "{answer:?}");
        let (_, answer) = asked(ProbeRequest::get("/"), b"HTTP/1.1 200 OK\r\n");
        assert!(matches!(answer, Err(ProbeError::Io(..))), "{answer:?}");
    }
}
