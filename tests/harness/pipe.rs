//! Byte pipes for tests: in memory with a bounded buffer, slowed down, and watched.
//!
//! They carry bytes and know no protocol. A dropped end is an abrupt loss for a reader in the middle of something and an
//! end for everybody else, exactly as with a socket.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use smol::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// What one direction of a pipe holds before a write must wait; that of a small socket buffer.
const PIPE_BYTES: usize = 64 * 1024;

#[derive(Debug, Default)]
struct Lane {
    bytes: VecDeque<u8>,
    closed: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// One end of an in-memory pipe.
#[derive(Debug)]
pub struct Pipe {
    inbound: Rc<RefCell<Lane>>,
    outbound: Rc<RefCell<Lane>>,
}

/// Two ends, connected.
pub fn pipe() -> (Pipe, Pipe) {
    let (a, b) = (Rc::<RefCell<Lane>>::default(), Rc::<RefCell<Lane>>::default());
    (Pipe { inbound: a.clone(), outbound: b.clone() }, Pipe { inbound: b, outbound: a })
}

impl AsyncRead for Pipe {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut lane = self.inbound.borrow_mut();
        if lane.bytes.is_empty() {
            if lane.closed {
                return Poll::Ready(Ok(0));
            }
            lane.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let n = io::Read::read(&mut lane.bytes, buf)?;
        if let Some(writer) = lane.writer.take() {
            writer.wake();
        }
        Poll::Ready(Ok(n))
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let mut lane = self.outbound.borrow_mut();
        if lane.closed {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let n = buf.len().min(PIPE_BYTES - lane.bytes.len());
        if n == 0 && !buf.is_empty() {
            lane.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        lane.bytes.extend(&buf[..n]);
        if let Some(reader) = lane.reader.take() {
            reader.wake();
        }
        Poll::Ready(Ok(n))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        close(&self.outbound);
        Poll::Ready(Ok(()))
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        close(&self.inbound);
        close(&self.outbound);
    }
}

fn close(lane: &RefCell<Lane>) {
    let mut lane = lane.borrow_mut();
    lane.closed = true;
    for waker in [lane.reader.take(), lane.writer.take()].into_iter().flatten() {
        waker.wake();
    }
}

/// What a [`Tap`] has seen.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// Bytes that were read.
    pub inbound: Rc<RefCell<Vec<u8>>>,
    /// Bytes that were written.
    pub outbound: Rc<RefCell<Vec<u8>>>,
}

/// A byte stream that keeps a copy of everything.
#[derive(Debug)]
pub struct Tap<T> {
    io: T,
    record: Record,
}

impl<T> Tap<T> {
    /// `io`, watched.
    pub fn new(io: T) -> (Self, Record) {
        let record = Record::default();
        (Tap { io, record: record.clone() }, record)
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Tap<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let read = Pin::new(&mut self.io).poll_read(cx, buf);
        if let Poll::Ready(Ok(n)) = read {
            self.record.inbound.borrow_mut().extend_from_slice(&buf[..n]);
        }
        read
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Tap<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, buf);
        if let Poll::Ready(Ok(n)) = written {
            self.record.outbound.borrow_mut().extend_from_slice(&buf[..n]);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_close(cx)
    }
}

/// Carries bytes one way, each `delay` after it came, until the source ends.
pub async fn carry_late(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    delay: Duration,
) -> io::Result<()> {
    let (sender, receiver) = smol::channel::unbounded::<(Instant, Vec<u8>)>();
    let read = async move {
        let mut buf = vec![0; PIPE_BYTES];
        loop {
            let n = from.read(&mut buf).await?;
            if n == 0 {
                return io::Result::Ok(());
            }
            // The writing half outlives this one.
            let _ = sender.send((Instant::now() + delay, buf[..n].to_vec())).await;
        }
    };
    let write = async move {
        while let Ok((due, bytes)) = receiver.recv().await {
            smol::Timer::at(due).await;
            to.write_all(&bytes).await?;
        }
        to.close().await
    };
    smol::future::try_zip(read, write).await.map(|_| ())
}
