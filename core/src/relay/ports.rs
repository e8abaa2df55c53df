//! Which service has which public port: one range, one port for each service that carries bytes, and the same one again.
//!
//! It opens nothing and names nobody else's ports; a runner that finds a port taken by another program says so.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::RangeInclusive;
use core::time::Duration;

use thiserror::Error;

use crate::stellar::Address;
use crate::time::Instant;

/// How long a port waits for an agent that is gone. The longest back-off and a slow dial fit; an agent that stays away
/// longer gets the same port back too, unless somebody else needed it meanwhile.
pub const PORT_HOLD: Duration = Duration::from_secs(120);
/// Ports of one address, those that wait for it included: nobody takes a whole range alone.
pub const MAX_PORTS_OF_ONE: usize = 16;

/// Whose port it is: one service of one agent.
type Owner = (Address, String);

#[derive(Clone, PartialEq, Eq, Debug)]
enum State<K> {
    /// Bound by this session.
    Bound(K),
    /// Kept for its owner until then.
    Held(Instant),
    /// Anybody's, and its last owner's first; since then.
    Free(Instant),
}

#[derive(Clone, Debug)]
struct Lease<K> {
    /// `None` is another program on the relay's machine.
    owner: Option<Owner>,
    state: State<K>,
}

/// The ports of a relay. `K` names a session; no two are ever confused.
#[derive(Debug)]
pub struct Ports<K> {
    range: RangeInclusive<u16>,
    leases: BTreeMap<u16, Lease<K>>,
}

/// Why a service has no port.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Error)]
pub enum PortError {
    /// Every port of the range is bound, or kept for somebody.
    #[error("all ports of this relay are taken")]
    Exhausted,
    /// The address has [`MAX_PORTS_OF_ONE`] bound.
    #[error("at most {MAX_PORTS_OF_ONE} TCP services of one address can be bound at once")]
    TooMany,
}

impl<K: PartialEq> Ports<K> {
    /// The ports of `range`, none of them bound.
    pub fn new(range: RangeInclusive<u16>) -> Self {
        Self { range, leases: BTreeMap::new() }
    }

    /// Binds a port for a service: the one it had last, or else the one its name prefers, or the next that is free.
    /// A session that takes what another one of the same address has bound becomes its holder.
    ///
    /// # Errors
    /// There is none to be had.
    pub fn take(&mut self, address: Address, service: &str, session: K) -> Result<u16, PortError> {
        let owner = (address, String::from(service));
        let port = match self.held(&owner) {
            Some(port) => port,
            None => self.another(&owner)?,
        };
        self.leases.insert(port, Lease { owner: Some(owner), state: State::Bound(session) });
        Ok(port)
    }

    /// Another program on the relay's machine has `port`: it is nobody's for [`PORT_HOLD`].
    pub fn quarantine(&mut self, port: u16, now: Instant) {
        self.leases.insert(port, Lease { owner: None, state: State::Held(now + PORT_HOLD) });
    }

    /// A session withdrew a service. Its port waits for it; when the wait ends is returned, if the session held one.
    pub fn release(
        &mut self,
        address: &Address,
        service: &str,
        session: &K,
        now: Instant,
    ) -> Option<Instant> {
        self.hold(session, |(who, what)| who == address && what == service, now)
    }

    /// A session is gone. Its ports wait for its address; when the wait ends is returned, if it held any.
    pub fn release_all(&mut self, session: &K, now: Instant) -> Option<Instant> {
        self.hold(session, |_| true, now)
    }

    /// The ports whose wait is over; from now on they are anybody's.
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

    /// Whose `port` is, bound or kept: the address and the service.
    pub fn owner(&self, port: u16) -> Option<(Address, &str)> {
        let lease = self.leases.get(&port).filter(|lease| !lease.is_free())?;
        lease.owner.as_ref().map(|(address, service)| (*address, service.as_str()))
    }

    /// What the service has now.
    fn held(&self, owner: &Owner) -> Option<u16> {
        self.leases.iter().find(|(_, lease)| !lease.is_free() && lease.is_of(owner)).map(|(port, _)| *port)
    }

    /// A port for a service that has none.
    fn another(&self, owner: &Owner) -> Result<u16, PortError> {
        let theirs = |lease: &Lease<K>| lease.owner.as_ref().is_some_and(|(who, _)| *who == owner.0);
        let at_limit = self.leases.values().filter(|lease| !lease.is_free() && theirs(lease)).count();
        let at_limit = at_limit >= MAX_PORTS_OF_ONE;
        // What waits for another service of the same agent is the agent's to give up.
        let own = || {
            let resting =
                self.leases.iter().filter(|(_, lease)| theirs(lease)).filter_map(|(port, lease)| {
                    if let State::Held(until) = lease.state { Some((until, *port)) } else { None }
                });
            resting.min().map(|(_, port)| port)
        };
        let free = if at_limit { None } else { self.free(owner) };
        let refusal = if at_limit { PortError::TooMany } else { PortError::Exhausted };
        free.or_else(own).ok_or(refusal)
    }

    /// The best of what is nobody's: what the service had last, what nobody ever had, what nobody has had for longest.
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

    /// Every port of the range, from the one that the name of the service points at.
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

    fn hold(&mut self, session: &K, which: impl Fn(&Owner) -> bool, now: Instant) -> Option<Instant> {
        let until = now + PORT_HOLD;
        let mut any = None;
        for lease in self.leases.values_mut() {
            let held = matches!(&lease.state, State::Bound(holder) if holder == session);
            if held && lease.owner.as_ref().is_some_and(&which) {
                lease.state = State::Held(until);
                any = Some(until);
            }
        }
        any
    }
}

impl<K> Lease<K> {
    fn is_free(&self) -> bool {
        matches!(self.state, State::Free(_))
    }

    fn is_of(&self, owner: &Owner) -> bool {
        self.owner.as_ref() == Some(owner)
    }
}

/// Points at the same port whenever and wherever it is asked (FNV-1a), so that a restarted relay gives the same ports
/// to services that do not collide.
fn preference((address, service): &Owner) -> u64 {
    let bytes = address.public_key().iter().chain(service.as_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}
