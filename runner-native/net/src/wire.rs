//! The connections that carry WebSockets and HTTP, whatever lies below them.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_rustls::{client, server};
use futures_util::io::{AsyncRead, AsyncWrite};
use hyper::rt::{Read, Write};

use super::hyper::Io;
use super::tcp::Tcp;
use super::thread_buffer::poll_read_copied;

/// A duplex byte stream that a [`Wire`] may be.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {
    /// The TCP connection below it, if it is known.
    fn tcp(&self) -> Option<&Tcp> {
        None
    }
}

impl Duplex for client::TlsStream<Tcp> {
    fn tcp(&self) -> Option<&Tcp> {
        Some(self.get_ref().0)
    }
}

impl Duplex for server::TlsStream<Tcp> {
    fn tcp(&self) -> Option<&Tcp> {
        Some(self.get_ref().0)
    }
}

impl<T: Read + Write + Send + Unpin> Duplex for Io<T> {}

/// A connection.
pub enum Wire {
    /// TCP.
    Plain(Tcp),
    /// TLS, or a connection that was upgraded by the HTTP server.
    Boxed(Box<dyn Duplex>),
}

impl Wire {
    /// The TCP connection below it, if it is known.
    pub fn tcp(&self) -> Option<&Tcp> {
        match self {
            Wire::Plain(stream) => Some(stream),
            Wire::Boxed(stream) => stream.tcp(),
        }
    }

    /// As [`Tcp::poll_reset`].
    pub fn poll_reset(&self, cx: &mut Context<'_>) -> Poll<io::Error> {
        self.tcp().map_or(Poll::Pending, |tcp| tcp.poll_reset(cx))
    }

    /// Reads into the spare capacity of `buf`, which must have some; 0 is the end. Over TCP nothing is copied, and the
    /// capacity need not be initialised.
    pub fn poll_read_spare(&mut self, cx: &mut Context<'_>, buf: &mut Vec<u8>) -> Poll<io::Result<usize>> {
        match self {
            Wire::Plain(stream) => stream.poll_read_spare(cx, buf),
            Wire::Boxed(stream) => poll_read_copied(stream, cx, buf),
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Wire::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Wire::Boxed(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Wire::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Wire::Boxed(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Wire::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Wire::Boxed(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Wire::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Wire::Boxed(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Wire::Plain(stream) => Pin::new(stream).poll_close(cx),
            Wire::Boxed(stream) => Pin::new(stream).poll_close(cx),
        }
    }
}
