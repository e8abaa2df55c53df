//! Who is connected: every session from its upgrade to its end, and which of them a host name reaches.
//!
//! Knows no socket. Its lock is held for a lookup at a time, never while a session is asked something.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use hvym_tunnel_core::relay::{Directory, Name, NameError};
use hvym_tunnel_core::stellar::Address;

use super::live::Live;
use crate::config::Policy;

/// Names one session for as long as the relay runs; never used twice.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct SessionKey(u64);

/// What a host name reaches.
pub(super) enum Reached {
    /// An agent that is connected.
    Agent(Live, Name),
    /// An agent that is not.
    Absent(Name),
}

/// What came of an admission.
pub(super) enum Admission {
    /// Let in; the session whose place it took, if any, is to be ended.
    Entered(Option<Live>),
    /// Somebody of the same address is there and stays.
    Conflict,
}

struct Rows {
    directory: Directory<SessionKey>,
    sessions: BTreeMap<SessionKey, Live>,
    next: u64,
}

/// Every session of a relay.
pub(super) struct Roster {
    rows: Mutex<Rows>,
    policy: Policy,
    capacity: usize,
}

impl Roster {
    /// Nobody yet; at most `capacity` at once, logged in or not.
    pub(super) fn new(domain: &str, policy: Policy, capacity: usize) -> Self {
        let rows = Rows { directory: Directory::new(domain), sessions: BTreeMap::new(), next: 1 };
        Self { rows: Mutex::new(rows), policy, capacity }
    }

    /// Takes in a session that has not logged in yet. `None`: there is no room.
    pub(super) fn enter(&self, session: Live) -> Option<SessionKey> {
        let mut rows = self.lock();
        if rows.sessions.len() >= self.capacity {
            return None;
        }
        let key = SessionKey(rows.next);
        rows.next += 1;
        rows.sessions.insert(key, session);
        Some(key)
    }

    /// Whether another session would find room.
    pub(super) fn has_room(&self) -> bool {
        self.lock().sessions.len() < self.capacity
    }

    /// Gives `address` to the session of this key, if the policy lets it.
    pub(super) fn admit(&self, key: SessionKey, address: Address) -> Admission {
        let mut rows = self.lock();
        let live = rows.directory.lookup(&address).is_some_and(|old| rows.sessions.contains_key(old));
        if live && self.policy == Policy::Reject {
            return Admission::Conflict;
        }
        let old = rows.directory.insert(address, key).and_then(|old| rows.sessions.get(&old).cloned());
        Admission::Entered(old)
    }

    /// Takes a session out. Its address is freed only if no other session has taken it meanwhile.
    pub(super) fn leave(&self, key: SessionKey, address: Option<&Address>) {
        let mut rows = self.lock();
        rows.sessions.remove(&key);
        if let Some(address) = address {
            rows.directory.remove(address, &key);
        }
    }

    /// What `host` reaches.
    pub(super) fn find(&self, host: &str) -> Result<Reached, NameError> {
        let rows = self.lock();
        let name = rows.directory.parse(host)?;
        let session = rows.directory.lookup(&name.address).and_then(|key| rows.sessions.get(key)).cloned();
        Ok(match session {
            Some(session) => Reached::Agent(session, name),
            None => Reached::Absent(name),
        })
    }

    /// The session that has `address`.
    pub(super) fn agent(&self, address: &Address) -> Option<Live> {
        let rows = self.lock();
        rows.directory.lookup(address).and_then(|key| rows.sessions.get(key)).cloned()
    }

    /// Whether it is the session of this key that has `address`.
    pub(super) fn is_current(&self, key: SessionKey, address: &Address) -> bool {
        self.lock().directory.lookup(address) == Some(&key)
    }

    /// The host name of a service; `None` is the agent's first.
    pub(super) fn host(&self, address: &Address, service: Option<&str>) -> String {
        let rows = self.lock();
        match service {
            Some(service) => rows.directory.service_host(address, service),
            None => rows.directory.host(address),
        }
    }

    /// Every session.
    pub(super) fn all(&self) -> Vec<Live> {
        self.lock().sessions.values().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
