//! A visitor's HTTP/2 connection that gives others their turn, and fails when it carries too many frames that belong to no request.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use futures_util::io::{AsyncRead, AsyncWrite};
use hvym_tunnel_net::clock::Clock;

use super::frame_budget::FrameBudget;
use crate::http1::write_timeout::WriteTimeout;

/// What is read before other tasks get their turn: hyper handles all that there is, and a visitor who sends without a pause would
/// have a thread to itself. Some thousand of the smallest frames, which take about a millisecond.
const TURN_BYTES: usize = 32 * 1024;

/// Whether a connection failed because of its frames.
#[derive(Clone, Debug, Default)]
pub(crate) struct Flooded(Arc<AtomicBool>);

impl Flooded {
    /// It did.
    pub(crate) fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The connection.
pub(crate) struct FrameGuard {
    wire: WriteTimeout,
    budget: FrameBudget,
    /// Bytes that were read in this turn.
    read: usize,
    flooded: Flooded,
}

impl FrameGuard {
    /// `wire`, whose next byte is the first of the preface.
    pub(crate) fn new(wire: WriteTimeout) -> Self {
        let budget = FrameBudget::new(Clock::new().now());
        FrameGuard { wire, budget, read: 0, flooded: Flooded::default() }
    }

    /// Says later whether it failed because of its frames.
    pub(crate) fn flooded(&self) -> Flooded {
        self.flooded.clone()
    }
}

impl AsyncRead for FrameGuard {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.read >= TURN_BYTES {
            this.read = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let Poll::Ready(read) = Pin::new(&mut this.wire).poll_read(cx, buf) else {
            this.read = 0;
            return Poll::Pending;
        };
        let read = read?;
        this.read += read;
        if this.budget.handle_received(&buf[..read], Clock::new().now()) {
            return Poll::Ready(Ok(read));
        }
        this.flooded.0.store(true, Ordering::Relaxed);
        Poll::Ready(Err(io::Error::other("too many frames that belong to no request")))
    }
}

impl AsyncWrite for FrameGuard {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(Pin::new(&mut this.wire).poll_write(cx, buf))?;
        this.budget.handle_sent(&buf[..written]);
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(Pin::new(&mut this.wire).poll_write_vectored(cx, bufs))?;
        let mut left = written;
        for buf in bufs {
            let sent = left.min(buf.len());
            this.budget.handle_sent(&buf[..sent]);
            left -= sent;
        }
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().wire).poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().wire).poll_close(cx)
    }
}
