//! Conversions for programs that have the standard library (feature `std`). Nothing here reads a clock.
#![expect(clippy::disallowed_types, reason = "converts what a runner has read; it reads no clock itself")]

extern crate std;

use std::io;
use std::time::{Duration, SystemTime};

use crate::link::OpenStreamError;
use crate::reason::DownReason;
use crate::time::{Instant, UnixTime, Wall};

/// Whole seconds; a clock before 1970 is at 1970.
impl From<SystemTime> for UnixTime {
    fn from(time: SystemTime) -> Self {
        let since = time.duration_since(SystemTime::UNIX_EPOCH);
        UnixTime::from_secs(since.map_or(0, |since| since.as_secs()))
    }
}

/// The latest time that the platform can express, if this one is later.
impl From<UnixTime> for SystemTime {
    fn from(time: UnixTime) -> Self {
        let since = |seconds| SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
        since(time.as_secs()).or_else(|| since(u64::from(u32::MAX))).unwrap_or(SystemTime::UNIX_EPOCH)
    }
}

impl Wall {
    /// The wall clock read `time` when the monotonic clock read `at`.
    pub fn from_system_time(time: SystemTime, at: Instant) -> Self {
        Self { unix: UnixTime::from(time), at }
    }
}

/// [`io::ErrorKind::WouldBlock`] if trying again later can help, else [`io::ErrorKind::NotConnected`].
impl From<OpenStreamError> for io::Error {
    fn from(error: OpenStreamError) -> Self {
        let kind = if error.is_transient() { io::ErrorKind::WouldBlock } else { io::ErrorKind::NotConnected };
        io::Error::new(kind, error)
    }
}

/// [`io::ErrorKind::PermissionDenied`] for a refusal, [`io::ErrorKind::TimedOut`] for silence, else
/// [`io::ErrorKind::ConnectionAborted`].
impl From<DownReason> for io::Error {
    fn from(reason: DownReason) -> Self {
        let kind = match reason {
            DownReason::Authentication(_)
            | DownReason::NotAllowed(_)
            | DownReason::WrongRelay { .. }
            | DownReason::RelayKeyChanged { .. }
            | DownReason::WrongHost { .. }
            | DownReason::RelayUnproven(_) => io::ErrorKind::PermissionDenied,
            DownReason::TimedOut(_) | DownReason::Silent => io::ErrorKind::TimedOut,
            _ => io::ErrorKind::ConnectionAborted,
        };
        io::Error::new(kind, reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wall_clock_times_convert_both_ways_and_never_before_1970() {
        let time = UnixTime::from_secs(1_767_225_600);
        assert_eq!(UnixTime::from(SystemTime::from(time)), time);
        let before = SystemTime::UNIX_EPOCH.checked_sub(Duration::from_secs(5)).expect("Unix has such times");
        assert_eq!(UnixTime::from(before), UnixTime::from_secs(0));
        assert!(SystemTime::from(UnixTime::from_secs(u64::MAX)) > SystemTime::UNIX_EPOCH);
        let wall = Wall::from_system_time(time.into(), Instant::from_millis(5));
        assert_eq!(wall, Wall { unix: time, at: Instant::from_millis(5) });
    }

    #[test]
    fn errors_keep_their_text_and_their_kind_says_whether_waiting_helps() {
        let error = io::Error::from(OpenStreamError::NotUp);
        assert_eq!(error.kind(), io::ErrorKind::NotConnected);
        let full = OpenStreamError::Refused(crate::mux::OpenError::TooMany);
        assert_eq!(io::Error::from(full).kind(), io::ErrorKind::WouldBlock);
        for (reason, kind) in [
            (DownReason::NotAllowed("no".into()), io::ErrorKind::PermissionDenied),
            (DownReason::Silent, io::ErrorKind::TimedOut),
            (DownReason::GoingAway, io::ErrorKind::ConnectionAborted),
        ] {
            let error = io::Error::from(reason.clone());
            assert_eq!((error.kind(), alloc::format!("{error}")), (kind, alloc::format!("{reason}")));
        }
    }
}
