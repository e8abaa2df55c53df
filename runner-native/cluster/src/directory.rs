//! What one relay knows of all: what it serves itself and has to claim, and what the others serve.
//!
//! It has no clock and no socket: [`ClusterDirectory::poll_request`] says what to ask the store, and what is answered comes in by
//! `handle_*`. It is correct whatever the others do, because the store orders all claims by their epochs.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use hvym_tunnel_core::dialect::OnConflict;
use hvym_tunnel_core::relay::Owner;
use hvym_tunnel_core::time::Instant;

use crate::record::{NodeId, RelayRecord, ServiceKey, ServiceRecord};
use crate::sync::{MAX_CHANGES, ServiceChange, ServiceClaim, ServiceRelease, SyncReply, SyncRequest};

/// How long a relay counts as alive after it has asked the store. Others take over what it served then, so it is short; a pause of the
/// process or of the store that is longer costs a round trip more.
pub const LEASE: Duration = Duration::from_secs(3);
/// How often the store is asked when nothing has changed here, which is how late news of the others may be.
pub const SYNC_INTERVAL: Duration = Duration::from_millis(400);
/// How long a store that did not answer is left alone.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What has changed in the cluster.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ClusterEvent {
    /// Another relay is alive.
    RelayFound {
        /// Which.
        node: NodeId,
        /// Where it is, and who.
        record: RelayRecord,
    },
    /// Another relay is gone, with everything that it served.
    RelayLost {
        /// Which.
        node: NodeId,
    },
    /// Another relay serves a service from now on, as this record says, and nobody else does.
    Serves {
        /// The service.
        key: ServiceKey,
        /// The relay.
        node: NodeId,
        /// What it serves.
        record: ServiceRecord,
    },
    /// Another relay serves a service no longer.
    Withdrawn {
        /// The service.
        key: ServiceKey,
        /// The relay.
        node: NodeId,
    },
    /// The store does not answer: what is known goes on to hold.
    StoreLost(String),
    /// Neither does one of the others, and the lease is over: they may serve by now what this relay does, which serves nothing until the
    /// store answers.
    CutOff,
    /// The store answers again.
    StoreBack,
}

/// A service of this relay.
struct OwnService {
    record: ServiceRecord,
    claim: ClaimState,
}

/// How far the claim of an own service is.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum ClaimState {
    /// The store is to be asked for it.
    Wanted { takes_over: bool },
    /// It is this relay's by this epoch.
    Held(u64),
    /// Another relay has it.
    Lost,
}

/// Another relay.
struct KnownRelay {
    record: RelayRecord,
    is_linked: bool,
}

struct RemoteService {
    node: NodeId,
    record: ServiceRecord,
}

/// Whether the store answers.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum StoreState {
    /// It was not asked yet.
    Unknown,
    /// It did; the lease of this relay ends then.
    Available { until: Instant },
    /// It did, but the lease was over when it was asked then: nothing is served before this relay knows what is still its own.
    Reclaiming { since: Instant },
    /// It did not; the lease of this relay ends then, or has ended.
    Lost { until: Instant },
    /// Nor did one of the others when the lease was over, so nothing is served before the store answers.
    CutOff { since: Instant },
}

impl StoreState {
    const fn is_lost(self) -> bool {
        matches!(self, StoreState::Lost { .. } | StoreState::CutOff { .. })
    }
}

/// Whether all services are asked for, and not only those that have changed.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Reload {
    No,
    Once,
    /// Until then others may not have registered again, so nothing that is missing is taken for gone.
    Until(Instant),
}

/// The exchange that is under way.
struct PendingSync {
    at: Instant,
    wants_all: bool,
    claims: Vec<(ServiceKey, ServiceRecord)>,
    releases: Vec<ServiceRelease>,
}

/// What one relay of a cluster knows.
pub struct ClusterDirectory {
    node: NodeId,
    about: RelayRecord,
    own: BTreeMap<ServiceKey, OwnService>,
    /// What is to be released, and by which epoch it was held.
    released: BTreeMap<ServiceKey, u64>,
    remote: BTreeMap<ServiceKey, RemoteService>,
    relays: BTreeMap<NodeId, KnownRelay>,
    seen: u64,
    reload: Reload,
    store: StoreState,
    pending: Option<PendingSync>,
    next_sync: Instant,
    events: VecDeque<ClusterEvent>,
}

impl ClusterDirectory {
    /// Of the relay `node`, which serves nothing yet.
    pub fn new(node: NodeId, about: RelayRecord, now: Instant) -> Self {
        Self {
            node,
            about,
            own: BTreeMap::new(),
            released: BTreeMap::new(),
            remote: BTreeMap::new(),
            relays: BTreeMap::new(),
            seen: 0,
            reload: Reload::Once,
            store: StoreState::Unknown,
            pending: None,
            next_sync: now,
            events: VecDeque::new(),
        }
    }

    /// What this relay serves of `owner` now, which is all of it. What is new or different is taken from whoever has it, unless its
    /// program said that others go first.
    pub fn set_own(&mut self, owner: &Owner, services: Vec<(String, ServiceRecord)>) {
        let names: BTreeSet<&String> = services.iter().map(|(service, _)| service).collect();
        let first = ServiceKey { owner: owner.clone(), service: String::new() };
        let own = self.own.range(first..).map(|(key, _)| key).take_while(|key| key.owner == *owner);
        let gone: Vec<ServiceKey> = own.filter(|key| !names.contains(&key.service)).cloned().collect();
        for key in gone {
            match self.own.remove(&key).map(|own| own.claim) {
                Some(ClaimState::Held(epoch)) => drop(self.released.insert(key, epoch)),
                // Who else has it was passed over for the sake of the claim.
                Some(ClaimState::Wanted { .. }) => self.reload_once(),
                Some(ClaimState::Lost) | None => {}
            }
        }
        for (service, record) in services {
            let key = ServiceKey { owner: owner.clone(), service };
            if self.own.get(&key).is_some_and(|own| own.record == record) {
                continue;
            }
            // What is claimed again is no longer to be released.
            self.released.remove(&key);
            let claim = ClaimState::Wanted { takes_over: record.on_conflict != OnConflict::Reject };
            self.own.insert(key, OwnService { record, claim });
        }
    }

    /// What to ask the store now. The answer, or that there is none, has to come in before the next request.
    pub fn poll_request(&mut self, now: Instant) -> Option<SyncRequest> {
        self.check_links(now);
        let is_urgent = !self.store.is_lost() && self.has_changes();
        if self.pending.is_some() || (now < self.next_sync && !is_urgent) {
            return None;
        }
        if self.is_fenced(now) {
            // The process stood still, and what it was about to claim may be somebody else's by a newer login.
            for own in self.own.values_mut() {
                if let ClaimState::Wanted { takes_over } = &mut own.claim {
                    *takes_over = false;
                }
            }
        }
        let claims: Vec<ServiceClaim> = self.wanted().take(MAX_CHANGES).collect();
        let releases = self.released.iter().take(MAX_CHANGES);
        let releases: Vec<ServiceRelease> =
            releases.map(|(key, epoch)| ServiceRelease { key: key.clone(), epoch: *epoch }).collect();
        let asked = claims.iter().map(|claim| (claim.key.clone(), claim.record.clone())).collect();
        let (wants_all, releases_asked) = (self.reload != Reload::No, releases.clone());
        self.pending = Some(PendingSync { at: now, wants_all, claims: asked, releases: releases_asked });
        Some(SyncRequest {
            node: self.node.clone(),
            about: self.about.clone(),
            lease: LEASE,
            seen: self.seen,
            wants_all,
            claims,
            releases,
        })
    }

    fn wanted(&self) -> impl Iterator<Item = ServiceClaim> {
        self.own.iter().filter_map(|(key, own)| match own.claim {
            ClaimState::Wanted { takes_over } => {
                Some(ServiceClaim { key: key.clone(), record: own.record.clone(), takes_over })
            }
            ClaimState::Held(_) | ClaimState::Lost => None,
        })
    }

    fn has_changes(&self) -> bool {
        !self.released.is_empty()
            || self.own.values().any(|own| matches!(own.claim, ClaimState::Wanted { .. }))
    }

    /// When [`Self::poll_request`] has something without anything else happening; `None` while a request is under way.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.pending.is_none().then_some(self.next_sync)
    }

    /// What has changed, oldest first.
    pub fn poll_event(&mut self) -> Option<ClusterEvent> {
        self.events.pop_front()
    }

    /// When the lease of this relay ends unless the store answers again; `None` where there is no store, without which relays that are
    /// linked go on with what they have.
    pub fn lease_until(&self) -> Option<Instant> {
        match self.store {
            StoreState::Available { until } => Some(until),
            StoreState::Reclaiming { since } | StoreState::CutOff { since } => Some(since),
            StoreState::Lost { until } if self.is_any_unlinked() => Some(until),
            StoreState::Unknown | StoreState::Lost { .. } => None,
        }
    }

    /// Whether the store answers.
    pub const fn is_available(&self) -> bool {
        matches!(self.store, StoreState::Available { .. } | StoreState::Reclaiming { .. })
    }

    /// Whether the lease is over and nobody knows yet what others have taken since: nothing is to be served before the store was asked.
    pub fn is_fenced(&self, now: Instant) -> bool {
        self.lease_until().is_some_and(|until| now >= until)
    }

    /// Another relay has told that something has changed.
    pub fn handle_news(&mut self, now: Instant) {
        if !self.store.is_lost() {
            self.next_sync = self.next_sync.min(now);
        }
    }

    /// There is no link to these of the others. A relay whose lease is over in the store loses its links, so all links are a sign that the
    /// store is away for everybody.
    pub fn handle_unlinked(&mut self, unlinked: &BTreeSet<NodeId>, now: Instant) {
        // A link that is back does not say what happened meanwhile.
        self.check_links(now);
        for (node, relay) in &mut self.relays {
            relay.is_linked = !unlinked.contains(node);
        }
        self.check_links(now);
    }

    fn is_any_unlinked(&self) -> bool {
        self.relays.values().any(|relay| !relay.is_linked)
    }

    fn check_links(&mut self, now: Instant) {
        if let StoreState::Lost { until } = self.store
            && now >= until
            && self.is_any_unlinked()
        {
            self.store = StoreState::CutOff { since: until };
            self.events.push_back(ClusterEvent::CutOff);
        }
    }

    /// The store did not do what the request asked for, for this reason.
    pub fn handle_failure(&mut self, error: impl ToString, now: Instant) {
        let pending = self.pending.take();
        if let Some(until) = self.lease_until()
            && now >= until
            && pending.is_some_and(|pending| pending.at < until)
        {
            // The process stood still, which may be all that is wrong: a request of its own time decides.
            self.next_sync = now;
            return;
        }
        self.next_sync = now + RETRY_AFTER;
        if !self.store.is_lost() {
            // A relay that the store never answered has nothing that others could take.
            let until = self.lease_until().unwrap_or(now + LEASE);
            self.store = StoreState::Lost { until };
            self.events.push_back(ClusterEvent::StoreLost(error.to_string()));
            self.check_links(now);
        }
    }

    /// The store has answered the request.
    pub fn handle_reply(&mut self, reply: SyncReply, now: Instant) {
        let Some(asked) = self.pending.take() else { return };
        let before = self.store;
        if before.is_lost() {
            self.events.push_back(ClusterEvent::StoreBack);
        }
        // The lease began when the store did what it was asked, which is later.
        self.store = StoreState::Available { until: asked.at + LEASE };
        self.next_sync = now + SYNC_INTERVAL;
        if reply.is_new {
            self.handle_lapse();
        }
        self.reload = match self.reload {
            _ if before.is_lost() || (reply.is_new && before != StoreState::Unknown) => {
                Reload::Until(now + LEASE)
            }
            Reload::Until(until) if now < until => Reload::Until(until),
            _ if asked.wants_all => Reload::No,
            reload => reload,
        };
        let is_settled = !matches!(self.reload, Reload::Until(_));
        for ServiceRelease { key, epoch } in &asked.releases {
            if self.released.get(key) == Some(epoch) {
                self.released.remove(key);
            }
        }
        self.handle_claims(&asked, &reply.claims);
        self.handle_relays(reply.relays, is_settled);
        if reply.is_complete && is_settled {
            self.withdraw_others(&reply.changes);
        }
        for change in reply.changes {
            self.handle_change(change);
        }
        self.seen = self.seen.max(reply.epoch);
        // Who has what was refused was told before, and passed over for the sake of the claim.
        let is_unknown = |key: &ServiceKey| self.is_lost(key) && !self.remote.contains_key(key);
        let was_over = match before {
            StoreState::Available { until } => reply.is_new && asked.at >= until,
            StoreState::Reclaiming { .. } | StoreState::CutOff { .. } => true,
            StoreState::Unknown | StoreState::Lost { .. } => false,
        };
        let is_reclaiming = was_over && (self.wanted().next().is_some() || self.own.keys().any(is_unknown));
        if asked.claims.iter().any(|(key, _)| is_unknown(key)) {
            self.reload_once();
        }
        if is_reclaiming {
            self.store = StoreState::Reclaiming { since: asked.at };
            self.next_sync = now;
        }
    }

    fn reload_once(&mut self) {
        if self.reload == Reload::No {
            self.reload = Reload::Once;
        }
    }

    /// The lease was over: what was held is anybody's.
    fn handle_lapse(&mut self) {
        self.released.clear();
        for own in self.own.values_mut() {
            if matches!(own.claim, ClaimState::Held(_)) {
                own.claim = ClaimState::Wanted { takes_over: false };
            }
        }
    }

    fn handle_claims(&mut self, asked: &PendingSync, epochs: &[u64]) {
        for ((key, record), epoch) in asked.claims.iter().zip(epochs) {
            match self.own.get_mut(key) {
                // One that differs by now is asked for again.
                Some(own) if own.record != *record => {}
                Some(own) if *epoch > 0 => own.claim = ClaimState::Held(*epoch),
                Some(own) => {
                    own.claim = ClaimState::Lost;
                    // It was told before the program came that is refused now.
                    if let Some(RemoteService { node, record }) = self.remote.get(key) {
                        let (key, node, record) = (key.clone(), node.clone(), record.clone());
                        self.events.push_back(ClusterEvent::Serves { key, node, record });
                    }
                }
                None if *epoch > 0 => drop(self.released.insert(key.clone(), *epoch)),
                None => {}
            }
        }
    }

    fn is_lost(&self, key: &ServiceKey) -> bool {
        self.own.get(key).is_some_and(|own| own.claim == ClaimState::Lost)
    }

    fn handle_relays(&mut self, relays: Vec<(NodeId, RelayRecord)>, is_settled: bool) {
        let relays: BTreeMap<NodeId, RelayRecord> =
            relays.into_iter().filter(|(node, _)| *node != self.node).collect();
        let is_gone = |node: &&NodeId| is_settled && !relays.contains_key(*node);
        let gone: Vec<NodeId> = self.relays.keys().filter(is_gone).cloned().collect();
        for node in gone {
            let services: Vec<ServiceKey> = self
                .remote
                .iter()
                .filter(|(_, remote)| remote.node == node)
                .map(|(key, _)| key.clone())
                .collect();
            services.iter().for_each(|key| self.withdraw(key));
            self.relays.remove(&node);
            self.events.push_back(ClusterEvent::RelayLost { node });
        }
        for (node, record) in relays {
            if self.relays.get(&node).is_none_or(|known| known.record != record) {
                self.relays.insert(node.clone(), KnownRelay { record: record.clone(), is_linked: true });
                self.events.push_back(ClusterEvent::RelayFound { node, record });
            }
        }
    }

    /// All services were told: whichever is not among them is nobody's.
    fn withdraw_others(&mut self, changes: &[ServiceChange]) {
        let told: BTreeSet<&ServiceKey> = changes.iter().map(|change| &change.key).collect();
        let gone: Vec<ServiceKey> = self.remote.keys().filter(|key| !told.contains(key)).cloned().collect();
        gone.iter().for_each(|key| self.withdraw(key));
        let free =
            self.own.iter_mut().filter(|(key, own)| own.claim == ClaimState::Lost && !told.contains(key));
        free.for_each(|(_, own)| own.claim = ClaimState::Wanted { takes_over: false });
    }

    fn handle_change(&mut self, ServiceChange { key, holder }: ServiceChange) {
        let Some((node, _, record)) = holder else {
            // Somebody has taken it meanwhile and given it up.
            if let Some(own) = self.own.get_mut(&key)
                && matches!(own.claim, ClaimState::Held(_))
            {
                own.claim = ClaimState::Wanted { takes_over: false };
            }
            return self.withdraw(&key);
        };
        if node == self.node {
            return self.withdraw_event(&key);
        }
        // A claim that is still to be made goes ahead of what is told: its program came after.
        let own = self.own.get_mut(&key).map(|own| &mut own.claim);
        match own {
            Some(ClaimState::Wanted { takes_over: true }) => return,
            Some(claim) => *claim = ClaimState::Lost,
            None => {}
        }
        match self.remote.get(&key) {
            Some(known) if known.node == node && known.record == record => return,
            Some(known) if known.node == node => {}
            Some(_) | None => self.withdraw_event(&key),
        }
        self.remote.insert(key.clone(), RemoteService { node: node.clone(), record: record.clone() });
        self.events.push_back(ClusterEvent::Serves { key, node, record });
    }

    /// No other relay serves it.
    fn withdraw(&mut self, key: &ServiceKey) {
        self.withdraw_event(key);
        if let Some(own) = self.own.get_mut(key)
            && own.claim == ClaimState::Lost
        {
            own.claim = ClaimState::Wanted { takes_over: false };
        }
    }

    fn withdraw_event(&mut self, key: &ServiceKey) {
        if let Some(RemoteService { node, .. }) = self.remote.remove(key) {
            self.events.push_back(ClusterEvent::Withdrawn { key: key.clone(), node });
        }
    }
}
