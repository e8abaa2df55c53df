//! The table of sessions, from upgrade to end, and the lookup of sessions by host name.
//!
//! Knows no socket. The lock is held for one lookup at a time, and never while a session is locked.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hvym_tunnel_core::relay::{Directory, Name, NameError, Owner};

use crate::config::Policy;
use crate::sessions::agent_session::AgentSession;

/// The id of one session; unique while the relay runs.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct SessionKey(u64);

/// The target of a host name.
pub(crate) enum HostTarget {
    /// A connected agent.
    Agent(AgentSession, Name),
    /// An agent that is not connected.
    Absent(Name),
}

/// The result of claiming a name.
pub(crate) enum NameClaim {
    /// The name is assigned; the caller ends the session that had it before, if any.
    Granted(Option<AgentSession>),
    /// A connected session has the name and keeps it.
    Conflict,
}

struct Rows {
    directory: Directory<SessionKey>,
    sessions: BTreeMap<SessionKey, AgentSession>,
    /// Of agents that went away in good order a moment ago: their visitors wait for the next session.
    departed: BTreeMap<Owner, (SessionKey, AgentSession)>,
    next: u64,
}

impl Rows {
    fn session(&self, owner: &Owner) -> Option<AgentSession> {
        self.directory.lookup(owner).and_then(|key| self.sessions.get(key)).cloned()
    }

    /// The short label of an owner is kept while visitors may wait for its next session.
    fn forget_label(&mut self, owner: &Owner) {
        if !self.departed.contains_key(owner) {
            self.directory.forget(owner);
        }
    }

    fn target(&self, name: Name) -> HostTarget {
        let departed = || self.departed.get(&name.owner).map(|(_, session)| session.clone());
        match self.session(&name.owner).or_else(departed) {
            Some(session) => HostTarget::Agent(session, name),
            None => HostTarget::Absent(name),
        }
    }
}

/// The sessions of a relay.
pub(crate) struct SessionTable {
    rows: Mutex<Rows>,
    capacity: usize,
    /// Changes with everything that a lookup by host name depends on.
    generation: AtomicU64,
}

impl SessionTable {
    /// An empty table for at most `capacity` sessions, logged in or not. `guests` are reserved names of agents
    /// without an identity.
    pub(crate) fn new(domain: &str, guests: impl IntoIterator<Item = Arc<str>>, capacity: usize) -> Self {
        let mut directory = Directory::new(domain);
        guests.into_iter().for_each(|guest| directory.register(guest));
        let rows = Rows { directory, sessions: BTreeMap::new(), departed: BTreeMap::new(), next: 1 };
        Self { rows: Mutex::new(rows), capacity, generation: AtomicU64::new(0) }
    }

    /// Adds a session that is not logged in. `None`: the table is full.
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

    /// Assigns the name of `owner` to the session of this key, if the policy allows it.
    pub(crate) fn admit(&self, key: SessionKey, owner: Owner, policy: Policy) -> NameClaim {
        let mut rows = self.lock();
        let live = rows.directory.lookup(&owner).is_some_and(|old| rows.sessions.contains_key(old));
        if live && policy == Policy::Reject {
            return NameClaim::Conflict;
        }
        self.generation.fetch_add(1, Ordering::Release);
        let departed = rows.departed.remove(&owner).map(|(_, session)| session);
        let old = rows.directory.insert(owner, key).and_then(|old| rows.sessions.get(&old).cloned());
        NameClaim::Granted(old.or(departed))
    }

    /// Removes a session. Its name is freed only if no other session has taken it over.
    pub(crate) fn leave(&self, key: SessionKey, owner: Option<&Owner>) {
        let mut rows = self.lock();
        rows.sessions.remove(&key);
        self.generation.fetch_add(1, Ordering::Release);
        if let Some(owner) = owner {
            rows.directory.remove(owner, &key);
            rows.forget_label(owner);
        }
    }

    /// A session offers other services than before.
    pub(crate) fn handle_services(&self) {
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// As [`Self::leave`], for a session whose agent went away in good order. Lookups still find it, so that visitors wait
    /// for the next session, until [`Self::forget`]. Returns whether it is so: a newer session may have the name.
    pub(crate) fn depart(&self, key: SessionKey, owner: &Owner) -> bool {
        let mut rows = self.lock();
        let is_current = rows.directory.lookup(owner) == Some(&key);
        let Some(session) = rows.sessions.remove(&key).filter(|_| is_current) else { return false };
        rows.directory.remove(owner, &key);
        rows.departed.insert(owner.clone(), (key, session));
        self.generation.fetch_add(1, Ordering::Release);
        true
    }

    /// The agent of this session did not come back.
    pub(crate) fn forget(&self, key: SessionKey, owner: &Owner) {
        let mut rows = self.lock();
        if rows.departed.get(owner).is_some_and(|(departed, _)| *departed == key) {
            rows.departed.remove(owner);
            rows.forget_label(owner);
            self.generation.fetch_add(1, Ordering::Release);
        }
    }

    /// Changes whenever a host name may lead somewhere else than before.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Looks up a host name.
    pub(crate) fn find(&self, host: &str) -> Result<HostTarget, NameError> {
        let rows = self.lock();
        let name = rows.directory.parse(host)?;
        Ok(rows.target(name))
    }

    /// Looks up the name of an agent without an identity, ignoring case; `None` if no agent can have it.
    pub(crate) fn find_guest(&self, name: &str) -> Option<HostTarget> {
        let rows = self.lock();
        let owner = rows.directory.named(name)?;
        Some(rows.target(Name { owner, service: None }))
    }

    /// The session of `owner`.
    pub(crate) fn agent(&self, owner: &Owner) -> Option<AgentSession> {
        self.lock().session(owner)
    }

    /// Whether the session of this key has the name of `owner`.
    pub(crate) fn is_current(&self, key: SessionKey, owner: &Owner) -> bool {
        self.lock().directory.lookup(owner) == Some(&key)
    }

    /// The host name of a service; `None` is the one at the bare name.
    pub(crate) fn host(&self, owner: &Owner, service: Option<&str>) -> String {
        let rows = self.lock();
        match service {
            Some(service) => rows.directory.service_host(owner, service),
            None => rows.directory.host(owner),
        }
    }

    /// The host name of an agent by its whole address.
    pub(crate) fn long_host(&self, owner: &Owner) -> String {
        self.lock().directory.long_host(owner)
    }

    /// All sessions.
    pub(crate) fn all(&self) -> Vec<AgentSession> {
        self.lock().sessions.values().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
