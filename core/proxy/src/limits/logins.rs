//! How many agents log in at once and are logged in, by address and in all.
//!
//! Logins have places of their own: neither visitors nor agents that are logged in take them. When they are full, the
//! login that has waited longest gives its place to a newcomer, since an agent logs in within a few round trips, and whoever never
//! does has waited longest. It knows no session; its runner ends the one that it is told.
//!
//! `A` names an agent.

use alloc::collections::BTreeMap;
use core::time::Duration;

use hvym_yamux::Instant;
use thiserror::Error;

use super::VisitorKey;
use super::bucket::{Bucket, VisitorRate};

/// Addresses whose rates are remembered, some 80 bytes each.
const MAX_ADDRESSES: usize = 65_536;
/// Fewer than these are never looked through for those that can be forgotten.
const MIN_SWEEP: usize = 64;
/// Agents, and addresses of agents, that are known, some 50 bytes each.
pub const MAX_KNOWN: usize = 10_000;
/// Logins in all that may come at once: a few seconds of a processor.
const MAX_RETURNING: usize = 20_000;
/// How long an agent was logged in when it becomes known: fresh identities cost nothing, time does.
pub const KNOWN_AFTER: Duration = Duration::from_secs(600);

/// The limits of logins, and of those who are logged in.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct LoginLimitsConfig {
    /// Logins under way at once.
    pub pending: usize,
    /// The part of [`Self::pending`] that is kept for addresses from which an agent logged in before.
    pub kept: usize,
    /// Logins under way at once from one address.
    pub address_pending: usize,
    /// Logins in all from addresses that are not known.
    pub rate: VisitorRate,
    /// Logins from one address.
    pub address_rate: VisitorRate,
    /// Agents that are logged in.
    pub agents: usize,
    /// The part of [`Self::agents`] that is kept for agents that are known.
    pub kept_agents: usize,
    /// Agents from one address.
    pub address_agents: usize,
}

impl LoginLimitsConfig {
    /// The usual limits of a relay with so many places for agents.
    pub const fn new(agents: usize) -> Self {
        // Of a hundred agents behind one address that come back together, each waits a few seconds at most.
        let address_rate = VisitorRate { per_second: 8, burst: 64 };
        // Each costs a few hundred microseconds, for a signature that is verified. After a restart of the relay all of its
        // agents come back at once.
        let all = if agents > 1_000 { agents } else { 1_000 };
        let all = if all > MAX_RETURNING { MAX_RETURNING as u32 } else { all as u32 };
        let rate = VisitorRate { per_second: all / 5, burst: all };
        let share = agents / 8;
        Self {
            pending: 256,
            kept: 64,
            address_pending: 32,
            rate,
            address_rate,
            agents,
            kept_agents: share,
            address_agents: if share == 0 { 1 } else { share },
        }
    }
}

/// Why nobody logs in now.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Error)]
pub enum LoginRefusal {
    /// The address has as many logins under way as it may have.
    #[error("your network has as many logins under way as it may have")]
    AddressPending,
    /// The address logs in too often.
    #[error("your network logs in too often")]
    AddressRate,
    /// All places are taken, and none may be given to this one.
    #[error("this relay has as many logins under way as it may have")]
    Pending,
    /// Strangers log in too often.
    #[error("this relay is asked for too many logins")]
    Rate,
    /// The relay has all the agents that it may have, or the rest of its places is kept.
    #[error("this relay has no room for another agent")]
    Agents,
    /// The address has.
    #[error("your network has as many agents at this relay as it may have")]
    AddressAgents,
}

/// One login under way.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct LoginTicket(u64);

/// A login that may begin.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct LoginStart {
    /// Names it.
    pub ticket: LoginTicket,
    /// The login that gave its place, and is to be ended.
    pub evicted: Option<LoginTicket>,
    /// Whether more than half of the places are taken: whoever is slow is in the way of others.
    pub is_pressed: bool,
}

#[derive(Copy, Clone, Debug)]
struct Pending {
    from: Option<VisitorKey>,
    is_known: bool,
}

#[derive(Copy, Clone, Debug)]
struct AddressUse {
    pending: usize,
    agents: usize,
    logins: Bucket,
}

/// The counters.
#[derive(Debug)]
pub struct LoginLimits<A> {
    config: LoginLimitsConfig,
    /// In the order in which they began.
    pending: BTreeMap<LoginTicket, Pending>,
    next: u64,
    agents: usize,
    addresses: BTreeMap<VisitorKey, AddressUse>,
    sweep_at: usize,
    strangers: Bucket,
    known_agents: BTreeMap<A, Instant>,
    known_addresses: BTreeMap<VisitorKey, Instant>,
}

impl<A: Ord + Clone> LoginLimits<A> {
    /// Nobody logs in.
    pub fn new(config: LoginLimitsConfig, now: Instant) -> Self {
        Self {
            config,
            pending: BTreeMap::new(),
            next: 0,
            agents: 0,
            addresses: BTreeMap::new(),
            sweep_at: MIN_SWEEP,
            strangers: Bucket::full(config.rate, now),
            known_agents: BTreeMap::new(),
            known_addresses: BTreeMap::new(),
        }
    }

    /// Somebody wants to log in. `None` is an address without limits of its own.
    ///
    /// # Errors
    /// The limit that this would exceed; nothing is counted then.
    pub fn begin(&mut self, from: Option<VisitorKey>, now: Instant) -> Result<LoginStart, LoginRefusal> {
        let config = self.config;
        let is_known = from.is_some_and(|from| self.known_addresses.contains_key(&from));
        if let Some(from) = from {
            let address = self.address(from, now);
            if address.pending >= config.address_pending {
                return Err(LoginRefusal::AddressPending);
            }
            if !address.logins.has_one(config.address_rate, now) {
                return Err(LoginRefusal::AddressRate);
            }
        }
        if !is_known && !self.strangers.has_one(config.rate, now) {
            return Err(LoginRefusal::Rate);
        }
        let strangers = self.pending.values().filter(|pending| !pending.is_known).count();
        let is_full = self.pending.len() >= config.pending
            || (!is_known && strangers >= config.pending.saturating_sub(config.kept));
        let evicted = if is_full { Some(self.oldest_stranger().ok_or(LoginRefusal::Pending)?) } else { None };
        if let Some(evicted) = evicted {
            self.end(evicted);
        }
        if !is_known {
            self.strangers.take(config.rate, now);
        }
        if let Some(from) = from {
            let address = self.address(from, now);
            address.pending += 1;
            address.logins.take(config.address_rate, now);
        }
        let ticket = LoginTicket(self.next);
        self.next += 1;
        self.pending.insert(ticket, Pending { from, is_known });
        Ok(LoginStart { ticket, evicted, is_pressed: self.pending.len() > config.pending / 2 })
    }

    /// A login is over, whatever its outcome. Nothing happens if it gave its place.
    pub fn end(&mut self, ticket: LoginTicket) {
        let Some(Pending { from, .. }) = self.pending.remove(&ticket) else { return };
        if let Some(address) = from.and_then(|from| self.addresses.get_mut(&from)) {
            address.pending = address.pending.saturating_sub(1);
        }
    }

    /// Whether a login has not ended.
    pub fn is_pending(&self, ticket: LoginTicket) -> bool {
        self.pending.contains_key(&ticket)
    }

    /// Logins under way.
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Addresses that are remembered.
    pub fn addresses(&self) -> usize {
        self.addresses.len()
    }

    /// Whether there is no place for another agent, known or not.
    pub const fn is_full(&self) -> bool {
        self.agents >= self.config.agents
    }

    /// Somebody logged in. `is_listed` is whether the relay's operator named this agent.
    ///
    /// # Errors
    /// The limit that this would exceed; nothing is counted then.
    pub fn admit(
        &mut self,
        agent: &A,
        from: Option<VisitorKey>,
        is_listed: bool,
        now: Instant,
    ) -> Result<(), LoginRefusal> {
        let config = self.config;
        let is_known = is_listed || self.known_agents.contains_key(agent);
        let places = if is_known { config.agents } else { config.agents.saturating_sub(config.kept_agents) };
        if self.agents >= places {
            return Err(LoginRefusal::Agents);
        }
        if let Some(from) = from {
            let address = self.address(from, now);
            if address.agents >= config.address_agents && !is_listed {
                return Err(LoginRefusal::AddressAgents);
            }
            address.agents += 1;
        }
        self.agents += 1;
        Ok(())
    }

    /// An agent that was admitted at `since` has gone. Whoever was here for [`KNOWN_AFTER`] is known from now on.
    pub fn leave(&mut self, agent: &A, from: Option<VisitorKey>, since: Instant, now: Instant) {
        self.agents = self.agents.saturating_sub(1);
        if let Some(address) = from.and_then(|from| self.addresses.get_mut(&from)) {
            address.agents = address.agents.saturating_sub(1);
        }
        if now.saturating_duration_since(since) >= KNOWN_AFTER {
            remember(&mut self.known_agents, agent.clone(), now);
            if let Some(from) = from {
                remember(&mut self.known_addresses, from, now);
            }
        }
    }

    fn oldest_stranger(&self) -> Option<LoginTicket> {
        self.pending.iter().find(|(_, pending)| !pending.is_known).map(|(ticket, _)| *ticket)
    }

    /// The entry of an address. Those without anything to remember are forgotten when there are twice as many as after the
    /// last time, and when the table is full.
    fn address(&mut self, from: VisitorKey, now: Instant) -> &mut AddressUse {
        let rate = self.config.address_rate;
        if self.addresses.len() >= self.sweep_at && !self.addresses.contains_key(&from) {
            let is_idle = |address: &AddressUse| address.pending == 0 && address.agents == 0;
            self.addresses.retain(|_, address| !is_idle(address) || !address.logins.is_full(rate, now));
            if self.addresses.len() >= MAX_ADDRESSES {
                self.addresses.retain(|_, address| !is_idle(address));
            }
            self.sweep_at = (2 * self.addresses.len()).clamp(MIN_SWEEP, MAX_ADDRESSES);
        }
        let new = || AddressUse { pending: 0, agents: 0, logins: Bucket::full(rate, now) };
        self.addresses.entry(from).or_insert_with(new)
    }
}

/// Remembers `key`; of more than [`MAX_KNOWN`], who was there longest ago is forgotten.
fn remember<K: Ord + Clone>(known: &mut BTreeMap<K, Instant>, key: K, now: Instant) {
    if known.len() >= MAX_KNOWN && !known.contains_key(&key) {
        let oldest = known.iter().min_by_key(|(_, at)| **at).map(|(key, _)| key.clone());
        oldest.and_then(|key| known.remove(&key));
    }
    known.insert(key, now);
}
