//! Answers one request of a stream with a page of our own, when there is no service to answer it.

use std::io;
use std::time::Duration;

use bytes::BytesMut;
use hvym_http1::{MAX_HEAD_BYTES, RequestHead};
use hvym_tunnel_core::time::Instant;
use hvym_tunnel_pages::{Format, Page};

use hvym_tunnel_net::clock::{Clock, within};
use hvym_tunnel_net::stream::TunnelStream;

/// How long the head of a request may take. It follows the opening at once, unless the visitor's own network stalls.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a visitor may go on sending a body that nobody reads, so that it sees the answer and not a reset.
const DISCARD_TIMEOUT: Duration = Duration::from_secs(5);

/// The request that was answered.
pub(crate) struct Answered {
    /// Its method.
    pub(crate) method: String,
    /// Its target, as sent.
    pub(crate) target: String,
    /// When its first bytes were there.
    pub(crate) started: Instant,
}

/// Waits for a request, answers it with `page`, and ends the stream; the body is read and thrown away.
///
/// # Errors
/// If the stream breaks, or what comes is no request; the stream is reset then.
pub(crate) async fn with_page(mut stream: TunnelStream, page: &Page, clock: Clock) -> io::Result<Answered> {
    let read = within(HEAD_TIMEOUT, head(&mut stream, clock)).await;
    let (head, started) = read.unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into()))?;
    let format = Format::preferred(head.headers.first("accept"));
    stream.write_bytes(page.response(format, &head.method)).await?;
    conclude(stream).await?;
    Ok(Answered { method: head.method, target: head.target, started })
}

/// Ends a stream after everything that was written. The body is read and thrown away, and the relay's own end says
/// that it has the answer.
///
/// # Errors
/// If the stream is broken already.
pub(super) async fn conclude(mut stream: TunnelStream) -> io::Result<()> {
    stream.finish()?;
    let discard = async { while let Ok(Some(_)) = stream.read_bytes().await {} };
    within(DISCARD_TIMEOUT, discard).await;
    Ok(())
}

async fn head(stream: &mut TunnelStream, clock: Clock) -> io::Result<(RequestHead, Instant)> {
    let mut started = None;
    let mut gathered = BytesMut::new();
    while let Some(bytes) = stream.read_bytes().await? {
        let started = *started.get_or_insert_with(|| clock.now());
        // What lies beyond the limit of a head is body, and of no interest.
        let room = MAX_HEAD_BYTES.saturating_sub(gathered.len());
        gathered.extend_from_slice(&bytes[..bytes.len().min(room)]);
        match RequestHead::parse(&gathered) {
            Ok(Some((head, _))) => return Ok((head, started)),
            Ok(None) if room > bytes.len() => {}
            Ok(None) => {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "the head of a request is too long"));
            }
            Err(error) => return Err(io::Error::new(io::ErrorKind::InvalidData, error)),
        }
    }
    Err(io::ErrorKind::UnexpectedEof.into())
}
