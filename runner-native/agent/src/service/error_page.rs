//! Pages in place of a service that cannot be reached, and how one of them answers the only request of a stream.

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hvym_http1::{MAX_HEAD_BYTES, RequestHead};
use hvym_tunnel_pages::{Format, Page};

use hvym_tunnel_net::stream::TunnelStream;
use hvym_tunnel_net::timeout::within;

use super::upstream::{ConnectError, Upstream};

/// How long the head of a request may take. It follows the stream header at once, unless the visitor's network stalls.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the rest of a request body is discarded, so that the visitor sees the response and not a reset.
const DISCARD_TIMEOUT: Duration = Duration::from_secs(5);

/// The request that was answered.
pub(super) struct Answered {
    /// Its method.
    pub(super) method: String,
    /// Its target, as sent.
    pub(super) target: String,
    /// What came of it.
    pub(super) request: Bytes,
    /// All of the response.
    pub(super) response: Bytes,
}

/// Reads one request and answers it with `page`; then the stream is to be [`finish`]ed.
///
/// # Errors
/// If the stream breaks or carries no request; it is reset then.
pub(super) async fn answer_one(stream: &mut TunnelStream, page: &Page) -> io::Result<Answered> {
    let read = within(HEAD_TIMEOUT, head(stream)).await;
    let (head, request) = read.unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into()))?;
    let format = Format::preferred(head.headers.first("accept"));
    let response = page.response(format, &head.method);
    stream.write_bytes(response.clone()).await?;
    Ok(Answered { method: head.method, target: head.target, request, response })
}

/// Ends a stream after everything that was written, discards what still comes, and waits until the relay ends it too: then it has the response.
///
/// # Errors
/// If the stream is broken already.
pub(super) async fn finish(mut stream: TunnelStream) -> io::Result<()> {
    stream.finish()?;
    let discard = async { while let Ok(Some(_)) = stream.read_bytes().await {} };
    within(DISCARD_TIMEOUT, discard).await;
    Ok(())
}

/// The head, and all that came.
async fn head(stream: &mut TunnelStream) -> io::Result<(RequestHead, Bytes)> {
    let mut gathered = BytesMut::new();
    while let Some(bytes) = stream.read_bytes().await? {
        let room = MAX_HEAD_BYTES.saturating_sub(gathered.len());
        gathered.extend_from_slice(&bytes[..bytes.len().min(room)]);
        match RequestHead::parse(&gathered) {
            Ok(Some((head, _))) => return Ok((head, gathered.freeze())),
            Ok(None) if room > bytes.len() => {}
            Ok(None) => {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "the head of a request is too long"));
            }
            Err(error) => return Err(io::Error::new(io::ErrorKind::InvalidData, error)),
        }
    }
    Err(io::ErrorKind::UnexpectedEof.into())
}

/// The page of a service that cannot be reached.
pub(super) fn unreachable(error: &ConnectError, upstream: &Upstream) -> Page {
    match error {
        ConnectError::Refused(_) | ConnectError::NoSocket(_) => {
            Page::nothing_listening(&upstream.target().place())
        }
        ConnectError::TimedOut(_) => Page::upstream_timeout(),
        other => Page {
            status: other.status(),
            title: "The service cannot be reached".to_owned(),
            text: format!("The tunnel works, but {other}."),
            hint: "If this is your tunnel, the agent's terminal says what to do.".to_owned(),
            retry_after: None,
        },
    }
}

/// The page of a request that cannot be read.
pub(super) fn unreadable(status: u16, why: &str) -> Page {
    let (title, text) = ("The request cannot be read".to_owned(), why.to_owned());
    Page { status, title, text, hint: String::new(), retry_after: None }
}

/// The page of a service that was reached and gave no answer.
pub(super) fn no_answer(what: &str) -> Page {
    Page {
        status: 502,
        title: "The service gave no answer".to_owned(),
        text: format!("The tunnel works, but the service behind it {what}."),
        hint: "If this is your tunnel, see what the service says.".to_owned(),
        retry_after: None,
    }
}
