//! One stream of a link as an async byte stream.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use futures_util::future::poll_fn;
use futures_util::io::{AsyncRead, AsyncWrite};
use hvym_tunnel_core::dialect::{OpenResult, OpenResultError, OpenResultReader};
use hvym_tunnel_core::mux::StreamId;
use hvym_tunnel_core::time::Instant;

use super::clock::Clock;

/// Given to `reset` when a stream is dropped before both halves have ended.
const RESET_DROPPED: u32 = 0;
/// The most that one read takes out of a stream at once.
const READ_BYTES: usize = 64 * 1024;

/// The most that one write copies into a stream at once: more does not fit its queue.
const WRITE_BYTES: usize = 64 * 1024;

/// What a stream needs of its link. Implemented by the driver's handle.
pub trait StreamBackend: Send + Sync {
    /// `None` is the peer's end of the stream.
    fn poll_read(
        &self,
        id: StreamId,
        max: usize,
        now: Instant,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Option<Bytes>>>;
    /// Takes from the front of `data` as much as fits, at least one byte.
    fn poll_write(
        &self,
        id: StreamId,
        data: &mut Bytes,
        now: Instant,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>>;
    /// Ready when the stream was reset, or its link was lost: why. Not to be asked once both halves have ended.
    fn poll_reset(&self, id: StreamId, now: Instant, cx: &mut Context<'_>) -> Poll<io::Error>;
    /// Ends this side's half, after what was written.
    fn finish(&self, id: StreamId) -> io::Result<()>;
    /// Stops reading: later data is discarded.
    fn stop(&self, id: StreamId);
    /// Resets the stream.
    fn reset(&self, id: StreamId, code: u32);
    /// The last half was dropped.
    fn forget(&self, id: StreamId);
}

/// The two halves share this; the last one to go ends the stream.
struct Held {
    plane: Arc<dyn StreamBackend>,
    id: StreamId,
    read_ended: AtomicBool,
    write_ended: AtomicBool,
}

impl Drop for Held {
    fn drop(&mut self) {
        // A reset would also discard written data that is not sent yet, so an ended half is not reset.
        match (*self.write_ended.get_mut(), *self.read_ended.get_mut()) {
            (true, true) => {}
            (true, false) => self.plane.stop(self.id),
            (false, _) => self.plane.reset(self.id, RESET_DROPPED),
        }
        self.plane.forget(self.id);
    }
}

impl Held {
    fn poll_reset(&self, now: Instant, cx: &mut Context<'_>) -> Poll<io::Error> {
        if self.read_ended.load(Ordering::Relaxed) && self.write_ended.load(Ordering::Relaxed) {
            return Poll::Pending;
        }
        self.plane.poll_reset(self.id, now, cx)
    }
}

/// Ready when a stream was reset, or its link was lost: why. It counts as a half of the stream: as long as it is there, the
/// stream is not dropped.
pub struct ResetWatch(Arc<Held>);

impl Future for ResetWatch {
    type Output = io::Error;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Error> {
        self.0.poll_reset(Clock::new().now(), cx)
    }
}

/// The reading half. Reading ends (`Ok(None)`, `Ok(0)`) only when the peer ended its half; a stream that was
/// reset, or whose link was lost, is an error.
pub struct TunnelReader {
    held: Arc<Held>,
}

/// The writing half. Dropping it without [`TunnelWriter::finish`] does not tell the peer anything by itself.
pub struct TunnelWriter {
    held: Arc<Held>,
}

/// Both halves. Dropped before both have ended, the stream is reset.
pub struct TunnelStream {
    reader: TunnelReader,
    writer: TunnelWriter,
}

impl TunnelReader {
    /// The next bytes, as they came, without a copy.
    pub async fn read_bytes(&mut self) -> io::Result<Option<Bytes>> {
        poll_fn(|cx| self.poll_some(READ_BYTES, Clock::new().now(), cx)).await
    }

    /// At most `max` bytes, without a copy.
    fn poll_some(
        &mut self,
        max: usize,
        now: Instant,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Option<Bytes>>> {
        if self.held.read_ended.load(Ordering::Relaxed) {
            return Poll::Ready(Ok(None));
        }
        let read = ready!(self.held.plane.poll_read(self.held.id, max.min(READ_BYTES), now, cx))?;
        self.held.read_ended.store(read.is_none(), Ordering::Relaxed);
        Poll::Ready(Ok(read))
    }
}

impl TunnelWriter {
    /// Writes all of `data`, as fast as the peer reads.
    pub async fn write_bytes(&mut self, mut data: Bytes) -> io::Result<()> {
        while !data.is_empty() {
            poll_fn(|cx| self.poll_bytes(&mut data, Clock::new().now(), cx)).await?;
        }
        Ok(())
    }

    /// Takes from the front of `data` what there is room for, without a copy.
    fn poll_bytes(&self, data: &mut Bytes, now: Instant, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.held.plane.poll_write(self.held.id, data, now, cx)
    }

    /// Takes what there is room for, in one piece.
    fn poll_write_slices(&self, slices: &[io::IoSlice<'_>], cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let total: usize = slices.iter().map(|slice| slice.len()).sum();
        let mut data = BytesMut::with_capacity(total.min(WRITE_BYTES));
        for slice in slices {
            let room = WRITE_BYTES - data.len();
            data.extend_from_slice(&slice[..slice.len().min(room)]);
        }
        if data.is_empty() {
            return Poll::Ready(Ok(0));
        }
        self.poll_bytes(&mut data.freeze(), Clock::new().now(), cx)
    }

    /// Ends this half, after what was written.
    pub fn finish(&mut self) -> io::Result<()> {
        if self.held.write_ended.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        self.held.plane.finish(self.held.id)
    }

    /// Resets both halves: the peer sees an error, never an end.
    pub fn reset(&mut self, code: u32) {
        self.held.plane.reset(self.held.id, code);
    }
}

impl TunnelStream {
    /// The stream `id` of the link behind `plane`.
    pub fn new(plane: Arc<dyn StreamBackend>, id: StreamId) -> Self {
        let (read_ended, write_ended) = (AtomicBool::new(false), AtomicBool::new(false));
        let held = Arc::new(Held { plane, id, read_ended, write_ended });
        Self { reader: TunnelReader { held: Arc::clone(&held) }, writer: TunnelWriter { held } }
    }

    /// Its id, for logs.
    pub fn id(&self) -> StreamId {
        self.reader.held.id
    }

    /// The two halves, to be used at once from two places.
    pub fn split(self) -> (TunnelReader, TunnelWriter) {
        (self.reader, self.writer)
    }

    /// At most `max` of the next bytes; `None` is the peer's end of the stream.
    pub fn poll_some(&mut self, max: usize, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        self.reader.poll_some(max, Clock::new().now(), cx)
    }

    /// As [`Self::poll_some`], for who has read the clock already.
    pub fn poll_some_at(
        &mut self,
        max: usize,
        now: Instant,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Option<Bytes>>> {
        self.reader.poll_some(max, now, cx)
    }

    /// Takes from the front of `data` what there is room for, without a copy, at least one byte.
    pub fn poll_write_at(
        &mut self,
        data: &mut Bytes,
        now: Instant,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        self.writer.poll_bytes(data, now, cx)
    }

    /// Ready when the stream was reset, or its link was lost: why. For who neither reads nor writes at the moment, and so
    /// would not hear of it. Never ready once both halves have ended.
    pub fn poll_reset(&mut self, now: Instant, cx: &mut Context<'_>) -> Poll<io::Error> {
        self.reader.held.poll_reset(now, cx)
    }

    /// As [`Self::poll_reset`], for who splits the stream. Only one of both is told.
    pub fn reset_watch(&self) -> ResetWatch {
        ResetWatch(Arc::clone(&self.reader.held))
    }

    /// Takes what there is room for, in one piece; how much that was.
    pub fn poll_write_slices(
        &mut self,
        slices: &[io::IoSlice<'_>],
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        self.writer.poll_write_slices(slices, cx)
    }

    /// See [`TunnelReader::read_bytes`].
    pub async fn read_bytes(&mut self) -> io::Result<Option<Bytes>> {
        self.reader.read_bytes().await
    }

    /// See [`TunnelWriter::write_bytes`].
    pub async fn write_bytes(&mut self, data: Bytes) -> io::Result<()> {
        self.writer.write_bytes(data).await
    }

    /// See [`TunnelWriter::finish`].
    pub fn finish(&mut self) -> io::Result<()> {
        self.writer.finish()
    }

    /// See [`TunnelWriter::reset`].
    pub fn reset(mut self, code: u32) {
        self.writer.reset(code);
    }
}

impl AsyncRead for TunnelReader {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let Some(data) = ready!(self.poll_some(buf.len(), Clock::new().now(), cx))? else {
            return Poll::Ready(Ok(0));
        };
        buf[..data.len()].copy_from_slice(&data);
        Poll::Ready(Ok(data.len()))
    }
}

impl AsyncWrite for TunnelWriter {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_slices(&[io::IoSlice::new(buf)], cx)
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The driver sends as soon as the socket takes it.
        Poll::Ready(Ok(()))
    }

    fn poll_close(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.finish())
    }
}

impl AsyncRead for TunnelStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.reader).poll_read(cx, buf)
    }
}

impl AsyncWrite for TunnelStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.writer).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.writer).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.writer).poll_close(cx)
    }
}

impl TunnelReader {
    /// The verdict that begins what comes back on a stream to another identity's service. What follows it is read next.
    ///
    /// # Errors
    /// The stream's, or [`io::ErrorKind::InvalidData`] when what comes is no verdict.
    pub async fn read_verdict(&mut self) -> io::Result<OpenResult> {
        let mut reader = OpenResultReader::new();
        while let Some(mut data) =
            poll_fn(|cx| self.poll_some(reader.wanted(), Clock::new().now(), cx)).await?
        {
            if let Some(verdict) = reader.handle_data(&mut data).map_err(not_a_verdict)? {
                return Ok(verdict);
            }
        }
        Err(not_a_verdict(OpenResultError::Missing))
    }
}

/// What came first on another identity's stream is no verdict.
pub(crate) fn not_a_verdict(error: OpenResultError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
