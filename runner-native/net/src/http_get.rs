//! One question to the HTTP side of a relay, by the way that its agents are dialled.

use std::io;

use futures_util::io::{AsyncReadExt, AsyncWriteExt};
use http::uri::Uri;
use hvym_http1::ResponseHead;

use super::socket::{DialOptions, RelayUrl, connect_wire};

/// The longest response that is read: what relays say of one agent has a few hundred bytes.
const MAX_RESPONSE_BYTES: u64 = 64 * 1024;

/// The status of `path` at the relay that is dialled at `relay` under the name `host`. The caller limits the time.
///
/// # Errors
/// There is no connection, or no HTTP response on it.
pub async fn status(relay: &str, host: &str, path: &str, options: &DialOptions) -> io::Result<u16> {
    let uri: Uri = relay.parse().map_err(io::Error::other)?;
    let url = RelayUrl::parse(&uri).ok_or_else(|| io::Error::other("not a WebSocket URL"))?;
    let wire = connect_wire(&url, options).await;
    let mut wire = wire.map_err(|close| io::Error::other(close.reason.into_owned()))?;
    // Of version 1.0, so that the end of the connection is the end of the response.
    let request = format!("GET {path} HTTP/1.0\r\nHost: {host}\r\nAccept: application/json\r\n\r\n");
    wire.write_all(request.as_bytes()).await?;
    wire.flush().await?;
    let mut response = Vec::new();
    (&mut wire).take(MAX_RESPONSE_BYTES).read_to_end(&mut response).await?;
    match ResponseHead::parse(&response).map_err(io::Error::other)? {
        Some((head, _)) => Ok(head.status),
        None => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}
