//! A connection with bytes that were read from it already, put back in front of what comes next.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::io::{AsyncRead, AsyncWrite};

use hvym_tunnel_net::socket::{Duplex, Wire};
use hvym_tunnel_net::tcp::Tcp;

/// A connection with bytes put back.
pub(crate) struct Rewind {
    ahead: Bytes,
    wire: Wire,
}

impl Rewind {
    /// `wire`, with `ahead` to be read before what comes from it.
    pub(crate) fn put_back(ahead: Bytes, wire: Wire) -> Wire {
        if ahead.is_empty() { wire } else { Wire::Boxed(Box::new(Rewind { ahead, wire })) }
    }
}

impl Duplex for Rewind {
    fn tcp(&self) -> Option<&Tcp> {
        self.wire.tcp()
    }
}

impl AsyncRead for Rewind {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.ahead.is_empty() {
            return Pin::new(&mut this.wire).poll_read(cx, buf);
        }
        let n = this.ahead.len().min(buf.len());
        buf[..n].copy_from_slice(&this.ahead.split_to(n));
        Poll::Ready(Ok(n))
    }
}

impl AsyncWrite for Rewind {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().wire).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().wire).poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().wire).poll_close(cx)
    }
}
