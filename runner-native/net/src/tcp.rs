//! A TCP connection that remembers what the kernel said last, and asks again only when that may have changed.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_util::io::{AsyncRead, AsyncWrite};
use smol::Async;
use smol::net::TcpStream;

use super::readiness::Readiness;

/// A TCP connection. Only one task at a time may use it.
#[derive(Debug)]
pub struct Tcp {
    /// Before the socket, which must outlive it.
    readiness: Readiness,
    handle: Arc<Async<std::net::TcpStream>>,
}

impl Tcp {
    /// Takes `stream` over; others may keep the connection, to set how it behaves or to end it.
    ///
    /// # Errors
    /// The system has no room for another.
    pub fn new(stream: TcpStream) -> io::Result<Self> {
        let handle: Arc<Async<std::net::TcpStream>> = stream.into();
        Ok(Self { readiness: Readiness::new(&handle)?, handle })
    }

    /// The connection itself, to set how it behaves.
    pub fn handle(&self) -> Arc<Async<std::net::TcpStream>> {
        Arc::clone(&self.handle)
    }

    fn poll_written(
        &mut self,
        cx: &mut Context<'_>,
        mut write: impl FnMut(&std::net::TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.readiness.poll_writable(cx))?;
            self.readiness.about_to_write();
            match write(self.handle.get_ref()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => {
                    self.readiness.has_room();
                    match written {
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                        written => return Poll::Ready(written),
                    }
                }
            }
        }
    }
}

impl AsyncRead for Tcp {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.readiness.poll_readable(cx))?;
            self.readiness.about_to_read();
            match self.handle.get_ref().read(buf) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Ok(n) if 0 < n && n < buf.len() => {
                    // A read that was not filled took everything; more, or the end, is told anew.
                    return Poll::Ready(Ok(n));
                }
                read => {
                    self.readiness.has_more();
                    match read {
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                        read => return Poll::Ready(read),
                    }
                }
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

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};
    use std::thread;

    use futures_util::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::executor::{block_on, run};

    fn pair() -> (Tcp, std::net::TcpStream) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let at = listener.local_addr().expect("its address");
        let ours = block_on(TcpStream::connect(at)).and_then(Tcp::new).expect("the listener listens");
        (ours, listener.accept().expect("somebody connects").0)
    }

    #[test]
    fn a_reader_hears_of_bytes_and_of_the_end() {
        let (mut ours, mut theirs) = pair();
        let read = thread::spawn(move || {
            run(async move {
                let mut all = Vec::new();
                ours.read_to_end(&mut all).await.map(|_| all)
            })
        });
        for word in [&b"a"[..], b"few", b"words"] {
            theirs.write_all(word).expect("somebody reads");
        }
        drop(theirs);
        assert_eq!(read.join().expect("no panic").expect("an orderly end"), b"afewwords");
    }

    #[test]
    fn a_writer_goes_on_when_there_is_room_again() {
        const MUCH: usize = 16 * 1024 * 1024;
        let (mut ours, theirs) = pair();
        let read = thread::spawn(move || io::copy(&mut { theirs }, &mut io::sink()));
        run(async move {
            ours.write_all(&vec![0; MUCH]).await?;
            ours.close().await
        })
        .expect("somebody reads");
        assert_eq!(read.join().expect("no panic").expect("an orderly end"), MUCH as u64);
    }
}
