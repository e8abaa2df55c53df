//! Sends a captured request to its service again, as it came or edited.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{Either, select};
use futures_util::io::{AsyncReadExt, AsyncWriteExt};
use hvym_http1::{Framing, RequestHead};
use hvym_tunnel_agent::{AgentView, ReplayConnection, ReplayRefusal};
use hvym_tunnel_net::copy::Direction;
use hvym_tunnel_net::runtime::spawn;
use hvym_tunnel_net::timeout::within;
use serde::Deserialize;
use smol::channel::{Sender, bounded};
use thiserror::Error;

use crate::capture::exchange::{CapturedExchange, CapturedRequest, ExchangeSource};
use crate::capture::{Capture, FollowedConnection};
use crate::redact::{MASK, is_secret};
use crate::view::{is_replayable, request_body};

/// How long a response may take. A person looks at it, and an endless stream has shown enough by then.
const REPLAY_TIMEOUT: Duration = Duration::from_secs(60);
/// What is read at once.
const READ_BYTES: usize = 16 * 1024;

/// How a request is changed before it is sent again.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Edit {
    /// The method.
    #[serde(default)]
    pub method: Option<String>,
    /// The target.
    #[serde(default)]
    pub target: Option<String>,
    /// All fields, in their order. The mask as the value of a secret field means what was captured.
    #[serde(default)]
    pub headers: Option<Vec<(String, String)>>,
    /// The body, as text.
    #[serde(default)]
    pub body: Option<String>,
}

impl Edit {
    fn is_empty(&self) -> bool {
        *self == Edit::default()
    }
}

/// Why a request is not sent again.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub(crate) enum ReplayError {
    /// It had to make room, or never was.
    #[error("there is no such request any more")]
    Unknown,
    /// Its body is not kept, it is incomplete, or it asks for another protocol.
    #[error(
        "the request cannot be sent again: its body is not kept to its end, or it asks for another protocol"
    )]
    NotKept,
    /// The edited request is none.
    #[error("the edited request is malformed: {0}")]
    Malformed(String),
    /// The service takes no request.
    #[error(transparent)]
    Refused(#[from] ReplayRefusal),
    /// The connection broke before the request was seen.
    #[error("the connection to the service ended too early")]
    Ended,
}

/// A request that is ready to be sent.
struct Prepared {
    head: Bytes,
    body: Bytes,
    source: ExchangeSource,
}

/// Sends the request of exchange `id` again, and returns the number of the new exchange, whose response is still to come.
///
/// # Errors
/// [`ReplayError`].
pub(crate) async fn replay(
    capture: &Arc<Capture>,
    agent: &AgentView,
    id: u64,
    edit: &Edit,
) -> Result<u64, ReplayError> {
    let prepared = capture.look(id, |exchange| prepare(exchange, edit)).ok_or(ReplayError::Unknown)??;
    let Prepared { head, body, source } = prepared;
    let is_caller = source.from.is_some();
    let connection = agent.connect_for(&source.service, &head, is_caller).await?;
    let followed = capture.follow(source);
    let (begun, begins) = bounded(1);
    spawn(async move {
        if within(REPLAY_TIMEOUT, converse(connection, followed, head, body, begun)).await.is_none() {
            tracing::debug!("the response to a request that was sent again took too long");
        }
    })
    .detach();
    begins.recv().await.map_err(|_| ReplayError::Ended)
}

async fn converse(
    connection: ReplayConnection,
    mut followed: FollowedConnection,
    head: Bytes,
    body: Bytes,
    begun: Sender<u64>,
) {
    let id = followed.pass(Direction::ToLocal, Some(&head));
    followed.pass(Direction::ToLocal, Some(&body));
    // If nobody waits for it, it is sent all the same.
    let _gone = begun.try_send(id);
    let sent_head = connection.head.clone();
    let (mut reader, mut writer) = connection.split();
    let write = async move {
        writer.write_all(&sent_head).await?;
        writer.write_all(&body).await?;
        writer.flush().await?;
        // Until the response is over: a service may take an end of the request for an end of interest.
        std::future::pending::<std::io::Result<()>>().await
    };
    let read = async move {
        let mut buffer = vec![0; READ_BYTES];
        loop {
            let count = reader.read(&mut buffer).await?;
            followed.pass(Direction::ToTunnel, (count > 0).then_some(&buffer[..count]));
            if count == 0 || followed.is_idle() {
                return std::io::Result::Ok(());
            }
        }
    };
    let (write, read) = (Box::pin(write), Box::pin(read));
    match select(write, read).await {
        // It may have answered before it closed its half.
        Either::Left((_, read)) => drop(read.await),
        Either::Right(_) => {}
    }
}

fn prepare(exchange: &CapturedExchange, edit: &Edit) -> Result<Prepared, ReplayError> {
    if !is_replayable(exchange) {
        return Err(ReplayError::NotKept);
    }
    let source = ExchangeSource { replay_of: Some(exchange.id), ..exchange.source.clone() };
    let request = &exchange.request;
    if edit.is_empty() {
        let body = Bytes::copy_from_slice(request.body.bytes());
        return Ok(Prepared { head: request.head.clone(), body, source });
    }
    let (head, body) = edited(request, edit)?;
    Ok(Prepared { head, body, source })
}

fn edited(request: &CapturedRequest, edit: &Edit) -> Result<(Bytes, Bytes), ReplayError> {
    let malformed = |reason: &dyn ToString| ReplayError::Malformed(reason.to_string());
    let mut head = RequestHead::parse_complete(&request.head).map_err(|error| malformed(&error))?;
    if let Some(method) = &edit.method {
        head.method.clone_from(method);
    }
    if let Some(target) = &edit.target {
        head.target.clone_from(target);
    }
    if let Some(fields) = &edit.headers {
        head.headers = with_secrets(fields, &head);
    }
    let body = match &edit.body {
        Some(body) => Bytes::copy_from_slice(body.as_bytes()),
        None => request_body(request).into(),
    };
    // The length is what it is, whatever a person wrote.
    head.headers.remove("transfer-encoding");
    head.headers.remove("content-length");
    if !body.is_empty() || request.framing != Framing::Empty {
        head.headers.push("Content-Length", body.len().to_string());
    }
    let encoded = head.encode().map_err(|error| malformed(&error))?;
    Ok((encoded, body))
}

/// The fields as a person wrote them, with the secrets that were not shown.
fn with_secrets(fields: &[(String, String)], captured: &RequestHead) -> hvym_http1::Headers {
    let mut headers = hvym_http1::Headers::new();
    for (name, value) in fields {
        let earlier = headers.all(name).count();
        let secret = captured.headers.all(name).nth(earlier).filter(|_| value == MASK && is_secret(name));
        match secret {
            Some(secret) => headers.push(name.clone(), Bytes::copy_from_slice(secret)),
            None => headers.push(name.clone(), value.clone()),
        }
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str =
        "POST /hook?a=1 HTTP/1.1\r\nhost: x\r\nCookie: a=1\r\nCookie: b=2\r\nContent-Length: 2\r\n\r\n";

    fn request() -> CapturedRequest {
        let framing = Framing::Length(2);
        let head = Bytes::from_static(HEAD.as_bytes());
        let mut request = CapturedRequest::new(head, "POST".to_owned(), "/hook?a=1".to_owned(), framing);
        request.body.extend(b"hi", 2);
        request
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn an_edited_request_has_the_length_of_its_body_and_the_secrets_that_were_not_shown() {
        let headers = vec![
            pair("host", "x"),
            pair("Cookie", MASK),
            pair("Cookie", MASK),
            pair("X-New", MASK),
            pair("Content-Length", "999"),
            pair("Transfer-Encoding", "chunked"),
        ];
        let edit = Edit { headers: Some(headers), body: Some("hello".to_owned()), ..Edit::default() };
        let (head, body) = edited(&request(), &edit).expect("it is well formed");
        let expected = format!(
            "POST /hook?a=1 HTTP/1.1\r\nhost: x\r\nCookie: a=1\r\nCookie: b=2\r\nX-New: {MASK}\r\nContent-Length: 5\r\n\r\n"
        );
        assert_eq!((text(&head).as_str(), &body[..]), (expected.as_str(), &b"hello"[..]));
    }

    #[test]
    fn what_is_not_edited_stays_and_nonsense_is_refused() {
        let edit =
            Edit { method: Some("PUT".to_owned()), target: Some("/other".to_owned()), ..Edit::default() };
        let (head, body) = edited(&request(), &edit).expect("it is well formed");
        assert_eq!(
            (text(&head).replace("PUT /other ", "POST /hook?a=1 "), &body[..]),
            (HEAD.to_owned(), &b"hi"[..])
        );
        for edit in [
            Edit { method: Some("GET /x".to_owned()), ..Edit::default() },
            Edit { target: Some("/a b".to_owned()), ..Edit::default() },
            Edit { headers: Some(vec![pair("a", "b\r\nc: d")]), ..Edit::default() },
        ] {
            assert!(matches!(edited(&request(), &edit), Err(ReplayError::Malformed(_))), "{edit:?}");
        }
    }

    fn text(bytes: &[u8]) -> String {
        String::from_utf8(bytes.to_vec()).expect("text")
    }
}
