//! The table of sessions, from upgrade to end, and the lookup of sessions by host name.
//!
//! Knows no socket. The lock is held for one lookup at a time, and never while a session is locked.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use hvym_tunnel_core::dialect::{Proto, Service};
use hvym_tunnel_core::names::{ClaimedName, PublicName};
use hvym_tunnel_core::relay::{AdmitError, Directory, Name, NameError, Newcomer, Owner, Serving};
use hvym_tunnel_core::stellar::Address;
use hvym_tunnel_core::time::Instant;
use hvym_tunnel_pages::Page;

use super::service_target::{HostTarget, ServiceTarget};
use super::waiters::Waiters;
use crate::pages;
use crate::sessions::agent_session::AgentSession;

/// The id of one session; unique while the relay runs.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct SessionKey(u64);

impl SessionKey {
    /// As a number, for an operator.
    pub(crate) const fn number(self) -> u64 {
        self.0
    }
}

/// What an admission changed.
pub(crate) struct Entry {
    /// The older session of the same program, which the caller ends.
    pub(crate) replaced: Option<AgentSession>,
    /// The services that nobody has any more.
    pub(crate) vacant: Vec<Arc<str>>,
}

pub(super) struct Rows {
    pub(super) directory: Directory<SessionKey>,
    sessions: BTreeMap<SessionKey, AgentSession>,
    /// Visitors of agents that went away in good order a moment ago.
    waiting: BTreeMap<Owner, Waiters>,
    next: u64,
}

impl Rows {
    fn all<'a>(&'a self, keys: &'a [SessionKey]) -> impl Iterator<Item = AgentSession> + 'a {
        keys.iter().filter_map(|key| self.sessions.get(key)).cloned()
    }

    fn insert(&mut self, session: AgentSession) -> SessionKey {
        let key = SessionKey(self.next);
        self.next += 1;
        self.sessions.insert(key, session);
        key
    }

    /// Those whose agents are this relay's.
    pub(super) fn local<'a>(&'a self, keys: &'a [SessionKey]) -> impl Iterator<Item = AgentSession> + 'a {
        self.all(keys).filter(|session| !session.is_remote())
    }

    pub(super) fn served(&self, name: Arc<Name>, serving: Serving<SessionKey>) -> HostTarget {
        let page = match serving {
            Serving::By { service, proto, sessions } => {
                let sessions: Arc<[AgentSession]> = self.all(&sessions).collect();
                return HostTarget::Served(ServiceTarget { name, service, proto, sessions });
            }
            Serving::Expected { proto } => return HostTarget::Expected(name, proto),
            Serving::Unbound => return HostTarget::NotPublic(name),
            Serving::Absent => Page::no_agent(&name.owner.to_string()),
        };
        HostTarget::Missing(page)
    }

    fn target(&self, name: Arc<Name>, is_tcp: bool) -> HostTarget {
        let serving = self.directory.serving(&name);
        // Agents of older systems carry bytes to what they call an HTTP service.
        let takes_bytes = is_tcp && matches!(name.owner, Owner::Named(_));
        match self.served(name, serving) {
            HostTarget::Served(ServiceTarget { service, proto, .. })
                if (proto == Proto::Tcp) != is_tcp && !takes_bytes =>
            {
                HostTarget::Missing(pages::other_language(&service))
            }
            target => target,
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
        let rows = Rows { directory, sessions: BTreeMap::new(), waiting: BTreeMap::new(), next: 1 };
        Self { rows: Mutex::new(rows), capacity, generation: AtomicU64::new(0) }
    }

    /// Reserves these names for agents without an identity, and no others.
    pub(crate) fn set_guests(&self, guests: Vec<Arc<str>>) {
        self.change(None, |rows| rows.directory.set_registered(guests));
    }

    /// Reserves one more name for an agent without an identity.
    pub(crate) fn add_guest(&self, guest: Arc<str>) {
        self.change(None, |rows| rows.directory.register(guest));
    }

    /// Adds a session that is not logged in. `None`: the table is full.
    pub(crate) fn enter(&self, session: AgentSession) -> Option<SessionKey> {
        let mut rows = self.lock();
        let own = rows.sessions.values().filter(|session| !session.is_remote()).count();
        if own >= self.capacity {
            return None;
        }
        Some(rows.insert(session))
    }

    /// Adds an agent of another relay. That one counts it.
    pub(crate) fn enter_remote(&self, session: AgentSession) -> SessionKey {
        self.lock().insert(session)
    }

    /// Admits a session that is logged in.
    ///
    /// # Errors
    /// Why it is refused.
    pub(crate) fn admit(
        &self,
        key: SessionKey,
        newcomer: Newcomer,
        now: Instant,
    ) -> Result<Entry, AdmitError> {
        let owner = newcomer.owner.clone();
        self.change(Some(&owner), |rows| {
            let admitted = rows.directory.admit(key, newcomer, now)?;
            let replaced = admitted.replaced.and_then(|older| rows.local(&[older]).next());
            Ok(Entry { replaced, vacant: admitted.vacant })
        })
    }

    /// Binds a service. Returns the sessions that serve it no longer.
    ///
    /// # Errors
    /// The session that has it and keeps it.
    pub(crate) fn bind(
        &self,
        key: SessionKey,
        owner: &Owner,
        service: &Service,
    ) -> Result<Vec<AgentSession>, Option<AgentSession>> {
        self.change(Some(owner), |rows| match rows.directory.bind(key, service) {
            Ok(replaced) => Ok(rows.local(&replaced).collect()),
            Err(holder) => Err(holder.and_then(|holder| rows.sessions.get(&holder).cloned())),
        })
    }

    /// A session withdraws a service. Returns whether nobody has it any more.
    pub(crate) fn unbind(&self, key: SessionKey, service: &str) -> bool {
        self.change(None, |rows| rows.directory.unbind(key, service))
    }

    /// The agent of a session goes away in good order: it serves nobody new.
    pub(crate) fn set_leaving(&self, key: SessionKey, owner: &Owner) {
        self.change(Some(owner), |rows| rows.directory.set_leaving(key));
    }

    /// Removes a session, and nothing of another one. Returns the services that nobody has any more.
    pub(crate) fn leave(&self, key: SessionKey, owner: Option<&Owner>, now: Instant) -> Vec<Arc<str>> {
        self.change(owner, |rows| {
            rows.sessions.remove(&key);
            rows.directory.remove(key, now)
        })
    }

    /// Forgets the services of `owner` that no session has bound in time.
    pub(crate) fn expire(&self, owner: &Owner, now: Instant) {
        self.change(Some(owner), |rows| rows.directory.expire(owner, now));
    }

    /// Changes the rows, then tells those who wait for a session of `owner`, without the lock.
    fn change<T>(&self, owner: Option<&Owner>, change: impl FnOnce(&mut Rows) -> T) -> T {
        let mut rows = self.lock();
        let changed = change(&mut rows);
        self.generation.fetch_add(1, Ordering::Release);
        let waiting = owner.and_then(|owner| rows.waiting.remove(owner));
        drop(rows);
        waiting.into_iter().flat_map(Waiters::into_wakers).for_each(|waker| waker.wake_by_ref());
        changed
    }

    /// Wakes `waker` when sessions of `owner` or their services have changed, while the ticket is held.
    pub(super) fn wait_for(&self, owner: &Owner, waker: &Waker) -> Arc<Waker> {
        self.lock().waiting.entry(owner.clone()).or_default().add(waker)
    }

    /// Changes whenever a host name may lead somewhere else than before.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Looks up a host name, for a visitor who speaks HTTP.
    pub(crate) fn find(&self, host: &str) -> Result<HostTarget, NameError> {
        let rows = self.lock();
        let name = rows.directory.parse(host)?;
        Ok(rows.target(Arc::new(name), false))
    }

    /// What a host name names, served or not.
    pub(crate) fn resolve(&self, host: &str) -> Result<Name, NameError> {
        self.lock().directory.parse(host)
    }

    /// Looks up the name of an agent without an identity, ignoring case; `None` if no agent can have it.
    pub(crate) fn find_guest(&self, name: &str) -> Option<HostTarget> {
        let rows = self.lock();
        let owner = rows.directory.named(name)?;
        Some(rows.target(Arc::new(Name { owner, service: None }), false))
    }

    /// Who serves `name` to visitors who speak HTTP, or to those of a TCP port.
    pub(crate) fn lookup(&self, name: Arc<Name>, is_tcp: bool) -> HostTarget {
        self.lock().target(name, is_tcp)
    }

    /// Who serves a service, private or not, to identities; `None` if nobody does.
    pub(super) fn served_to_identities(&self, owner: &Owner, service: &str) -> Option<ServiceTarget> {
        let rows = self.lock();
        let name = Arc::new(Name { owner: owner.clone(), service: Some(service.to_owned()) });
        match rows.served(name, rows.directory.serving_for_identities(owner, service)) {
            HostTarget::Served(target) => Some(target),
            HostTarget::Expected(..) | HostTarget::NotPublic(_) | HostTarget::Missing(_) => None,
        }
    }

    /// The sessions of `owner` at this relay, oldest first.
    pub(crate) fn sessions_of(&self, owner: &Owner) -> Vec<AgentSession> {
        let rows = self.lock();
        rows.local(rows.directory.sessions_of(owner)).collect()
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

    /// The host name of a service by a claimed name; `None` is the one at the bare name.
    pub(crate) fn claimed_host(&self, name: &ClaimedName, service: Option<&str>) -> String {
        self.lock().directory.claimed_host(name, service)
    }

    /// Whether an agent of this owner is logged in.
    pub(crate) fn is_here(&self, owner: &Owner) -> bool {
        !self.lock().directory.sessions_of(owner).is_empty()
    }

    /// Visitors of `name` are led to `owner` from now on.
    pub(crate) fn give_name(&self, name: PublicName, owner: Address) {
        self.lock().directory.assign_name(name, owner);
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// Visitors of `name` are led nowhere.
    pub(crate) fn withdraw_name(&self, name: &PublicName) {
        self.lock().directory.withdraw_name(name);
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// All sessions of this relay, each with its id.
    pub(crate) fn entries(&self) -> Vec<(SessionKey, AgentSession)> {
        let rows = self.lock();
        let own = rows.sessions.iter().filter(|(_, session)| !session.is_remote());
        own.map(|(key, session)| (*key, session.clone())).collect()
    }

    /// All sessions of this relay.
    pub(crate) fn all(&self) -> Vec<AgentSession> {
        self.entries().into_iter().map(|(_, session)| session).collect()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
