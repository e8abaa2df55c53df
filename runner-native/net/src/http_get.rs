//! Questions to the HTTP side of a relay, by the way that its agents are dialled.

use std::io;

use futures_util::io::{AsyncReadExt, AsyncWriteExt};
use http::uri::Uri;
use hvym_http1::{Body, Framing, ResponseHead};

use super::socket::{DialOptions, RelayUrl, connect_wire};

/// The longest response that is read: what relays say of themselves or of one agent has a few hundred bytes.
const MAX_RESPONSE_BYTES: usize = 64 * 1024;

/// What a relay answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The `Date` field.
    pub date: Option<String>,
    /// The body; of one that is longer than is read, the beginning.
    pub body: Vec<u8>,
}

/// What the relay that is dialled at `relay` under the name `host` answers to `path`. The caller limits the time.
///
/// # Errors
/// There is no connection, or no HTTP response on it.
pub async fn get(relay: &str, host: &str, path: &str, options: &DialOptions) -> io::Result<Answer> {
    let request = PlainRequest { method: "GET", path, fields: &[], body: b"" };
    send(relay, host, &request, MAX_RESPONSE_BYTES, options).await
}

/// A request that is here whole.
#[derive(Copy, Clone)]
pub struct PlainRequest<'a> {
    /// The method.
    pub method: &'a str,
    /// The target.
    pub path: &'a str,
    /// Field lines beside those of host and body. Without line breaks: the caller has checked them.
    pub fields: &'a [(&'a str, &'a str)],
    /// The body, which is JSON.
    pub body: &'a [u8],
}

/// What the relay that is dialled at `relay` under the name `host` answers, of which `max_bytes` are read. The caller limits the
/// time.
///
/// # Errors
/// There is no connection, or no HTTP response on it.
pub async fn send(
    relay: &str,
    host: &str,
    request: &PlainRequest<'_>,
    max_bytes: usize,
    options: &DialOptions,
) -> io::Result<Answer> {
    let PlainRequest { method, path, fields, body } = *request;
    let uri: Uri = relay.parse().map_err(io::Error::other)?;
    let url = RelayUrl::parse(&uri).ok_or_else(|| io::Error::other("not a WebSocket URL"))?;
    let wire = connect_wire(&url, options).await;
    let mut wire = wire.map_err(|error| io::Error::other(error.close.reason.into_owned()))?;
    // Of version 1.0, so that the end of the connection is the end of the response.
    let mut head = format!("{method} {path} HTTP/1.0\r\nHost: {host}\r\nAccept: application/json\r\n");
    for (name, value) in fields {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() {
        head.push_str(&format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len()));
    }
    head.push_str("\r\n");
    wire.write_all(head.as_bytes()).await?;
    wire.write_all(body).await?;
    wire.flush().await?;
    let (mut response, mut room) = (Vec::new(), [0; 16 * 1024]);
    // Some servers leave the connection open all the same.
    while !is_whole(&response) && response.len() < max_bytes {
        match wire.read(&mut room).await? {
            0 => break,
            n => response.extend_from_slice(&room[..n]),
        }
    }
    answer(&response).map(|(answer, _)| answer)
}

fn is_whole(response: &[u8]) -> bool {
    matches!(answer(response), Ok((_, true)))
}

/// The response, and whether it is all that there is of it.
fn answer(response: &[u8]) -> io::Result<(Answer, bool)> {
    let Some((head, used)) = ResponseHead::parse(response).map_err(io::Error::other)? else {
        return Err(io::ErrorKind::UnexpectedEof.into());
    };
    let framing = Framing::for_response(&head, "GET").map_err(io::Error::other)?;
    let (mut framed, mut rest, mut body) = (Body::new(framing), &response[used..], Vec::new());
    while !rest.is_empty() && !framed.is_finished() {
        let step = framed.decode(rest).map_err(io::Error::other)?;
        body.extend_from_slice(step.payload);
        rest = &rest[step.used..];
    }
    let date = head.headers.first("date").map(|date| String::from_utf8_lossy(date).into_owned());
    Ok((Answer { status: head.status, date, body }, framed.is_finished()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_read_by_its_framing() {
        for (response, body, is_whole) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}and more", "{}", true),
            ("HTTP/1.1 200 OK\r\n\r\n{} to the end", "{} to the end", false),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", "{}", true),
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\ncut", "cut", false),
        ] {
            let (answer, whole) = answer(response.as_bytes()).expect("a response");
            assert_eq!(
                (answer.status, &answer.body[..], whole),
                (200, body.as_bytes(), is_whole),
                "{response}"
            );
        }
        let dated = "HTTP/1.1 404 Not Found\r\nDate: then\r\nContent-Length: 0\r\n\r\n";
        let expected = Answer { status: 404, date: Some("then".to_owned()), body: Vec::new() };
        assert_eq!(answer(dated.as_bytes()).expect("one"), (expected, true));
        for response in ["", "HTTP/1.1 200 OK\r\n", "SSH-2.0-OpenSSH_9.2\r\n\r\n"] {
            answer(response.as_bytes()).expect_err("no response");
        }
    }
}
