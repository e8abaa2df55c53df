//! A tunnel stream whose bytes are shown to a [`Seen`], for streams that are not spliced.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use futures_util::io::{AsyncRead, AsyncWrite};

use super::serve::Seen;
use hvym_tunnel_net::copy::Direction;
use hvym_tunnel_net::stream::TunnelStream;

/// A stream, and whoever watches it.
pub(super) struct Watched {
    stream: TunnelStream,
    seen: Seen,
    /// Whether anything came.
    begun: Arc<AtomicBool>,
    ended: bool,
}

impl Watched {
    /// Shows everything that passes through `stream` to `seen`.
    pub(super) fn new(stream: TunnelStream, seen: Seen) -> Self {
        Self { stream, seen, begun: Arc::default(), ended: false }
    }

    /// Whether anything came, now and later.
    pub(super) fn begun(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.begun)
    }

    /// The two again, for what follows HTTP.
    pub(super) fn into_parts(self) -> (TunnelStream, Seen) {
        (self.stream, self.seen)
    }
}

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let n = if self.ended { 0 } else { ready!(Pin::new(&mut self.stream).poll_read(cx, buf))? };
        if n > 0 {
            self.begun.store(true, Ordering::Release);
            self.seen.pass(Direction::ToLocal, Some(&buf[..n]));
            return Poll::Ready(Ok(n));
        }
        if !self.ended {
            self.ended = true;
            self.seen.pass(Direction::ToLocal, None);
        }
        // Who has asked everything may end its half and wait for the answer. hyper asks for more meanwhile, to learn
        // of a stream that broke, and would take the end for that; it asks again once it has answered.
        if self.seen.response_pending() { Poll::Pending } else { Poll::Ready(Ok(0)) }
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let n = ready!(Pin::new(&mut self.stream).poll_write(cx, buf))?;
        self.seen.pass(Direction::ToTunnel, Some(&buf[..n]));
        Poll::Ready(Ok(n))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    /// Everything was written. Whoever takes the two apart again ends the stream.
    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}
