//! A tunnel stream whose bytes are shown to a [`RequestLog`], for streams that the agent answers itself.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use futures_util::io::{AsyncRead, AsyncWrite};

use super::request_log::RequestLog;
use hvym_tunnel_net::clock::Clock;
use hvym_tunnel_net::copy::Direction;
use hvym_tunnel_net::stream::TunnelStream;

/// A stream and its log.
pub(super) struct TappedStream {
    stream: TunnelStream,
    log: RequestLog,
    /// Whether any byte arrived.
    begun: Arc<AtomicBool>,
    ended: bool,
}

impl TappedStream {
    /// Shows everything that passes through `stream` to `log`.
    pub(super) fn new(stream: TunnelStream, log: RequestLog) -> Self {
        Self { stream, log, begun: Arc::default(), ended: false }
    }

    /// Whether any byte arrived, now and later.
    pub(super) fn begun(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.begun)
    }

    /// Both parts, for what follows after an upgrade.
    pub(super) fn into_parts(self) -> (TunnelStream, RequestLog) {
        (self.stream, self.log)
    }
}

impl AsyncRead for TappedStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let n = if self.ended { 0 } else { ready!(Pin::new(&mut self.stream).poll_read(cx, buf))? };
        if n > 0 {
            self.begun.store(true, Ordering::Release);
            self.log.pass(Direction::ToLocal, Some(&buf[..n]), Clock::new().now());
            return Poll::Ready(Ok(n));
        }
        if !self.ended {
            self.ended = true;
            self.log.pass(Direction::ToLocal, None, Clock::new().now());
        }
        // A visitor may end its direction and wait for the response. hyper reads meanwhile to detect a broken stream,
        // and would take the end for one; it reads again after the response.
        if self.log.response_pending() { Poll::Pending } else { Poll::Ready(Ok(0)) }
    }
}

impl AsyncWrite for TappedStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let n = ready!(Pin::new(&mut self.stream).poll_write(cx, buf))?;
        self.log.pass(Direction::ToTunnel, Some(&buf[..n]), Clock::new().now());
        Poll::Ready(Ok(n))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    /// Everything was written. The stream itself is ended by the owner of its parts.
    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}
