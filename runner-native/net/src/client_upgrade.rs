//! The client's half of the opening handshake of a WebSocket (RFC 6455 section 4.1), over any connection.

use std::io;

use data_encoding::BASE64;
use futures_util::io::{AsyncReadExt, AsyncWriteExt};
use http::HeaderValue;
use hvym_http1::{HeadError, HeadScanner, LineEndings, ResponseHead};
use ring::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};
use thiserror::Error;

use super::wire::Wire;

/// What a server appends to the key before it hashes both (section 1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// The field in which a relay names the limit that it refuses an agent for.
pub const LIMIT: &str = "hvym-tunnel-limit";
/// The longest name of a limit that is shown; the longest that there is has 20 bytes.
const MAX_LIMIT_BYTES: usize = 32;
/// What a TLS server says first to what is not TLS: an alert record of version 3 (RFC 8446 section 5.1).
const TLS_ALERT: &[u8] = &[21, 3];
/// What nginx and our relays say to it, with status 400.
const WANTS_TLS: [&[u8]; 2] = [b"plain HTTP request was sent to HTTPS port", b"This port speaks TLS"];
/// What is read of a response at once: the head, and what the server says first.
const READ_BYTES: usize = 4 * 1024;

/// What a client asks for.
pub(super) struct UpgradeRequest<'a> {
    /// The value of `Host`.
    pub(super) authority: &'a str,
    /// Path and query.
    pub(super) target: &'a str,
    /// Further fields.
    pub(super) fields: &'a [(&'static str, HeaderValue)],
    /// Entropy, fresh for each request.
    pub(super) nonce: [u8; 16],
}

/// Why there is no WebSocket.
#[derive(Debug, Error)]
pub(super) enum UpgradeError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("what answers is no HTTP server: {0}")]
    Head(#[from] HeadError),
    #[error("it speaks TLS")]
    SpeaksTls,
    #[error("the server answered HTTP {0} instead of a WebSocket")]
    Status(u16),
    #[error("the relay takes no more: its limit {0} is reached")]
    Limit(String),
    #[error("the server's answer is no WebSocket upgrade: {0}")]
    Answer(&'static str),
}

/// The value of `Sec-WebSocket-Accept` for a key.
pub fn accept_key(key: &[u8]) -> String {
    let mut hash = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
    hash.update(key);
    hash.update(GUID);
    BASE64.encode(hash.finish().as_ref())
}

/// Asks for the upgrade; what the server sent behind its answer.
///
/// # Errors
/// The connection's, or an answer that is no upgrade.
pub(super) async fn upgrade(wire: &mut Wire, request: UpgradeRequest<'_>) -> Result<Vec<u8>, UpgradeError> {
    let key = BASE64.encode(&request.nonce);
    wire.write_all(&head(&request, &key)).await?;
    wire.flush().await?;
    let (mut read, mut scanner) = (Vec::new(), HeadScanner::new(LineEndings::Lenient));
    let end = loop {
        let before = read.len();
        read.resize(before + READ_BYTES, 0);
        let n = wire.read(&mut read[before..]).await?;
        read.truncate(before + n);
        if n == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        if read.starts_with(TLS_ALERT) {
            return Err(UpgradeError::SpeaksTls);
        }
        if let Some(end) = scanner.feed(&read[before..])? {
            break before + end;
        }
    };
    let answer = ResponseHead::parse_complete(&read[..end])?;
    if leads_to_tls(&answer, &read[end..]) {
        return Err(UpgradeError::SpeaksTls);
    }
    check(&answer, &key)?;
    read.drain(..end);
    Ok(read)
}

/// Whether a server says that it wants TLS: by a redirect, or as nginx does.
fn leads_to_tls(answer: &ResponseHead, body: &[u8]) -> bool {
    let is_tls_url = |url: &[u8]| url.starts_with(b"https://") || url.starts_with(b"wss://");
    match answer.status {
        301 | 302 | 307 | 308 => answer.headers.first("location").is_some_and(is_tls_url),
        400 => WANTS_TLS.iter().any(|words| body.windows(words.len()).any(|window| window == *words)),
        _ => false,
    }
}

fn head(request: &UpgradeRequest<'_>, key: &str) -> Vec<u8> {
    let UpgradeRequest { authority, target, fields, nonce: _ } = request;
    let mut head = format!(
        "GET {target} HTTP/1.1\r\nHost: {authority}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n"
    )
    .into_bytes();
    for (name, value) in *fields {
        head.extend([name.as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    head.extend(b"\r\n");
    head
}

/// The limit of the relay that refuses an agent, by the name of its option. Anything else than such a name is not shown.
fn limit(answer: &ResponseHead) -> Option<String> {
    let name = answer.headers.first(LIMIT)?;
    let is_name = (1..=MAX_LIMIT_BYTES).contains(&name.len())
        && name.iter().all(|byte| byte.is_ascii_lowercase() || *byte == b'-');
    if is_name { String::from_utf8(name.to_vec()).ok() } else { None }
}

fn check(answer: &ResponseHead, key: &str) -> Result<(), UpgradeError> {
    if answer.status != 101 {
        return Err(match limit(answer) {
            Some(name) => UpgradeError::Limit(name),
            None => UpgradeError::Status(answer.status),
        });
    }
    let fields = &answer.headers;
    if !fields.contains_token("upgrade", "websocket") || !fields.contains_token("connection", "upgrade") {
        return Err(UpgradeError::Answer("it switches to another protocol"));
    }
    if fields.first("sec-websocket-accept") != Some(accept_key(key.as_bytes()).as_bytes()) {
        return Err(UpgradeError::Answer("its key does not belong to our question"));
    }
    // Neither was asked for.
    if fields.contains("sec-websocket-extensions") || fields.contains("sec-websocket-protocol") {
        return Err(UpgradeError::Answer("it names an extension or a subprotocol"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::Poll;

    use futures_util::io::{AsyncRead, AsyncWrite};

    use super::*;
    use crate::wire::Duplex;

    /// A server that answers whatever it is asked, a few bytes at a time.
    struct Scripted {
        answer: Vec<u8>,
        asked: Vec<u8>,
    }

    impl Duplex for Scripted {}

    impl AsyncRead for Scripted {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _cx: &mut std::task::Context<'_>,
            buf: &mut [u8],
        ) -> Poll<io::Result<usize>> {
            assert!(self.asked.ends_with(b"\r\n\r\n"), "the whole question comes first");
            let n = self.answer.len().min(buf.len()).min(90);
            buf[..n].copy_from_slice(&self.answer[..n]);
            self.answer.drain(..n);
            Poll::Ready(Ok(n))
        }
    }

    impl AsyncWrite for Scripted {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _cx: &mut std::task::Context<'_>,
            buf: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.asked.extend(buf);
            Poll::Ready(Ok(buf.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _cx: &mut std::task::Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_close(self: Pin<&mut Self>, _cx: &mut std::task::Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    /// Section 1.3.
    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
    const ACCEPT: &str = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

    fn ask(answer: &str) -> Result<Vec<u8>, String> {
        let answer = answer.replace('\n', "\r\n").into_bytes();
        let mut wire = Wire::Boxed(Box::new(Scripted { answer, asked: Vec::new() }));
        let request = UpgradeRequest {
            authority: "relay.example",
            target: "/connect",
            fields: &[],
            nonce: *b"the sample nonce",
        };
        smol::block_on(upgrade(&mut wire, request)).map_err(|error| error.to_string())
    }

    #[test]
    fn a_question_has_what_the_rfc_asks_for() {
        let fields = [("authorization", HeaderValue::from_static("Bearer x"))];
        let request = UpgradeRequest {
            authority: "relay.example:8080",
            target: "/connect?a=b",
            fields: &fields,
            nonce: *b"the sample nonce",
        };
        let lines = String::from_utf8(head(&request, KEY)).expect("ASCII");
        assert_eq!(
            lines.lines().collect::<Vec<_>>(),
            [
                "GET /connect?a=b HTTP/1.1",
                "Host: relay.example:8080",
                "Connection: Upgrade",
                "Upgrade: websocket",
                "Sec-WebSocket-Version: 13",
                &format!("Sec-WebSocket-Key: {KEY}"),
                "authorization: Bearer x",
                "",
            ]
        );
        assert_eq!(BASE64.encode(&request.nonce), KEY);
    }

    #[test]
    fn what_the_server_sends_behind_its_answer_is_kept() {
        let answer = format!("HTTP/1.1 101 Yes\nupgrade: WebSocket\nconnection: a, upgrade\n{ACCEPT}\n\n");
        assert_eq!(ask(&answer), Ok(Vec::new()));
        assert_eq!(ask(&format!("{answer}first")).map(|ahead| b"first".starts_with(&ahead)), Ok(true));
    }

    #[test]
    fn an_answer_that_is_no_upgrade_is_an_error_that_says_why() {
        let fields = format!("Upgrade: websocket\nConnection: Upgrade\n{ACCEPT}\n");
        let with = |extra: &str| format!("HTTP/1.1 101 Yes\n{fields}{extra}\n");
        let without = |name: &str| {
            let kept: Vec<&str> = fields.lines().filter(|line| !line.starts_with(name)).collect();
            format!("HTTP/1.1 101 Yes\n{}\n\n", kept.join("\n"))
        };
        let cases = [
            (String::from("HTTP/1.1 404 No\n\n"), "HTTP 404"),
            (String::from("HTTP/1.1 200 OK\n\n"), "HTTP 200"),
            (String::from("\u{15}\u{3}\u{3}\0\u{2}\u{2}2"), "speaks TLS"),
            (String::from("HTTP/1.1 301 Moved\nLocation: https://relay.example/\n\n"), "speaks TLS"),
            (String::from("HTTP/1.1 301 Moved\nLocation: http://relay.example/\n\n"), "HTTP 301"),
            (
                String::from("HTTP/1.1 400 Bad\n\n<p>The plain HTTP request was sent to HTTPS port"),
                "speaks TLS",
            ),
            (String::from("HTTP/1.1 400 Bad\n\n<p>no"), "HTTP 400"),
            (without("Upgrade"), "another protocol"),
            (without("Connection"), "another protocol"),
            (without("Sec-"), "key"),
            (with("").replace("xOo=", "xOO="), "key"),
            (with("Sec-WebSocket-Extensions: permessage-deflate\n"), "extension"),
            (with("Sec-WebSocket-Protocol: chat\n"), "subprotocol"),
            (String::from("HTTP/1.1 101 Yes\nUpgrade"), "unexpected end"),
            (String::from("\u{16}\u{3}\u{1}"), "no HTTP server"),
        ];
        for (answer, expected) in cases {
            let error = ask(&answer).expect_err(&answer);
            assert!(error.contains(expected), "{answer}: {error}");
        }
        assert_eq!(ask(&with("")), Ok(Vec::new()));
    }

    #[test]
    fn a_relay_that_is_full_names_its_limit_and_nothing_else_is_shown() {
        let longest = "a".repeat(MAX_LIMIT_BYTES);
        let longer = "a".repeat(MAX_LIMIT_BYTES + 1);
        for (field, told) in [
            ("Hvym-Tunnel-Limit: max-agents\n", "its limit max-agents is reached"),
            (&format!("Hvym-Tunnel-Limit: {longest}\n"), longest.as_str()),
            (&format!("Hvym-Tunnel-Limit: {longer}\n"), "HTTP 503"),
            ("Hvym-Tunnel-Limit: \n", "HTTP 503"),
            ("Hvym-Tunnel-Limit: a b\n", "HTTP 503"),
            ("Hvym-Tunnel-Limit: https://x\n", "HTTP 503"),
            ("", "HTTP 503"),
        ] {
            let error = ask(&format!("HTTP/1.1 503 Full\n{field}\n")).expect_err("no WebSocket");
            assert!(error.contains(told), "{field:?}: {error}");
        }
    }
}
