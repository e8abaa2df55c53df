//! Read buffers for each thread: idle connections hold none.

use std::cell::RefCell;
use std::io;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::io::AsyncRead;

/// What one read takes at most: as much as the mux queues for one stream, and as much as stays in a core's cache.
const SCRATCH_BYTES: usize = 64 * 1024;
/// A buffer above this is not kept: reads come in few sizes, of which this is the largest.
const MAX_KEPT_BYTES: usize = 80 * 1024;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    static SPARE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    static INPUT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Reads into the spare capacity of `buf` by way of a buffer of this thread, for readers that want an initialised one.
pub fn poll_read_copied<R: AsyncRead + Unpin + ?Sized>(
    reader: &mut R,
    cx: &mut Context<'_>,
    buf: &mut Vec<u8>,
) -> Poll<io::Result<usize>> {
    with(|scratch| {
        let spare = scratch.len().min(buf.capacity() - buf.len());
        let n = ready!(Pin::new(reader).poll_read(cx, &mut scratch[..spare]))?;
        buf.extend_from_slice(&scratch[..n]);
        Poll::Ready(Ok(n))
    })
}

/// What `read` appends to an empty buffer of [`SCRATCH_BYTES`]. If that is half of it or more, it becomes the bytes and
/// nothing is copied.
pub(super) fn read_bytes(
    read: impl FnOnce(&mut Vec<u8>) -> Poll<io::Result<usize>>,
) -> Poll<io::Result<Bytes>> {
    let mut buffer = INPUT.take();
    if buffer.capacity() == 0 {
        buffer = Vec::with_capacity(SCRATCH_BYTES);
    }
    let outcome = read(&mut buffer);
    if buffer.len() >= SCRATCH_BYTES / 2 && matches!(outcome, Poll::Ready(Ok(_))) {
        return Poll::Ready(Ok(Bytes::from(buffer)));
    }
    let outcome = outcome.map_ok(|_| Bytes::copy_from_slice(&buffer));
    buffer.clear();
    INPUT.set(buffer);
    outcome
}

/// Runs with the buffer of this thread. Its content is unspecified; a nested call gets a fresh buffer.
pub fn with<T>(work: impl FnOnce(&mut [u8]) -> T) -> T {
    let mut room = SCRATCH.take();
    room.resize(SCRATCH_BYTES, 0);
    let done = work(&mut room);
    SCRATCH.set(room);
    done
}

/// An empty buffer of exactly `capacity` bytes, which may be given away: `last`, the thread's, or a new one.
pub(super) fn take(mut last: Vec<u8>, capacity: usize) -> Vec<u8> {
    if last.capacity() == capacity {
        last.clear();
        return last;
    }
    put_back(last);
    SPARE.with_borrow_mut(|spare| match spare.capacity() == capacity {
        true => mem::take(spare),
        false => Vec::with_capacity(capacity),
    })
}

/// Keeps `buffer` for a later [`take`], if it is the largest.
pub(super) fn put_back(mut buffer: Vec<u8>) {
    SPARE.with_borrow_mut(|spare| {
        if buffer.capacity() > spare.capacity() && buffer.capacity() <= MAX_KEPT_BYTES {
            buffer.clear();
            *spare = buffer;
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_buffer_that_was_read_is_not_copied_and_less_is() {
        let mut place = std::ptr::null();
        for (count, is_copied) in [
            (SCRATCH_BYTES / 2 - 1, true),
            (1, true),
            (SCRATCH_BYTES / 2, false),
            (SCRATCH_BYTES, false),
            (0, true),
        ] {
            let data = read_bytes(|buffer| {
                assert!(buffer.is_empty() && buffer.capacity() == SCRATCH_BYTES, "{}", buffer.capacity());
                buffer.resize(count, b'x');
                place = buffer.as_ptr();
                Poll::Ready(Ok(count))
            });
            let Poll::Ready(Ok(data)) = data else { panic!("it was read") };
            assert_eq!((data.len(), data.as_ptr() != place), (count, is_copied));
        }
        let failed = read_bytes(|_| Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())));
        assert!(matches!(failed, Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::ConnectionReset));
        assert!(read_bytes(|_| Poll::Pending).is_pending());
    }

    #[test]
    fn the_largest_buffer_serves_again_and_none_is_larger_than_asked_for() {
        let large = take(Vec::new(), MAX_KEPT_BYTES);
        let place = large.as_ptr();
        put_back(large);
        put_back(Vec::with_capacity(MAX_KEPT_BYTES + 1));
        let small = take(Vec::from("used"), 100);
        assert_eq!((small.len(), small.capacity()), (0, 100));
        put_back(small);
        let again = take(Vec::new(), MAX_KEPT_BYTES);
        assert_eq!((again.as_ptr(), again.capacity()), (place, MAX_KEPT_BYTES));
        let mut filled = again;
        filled.push(1);
        let emptied = take(filled, MAX_KEPT_BYTES);
        assert_eq!((emptied.as_ptr(), emptied.len()), (place, 0));
    }
}
