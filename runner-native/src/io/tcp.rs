//! A TCP connection that remembers what the kernel said last, and asks again only when that may have changed.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_util::io::{AsyncRead, AsyncWrite};
use smol::Async;
use smol::net::TcpStream;

/// A TCP connection. Only one task at a time may use it.
#[derive(Debug)]
pub(crate) struct Tcp {
    handle: Arc<Async<std::net::TcpStream>>,
    /// Whether the last read took all there was.
    is_dry: bool,
    /// Whether the last write found no room.
    is_full: bool,
}

impl From<TcpStream> for Tcp {
    fn from(stream: TcpStream) -> Self {
        Self { handle: stream.into(), is_dry: false, is_full: false }
    }
}

impl Tcp {
    /// The connection itself, to set how it behaves.
    pub(crate) fn handle(&self) -> Arc<Async<std::net::TcpStream>> {
        Arc::clone(&self.handle)
    }

    fn poll_written(
        &mut self,
        cx: &mut Context<'_>,
        mut write: impl FnMut(&std::net::TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            if self.is_full {
                ready!(self.handle.poll_writable(cx))?;
                self.is_full = false;
            }
            match write(self.handle.get_ref()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.is_full = true,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                written => return Poll::Ready(written),
            }
        }
    }
}

impl AsyncRead for Tcp {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        loop {
            if self.is_dry {
                ready!(self.handle.poll_readable(cx))?;
                self.is_dry = false;
            }
            match self.handle.get_ref().read(buf) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.is_dry = true,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(n) => {
                    // A read that was not filled took everything; more, or the end, makes the connection readable anew.
                    self.is_dry = 0 < n && n < buf.len();
                    return Poll::Ready(Ok(n));
                }
                failed => return Poll::Ready(failed),
            }
        }
    }
}

impl AsyncWrite for Tcp {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_written(cx, |mut stream| stream.write(buf))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_written(cx, |mut stream| stream.write_vectored(bufs))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.handle.get_ref().shutdown(Shutdown::Write))
    }
}
