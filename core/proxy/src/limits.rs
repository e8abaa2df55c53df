//! How much of a relay one visitor may use: connections, requests, tunnels and resets, each counted by address.
//!
//! A visitor is an IPv4 address or a /64 of IPv6, which a network assigns to one customer. Whoever cannot be told apart
//! from others, such as visitors of a proxy that says nothing, has no limits of its own: only those of all hold.
//! It knows no socket; what is counted, its runner gives back.

mod bucket;
mod guesses;
mod logins;
mod visitor;

use alloc::collections::BTreeMap;
use core::net::IpAddr;

use hvym_yamux::Instant;
use thiserror::Error;

pub use bucket::{RateLimiter, VisitorRate};
pub use guesses::{FIRST_DELAY, FORGET_AFTER, FREE_GUESSES, GuessLimits, MAX_DELAY, MAX_GUESSERS};
pub use logins::{
    KNOWN_AFTER, LoginLimits, LoginLimitsConfig, LoginRefusal, LoginStart, LoginTicket, MAX_KNOWN,
};
use visitor::Visits;

/// Visitors that are remembered for their rates, some 150 bytes each. A flood from more addresses is limited by what
/// holds for all.
const MAX_VISITORS: usize = 65_536;
/// Fewer than these are never looked through for those who left.
const MIN_SWEEP: usize = 64;

/// What one visitor is counted by.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct VisitorKey(u64);

impl VisitorKey {
    /// The visitor at `ip`.
    pub fn new(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            // Below ::/32, where no visitor of IPv6 can be (RFC 4291 section 2.4).
            IpAddr::V4(v4) => Self(u64::from(v4.to_bits())),
            IpAddr::V6(v6) => Self((v6.to_bits() >> 64) as u64),
        }
    }

    /// A number for the visitor, which none of another address has.
    pub const fn as_u64(self) -> u64 {
        self.0
    }
}

/// The limits of all visitors together, and of each.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct VisitorLimitsConfig {
    /// Connections at once of all.
    pub connections: usize,
    /// Requests at once of all, tunnels included.
    pub requests: usize,
    /// Requests at once to one service, tunnels included.
    pub service_requests: usize,
    /// What one visitor may have of it.
    pub visitor: VisitorShare,
}

/// What one visitor may have.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct VisitorShare {
    /// Connections at once.
    pub connections: usize,
    /// New connections.
    pub connection_rate: VisitorRate,
    /// Requests at once, tunnels included.
    pub requests: usize,
    /// Requests at once to one service, tunnels included.
    pub service_requests: usize,
    /// Upgraded and TCP connections at once to one service. They last, so there is room for requests beside them.
    pub service_tunnels: usize,
    /// Requests that it breaks off before their answer.
    pub reset_rate: VisitorRate,
}

/// The limit that a visitor would exceed.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Error)]
pub enum LimitError {
    /// There are as many connections as there may be.
    #[error("the relay has as many connections as it may have")]
    Connections,
    /// The visitor has.
    #[error("the visitor has as many connections as it may have")]
    VisitorConnections,
    /// The visitor opens them too fast.
    #[error("the visitor opens connections too fast")]
    ConnectionRate,
    /// There are as many requests as there may be.
    #[error("the relay has as many requests as it may have")]
    Requests,
    /// The service has.
    #[error("the service has as many requests as it may have")]
    ServiceRequests,
    /// The visitor has.
    #[error("the visitor has as many requests as it may have")]
    VisitorRequests,
    /// The visitor has as many upgraded or TCP connections to this service as it may have.
    #[error("the visitor has as many tunnels to this service as it may have")]
    VisitorTunnels,
    /// The visitor breaks off too many requests.
    #[error("the visitor breaks off too many requests")]
    ResetRate,
}

/// What a visitor has under way at a service.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Use {
    /// A request, until its answer has ended.
    Request,
    /// An upgraded or TCP connection.
    Tunnel,
}

/// The counters. `S` names a service.
#[derive(Debug)]
pub struct VisitorLimits<S> {
    config: VisitorLimitsConfig,
    connections: usize,
    requests: usize,
    /// Has only services with requests.
    services: BTreeMap<S, usize>,
    visitors: BTreeMap<VisitorKey, Visits<S>>,
    /// With so many visitors, those who left are looked for.
    sweep_at: usize,
}

impl<S: Ord + Clone> VisitorLimits<S> {
    /// Nothing under way.
    pub const fn new(config: VisitorLimitsConfig) -> Self {
        Self {
            config,
            connections: 0,
            requests: 0,
            services: BTreeMap::new(),
            visitors: BTreeMap::new(),
            sweep_at: MIN_SWEEP,
        }
    }

    /// Counts by other limits from now on. What is under way beyond a lower one goes on, and takes the place of what would come.
    pub const fn set_config(&mut self, config: VisitorLimitsConfig) {
        self.config = config;
    }

    /// Connections that are open.
    pub const fn connections(&self) -> usize {
        self.connections
    }

    /// The limits that hold now.
    pub const fn config(&self) -> &VisitorLimitsConfig {
        &self.config
    }

    /// Requests under way.
    pub const fn requests(&self) -> usize {
        self.requests
    }

    /// Visitors that are remembered.
    pub fn visitors(&self) -> usize {
        self.visitors.len()
    }

    /// One connection more; `None` is a visitor without limits of its own.
    ///
    /// # Errors
    /// The limit that it would exceed; nothing is counted then.
    pub fn open(&mut self, visitor: Option<VisitorKey>, now: Instant) -> Result<(), LimitError> {
        if self.connections >= self.config.connections {
            return Err(LimitError::Connections);
        }
        self.open_beyond(visitor, now)
    }

    /// As [`Self::open`], whatever all have: for connections that have places of their own. They count all the same.
    ///
    /// # Errors
    /// The limit of the visitor that it would exceed; nothing is counted then.
    pub fn open_beyond(&mut self, visitor: Option<VisitorKey>, now: Instant) -> Result<(), LimitError> {
        if let Some(key) = visitor {
            let share = self.config.visitor;
            self.visits(key, now).open(&share, now)?;
        }
        self.connections += 1;
        Ok(())
    }

    /// A connection has ended.
    pub fn close(&mut self, visitor: Option<VisitorKey>) {
        self.connections = self.connections.saturating_sub(1);
        if let Some(visits) = visitor.and_then(|key| self.visitors.get_mut(&key)) {
            visits.close();
        }
    }

    /// One request or tunnel more.
    ///
    /// # Errors
    /// The limit that it would exceed; nothing is counted then.
    pub fn enter(
        &mut self,
        visitor: Option<VisitorKey>,
        service: &S,
        kind: Use,
        now: Instant,
    ) -> Result<(), LimitError> {
        if self.requests >= self.config.requests {
            return Err(LimitError::Requests);
        }
        let busy = self.services.get(service).copied().unwrap_or(0);
        if busy >= self.config.service_requests {
            return Err(LimitError::ServiceRequests);
        }
        if let Some(key) = visitor {
            let share = self.config.visitor;
            self.visits(key, now).enter(&share, service, kind, now)?;
        }
        self.requests += 1;
        match self.services.get_mut(service) {
            Some(count) => *count += 1,
            None => drop(self.services.insert(service.clone(), 1)),
        }
        Ok(())
    }

    /// A request or tunnel has ended.
    pub fn leave(&mut self, visitor: Option<VisitorKey>, service: &S, kind: Use) {
        self.requests = self.requests.saturating_sub(1);
        if let Some(count) = self.services.get_mut(service) {
            *count -= 1;
            if *count == 0 {
                self.services.remove(service);
            }
        }
        if let Some(visits) = visitor.and_then(|key| self.visitors.get_mut(&key)) {
            visits.leave(service, kind);
        }
    }

    /// The visitor broke off a request before its answer. Above the rate its next requests are refused.
    pub fn handle_reset(&mut self, visitor: Option<VisitorKey>, now: Instant) {
        let share = self.config.visitor;
        if let Some(visits) = visitor.and_then(|key| self.visitors.get_mut(&key)) {
            visits.reset(&share, now);
        }
    }

    /// Whether more than half of the places of the service or of all are taken, so that slow visitors are in the way of
    /// others.
    pub fn is_pressed(&self, service: &S) -> bool {
        let busy = self.services.get(service).copied().unwrap_or(0);
        self.requests > self.config.requests / 2 || busy > self.config.service_requests / 2
    }

    /// The entry of a visitor. Those who left are forgotten when there are twice as many as there were after the last
    /// time, and when the table is full.
    fn visits(&mut self, key: VisitorKey, now: Instant) -> &mut Visits<S> {
        let share = self.config.visitor;
        if self.visitors.len() >= self.sweep_at && !self.visitors.contains_key(&key) {
            self.visitors.retain(|_, visits| !visits.is_forgettable(&share, now));
            if self.visitors.len() >= MAX_VISITORS {
                // Their rates are forgotten; what they have under way is not.
                self.visitors.retain(|_, visits| !visits.is_idle());
            }
            self.sweep_at = (2 * self.visitors.len()).clamp(MIN_SWEEP, MAX_VISITORS);
        }
        self.visitors.entry(key).or_insert_with(|| Visits::new(&share, now))
    }
}
