//! Room to read into, one for each thread: connections that wait hold no buffer.

use std::cell::RefCell;

/// What one read takes at most: as much as the mux queues for one stream, and as much as stays in a core's cache.
const SCRATCH_BYTES: usize = 64 * 1024;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Lends the room of this thread. What is in it is of no meaning; whoever is lent it while it is lent gets a fresh one.
pub fn with<T>(work: impl FnOnce(&mut [u8]) -> T) -> T {
    let mut room = SCRATCH.take();
    room.resize(SCRATCH_BYTES, 0);
    let done = work(&mut room);
    SCRATCH.set(room);
    done
}
