//! A stream to a service as hyper reads and writes, for HTTP/2.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use hyper::rt::{Read, ReadBufCursor, Write};

use hvym_tunnel_net::stream::TunnelStream;

/// A stream to a service that may respond before it has read the whole request: failed writes are ignored, and
/// reading finds out whether there is a response.
pub(crate) struct ServiceWire {
    stream: TunnelStream,
}

impl ServiceWire {
    /// Over a stream that was just opened.
    pub(crate) fn new(stream: TunnelStream) -> Self {
        Self { stream }
    }
}

impl Read for ServiceWire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let data = ready!(self.stream.poll_some(buf.remaining(), cx))?;
        if let Some(data) = data {
            buf.put_slice(&data);
        }
        Poll::Ready(Ok(()))
    }
}

impl Write for ServiceWire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(self.stream.poll_write_slices(&[io::IoSlice::new(buf)], cx));
        Poll::Ready(Ok(written.unwrap_or(buf.len())))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(self.stream.poll_write_slices(bufs, cx));
        Poll::Ready(Ok(written.unwrap_or_else(|_| bufs.iter().map(|buf| buf.len()).sum())))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The link sends as soon as its socket takes it.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.stream.finish())
    }
}
