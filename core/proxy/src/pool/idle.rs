//! The idle connections of one service: who may take which, and how long they are kept. Knows no waiting request.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::time::Duration;

use hvym_yamux::Instant;

use super::VisitorId;
use crate::Choice;

/// An idle connection; a later one was put back later.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct ConnId(pub(super) u64);

/// An idle connection and who may take it.
pub(super) struct Idle<C> {
    pub(super) conn: C,
    pub(super) visitor: VisitorId,
    pub(super) since: Instant,
    pub(super) until: Instant,
    /// From when on others may take it, as long as it is among those that are shared; `None` is never.
    pub(super) shared_from: Option<Instant>,
}

/// The idle connections of one service.
pub(super) struct IdleConns<C> {
    conns: BTreeMap<ConnId, Idle<C>>,
    /// Those of visitors whose connections live.
    own: BTreeSet<(VisitorId, ConnId)>,
    /// Those that others may take, by the time from when on.
    shared: BTreeSet<(Instant, ConnId)>,
}

impl<C> IdleConns<C> {
    pub(super) const fn new() -> Self {
        Self { conns: BTreeMap::new(), own: BTreeSet::new(), shared: BTreeSet::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.conns.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.conns.len()
    }

    pub(super) fn insert(&mut self, id: ConnId, idle: Idle<C>) {
        self.own.insert((idle.visitor, id));
        self.shared.extend(idle.shared_from.map(|from| (from, id)));
        self.conns.insert(id, idle);
    }

    pub(super) fn remove(&mut self, id: ConnId) -> Option<C> {
        let idle = self.conns.remove(&id)?;
        self.own.remove(&(idle.visitor, id));
        if let Some(from) = idle.shared_from {
            self.shared.remove(&(from, id));
        }
        Some(idle.conn)
    }

    pub(super) fn get_mut(&mut self, id: ConnId) -> Option<&mut C> {
        self.conns.get_mut(&id).map(|idle| &mut idle.conn)
    }

    /// The connection that `visitor` may take: the one it used last, else the one that others used last.
    pub(super) fn find(
        &self,
        visitor: VisitorId,
        choice: Choice,
        just_used: Duration,
        now: Instant,
    ) -> Option<ConnId> {
        let since = match choice {
            Choice::Any => Instant::ZERO,
            Choice::JustUsed => Instant::ZERO + (now - Instant::ZERO).saturating_sub(just_used),
            Choice::Fresh => return None,
        };
        let fits = |id: &ConnId| {
            let idle = self.conns.get(id)?;
            (idle.since >= since && now < idle.until).then_some(*id)
        };
        let own = self.own.range((visitor, ConnId(0))..=(visitor, ConnId(u64::MAX)));
        // Nothing is shared before it is idle.
        let shared = self.shared.range((since, ConnId(0))..=(now, ConnId(u64::MAX)));
        let mut ids = own.rev().map(|(_, id)| id).chain(shared.rev().map(|(_, id)| id));
        ids.find_map(fits)
    }

    /// The one that is idle for longest, and since when.
    pub(super) fn oldest(&self) -> Option<(ConnId, Instant)> {
        self.conns.first_key_value().map(|(id, idle)| (*id, idle.since))
    }

    /// Those whose time is over.
    pub(super) fn expired(&self, now: Instant) -> impl Iterator<Item = ConnId> + '_ {
        self.conns.iter().filter(move |(_, idle)| idle.until <= now).map(|(id, _)| *id)
    }

    /// When the next one's time is over.
    pub(super) fn next_expiry(&self) -> Option<Instant> {
        self.conns.values().map(|idle| idle.until).min()
    }

    /// The connection of `visitor` has ended: what others may take stays. Returns what nobody may take now.
    pub(super) fn orphan(&mut self, visitor: VisitorId) -> impl Iterator<Item = ConnId> + use<C> {
        let range = (visitor, ConnId(0))..=(visitor, ConnId(u64::MAX));
        let own: BTreeSet<ConnId> = self.own.range(range).map(|(_, id)| *id).collect();
        for id in &own {
            self.own.remove(&(visitor, *id));
        }
        let useless: Vec<ConnId> = own.into_iter().filter(|id| !self.is_shared(*id)).collect();
        useless.into_iter()
    }

    fn is_shared(&self, id: ConnId) -> bool {
        let from = self.conns.get(&id).and_then(|idle| idle.shared_from);
        from.is_some_and(|from| self.shared.contains(&(from, id)))
    }

    /// Others may take none from now on. Returns what nobody may take now.
    pub(super) fn unshare(&mut self) -> Vec<ConnId> {
        let own: BTreeSet<ConnId> = self.own.iter().map(|(_, id)| *id).collect();
        let shared = core::mem::take(&mut self.shared);
        shared.into_iter().map(|(_, id)| id).filter(|id| !own.contains(id)).collect()
    }

    /// All connections.
    pub(super) fn into_conns(self) -> impl Iterator<Item = C> {
        self.conns.into_values().map(|idle| idle.conn)
    }
}
