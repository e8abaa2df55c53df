//! Gives every request on the way to a service another `Host`, for services that refuse the public one.
//!
//! It touches that field alone. What it cannot read as HTTP/1.1 passes as it is: it is no judge of requests.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use futures_util::io::{AsyncRead, AsyncWrite};
use hvym_tunnel_core::http1::{Body, Framing, MAX_HEAD_BYTES, RequestHead};

/// The requests of one connection, with another `Host`.
pub(crate) struct Rehost {
    host: Bytes,
    phase: Phase,
}

enum Phase {
    /// What there is of the next head.
    Head(BytesMut),
    Body(Body),
    /// No further head can be told from what passes.
    Through,
}

impl Rehost {
    /// Sends `host` in place of what visitors ask for.
    pub(crate) fn new(host: &str) -> Self {
        Self { host: Bytes::copy_from_slice(host.as_bytes()), phase: Phase::Head(BytesMut::new()) }
    }

    /// Takes what the visitor sent, and adds to `out` what the service is to get.
    pub(crate) fn pass(&mut self, mut bytes: &[u8], out: &mut BytesMut) {
        while !bytes.is_empty() {
            match &mut self.phase {
                Phase::Head(gathered) => {
                    let before = gathered.len();
                    gathered.extend_from_slice(bytes);
                    bytes = match self.on_head(before, out) {
                        Some(rest) => &bytes[bytes.len() - rest..],
                        None => &[],
                    };
                }
                Phase::Body(body) => match body.pass(bytes) {
                    Ok(used) => {
                        out.extend_from_slice(&bytes[..used]);
                        bytes = &bytes[used..];
                        if body.is_finished() {
                            self.phase = Phase::Head(BytesMut::new());
                        }
                    }
                    Err(_) => self.phase = Phase::Through,
                },
                Phase::Through => {
                    out.extend_from_slice(bytes);
                    bytes = &[];
                }
            }
        }
    }

    /// Passes the head on once it is whole; `Some` is how many of the gathered bytes follow it. Of these, `before`
    /// were known to hold no whole head.
    fn on_head(&mut self, before: usize, out: &mut BytesMut) -> Option<usize> {
        let Phase::Head(gathered) = &mut self.phase else { return None };
        // The blank line may have begun in what was known.
        let new = &gathered[before.saturating_sub(3)..];
        let may_be_whole =
            new.windows(2).any(|pair| pair == b"\n\n") || new.windows(3).any(|three| three == b"\n\r\n");
        if !may_be_whole && gathered.len() <= MAX_HEAD_BYTES {
            return None;
        }
        match RequestHead::parse(gathered) {
            Ok(None) if gathered.len() <= MAX_HEAD_BYTES => None,
            Ok(Some((mut head, used))) => {
                let framing = Framing::of_request(&head);
                // After an upgrade anything may follow, and nothing of it is a request.
                let is_last = head.headers.lists("connection", "upgrade");
                head.headers.set("Host", self.host.clone());
                let rest = gathered.len() - used;
                let (Ok(framing), Ok(encoded)) = (framing, head.encode()) else { return self.give_up(out) };
                out.extend_from_slice(&encoded);
                self.phase = match framing {
                    Framing::Tunnel => Phase::Through,
                    _ if is_last => Phase::Through,
                    Framing::Empty => Phase::Head(BytesMut::new()),
                    framing => Phase::Body(Body::new(framing)),
                };
                Some(rest)
            }
            Ok(None) | Err(_) => self.give_up(out),
        }
    }

    fn give_up(&mut self, out: &mut BytesMut) -> Option<usize> {
        if let Phase::Head(gathered) = std::mem::replace(&mut self.phase, Phase::Through) {
            out.extend_from_slice(&gathered);
        }
        None
    }
}

/// A local connection whose requests get another `Host`, or pass as they are.
pub(crate) struct Rehosted<L> {
    local: L,
    rehost: Option<Rehost>,
    /// Changed, and not yet taken by `local`.
    waiting: BytesMut,
}

impl<L> Rehosted<L> {
    /// Every request to `local` passes `rehost`, if there is one.
    pub(crate) fn new(local: L, rehost: Option<Rehost>) -> Self {
        Self { local, rehost, waiting: BytesMut::new() }
    }
}

impl<L: AsyncWrite + Unpin> Rehosted<L> {
    fn poll_waiting(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.waiting.is_empty() {
            let n = ready!(Pin::new(&mut self.local).poll_write(cx, &self.waiting))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.waiting.advance(n);
        }
        Poll::Ready(Ok(()))
    }
}

impl<L: AsyncRead + Unpin> AsyncRead for Rehosted<L> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.local).poll_read(cx, buf)
    }
}

impl<L: AsyncWrite + Unpin> AsyncWrite for Rehosted<L> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        ready!(this.poll_waiting(cx))?;
        match &mut this.rehost {
            None => Pin::new(&mut this.local).poll_write(cx, buf),
            Some(rehost) => {
                rehost.pass(buf, &mut this.waiting);
                Poll::Ready(Ok(buf.len()))
            }
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_waiting(cx))?;
        Pin::new(&mut self.local).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_waiting(cx))?;
        Pin::new(&mut self.local).poll_close(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the service gets, whichever way the bytes were cut.
    fn passed(sent: &[u8]) -> String {
        let mut texts = (1..=sent.len()).map(|size| {
            let (mut rehost, mut out) = (Rehost::new("localhost:3000"), BytesMut::new());
            sent.chunks(size).for_each(|piece| rehost.pass(piece, &mut out));
            String::from_utf8(out.to_vec()).expect("the tests send ASCII")
        });
        let text = texts.next().expect("something was sent");
        assert!(texts.all(|other| other == text));
        text
    }

    #[test]
    fn every_request_of_a_connection_gets_the_host_and_keeps_the_rest() {
        let sent = b"POST /a HTTP/1.1\r\nhost: public.example\r\nContent-Length: 6\r\nX-One: 1\r\n\r\nHost: \
                     GET /b HTTP/1.1\r\nHost: public.example\r\n\r\n";
        let text = passed(sent);
        assert_eq!(text.matches("Host: localhost:3000\r\n").count(), 2, "{text}");
        assert!(!text.contains("public.example") && text.contains("X-One: 1\r\n"), "{text}");
        assert!(text.contains("\r\n\r\nHost: GET /b HTTP/1.1\r\n"), "{text}");
    }

    #[test]
    fn a_chunked_body_passes_as_it_is() {
        let body = "3\r\nHos\r\n0\r\n\r\n";
        let head = "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
        let text = passed(format!("{head}{body}{head}{body}").as_bytes());
        assert_eq!(text.matches(body).count(), 2);
        assert_eq!(text.matches("\r\nHost: localhost:3000\r\n").count(), 2, "{text}");
    }

    #[test]
    fn what_follows_an_upgrade_or_is_no_http_is_not_touched() {
        let upgrade = "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
        let frames = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        assert!(passed(format!("{upgrade}{frames}").as_bytes()).ends_with(frames));
        let noise = "this is\r\n\r\nnot HTTP\r\nHost: a\r\n\r\n";
        assert_eq!(passed(noise.as_bytes()), noise);
        let long = format!("GET /{} HTTP/1.1", "a".repeat(64));
        assert_eq!(passed(long.as_bytes()).len(), 0);
    }
}
