//! A wire that knows how much was read of a message that is not whole yet, and stops where one is too large.
//!
//! The limit of the WebSocket library is set once, before login; this one follows the machine. It knows no frames:
//! what was read since the last whole message is at least what is held of the next.

use std::error::Error;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::io::{AsyncRead, AsyncWrite};

/// Each read asks for this much, and the buffer stays allocated for as long as the link lives. It is cleared before each
/// read, also before those that find nothing, so more would cost more than the system calls it saves.
pub(super) const READ_BUFFER_BYTES: usize = 16 * 1024;

/// What one read may bring of the message after.
const SLACK: usize = READ_BUFFER_BYTES;

/// A wire, and what was read of the message that is on the way.
pub struct SizeLimit<W> {
    wire: W,
    read: usize,
    limit: usize,
}

impl<W> SizeLimit<W> {
    /// Messages of up to `limit` bytes pass.
    pub(super) fn new(wire: W, limit: usize) -> Self {
        Self { wire, read: 0, limit }
    }

    /// The largest message, bytes.
    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// From now on messages of up to `limit` bytes pass.
    pub(super) fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// A message is whole, and held here no more.
    pub(super) fn forget(&mut self) {
        self.read = 0;
    }

    /// `bytes` of what was read were something beside the message.
    pub(super) fn forgive(&mut self, bytes: usize) {
        self.read = self.read.saturating_sub(bytes);
    }
}

impl<W: AsyncRead + Unpin> AsyncRead for SizeLimit<W> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        if self.read > self.limit.saturating_add(SLACK) {
            return Poll::Ready(Err(io::Error::other(TooLarge { limit: self.limit })));
        }
        let n = ready!(Pin::new(&mut self.wire).poll_read(cx, buf))?;
        self.read = self.read.saturating_add(n);
        Poll::Ready(Ok(n))
    }
}

impl<W: AsyncWrite + Unpin> AsyncWrite for SizeLimit<W> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.wire).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.wire).poll_write_vectored(cx, bufs)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.wire).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.wire).poll_close(cx)
    }
}

/// More was read than a message may have, and it is not whole.
#[derive(Debug)]
pub(super) struct TooLarge {
    limit: usize,
}

impl fmt::Display for TooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a message of more than {} bytes, which is the most that is allowed", self.limit)
    }
}

impl Error for TooLarge {}

#[cfg(test)]
mod tests {
    use futures_util::AsyncReadExt;
    use futures_util::io::Cursor;

    use super::*;

    /// Reads until nothing more comes; how much it was, and whether the limit stopped it.
    fn drained(gauge: &mut SizeLimit<Cursor<Vec<u8>>>) -> (usize, bool) {
        let mut buf = [0; 1000];
        let mut total = 0;
        loop {
            match smol::block_on(gauge.read(&mut buf)) {
                Ok(0) => return (total, false),
                Ok(n) => total += n,
                Err(error) => {
                    assert!(
                        error.get_ref().is_some_and(<dyn Error + Send + Sync>::is::<TooLarge>),
                        "{error}"
                    );
                    return (total, true);
                }
            }
        }
    }

    fn gauge(bytes: usize) -> SizeLimit<Cursor<Vec<u8>>> {
        SizeLimit::new(Cursor::new(vec![0; bytes]), 5000)
    }

    #[test]
    fn it_stops_within_one_read_of_the_limit() {
        let most = 5000 + SLACK;
        assert_eq!(drained(&mut gauge(most)), (most, false));
        let (read, stopped) = drained(&mut gauge(2 * most));
        assert!(stopped && (most..=most + 1000).contains(&read), "{read}");
    }

    #[test]
    fn what_became_a_message_does_not_count_any_more() {
        let most = 5000 + SLACK;
        let mut gauge = gauge(3 * most);
        for _ in 0..3 {
            let mut whole = vec![0; most];
            smol::block_on(gauge.read_exact(&mut whole)).expect("it is within the limit");
            gauge.forget();
        }
        assert_eq!(drained(&mut gauge), (0, false));
    }

    #[test]
    fn a_limit_that_was_raised_is_the_one_that_counts() {
        let mut gauge = gauge(4 * SLACK);
        gauge.set_limit(4 * SLACK);
        assert_eq!(drained(&mut gauge), (4 * SLACK, false));
        gauge.set_limit(0);
        assert_eq!(drained(&mut gauge), (0, true));
        gauge.forgive(3 * SLACK);
        assert_eq!(drained(&mut gauge), (0, false));
    }
}
