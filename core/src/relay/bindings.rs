//! Which sessions an owner has, and which of them serves which of its services.
//!
//! It ends no session and knows no load: whom a new session replaces, and among whom visitors are spread, it only says.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use thiserror::Error;

use super::owner::Owner;
use crate::dialect::{OnConflict, Proto, Service};
use crate::names::BARE_SERVICE;
use crate::time::Instant;

/// Sessions of one owner: more than one person's programs. Each is looked at when another one logs in.
pub const MAX_SESSIONS_OF_ONE: usize = 256;
/// How long visitors of a service may wait for the next session that binds it, after the last one went away in good order or
/// was replaced by a newer one of the same program.
pub const SUCCESSOR_LIMIT: Duration = Duration::from_secs(5);

/// Who logs in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Newcomer {
    /// The owner of the session.
    pub owner: Owner,
    /// The running program; `None` is one that knows no instances, all of which are the same one.
    pub instance: Option<String>,
    /// A live session of the same program is kept, and this one refused.
    pub keeps_older: bool,
}

impl Newcomer {
    /// A session of a program that knows no instances. It replaces the older one.
    pub fn new(owner: impl Into<Owner>) -> Self {
        Self { owner: owner.into(), instance: None, keeps_older: false }
    }
}

/// What an admission changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Admitted<K> {
    /// The older session of the same program: it has no services any more, and is the caller's to end.
    pub replaced: Option<K>,
    /// The services that nobody has any more.
    pub vacant: Vec<Arc<str>>,
}

/// Why a session is not admitted.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Error)]
pub enum AdmitError {
    /// The older session of the same program is kept.
    #[error("another session has this name")]
    Conflict,
    /// The owner has [`MAX_SESSIONS_OF_ONE`].
    #[error("at most {MAX_SESSIONS_OF_ONE} sessions of one identity can be connected")]
    TooMany,
}

/// Who serves a service.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Serving<K> {
    /// These sessions, of which each request may have any.
    By {
        /// The name of the service.
        service: Arc<str>,
        /// What it carries.
        proto: Proto,
        /// Never empty.
        sessions: Vec<K>,
    },
    /// Nobody now, but its agent will probably be back in a moment.
    Expected {
        /// What the service carried.
        proto: Proto,
    },
    /// Nobody; the owner has other services, or none.
    Unbound,
    /// The owner has no session.
    Absent,
}

/// What all sessions have to agree on that serve one service together.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
struct Terms {
    on_conflict: OnConflict,
    proto: Proto,
    public: bool,
}

struct SessionRow {
    owner: Owner,
    instance: Option<String>,
    /// It goes away in good order, and serves nobody new.
    is_leaving: bool,
}

struct ServiceRow<K> {
    name: Arc<str>,
    terms: Terms,
    /// In the order in which they bound it.
    holders: Vec<K>,
    /// Without a holder: until when the next one is waited for.
    expected_until: Option<Instant>,
}

struct OwnerRow<K> {
    /// Oldest first.
    sessions: Vec<K>,
    /// In the order in which they were bound first.
    services: Vec<ServiceRow<K>>,
}

/// The sessions of a relay and their services. `K` names a session; no two are ever confused.
pub(super) struct Bindings<K> {
    sessions: BTreeMap<K, SessionRow>,
    owners: BTreeMap<Owner, OwnerRow<K>>,
}

impl<K: Copy + Ord> Bindings<K> {
    pub(super) const fn new() -> Self {
        Self { sessions: BTreeMap::new(), owners: BTreeMap::new() }
    }

    pub(super) fn admit(
        &mut self,
        key: K,
        newcomer: Newcomer,
        now: Instant,
    ) -> Result<Admitted<K>, AdmitError> {
        let Newcomer { owner, instance, keeps_older } = newcomer;
        let older = self
            .sessions_of(&owner)
            .iter()
            .copied()
            .find(|older| self.sessions.get(older).is_some_and(|row| row.instance == instance));
        if older.is_some_and(|older| keeps_older && !self.is_leaving(&older)) {
            return Err(AdmitError::Conflict);
        }
        if older.is_none() && self.sessions_of(&owner).len() >= MAX_SESSIONS_OF_ONE {
            return Err(AdmitError::TooMany);
        }
        let vacant = older.map_or_else(Vec::new, |older| self.take_out(older, true, now));
        let row = self.owners.entry(owner.clone());
        row.or_insert_with(|| OwnerRow { sessions: Vec::new(), services: Vec::new() }).sessions.push(key);
        self.sessions.insert(key, SessionRow { owner, instance, is_leaving: false });
        Ok(Admitted { replaced: older, vacant })
    }

    pub(super) fn bind(&mut self, key: K, service: &Service) -> Result<Vec<K>, Option<K>> {
        let Service { on_conflict, proto, public, .. } = *service;
        let terms = Terms { on_conflict, proto, public };
        let Some(owner) = self.sessions.get(&key).map(|row| &row.owner) else { return Err(None) };
        let Some(row) = self.owners.get_mut(owner) else { return Err(None) };
        let at = match row.services.iter().position(|known| *known.name == *service.name) {
            Some(at) => at,
            None => {
                let (name, holders) = (Arc::from(service.name.as_str()), Vec::new());
                row.services.push(ServiceRow { name, terms, holders, expected_until: None });
                row.services.len() - 1
            }
        };
        let bound = &mut row.services[at];
        let stays = |holder: &K| self.sessions.get(holder).is_some_and(|row| !row.is_leaving);
        let mut others = bound.holders.iter().copied().filter(|holder| *holder != key && stays(holder));
        let shares = matches!(on_conflict, OnConflict::Pool | OnConflict::Standby) && bound.terms == terms;
        let mut replaced = Vec::new();
        if !shares {
            if on_conflict == OnConflict::Reject
                && let Some(holder) = others.next()
            {
                return Err(Some(holder));
            }
            replaced = others.collect();
            bound.holders.retain(|holder| *holder == key);
        }
        (bound.terms, bound.expected_until) = (terms, None);
        if !bound.holders.contains(&key) {
            bound.holders.push(key);
        }
        Ok(replaced)
    }

    pub(super) fn unbind(&mut self, key: K, name: &str) -> bool {
        let Some(owner) = self.sessions.get(&key).map(|row| &row.owner) else { return false };
        let Some(row) = self.owners.get_mut(owner) else { return false };
        let Some(at) = row.services.iter().position(|known| *known.name == *name) else { return false };
        let holders = &mut row.services[at].holders;
        let count = holders.len();
        holders.retain(|holder| *holder != key);
        let is_vacant = holders.is_empty() && count > 0;
        if is_vacant {
            row.services.remove(at);
        }
        is_vacant
    }

    pub(super) fn set_leaving(&mut self, key: K) {
        if let Some(row) = self.sessions.get_mut(&key) {
            row.is_leaving = true;
        }
    }

    pub(super) fn remove(&mut self, key: K, now: Instant) -> Vec<Arc<str>> {
        let is_followed = self.is_leaving(&key);
        self.take_out(key, is_followed, now)
    }

    fn take_out(&mut self, key: K, is_followed: bool, now: Instant) -> Vec<Arc<str>> {
        let Some(SessionRow { owner, .. }) = self.sessions.remove(&key) else { return Vec::new() };
        let Some(row) = self.owners.get_mut(&owner) else { return Vec::new() };
        row.sessions.retain(|session| *session != key);
        let mut vacant = Vec::new();
        for service in &mut row.services {
            let count = service.holders.len();
            service.holders.retain(|holder| *holder != key);
            if service.holders.is_empty() && count > 0 {
                service.expected_until = is_followed.then(|| now + SUCCESSOR_LIMIT);
                vacant.push(Arc::clone(&service.name));
            }
        }
        row.services.retain(ServiceRow::is_known);
        self.forget_empty(&owner);
        vacant
    }

    pub(super) fn expire(&mut self, owner: &Owner, now: Instant) {
        let Some(row) = self.owners.get_mut(owner) else { return };
        for service in &mut row.services {
            service.expected_until = service.expected_until.filter(|until| now < *until);
        }
        row.services.retain(ServiceRow::is_known);
        self.forget_empty(owner);
    }

    fn forget_empty(&mut self, owner: &Owner) {
        if self.owners.get(owner).is_some_and(|row| row.sessions.is_empty() && row.services.is_empty()) {
            self.owners.remove(owner);
        }
    }

    /// `None` asks for the service at the bare address.
    pub(super) fn serving(&self, owner: &Owner, service: Option<&str>) -> Serving<K> {
        let Some(row) = self.owners.get(owner) else { return Serving::Absent };
        let found = match service {
            Some(name) => row.services.iter().find(|known| known.terms.public && *known.name == *name),
            None => row.default_service(),
        };
        self.served(row, found)
    }

    pub(super) fn serving_for_identities(&self, owner: &Owner, service: &str) -> Serving<K> {
        let Some(row) = self.owners.get(owner) else { return Serving::Absent };
        self.served(row, row.services.iter().find(|known| *known.name == *service))
    }

    fn served(&self, row: &OwnerRow<K>, found: Option<&ServiceRow<K>>) -> Serving<K> {
        let Some(found) = found else {
            return if row.sessions.is_empty() { Serving::Absent } else { Serving::Unbound };
        };
        let most = if found.terms.on_conflict == OnConflict::Pool { usize::MAX } else { 1 };
        let serves = |holder: &K| self.sessions.get(holder).is_some_and(|row| !row.is_leaving);
        let sessions: Vec<K> = found.holders.iter().copied().filter(serves).take(most).collect();
        match sessions.is_empty() {
            true => Serving::Expected { proto: found.terms.proto },
            false => Serving::By { service: Arc::clone(&found.name), proto: found.terms.proto, sessions },
        }
    }

    pub(super) fn sessions_of(&self, owner: &Owner) -> &[K] {
        self.owners.get(owner).map_or(&[], |row| &row.sessions)
    }

    pub(super) fn owner(&self, key: K) -> Option<&Owner> {
        self.sessions.get(&key).map(|row| &row.owner)
    }

    /// Whether the owner has a session, or is expected to have one in a moment.
    pub(super) fn is_known(&self, owner: &Owner) -> bool {
        self.owners.contains_key(owner)
    }

    fn is_leaving(&self, key: &K) -> bool {
        self.sessions.get(key).is_some_and(|row| row.is_leaving)
    }

    pub(super) fn len(&self) -> usize {
        self.sessions.len()
    }
}

impl<K> ServiceRow<K> {
    fn is_known(&self) -> bool {
        !self.holders.is_empty() || self.expected_until.is_some()
    }
}

impl<K> OwnerRow<K> {
    fn default_service(&self) -> Option<&ServiceRow<K>> {
        let mut visited =
            self.services.iter().filter(|service| service.terms.public && service.terms.proto != Proto::Tcp);
        let named = visited.clone().find(|service| *service.name == *BARE_SERVICE);
        named.or_else(|| visited.next())
    }
}

/// The place of the least of `loads`; of several the one whose turn it is, so that requests that come one after the other are
/// spread as well.
pub fn least_loaded(loads: impl Iterator<Item = usize> + Clone, turn: usize) -> Option<usize> {
    let least = loads.clone().min()?;
    let places = || loads.clone().enumerate().filter(|(_, load)| *load == least).map(|(at, _)| at);
    places().nth(turn % places().count())
}
