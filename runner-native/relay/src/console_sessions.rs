//! Who is signed in to the console. Knows neither cookies nor requests, and reads no clock.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64ct::{Base64UrlUnpadded, Encoding};
use hvym_tunnel_core::stellar::Address;
use hvym_tunnel_core::time::Instant;
use hvym_tunnel_net::clock::seed;
use hvym_tunnel_net::concurrency_limit::ConcurrencyLimit;
use hvym_tunnel_net::secret::Fingerprint;

/// Sessions of operators at once. A few with some browsers each; the one that was used longest ago makes room.
const MAX_OPERATORS: usize = 64;
/// The same of owners, beside those: an open relay lets everybody be one.
const MAX_OWNERS: usize = 1024;
/// The same of one owner: some browsers. So nobody takes the places of others by one identity.
const MAX_OF_ONE_OWNER: usize = 4;
/// Pages that are told at once: some of every session. Further ones ask now and then.
const MAX_STREAMS: usize = 64;
/// How long one lasts, whatever happens: a working day.
pub(crate) const LIFETIME: Duration = Duration::from_secs(12 * 60 * 60);
/// How long one lasts that nobody uses. A page that is open uses it all the time.
const IDLE_LIMIT: Duration = Duration::from_secs(60 * 60);

/// By what somebody signed in. Whoever checks a session asks whether that would still do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Credential {
    /// A key, of which the hash is kept.
    Key(Fingerprint),
    /// A signature of this identity.
    Identity(Address),
}

/// As what somebody signed in.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum ConsoleRole {
    /// For the whole relay.
    Operator,
    /// For the agents of one identity.
    Owner,
}

/// A session that is looked at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct SignedIn {
    pub(crate) by: Credential,
    pub(crate) role: ConsoleRole,
    /// When it ends at the latest.
    pub(crate) until: Instant,
}

struct Session {
    /// Of the secret in the browser.
    fingerprint: Fingerprint,
    signed_in: SignedIn,
    used_at: Instant,
}

impl Session {
    fn is_over(&self, now: Instant) -> bool {
        now >= self.signed_in.until || now.saturating_duration_since(self.used_at) >= IDLE_LIMIT
    }
}

/// The sessions of a relay. They end with its process.
pub(crate) struct ConsoleSessions {
    sessions: Mutex<Vec<Session>>,
    /// For pages that are told at once what happens.
    pub(crate) streams: ConcurrencyLimit,
}

impl Default for ConsoleSessions {
    fn default() -> Self {
        Self { sessions: Mutex::default(), streams: ConcurrencyLimit::new(MAX_STREAMS) }
    }
}

impl ConsoleSessions {
    /// Begins a session, and returns its secret, which is kept nowhere else.
    pub(crate) fn begin(&self, by: Credential, role: ConsoleRole, now: Instant) -> String {
        let secret = Base64UrlUnpadded::encode_string(&seed());
        let mut sessions = self.lock();
        sessions.retain(|session| !session.is_over(now));
        match role {
            ConsoleRole::Operator => {
                make_room(&mut sessions, MAX_OPERATORS, |signed_in| signed_in.role == role);
            }
            ConsoleRole::Owner => {
                make_room(&mut sessions, MAX_OF_ONE_OWNER, |signed_in| {
                    signed_in.role == role && signed_in.by == by
                });
                make_room(&mut sessions, MAX_OWNERS, |signed_in| signed_in.role == role);
            }
        }
        sessions.push(Session {
            fingerprint: Fingerprint::new(secret.as_bytes()),
            signed_in: SignedIn { by, role, until: now + LIFETIME },
            used_at: now,
        });
        secret
    }

    /// The session of a secret, which is used now.
    pub(crate) fn find(&self, secret: &str, now: Instant) -> Option<SignedIn> {
        let shown = Fingerprint::new(secret.as_bytes());
        let mut sessions = self.lock();
        let session = sessions.iter_mut().find(|session| session.fingerprint.matches(&shown))?;
        if session.is_over(now) {
            return None;
        }
        session.used_at = now;
        Some(session.signed_in.clone())
    }

    /// Ends the session of a secret, if there is one.
    pub(crate) fn end(&self, secret: &str) {
        let shown = Fingerprint::new(secret.as_bytes());
        self.lock().retain(|session| !session.fingerprint.matches(&shown));
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Session>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes room for one more of those sessions, if there are so many.
fn make_room(sessions: &mut Vec<Session>, limit: usize, is_meant: impl Fn(&SignedIn) -> bool) {
    let meant = || sessions.iter().enumerate().filter(|(_, session)| is_meant(&session.signed_in));
    if meant().count() >= limit
        && let Some((oldest, _)) = meant().min_by_key(|(_, session)| session.used_at)
    {
        sessions.swap_remove(oldest);
    }
}

#[cfg(test)]
mod tests {
    use hvym_tunnel_net::concurrency_limit::ConcurrencyPermit;

    use super::*;

    #[test]
    fn a_permit_is_free_again_when_its_page_is_gone() {
        let sessions = ConsoleSessions::default();
        let take = || sessions.streams.take_one();
        let all: Vec<ConcurrencyPermit> = std::iter::from_fn(take).take(MAX_STREAMS + 1).collect();
        assert_eq!(all.len(), MAX_STREAMS);
        drop(all);
        assert!(take().is_some());
    }

    const SECOND: Duration = Duration::from_secs(1);

    fn by(seed: u8) -> Credential {
        Credential::Identity(Address::from_public_key([seed; 32]))
    }

    fn at(after: Duration) -> Instant {
        Instant::ZERO + after
    }

    #[test]
    fn a_session_is_known_by_its_secret_alone_until_it_is_ended() {
        let sessions = ConsoleSessions::default();
        let begin = |seed| sessions.begin(by(seed), ConsoleRole::Operator, at(SECOND));
        let (one, two) = (begin(1), begin(2));
        assert_ne!(one, two);
        let found = |secret: &str| sessions.find(secret, at(SECOND * 2)).map(|signed_in| signed_in.by);
        assert_eq!((found(&one), found(&two)), (Some(by(1)), Some(by(2))));
        assert_eq!((found(""), found(&one[1..])), (None, None));
        sessions.end(&one);
        assert_eq!((found(&one), found(&two)), (None, Some(by(2))));
    }

    #[test]
    fn a_session_that_nobody_uses_ends_and_one_in_use_lasts_a_day_of_work() {
        let sessions = ConsoleSessions::default();
        let is_there = |secret: &str, after| sessions.find(secret, at(after)).is_some();
        let begin = || sessions.begin(by(1), ConsoleRole::Operator, at(Duration::ZERO));
        let secret = begin();
        assert!(is_there(&secret, IDLE_LIMIT - SECOND));
        assert!(!is_there(&secret, IDLE_LIMIT * 2 - SECOND));
        let secret = begin();
        let mut used = Duration::ZERO;
        while used < LIFETIME - SECOND {
            used = (used + IDLE_LIMIT / 2).min(LIFETIME - SECOND);
            assert!(is_there(&secret, used), "{used:?}");
        }
        assert!(!is_there(&secret, LIFETIME));
    }

    #[test]
    fn the_session_that_was_used_longest_ago_makes_room() {
        let sessions = ConsoleSessions::default();
        let begin = |number: usize| {
            sessions.begin(by(1), ConsoleRole::Operator, at(SECOND * u32::try_from(number).unwrap_or(0)))
        };
        let secrets: Vec<_> = (0..MAX_OPERATORS).map(begin).collect();
        let now = at(SECOND * 100);
        // The first is in use, so the second goes.
        assert!(sessions.find(&secrets[0], now).is_some());
        let another = sessions.begin(by(2), ConsoleRole::Operator, now);
        let known = |secret: &String| sessions.find(secret, now).is_some();
        assert!(known(&secrets[0]) && !known(&secrets[1]) && known(&secrets[2]) && known(&another));
        assert_eq!(sessions.lock().len(), MAX_OPERATORS);
    }

    #[test]
    fn an_owner_takes_no_place_of_an_operator_and_few_of_other_owners() {
        let (sessions, now) = (ConsoleSessions::default(), at(SECOND));
        let known = |secret: &String| sessions.find(secret, now).is_some();
        let operator = sessions.begin(by(1), ConsoleRole::Operator, at(Duration::ZERO));
        let owned: Vec<_> =
            (0..=MAX_OF_ONE_OWNER).map(|_| sessions.begin(by(2), ConsoleRole::Owner, now)).collect();
        assert_eq!(owned.iter().filter(|secret| known(secret)).count(), MAX_OF_ONE_OWNER);
        for number in 0..MAX_OWNERS {
            let mut key = [0; 32];
            key[..8].copy_from_slice(&number.to_be_bytes());
            let by = Credential::Identity(Address::from_public_key(key));
            sessions.begin(by, ConsoleRole::Owner, now + SECOND);
        }
        assert_eq!(sessions.lock().len(), MAX_OWNERS + 1);
        assert!(known(&operator) && !owned.iter().any(known));
    }
}
