//! Who comes to a service by name: what they are answered first, and whether a person should be told again.
//!
//! Who may come is not decided here.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hvym_tunnel_core::dialect::{OpenResult, StreamHeader};
use hvym_tunnel_core::stellar::Address;
use hvym_tunnel_core::time::Instant;

use hvym_tunnel_net::stream::TunnelStream;

/// After this long, who still comes is news again.
const NEWS_AFTER: Duration = Duration::from_secs(60);
/// So many are remembered. Beyond it everything is old news until the oldest is forgotten: strangers may be many, and a
/// person reads few lines.
const MAX_KNOCKS: usize = 256;

/// Says `verdict` if it was an identity that opened the stream; visitors know no verdicts. Whether it was said.
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

/// Who came lately, to what, and whether they were let in.
#[derive(Default)]
pub(super) struct Knocks {
    told: Mutex<BTreeMap<(Address, String, bool), Instant>>,
}

impl Knocks {
    /// Whether a person should be told; remembers that they were.
    pub(super) fn is_news(&self, from: Address, service: &str, admitted: bool, now: Instant) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let knock = (from, service.to_owned(), admitted);
        if told.get(&knock).is_some_and(|at| now - *at < NEWS_AFTER) {
            return false;
        }
        if told.len() >= MAX_KNOCKS {
            told.retain(|_, at| now - *at < NEWS_AFTER);
        }
        // Those who are let in are few, and their owner wants to know of each.
        let has_room = admitted || told.len() < MAX_KNOCKS;
        if has_room {
            told.insert(knock, now);
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
    fn the_same_knock_is_news_once_a_minute_and_another_one_at_once() {
        let (knocks, now) = (Knocks::default(), Instant::from_millis(5));
        assert!(knocks.is_news(somebody(1), "db", false, now));
        assert!(!knocks.is_news(somebody(1), "db", false, now + Duration::from_secs(59)));
        assert!(knocks.is_news(somebody(1), "db", true, now));
        assert!(knocks.is_news(somebody(1), "web", false, now));
        assert!(knocks.is_news(somebody(2), "db", false, now));
        assert!(knocks.is_news(somebody(1), "db", false, now + Duration::from_secs(60)));
    }

    #[test]
    fn a_crowd_of_strangers_is_not_told_without_end_and_friends_still_are() {
        let (knocks, now) = (Knocks::default(), Instant::ZERO);
        let told = (0..1000).filter(|n| knocks.is_news(somebody(*n), "db", false, now)).count();
        assert_eq!(told, MAX_KNOCKS);
        assert!(knocks.is_news(somebody(5000), "db", true, now));
        assert!(knocks.is_news(somebody(999), "db", false, now + NEWS_AFTER));
    }
}
