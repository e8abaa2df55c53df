//! Two non-blocking loopback sockets in one thread.

use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use smol::io::{AsyncRead, AsyncWrite};

/// Two connected sockets.
pub fn sockets() -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let a = TcpStream::connect(listener.local_addr()?)?;
    let (b, _) = listener.accept()?;
    for socket in [&a, &b] {
        socket.set_nonblocking(true)?;
        socket.set_nodelay(true)?;
    }
    Ok((a, b))
}

/// Everybody who waits for a socket. They are asked to look again whenever nobody has anything else to do.
pub type Waiting = Rc<RefCell<Vec<Waker>>>;

/// A socket as theirs wants it.
#[derive(Debug)]
pub struct Polled {
    socket: TcpStream,
    waiting: Waiting,
}

impl Polled {
    /// `socket`, with its waiters among others.
    pub fn new(socket: TcpStream, waiting: Waiting) -> Self {
        Self { socket, waiting }
    }

    fn poll(&self, cx: &mut Context<'_>, outcome: io::Result<usize>) -> Poll<io::Result<usize>> {
        match outcome {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.waiting.borrow_mut().push(cx.waker().clone());
                Poll::Pending
            }
            outcome => Poll::Ready(outcome),
        }
    }
}

impl AsyncRead for Polled {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let outcome = (&self.socket).read(buf);
        self.poll(cx, outcome)
    }
}

impl AsyncWrite for Polled {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = (&self.socket).write(buf);
        self.poll(cx, outcome)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.socket.shutdown(std::net::Shutdown::Write))
    }
}
