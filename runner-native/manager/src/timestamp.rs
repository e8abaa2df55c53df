//! Points in time as the API writes them: RFC 3339, UTC, milliseconds.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hvym_tunnel_core::stellar::delegation::Timestamp;
use hvym_tunnel_core::time::{Instant, UnixTime};
use hvym_tunnel_net::clock::Clock;
use hvym_tunnel_state::UnixMillis;

/// Now, as it is kept.
pub(crate) fn unix_now() -> UnixMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    UnixMillis::try_from(since.as_millis()).unwrap_or(UnixMillis::MAX)
}

/// What was kept.
pub(crate) fn at_unix(at: UnixMillis) -> String {
    text(UNIX_EPOCH + Duration::from_millis(u64::try_from(at).unwrap_or(0)))
}

/// Now.
pub(crate) fn now() -> String {
    text(SystemTime::now())
}

/// When the monotonic clock said `at`, by what the wall clock says now.
pub(crate) fn at_instant(at: Instant) -> String {
    let ago = Clock::new().now().saturating_duration_since(at);
    text(SystemTime::now().checked_sub(ago).unwrap_or(UNIX_EPOCH))
}

fn text(at: SystemTime) -> String {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let seconds = Timestamp(UnixTime::from_secs(since.as_secs())).to_string();
    format!("{}.{:03}Z", seconds.trim_end_matches('Z'), since.subsec_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_its_milliseconds_and_its_zone() {
        let at = UNIX_EPOCH + Duration::from_millis(1_795_254_613_007);
        assert_eq!(text(at), "2026-11-21T09:50:13.007Z");
        assert_eq!((at_unix(1_795_254_613_007), at_unix(-1)), (text(at), text(UNIX_EPOCH)));
    }
}
