//! Identities that open streams to a service: the verdict they get first, and whether to report them again.
//!
//! Whether they are admitted is not decided here.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hvym_tunnel_core::dialect::{OpenResult, StreamHeader};
use hvym_tunnel_core::stellar::Address;
use hvym_tunnel_core::time::Instant;

use hvym_tunnel_net::stream::TunnelStream;

/// An identity that still opens streams is reported again after this long.
const REPORT_AFTER: Duration = Duration::from_secs(60);
/// Entries kept. When it is full, refused identities are not reported until entries expire: they may be many, and a
/// person reads few lines.
const MAX_ENTRIES: usize = 256;

/// Writes `verdict` if an identity opened the stream; visitors get none. Returns whether it was written.
///
/// # Errors
/// The stream's.
pub(super) async fn answer(
    stream: &mut TunnelStream,
    opening: &StreamHeader,
    verdict: &OpenResult,
) -> io::Result<bool> {
    if opening.from.is_some() {
        stream.write_bytes(verdict.encode()).await?;
    }
    Ok(opening.from.is_some())
}

/// The identities reported lately: to which service, and whether they were admitted.
#[derive(Default)]
pub(super) struct PeerLog {
    reported: Mutex<BTreeMap<(Address, String, bool), Instant>>,
}

impl PeerLog {
    /// Whether to report this; remembers it as reported.
    pub(super) fn is_news(&self, from: Address, service: &str, admitted: bool, now: Instant) -> bool {
        let mut reported = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = (from, service.to_owned(), admitted);
        if reported.get(&entry).is_some_and(|at| now - *at < REPORT_AFTER) {
            return false;
        }
        if reported.len() >= MAX_ENTRIES {
            reported.retain(|_, at| now - *at < REPORT_AFTER);
        }
        // The admitted are few, and each is reported.
        let has_room = admitted || reported.len() < MAX_ENTRIES;
        if has_room {
            reported.insert(entry, now);
        }
        has_room
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn somebody(n: u16) -> Address {
        let mut key = [0; 32];
        key[..2].copy_from_slice(&n.to_be_bytes());
        Address::from_public_key(key)
    }

    #[test]
    fn the_same_peer_is_reported_once_a_minute_and_another_one_at_once() {
        let (log, now) = (PeerLog::default(), Instant::from_millis(5));
        assert!(log.is_news(somebody(1), "db", false, now));
        assert!(!log.is_news(somebody(1), "db", false, now + Duration::from_secs(59)));
        assert!(log.is_news(somebody(1), "db", true, now));
        assert!(log.is_news(somebody(1), "web", false, now));
        assert!(log.is_news(somebody(2), "db", false, now));
        assert!(log.is_news(somebody(1), "db", false, now + Duration::from_secs(60)));
    }

    #[test]
    fn many_refused_peers_are_not_reported_without_end_and_admitted_ones_still_are() {
        let (log, now) = (PeerLog::default(), Instant::ZERO);
        let reported = (0..1000).filter(|n| log.is_news(somebody(*n), "db", false, now)).count();
        assert_eq!(reported, MAX_ENTRIES);
        assert!(log.is_news(somebody(5000), "db", true, now));
        assert!(log.is_news(somebody(999), "db", false, now + REPORT_AFTER));
    }
}
