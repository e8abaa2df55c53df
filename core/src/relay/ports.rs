//! Allocates the public ports of TCP services from one range. A service gets the same port again after a reconnection.
//!
//! It opens no sockets. A runner that finds a port taken by another program reports it by [`Ports::quarantine`].

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::RangeInclusive;
use core::time::Duration;

use thiserror::Error;

use crate::stellar::Address;
use crate::time::Instant;

/// How long a port is held for a disconnected agent: longer than the maximum back-off and a slow dial. Later the agent
/// still gets the same port, unless another service needed it.
pub const PORT_HOLD: Duration = Duration::from_secs(120);
/// Ports of one address, held ones included, unless its relay gives it more.
pub const MAX_PORTS_OF_ONE: usize = 16;
/// The part of a small range that one address may have, so that a few agents do not exhaust it. One port is always allowed.
const RANGE_SHARE: usize = 8;

/// A service of an agent.
type Owner = (Address, String);

#[derive(Clone, PartialEq, Eq, Debug)]
enum State {
    /// Bound by one session or several.
    Bound,
    /// Held for its owner until then.
    Held(Instant),
    /// Free since then; its last owner is preferred.
    Free(Instant),
}

/// How many ports somebody may have, held ones included.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct PortQuota {
    /// Of the address.
    pub address: usize,
    /// Of all addresses that come from one network together, and a number that stands for the network; `None` is no limit. An
    /// identity costs nothing, a network does.
    pub network: Option<(u64, usize)>,
}

#[derive(Clone, Debug)]
struct Lease {
    /// The network from which its owner asked for it.
    network: Option<u64>,
    /// `None`: another program on the relay's machine.
    owner: Option<Owner>,
    state: State,
}

/// The ports of a relay. A port belongs to a service, whichever sessions serve it.
#[derive(Debug)]
pub struct Ports {
    range: RangeInclusive<u16>,
    leases: BTreeMap<u16, Lease>,
}

/// Why a service has no port.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Error)]
pub enum PortError {
    /// Every port of the range is bound or held.
    #[error("all ports of this relay are taken")]
    Exhausted,
    /// The address has as many bound as it may have.
    #[error("your limit of TCP ports at this relay is {0}")]
    TooMany(usize),
    /// The network has as many bound as it may have.
    #[error("agents of your network have {0} TCP ports of this relay, and may have no more")]
    NetworkTooMany(usize),
}

impl Ports {
    /// The ports of `range`, none of them bound.
    pub fn new(range: RangeInclusive<u16>) -> Self {
        Self { range, leases: BTreeMap::new() }
    }

    /// The ports that one address may have, held ones included, unless its relay gives it another number: an eighth of the
    /// range, from 1 to [`MAX_PORTS_OF_ONE`].
    pub fn share(&self) -> usize {
        (self.range.len() / RANGE_SHARE).clamp(1, MAX_PORTS_OF_ONE)
    }

    /// As [`Self::take_within`], within [`Self::share`].
    ///
    /// # Errors
    /// [`PortError`] if no port is available.
    pub fn take(&mut self, address: Address, service: &str) -> Result<u16, PortError> {
        self.take_within(address, service, PortQuota { address: self.share(), network: None })
    }

    /// Binds a port for a service: the one it had last, else the first free one from a start that its name determines, within
    /// the quota. One that is bound already stays as it is.
    ///
    /// # Errors
    /// [`PortError`] if no port is available.
    pub fn take_within(
        &mut self,
        address: Address,
        service: &str,
        quota: PortQuota,
    ) -> Result<u16, PortError> {
        let owner = (address, String::from(service));
        let port = match self.held(&owner) {
            Some(port) => port,
            None => self.another(&owner, quota)?,
        };
        self.leases.insert(
            port,
            Lease {
                network: quota.network.map(|(network, _)| network),
                owner: Some(owner),
                state: State::Bound,
            },
        );
        Ok(port)
    }

    /// Another program on the relay's machine has `port`: it is not allocated for [`PORT_HOLD`].
    pub fn quarantine(&mut self, port: u16, now: Instant) {
        self.leases.insert(port, Lease { network: None, owner: None, state: State::Held(now + PORT_HOLD) });
    }

    /// No session serves the service any more. Holds its port; returns until when, if it had one.
    pub fn release(&mut self, address: &Address, service: &str, now: Instant) -> Option<Instant> {
        let until = now + PORT_HOLD;
        let is_theirs = |(who, what): &Owner| who == address && what == service;
        let mut leases = self.leases.values_mut();
        let lease = leases
            .find(|lease| lease.state == State::Bound && lease.owner.as_ref().is_some_and(is_theirs))?;
        lease.state = State::Held(until);
        Some(until)
    }

    /// Frees the ports whose hold has expired, and returns them.
    pub fn expire(&mut self, now: Instant) -> Vec<u16> {
        let mut over = Vec::new();
        for (port, lease) in &mut self.leases {
            if matches!(lease.state, State::Held(until) if now >= until) {
                lease.state = State::Free(now);
                over.push(*port);
            }
        }
        over
    }

    /// The owner of `port`, bound or held: the address and the service.
    pub fn owner(&self, port: u16) -> Option<(Address, &str)> {
        let lease = self.leases.get(&port).filter(|lease| !lease.is_free())?;
        lease.owner.as_ref().map(|(address, service)| (*address, service.as_str()))
    }

    /// The port that the service has, bound or held.
    fn held(&self, owner: &Owner) -> Option<u16> {
        self.leases.iter().find(|(_, lease)| !lease.is_free() && lease.is_of(owner)).map(|(port, _)| *port)
    }

    /// A port for a service that has none.
    fn another(&self, owner: &Owner, quota: PortQuota) -> Result<u16, PortError> {
        let theirs = |lease: &Lease| lease.owner.as_ref().is_some_and(|(who, _)| *who == owner.0);
        let limit = self.limit(theirs, quota);
        // Without a free port, a new service takes one that is held for another service of the same agent.
        let own = || {
            let resting =
                self.leases.iter().filter(|(_, lease)| theirs(lease)).filter_map(|(port, lease)| {
                    if let State::Held(until) = lease.state { Some((until, *port)) } else { None }
                });
            resting.min().map(|(_, port)| port)
        };
        let free = if limit.is_some() { None } else { self.free(owner) };
        free.or_else(own).ok_or(limit.unwrap_or(PortError::Exhausted))
    }

    /// The part of the quota that one more port would exceed.
    fn limit(&self, theirs: impl Fn(&Lease) -> bool, quota: PortQuota) -> Option<PortError> {
        let taken = || self.leases.values().filter(|lease| !lease.is_free());
        if taken().filter(|lease| theirs(lease)).count() >= quota.address {
            return Some(PortError::TooMany(quota.address));
        }
        let (network, most) = quota.network?;
        let of_network = taken().filter(|lease| lease.network == Some(network)).count();
        (of_network >= most).then_some(PortError::NetworkTooMany(most))
    }

    /// Picks a free port: first the one this service had, then a never-used one, then the one free for longest.
    fn free(&self, owner: &Owner) -> Option<u16> {
        let last = self.leases.iter().find(|(_, lease)| lease.is_free() && lease.is_of(owner));
        let untouched = || self.preferences(owner).find(|port| !self.leases.contains_key(port));
        let oldest = || {
            let free = self.leases.iter().filter_map(|(port, lease)| match lease.state {
                State::Free(since) => Some((since, *port)),
                _ => None,
            });
            free.min().map(|(_, port)| port)
        };
        last.map(|(port, _)| *port).or_else(untouched).or_else(oldest)
    }

    /// Every port of the range, beginning at the hash of the service.
    fn preferences(&self, owner: &Owner) -> impl Iterator<Item = u16> {
        let (first, last) = (*self.range.start(), *self.range.end());
        let count = u64::from(last.saturating_sub(first)) + 1;
        let begin = preference(owner) % count;
        let empty = self.range.is_empty();
        (0..count).filter(move |_| !empty).map(move |step| {
            let offset = u16::try_from((begin + step) % count).expect("an offset lies within the range");
            first + offset
        })
    }
}

impl Lease {
    fn is_free(&self) -> bool {
        matches!(self.state, State::Free(_))
    }

    fn is_of(&self, owner: &Owner) -> bool {
        self.owner.as_ref() == Some(owner)
    }
}

/// FNV-1a of the owner: stable, so that a restarted relay allocates the same ports to services that do not collide.
fn preference((address, service): &Owner) -> u64 {
    let bytes = address.public_key().iter().chain(service.as_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}
