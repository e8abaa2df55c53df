//! A connection whose writes fail when the peer reads nothing for a timeout.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::io::{AsyncRead, AsyncWrite};

use hvym_tunnel_net::coarse_timer::CoarseTimer;
use hvym_tunnel_net::socket::Wire;

/// A connection with a write timeout.
pub(crate) struct WriteTimeout {
    wire: Wire,
    limit: Duration,
    /// Runs while nothing can be written.
    timer: Option<CoarseTimer>,
}

impl WriteTimeout {
    /// `wire`, which fails when it takes nothing for `limit`.
    pub(crate) fn new(wire: Wire, limit: Duration) -> Self {
        Self { wire, limit, timer: None }
    }

    fn within_limit<T>(&mut self, done: Poll<io::Result<T>>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        if done.is_ready() {
            self.timer = None;
            return done;
        }
        let limit = self.limit;
        let timer = self.timer.get_or_insert_with(|| CoarseTimer::after(limit));
        ready!(Pin::new(timer).poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the visitor does not read")))
    }
}

impl AsyncRead for WriteTimeout {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().wire).poll_read(cx, buf)
    }
}

impl AsyncWrite for WriteTimeout {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.wire).poll_write(cx, buf);
        this.within_limit(written, cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.wire).poll_write_vectored(cx, bufs);
        this.within_limit(written, cx)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.wire).poll_flush(cx);
        this.within_limit(flushed, cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let closed = Pin::new(&mut this.wire).poll_close(cx);
        this.within_limit(closed, cx)
    }
}
