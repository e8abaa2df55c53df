//! A read buffer for each thread: idle connections hold no buffer.

use std::cell::RefCell;

/// What one read takes at most: as much as the mux queues for one stream, and as much as stays in a core's cache.
const SCRATCH_BYTES: usize = 64 * 1024;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Runs with the buffer of this thread. Its content is unspecified; a nested call gets a fresh buffer.
pub fn with<T>(work: impl FnOnce(&mut [u8]) -> T) -> T {
    let mut room = SCRATCH.take();
    room.resize(SCRATCH_BYTES, 0);
    let done = work(&mut room);
    SCRATCH.set(room);
    done
}
