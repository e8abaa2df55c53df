//! How many streams identities have open at each other's services: by caller and by owner.
//!
//! It opens nothing. What it does not count, a runner refuses.

use alloc::collections::BTreeMap;

use thiserror::Error;

use crate::stellar::Address;

/// Streams of one caller, at all owners. A pool of a busy application has a hundred; each holds a window on two links.
pub const CALLER_STREAMS: usize = 128;
/// Streams at one owner, of all callers: half of those that a link has, so that no number of identities keeps visitors out.
pub const OWNER_STREAMS: usize = 512;

/// The limit that a stream would exceed.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Error)]
pub enum ReachError {
    /// The caller has [`CALLER_STREAMS`].
    #[error("you have {CALLER_STREAMS} connections open, and the relay carries no more for one identity")]
    Caller,
    /// The owner has [`OWNER_STREAMS`]. Callers may not learn this.
    #[error("the owner has as many connections of others as it may have")]
    Owner,
}

/// The streams that are open.
#[derive(Debug, Default)]
pub struct ReachLimits {
    callers: BTreeMap<Address, usize>,
    owners: BTreeMap<Address, usize>,
}

fn remove(counts: &mut BTreeMap<Address, usize>, who: &Address) {
    if let Some(count) = counts.get_mut(who) {
        *count -= 1;
        if *count == 0 {
            counts.remove(who);
        }
    }
}

impl ReachLimits {
    /// One stream more of `caller` at `owner`.
    ///
    /// # Errors
    /// The limit that it would exceed; nothing is counted then.
    pub fn open(&mut self, caller: Address, owner: Address) -> Result<(), ReachError> {
        if self.callers.get(&caller).is_some_and(|count| *count >= CALLER_STREAMS) {
            return Err(ReachError::Caller);
        }
        if self.owners.get(&owner).is_some_and(|count| *count >= OWNER_STREAMS) {
            return Err(ReachError::Owner);
        }
        *self.callers.entry(caller).or_default() += 1;
        *self.owners.entry(owner).or_default() += 1;
        Ok(())
    }

    /// A stream has ended.
    pub fn close(&mut self, caller: Address, owner: Address) {
        remove(&mut self.callers, &caller);
        remove(&mut self.owners, &owner);
    }

    /// Whether more than half of the owner's streams are taken: whoever idles there is in the way of others.
    pub fn is_pressed(&self, owner: &Address) -> bool {
        self.owners.get(owner).is_some_and(|count| *count > OWNER_STREAMS / 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(number: usize) -> Address {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&number.to_be_bytes());
        Address::from_public_key(key)
    }

    const OWNER: usize = 1_000_000;

    #[test]
    fn a_caller_has_so_many_streams_whoever_the_owners_are() {
        let (mut reach, caller) = (ReachLimits::default(), address(1));
        for number in 0..CALLER_STREAMS {
            assert_eq!(reach.open(caller, address(OWNER + number % 3)), Ok(()));
        }
        assert_eq!(reach.open(caller, address(OWNER + 9)), Err(ReachError::Caller));
        assert_eq!(reach.open(address(2), address(OWNER)), Ok(()));
        reach.close(caller, address(OWNER));
        assert_eq!(reach.open(caller, address(OWNER + 9)), Ok(()));
        assert_eq!(reach.open(caller, address(OWNER)), Err(ReachError::Caller));
    }

    #[test]
    fn fresh_identities_fill_an_owners_share_and_no_more() {
        let (mut reach, owner) = (ReachLimits::default(), address(OWNER));
        let opened = (0..66 * 16).filter(|number| reach.open(address(number / 16), owner).is_ok()).count();
        assert_eq!(opened, OWNER_STREAMS);
        assert_eq!(reach.open(address(100), owner), Err(ReachError::Owner));
        assert_eq!(reach.open(address(100), address(OWNER + 1)), Ok(()));
        reach.close(address(0), owner);
        assert_eq!(reach.open(address(100), owner), Ok(()));
    }

    #[test]
    fn an_owner_is_pressed_above_half_and_what_has_ended_is_forgotten() {
        let (mut reach, owner) = (ReachLimits::default(), address(OWNER));
        for number in 0..OWNER_STREAMS / 2 {
            reach.open(address(number), owner).expect("room");
        }
        assert!(!reach.is_pressed(&owner));
        reach.open(address(0), owner).expect("room");
        assert!(reach.is_pressed(&owner));
        reach.close(address(0), owner);
        (0..OWNER_STREAMS / 2).for_each(|number| reach.close(address(number), owner));
        assert!(reach.callers.is_empty() && reach.owners.is_empty());
        reach.close(address(0), owner);
    }
}
