//! Splices a tunnel stream to a local connection. Each direction ends by itself.
//!
//! Knows nothing of what the bytes mean.

use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use futures_util::io::AsyncWrite;
use hvym_tunnel_core::dialect::{OpenResult, OpenResultError, OpenResultReader};
use hvym_tunnel_core::time::Instant;

use super::clock::Clock;
use super::coarse_timer::CoarseTimer;
use super::socket::Wire;
use super::stream::{TunnelStream, not_a_verdict};
use super::tcp::Tcp;
use super::thread_buffer;

/// What is taken from the tunnel ahead of the local side: as much as one read from a socket brings.
const AHEAD_BYTES: usize = 64 * 1024;
/// The pieces of it, which one system call writes.
const AHEAD_PIECES: usize = 8;
/// Rounds of both directions before other tasks get their turn.
const ROUNDS: usize = 16;
/// How long a local side that takes nothing is waited for once the tunnel's stream is over: nobody is left who could break
/// it off. Longer than a service may pause between two reads.
const LINGER_TIMEOUT: Duration = Duration::from_secs(60);

/// Which way bytes go.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Direction {
    /// From the tunnel to the local side.
    ToLocal,
    /// From the local side to the tunnel.
    ToTunnel,
}

/// The local side of a [`Splice`].
pub trait LocalConnection: AsyncWrite + Send + Unpin {
    /// Ready when its other end broke off and wants nothing more, even what it asked for: asked while the tunnel takes
    /// nothing, so nothing is read. A service may end by a reset and its answer be whole, so for one it is never ready.
    fn poll_broken_off(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let _never = cx;
        Poll::Pending
    }

    /// Reads into the spare capacity of `buf`, which must have some; 0 is the end.
    fn poll_read_spare(&mut self, cx: &mut Context<'_>, buf: &mut Vec<u8>) -> Poll<io::Result<usize>>;

    /// What comes next, at most 64 KiB; empty at the end.
    fn poll_read_bytes(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        thread_buffer::read_bytes(|buf| self.poll_read_spare(cx, buf))
    }
}

impl LocalConnection for Tcp {
    fn poll_broken_off(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        self.poll_reset(cx)
    }

    fn poll_read_spare(&mut self, cx: &mut Context<'_>, buf: &mut Vec<u8>) -> Poll<io::Result<usize>> {
        Tcp::poll_read_spare(self, cx, buf)
    }
}

impl LocalConnection for Wire {
    fn poll_broken_off(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        self.poll_reset(cx)
    }

    fn poll_read_spare(&mut self, cx: &mut Context<'_>, buf: &mut Vec<u8>) -> Poll<io::Result<usize>> {
        Wire::poll_read_spare(self, cx, buf)
    }
}

/// Moves bytes both ways until both halves have ended, or one has failed; then the other is reset too. A local side
/// that stops reading may still send: a service that responds "too large" closes before it has read the request.
///
/// `tap` sees everything before it passes; `None` is the end of that half.
///
/// # Errors
/// The stream was reset, its link was lost, or the local side broke.
pub fn splice<L>(
    tunnel: TunnelStream,
    local: L,
    tap: impl FnMut(Direction, Option<&[u8]>, Instant) + Send + Unpin,
) -> impl Future<Output = io::Result<()>> + Send
where
    L: LocalConnection,
{
    Splice::new(tunnel, local, tap)
}

/// The future of [`splice`].
pub struct Splice<L, T> {
    tunnel: TunnelStream,
    local: L,
    tap: T,
    inward: Inward,
    outward: Outward,
    /// The system reports a reset once: if a write gets the error, a later read looks like a clean end.
    local_was_reset: bool,
    linger: Duration,
    lingering: Option<CoarseTimer>,
}

/// From the tunnel to the local side.
#[derive(Default)]
struct Inward {
    /// Read from the tunnel and not written yet, the next one at `at`.
    pieces: Vec<Bytes>,
    at: usize,
    held: usize,
    /// The tunnel has ended its half.
    ended: bool,
    unflushed: bool,
    done: bool,
}

/// From the local side to the tunnel.
#[derive(Default)]
struct Outward {
    piece: Bytes,
    /// The tunnel waits for this direction, and so hears of a reset.
    is_blocked: bool,
    done: bool,
}

impl Inward {
    fn has_room(&self) -> bool {
        !self.ended && self.held < AHEAD_BYTES && self.pieces.len() < AHEAD_PIECES
    }

    fn push(&mut self, piece: Bytes) {
        self.held += piece.len();
        self.pieces.push(piece);
    }

    fn advance(&mut self, mut written: usize) {
        self.held -= written;
        while let Some(piece) = self.pieces.get_mut(self.at) {
            if written < piece.len() {
                return piece.advance(written);
            }
            written -= piece.len();
            // Freed now and not with the others: it may be a slice of a large message.
            *piece = Bytes::new();
            self.at += 1;
        }
        self.clear();
    }

    fn clear(&mut self) {
        self.pieces.clear();
        (self.at, self.held) = (0, 0);
    }
}

impl<L, T> Splice<L, T>
where
    L: LocalConnection,
    T: FnMut(Direction, Option<&[u8]>, Instant) + Send + Unpin,
{
    /// Nothing was moved yet.
    pub fn new(tunnel: TunnelStream, local: L, tap: T) -> Self {
        let (inward, outward) = (Inward::default(), Outward::default());
        let linger = LINGER_TIMEOUT;
        Self { tunnel, local, tap, inward, outward, local_was_reset: false, linger, lingering: None }
    }

    /// Reads the verdict with which another identity's stream begins, and moves bytes to the tunnel meanwhile.
    ///
    /// # Errors
    /// The stream's, [`io::ErrorKind::InvalidData`] when what comes is no verdict, or the local side broke. That the owner
    /// takes nothing more is no error: its verdict may still come.
    pub async fn verdict(&mut self) -> io::Result<OpenResult> {
        let mut reader = OpenResultReader::new();
        poll_fn(|cx| {
            let now = Clock::new().now();
            if let Poll::Ready(Err(Broken::Local(error))) = self.poll_outward(now, cx) {
                return Poll::Ready(Err(error));
            }
            while let Some(mut data) = ready!(self.tunnel.poll_some_at(reader.wanted(), now, cx))? {
                if let Some(verdict) = reader.handle_data(&mut data).map_err(not_a_verdict)? {
                    return Poll::Ready(Ok(verdict));
                }
            }
            Poll::Ready(Err(not_a_verdict(OpenResultError::Missing)))
        })
        .await
    }

    fn poll_inward(&mut self, now: Instant, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let inward = &mut self.inward;
        let mut may_read = true;
        while !inward.done {
            while may_read && inward.has_room() {
                match self.tunnel.poll_some_at(AHEAD_BYTES - inward.held, now, cx)? {
                    Poll::Ready(piece) => {
                        (self.tap)(Direction::ToLocal, piece.as_deref(), now);
                        inward.ended = piece.is_none();
                        piece.into_iter().for_each(|piece| inward.push(piece));
                    }
                    Poll::Pending => may_read = false,
                }
            }
            let written = if inward.held > 0 {
                let mut slices = [IoSlice::new(&[]); AHEAD_PIECES];
                let left = inward.pieces[inward.at..].iter().zip(&mut slices);
                let count = left.map(|(piece, slice)| *slice = IoSlice::new(piece)).count();
                ready!(Pin::new(&mut self.local).poll_write_vectored(cx, &slices[..count]))
                    .and_then(|n| if n == 0 { Err(io::ErrorKind::WriteZero.into()) } else { Ok(n) })
            } else if inward.unflushed {
                ready!(Pin::new(&mut self.local).poll_flush(cx)).map(|()| 0)
            } else if inward.ended {
                let closed = ready!(Pin::new(&mut self.local).poll_close(cx));
                inward.done = true;
                return Poll::Ready(match closed {
                    // The local side may have closed everything already, which is its right.
                    Err(error) if error.kind() != io::ErrorKind::NotConnected => Err(error),
                    _ => Ok(()),
                });
            } else {
                return Poll::Pending;
            };
            self.lingering = None;
            match written {
                Ok(0) => inward.unflushed = false,
                Ok(n) => {
                    inward.unflushed = true;
                    inward.advance(n);
                }
                Err(error) => {
                    tracing::debug!(%error, "the local side takes nothing more");
                    self.local_was_reset |= error.kind() == io::ErrorKind::ConnectionReset;
                    inward.clear();
                    inward.done = true;
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_outward(&mut self, now: Instant, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        let outward = &mut self.outward;
        for _ in 0..ROUNDS {
            if outward.done {
                return Poll::Ready(Ok(()));
            }
            while !outward.piece.is_empty() {
                let written = self.tunnel.poll_write_at(&mut outward.piece, now, cx);
                outward.is_blocked = written.is_pending();
                let Poll::Ready(written) = written else {
                    return self.local.poll_broken_off(cx).map(|error| Err(Broken::Local(error)));
                };
                if let Err(error) = written {
                    outward.piece.clear();
                    outward.done = true;
                    return Poll::Ready(Err(Broken::Tunnel(error)));
                }
            }
            outward.piece = ready!(self.local.poll_read_bytes(cx)).map_err(Broken::Local)?;
            if !outward.piece.is_empty() {
                (self.tap)(Direction::ToTunnel, Some(&outward.piece), now);
                continue;
            }
            if self.local_was_reset {
                return Poll::Ready(Err(Broken::Local(io::ErrorKind::ConnectionReset.into())));
            }
            (self.tap)(Direction::ToTunnel, None, now);
            outward.done = true;
            self.tunnel.finish().map_err(Broken::Tunnel)?;
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Waits for the end of the stream where neither direction would hear of it.
    fn poll_broken_off(&mut self, now: Instant, cx: &mut Context<'_>) -> Poll<io::Error> {
        let hears = self.inward.has_room() && !self.inward.done;
        if hears || self.outward.is_blocked {
            return Poll::Pending;
        }
        if let Poll::Ready(error) = self.tunnel.poll_reset(now, cx) {
            return Poll::Ready(error);
        }
        if self.inward.ended && self.outward.done {
            let timer = self.lingering.get_or_insert_with(|| CoarseTimer::after(self.linger));
            ready!(Pin::new(timer).poll(cx));
            return Poll::Ready(io::ErrorKind::TimedOut.into());
        }
        Poll::Pending
    }
}

/// Which side broke.
enum Broken {
    Local(io::Error),
    Tunnel(io::Error),
}

impl<L, T> Future for Splice<L, T>
where
    L: LocalConnection,
    T: FnMut(Direction, Option<&[u8]>, Instant) + Send + Unpin,
{
    type Output = io::Result<()>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let now = Clock::new().now();
        let inward = this.poll_inward(now, cx)?;
        let outward =
            this.poll_outward(now, cx).map_err(|(Broken::Local(error) | Broken::Tunnel(error))| error)?;
        match (inward, outward) {
            (Poll::Ready(()), Poll::Ready(())) => Poll::Ready(Ok(())),
            _ => this.poll_broken_off(now, cx).map(Err),
        }
    }
}

#[cfg(test)]
#[path = "copy/tests.rs"]
mod tests;
