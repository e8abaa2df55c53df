//! The way through an HTTP proxy: `CONNECT` (RFC 9110 section 9.3.6).

use std::io;

use data_encoding::BASE64;
use futures_util::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use hvym_http1::ResponseHead;
use zeroize::Zeroizing;

use super::{Login, ProxyFault};
use crate::target::authority;

/// The longest answer. It has a few fields, and its end is the only thing of interest.
const MAX_ANSWER_BYTES: usize = 16 * 1024;

const BEGINNING: &[u8] = b"HTTP/1.";

/// Asks for the way to `host` and `port`; from then on the connection is to there.
pub(super) async fn open(
    wire: &mut (impl AsyncRead + AsyncWrite + Unpin),
    host: &str,
    port: u16,
    login: Option<&Login>,
) -> Result<(), ProxyFault> {
    let place = authority(host, port);
    let mut request = Zeroizing::new(format!("CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n"));
    if let Some(login) = login {
        // RFC 7617 section 2.
        let pair = Zeroizing::new(format!("{}:{}", login.user, login.password.as_str()));
        let encoded = Zeroizing::new(BASE64.encode(pair.as_bytes()));
        request.push_str("Proxy-Authorization: Basic ");
        request.push_str(&encoded);
        request.push_str("\r\n");
    }
    request.push_str("\r\n");
    wire.write_all(request.as_bytes()).await?;
    wire.flush().await?;
    let answer = answer(wire).await?;
    match answer.status {
        200..300 => Ok(()),
        407 if login.is_some() => Err(ProxyFault::LoginRefused),
        407 => Err(ProxyFault::LoginWanted),
        status => Err(ProxyFault::Refused(format!("HTTP {status} {}", answer.reason).trim_end().to_owned())),
    }
}

async fn answer(wire: &mut (impl AsyncRead + Unpin)) -> Result<ResponseHead, ProxyFault> {
    let mut gathered = Vec::new();
    let mut chunk = [0; 1024];
    loop {
        let n = wire.read(&mut chunk).await?;
        if n == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        gathered.extend_from_slice(&chunk[..n]);
        // Others that speak first (SSH, SMTP) never end a head, and would keep us waiting.
        if !gathered.iter().zip(BEGINNING).all(|(one, other)| one == other) {
            return Err(ProxyFault::Foreign("its answer is no HTTP"));
        }
        match ResponseHead::parse(&gathered) {
            // The destination waits for the client to send first.
            Ok(Some((head, length))) if (200..300).contains(&head.status) && length < gathered.len() => {
                return Err(ProxyFault::Foreign("it sent more than the answer"));
            }
            // RFC 9110 section 15.2: more than one of these may come before the answer.
            Ok(Some((head, length))) if head.status < 200 => drop(gathered.drain(..length)),
            Ok(Some((head, _))) => return Ok(head),
            Ok(None) if gathered.len() < MAX_ANSWER_BYTES => {}
            Ok(None) | Err(_) => return Err(ProxyFault::Foreign("its answer is no HTTP")),
        }
    }
}
