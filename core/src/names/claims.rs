//! Who has which claimed name: first come, and kept while the owner returns in time.
//!
//! It has no clock and writes nothing: the time comes in, and its owner keeps [`ClaimRegistry::iter`] somewhere.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

use thiserror::Error;

use super::claimed::ClaimedName;
use super::custom_host::CustomHost;
use crate::stellar::Address;
use crate::time::UnixTime;

/// Names of one address. A person has a few projects; more would be hoarding.
pub const MAX_NAMES_OF_ONE: usize = 8;
/// Names of all, some 200 bytes each.
pub const MAX_NAMES: usize = 10_000;

/// A name that can be claimed.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum PublicName {
    /// A label below the relay's domain.
    Label(ClaimedName),
    /// A host name of its owner's.
    Host(CustomHost),
}

impl PublicName {
    /// The text that was claimed.
    pub fn as_str(&self) -> &str {
        match self {
            PublicName::Label(name) => name.as_str(),
            PublicName::Host(host) => host.as_str(),
        }
    }
}

/// The owner of a name.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Claim {
    /// Who has it.
    pub owner: Address,
    /// When its owner was here last.
    pub seen: UnixTime,
}

/// Why a name is not given.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Error)]
pub enum ClaimError {
    /// Another address has it.
    #[error("this name belongs to another address")]
    Taken,
    /// The address has as many as it may.
    #[error("an address may have {MAX_NAMES_OF_ONE} names")]
    TooMany,
    /// The registry is full.
    #[error("this relay has given away all the names that it keeps")]
    Full,
}

/// The claimed names of a relay.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClaimRegistry {
    names: BTreeMap<PublicName, Claim>,
    /// How long a name waits for its owner.
    keep: Duration,
}

impl ClaimRegistry {
    /// None yet.
    pub fn new(keep: Duration) -> Self {
        Self { names: BTreeMap::new(), keep }
    }

    /// Gives `name` to `owner`, who is here now, if nobody else has it. `is_here` says which owners are.
    ///
    /// # Errors
    /// Why not.
    pub fn claim(
        &mut self,
        name: PublicName,
        owner: Address,
        is_here: impl Fn(&Address) -> bool,
        now: UnixTime,
    ) -> Result<(), ClaimError> {
        if let Some(claim) = self.names.get_mut(&name) {
            if claim.owner == owner {
                claim.seen = now;
                return Ok(());
            }
            if is_here(&claim.owner) || !is_over(claim.seen, self.keep, now) {
                return Err(ClaimError::Taken);
            }
        }
        if self.names.values().filter(|claim| claim.owner == owner).count() >= MAX_NAMES_OF_ONE {
            return Err(ClaimError::TooMany);
        }
        if self.names.len() >= MAX_NAMES && !self.names.contains_key(&name) {
            return Err(ClaimError::Full);
        }
        self.names.insert(name, Claim { owner, seen: now });
        Ok(())
    }

    /// Takes a name from its owner.
    pub fn remove(&mut self, name: &PublicName) {
        self.names.remove(name);
    }

    /// Who has `name`.
    pub fn owner(&self, name: &PublicName) -> Option<Address> {
        self.names.get(name).map(|claim| claim.owner)
    }

    /// The owners for whom `is_here` holds are here now, and the names of those who stayed away too long are free again.
    /// Returns these names.
    pub fn expire(&mut self, is_here: impl Fn(&Address) -> bool, now: UnixTime) -> Vec<PublicName> {
        for claim in self.names.values_mut().filter(|claim| is_here(&claim.owner)) {
            claim.seen = now;
        }
        let (keep, mut freed) = (self.keep, Vec::new());
        self.names.retain(|name, claim| {
            let stays = !is_over(claim.seen, keep, now);
            if !stays {
                freed.push(name.clone());
            }
            stays
        });
        freed
    }

    /// Takes in what was kept, as it stands; what is beyond the limits is left out. Returns how many names were.
    pub fn restore(&mut self, kept: impl IntoIterator<Item = (PublicName, Claim)>) -> usize {
        let (mut left_out, mut owned) = (0, BTreeMap::<Address, usize>::new());
        for (name, claim) in kept {
            let of_one = owned.entry(claim.owner).or_default();
            if *of_one >= MAX_NAMES_OF_ONE || self.names.len() >= MAX_NAMES {
                left_out += 1;
            } else if self.names.insert(name, claim).is_none() {
                *of_one += 1;
            }
        }
        left_out
    }

    /// All names, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&PublicName, &Claim)> {
        self.names.iter()
    }
}

fn is_over(seen: UnixTime, keep: Duration, now: UnixTime) -> bool {
    now.as_secs().saturating_sub(seen.as_secs()) > keep.as_secs()
}
