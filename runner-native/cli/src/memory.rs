//! Gives memory that the allocator keeps, and nobody uses any more, back to the system.

use std::time::Duration;

use hvym_tunnel_net::timer::Timer;

/// Half of the minute within which a peak's memory is to be back. A look costs microseconds when there is nothing to give.
const INTERVAL: Duration = Duration::from_secs(30);

/// Looks from time to time, for ever. The allocator itself looks only when its thread allocates, which one that waits
/// for the next visitor does not.
pub(crate) async fn return_freed() {
    loop {
        Timer::after(INTERVAL).await;
        collect();
    }
}

/// Gives back what this thread has freed, and threads that have ended.
#[expect(unsafe_code, reason = "the allocator's own function, which its Rust wrapper does not have")]
pub(crate) fn collect() {
    // SAFETY: it has no preconditions and takes no pointer; it may be called by any thread at any time, and frees nothing
    // but pages without a block in use.
    unsafe { libmimalloc_sys::mi_collect(true) }
}
