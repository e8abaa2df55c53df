//! Who is connected: every session from its upgrade to its end, and which of them a host name reaches.
//!
//! Knows no socket. Its lock is held for a lookup at a time, never while a session is asked something.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hvym_tunnel_core::relay::{Directory, Name, NameError, Owner};

use crate::config::Policy;
use crate::sessions::agent_session::AgentSession;

/// Names one session for as long as the relay runs; never used twice.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct SessionKey(u64);

/// What a host name reaches.
pub(crate) enum HostTarget {
    /// An agent that is connected.
    Agent(AgentSession, Name),
    /// An agent that is not.
    Absent(Name),
}

/// What came of an admission.
pub(crate) enum NameClaim {
    /// Let in; the session whose place it took, if any, is to be ended.
    Granted(Option<AgentSession>),
    /// Somebody of the same name is there and stays.
    Conflict,
}

struct Rows {
    directory: Directory<SessionKey>,
    sessions: BTreeMap<SessionKey, AgentSession>,
    next: u64,
}

impl Rows {
    fn session(&self, owner: &Owner) -> Option<AgentSession> {
        self.directory.lookup(owner).and_then(|key| self.sessions.get(key)).cloned()
    }

    fn target(&self, name: Name) -> HostTarget {
        match self.session(&name.owner) {
            Some(session) => HostTarget::Agent(session, name),
            None => HostTarget::Absent(name),
        }
    }
}

/// Every session of a relay.
pub(crate) struct SessionTable {
    rows: Mutex<Rows>,
    capacity: usize,
}

impl SessionTable {
    /// Nobody yet; at most `capacity` at once, logged in or not. `guests` are the names of agents without an identity.
    pub(crate) fn new(domain: &str, guests: impl IntoIterator<Item = Arc<str>>, capacity: usize) -> Self {
        let mut directory = Directory::new(domain);
        guests.into_iter().for_each(|guest| directory.register(guest));
        let rows = Rows { directory, sessions: BTreeMap::new(), next: 1 };
        Self { rows: Mutex::new(rows), capacity }
    }

    /// Takes in a session that has not logged in yet. `None`: there is no room.
    pub(crate) fn enter(&self, session: AgentSession) -> Option<SessionKey> {
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
    pub(crate) fn has_room(&self) -> bool {
        self.lock().sessions.len() < self.capacity
    }

    /// Gives the name of `owner` to the session of this key, if the policy lets it.
    pub(crate) fn admit(&self, key: SessionKey, owner: Owner, policy: Policy) -> NameClaim {
        let mut rows = self.lock();
        let live = rows.directory.lookup(&owner).is_some_and(|old| rows.sessions.contains_key(old));
        if live && policy == Policy::Reject {
            return NameClaim::Conflict;
        }
        let old = rows.directory.insert(owner, key).and_then(|old| rows.sessions.get(&old).cloned());
        NameClaim::Granted(old)
    }

    /// Takes a session out. Its name is freed only if no other session has taken it meanwhile.
    pub(crate) fn leave(&self, key: SessionKey, owner: Option<&Owner>) {
        let mut rows = self.lock();
        rows.sessions.remove(&key);
        if let Some(owner) = owner {
            rows.directory.remove(owner, &key);
        }
    }

    /// What `host` reaches.
    pub(crate) fn find(&self, host: &str) -> Result<HostTarget, NameError> {
        let rows = self.lock();
        let name = rows.directory.parse(host)?;
        Ok(rows.target(name))
    }

    /// What the name of a guest reaches, in any case; `None` if nobody can have it.
    pub(crate) fn find_guest(&self, name: &str) -> Option<HostTarget> {
        let rows = self.lock();
        let owner = rows.directory.named(name)?;
        Some(rows.target(Name { owner, service: None }))
    }

    /// The session of `owner`.
    pub(crate) fn agent(&self, owner: &Owner) -> Option<AgentSession> {
        self.lock().session(owner)
    }

    /// Whether it is the session of this key that has the name of `owner`.
    pub(crate) fn is_current(&self, key: SessionKey, owner: &Owner) -> bool {
        self.lock().directory.lookup(owner) == Some(&key)
    }

    /// The host name of a service; `None` is the agent's first.
    pub(crate) fn host(&self, owner: &Owner, service: Option<&str>) -> String {
        let rows = self.lock();
        match service {
            Some(service) => rows.directory.service_host(owner, service),
            None => rows.directory.host(owner),
        }
    }

    /// Every session.
    pub(crate) fn all(&self) -> Vec<AgentSession> {
        self.lock().sessions.values().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
