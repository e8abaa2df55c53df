//! Pages in place of a service that cannot be reached, and how one of them answers the only request of a stream.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hvym_http1::{MAX_HEAD_BYTES, RequestHead};
use hvym_tunnel_pages::{Format, Page};

use hvym_tunnel_net::stream::TunnelStream;
use hvym_tunnel_net::timeout::within;

use super::upstream::ConnectError;

/// How long the head of a request may take. It follows the stream header at once, unless the visitor's network stalls.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the rest of a request body is discarded, so that the visitor sees the response and not a reset.
const DISCARD_TIMEOUT: Duration = Duration::from_secs(5);

/// Seconds after which a service that is away is asked again.
const AWAY_SECONDS: u32 = 5;

/// Who reads a page, and how.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Audience {
    /// In which format.
    pub(super) format: Format,
    /// Whether the visitor comes from the relay's own machine, as somebody who tries out what they expose. Behind a proxy
    /// that the relay does not know everybody seems to, so that nothing may depend on it but words.
    pub(super) is_owner: bool,
}

impl Audience {
    /// Of a request with this method and these fields.
    pub(super) fn new(method: &str, accept: Option<&[u8]>, forwarded_for: Option<&[u8]>) -> Self {
        let is_owner = forwarded_for.and_then(client).is_some_and(|ip| ip.is_loopback());
        Self { format: Format::preferred(method, accept), is_owner }
    }
}

/// The visitor's address in `X-Forwarded-For` as the relay set it; after it come the proxies that the relay trusts.
pub(super) fn client(forwarded_for: &[u8]) -> Option<IpAddr> {
    std::str::from_utf8(forwarded_for).ok()?.split(',').next()?.trim().parse().ok()
}

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
    /// Who sent it.
    pub(super) visitor: Option<IpAddr>,
}

/// Reads one request and answers it with what `page` makes for whoever reads it; then the stream is to be [`finish`]ed.
///
/// # Errors
/// If the stream breaks or carries no request; it is reset then.
pub(super) async fn answer_one(
    stream: &mut TunnelStream,
    page: impl Fn(Audience) -> Page,
) -> io::Result<Answered> {
    let read = within(HEAD_TIMEOUT, head(stream)).await;
    let (head, request) = read.unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into()))?;
    let forwarded_for = head.headers.first("x-forwarded-for");
    let audience = Audience::new(&head.method, head.headers.first("accept"), forwarded_for);
    let visitor = forwarded_for.and_then(client);
    let response = page(audience).response(audience.format, &head.method);
    stream.write_bytes(response.clone()).await?;
    Ok(Answered { method: head.method, target: head.target, visitor, request, response })
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

/// The page of a service that cannot be reached. It says what is wrong and never where the service is.
pub(super) fn unreachable(error: &ConnectError, audience: Audience) -> Page {
    let (reason, what) = match error {
        ConnectError::Refused(_) | ConnectError::NoSocket(_) => {
            return Page::nothing_listening(audience.is_owner);
        }
        ConnectError::TimedOut(_) => {
            return Page { retry_after: Some(AWAY_SECONDS), is_away: true, ..Page::upstream_timeout() };
        }
        ConnectError::Unresolved(..) => ("unresolved", "its name cannot be resolved"),
        ConnectError::Untrusted(_) => ("untrusted", "its certificate is not trusted"),
        ConnectError::NotTls(_) => ("not-tls", "it does not speak TLS"),
        ConnectError::Tls(..) => ("tls", "TLS with it fails"),
        ConnectError::Failed(..) => ("unreachable", "nothing leads there"),
    };
    let text = match audience.is_owner {
        true => format!("The tunnel works, but the service cannot be reached: {what}."),
        false => "The tunnel works, but the service behind it cannot be reached.".to_owned(),
    };
    Page {
        status: error.status(),
        reason,
        title: "The service cannot be reached".to_owned(),
        text,
        hint: "If this is your tunnel, the agent's terminal says what to do.".to_owned(),
        retry_after: Some(AWAY_SECONDS),
        is_away: true,
    }
}

/// The page of a request that cannot be read.
pub(super) fn unreadable(status: u16, why: &str) -> Page {
    let (title, text) = ("The request cannot be read".to_owned(), why.to_owned());
    let hint = String::new();
    Page { status, reason: "malformed", title, text, hint, retry_after: None, is_away: false }
}

/// The page of a service that was reached and gave no answer.
pub(super) fn no_answer(what: &str) -> Page {
    Page {
        status: 502,
        reason: "no-answer",
        title: "The service gave no answer".to_owned(),
        text: format!("The tunnel works, but the service behind it {what}."),
        hint: "If this is your tunnel, see what the service says.".to_owned(),
        retry_after: None,
        is_away: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_page_says_where_the_service_is() {
        let place = || "inner.example:3000".to_owned();
        for error in [
            ConnectError::Refused(place()),
            ConnectError::NoSocket(place()),
            ConnectError::Unresolved(place(), place()),
            ConnectError::TimedOut(place()),
            ConnectError::Untrusted(place()),
            ConnectError::NotTls(place()),
            ConnectError::Tls(place(), place()),
            ConnectError::Failed(place(), place()),
        ] {
            let page = |is_owner| unreachable(&error, Audience { format: Format::Html, is_owner });
            for page in [page(true), page(false)] {
                for format in [Format::Html, Format::ReloadingHtml, Format::Json] {
                    let body = page.body(format);
                    assert!(!body.contains("inner") && !body.contains("3000"), "{body}");
                }
                assert!(page.body(Format::ReloadingHtml).contains("http-equiv=\"refresh\""), "{page:?}");
            }
        }
    }

    #[test]
    fn whoever_comes_from_the_relays_own_machine_is_told_more() {
        for (address, is_owner) in [
            ("127.0.0.1", true),
            ("::1", true),
            ("127.0.0.1, 10.0.0.1", true),
            ("192.0.2.1, 127.0.0.1", false),
            ("", false),
        ] {
            let audience = Audience::new("GET", None, Some(address.as_bytes()));
            assert_eq!(audience, Audience { format: Format::ReloadingHtml, is_owner }, "{address}");
        }
        let error = ConnectError::Untrusted("x".to_owned());
        let text = |is_owner| unreachable(&error, Audience { format: Format::Html, is_owner }).text;
        assert!(text(true).contains("certificate") && !text(false).contains("certificate"));
    }
}
