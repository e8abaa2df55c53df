//! Read buffers for each thread: idle connections hold none.

use std::cell::RefCell;
use std::mem;

/// What one read takes at most: as much as the mux queues for one stream, and as much as stays in a core's cache.
const SCRATCH_BYTES: usize = 64 * 1024;
/// A buffer above this is not kept: reads come in few sizes, of which this is the largest.
const MAX_KEPT_BYTES: usize = 80 * 1024;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    static SPARE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
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
