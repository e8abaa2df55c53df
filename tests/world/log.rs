//! What happens in a world, for whoever looks for the reason of a failure: `HVYM_WORLD_LOG=1`.

use std::sync::LazyLock;

use hvym_tunnel_core::time::Instant;

static IS_ON: LazyLock<bool> = LazyLock::new(|| std::env::var_os("HVYM_WORLD_LOG").is_some());

/// Prints what happened at `now`, if somebody wants to know.
pub(crate) fn note(now: Instant, what: impl FnOnce() -> String) {
    if *IS_ON {
        eprintln!("{:12.6} {}", now.as_micros() as f64 / 1e6, what());
    }
}
