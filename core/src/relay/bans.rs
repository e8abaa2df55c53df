//! The agents that a relay's operator has banned, and until when.
//!
//! It keeps no file, and ends no session; a runner does.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use thiserror::Error;

use crate::stellar::Address;
use crate::time::UnixTime;

/// Bans at once, a few hundred bytes each. Whoever needs more wants a list of those that are allowed.
pub const MAX_BANS: usize = 10_000;
/// Characters of the reason of a ban; the rest is cut. Its agent is told the reason in a close frame, which has room for
/// 123 bytes (RFC 6455 section 5.5.1).
pub const MAX_BAN_REASON_CHARACTERS: usize = 100;

/// One ban.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ban {
    /// When it ends; `None` is never. The wall clock decides, because bans outlive their process.
    pub until: Option<UnixTime>,
    /// For the agent's owner and for the operator.
    pub reason: String,
}

impl Ban {
    /// A ban with this reason, cut at [`MAX_BAN_REASON_CHARACTERS`].
    pub fn new(until: Option<UnixTime>, reason: &str) -> Self {
        Self { until, reason: reason.chars().take(MAX_BAN_REASON_CHARACTERS).collect() }
    }

    fn is_over(&self, now: UnixTime) -> bool {
        self.until.is_some_and(|until| until <= now)
    }
}

/// There are [`MAX_BANS`] bans.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Error)]
#[error("there are {MAX_BANS} bans already: --allow-agent serves those alone that are named")]
pub struct BansFull;

/// All bans of a relay. Those that are over have no effect.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct BanTable {
    bans: BTreeMap<Address, Ban>,
}

impl BanTable {
    /// Bans `address`, in place of an earlier ban of it.
    ///
    /// # Errors
    /// [`BansFull`]; nothing has changed then.
    pub fn insert(&mut self, address: Address, ban: Ban, now: UnixTime) -> Result<(), BansFull> {
        if !self.bans.contains_key(&address) && self.bans.len() >= MAX_BANS {
            self.expire(now);
            if self.bans.len() >= MAX_BANS {
                return Err(BansFull);
            }
        }
        self.bans.insert(address, ban);
        Ok(())
    }

    /// Lifts the ban of `address`, and returns it if it was not over.
    pub fn remove(&mut self, address: &Address, now: UnixTime) -> Option<Ban> {
        self.bans.remove(address).filter(|ban| !ban.is_over(now))
    }

    /// The ban of `address`, if there is one now.
    pub fn get(&self, address: &Address, now: UnixTime) -> Option<&Ban> {
        self.bans.get(address).filter(|ban| !ban.is_over(now))
    }

    /// Forgets the bans that are over, and returns whom they concerned.
    pub fn expire(&mut self, now: UnixTime) -> Vec<Address> {
        let over = self.bans.iter().filter(|(_, ban)| ban.is_over(now)).map(|(address, _)| *address);
        let over: Vec<Address> = over.collect();
        over.iter().for_each(|address| drop(self.bans.remove(address)));
        over
    }

    /// The bans that hold now, ordered by the keys of those they concern.
    pub fn iter(&self, now: UnixTime) -> impl Iterator<Item = (&Address, &Ban)> {
        self.bans.iter().filter(move |(_, ban)| !ban.is_over(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixTime = UnixTime::from_secs(1_000);

    fn address(number: usize) -> Address {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&number.to_be_bytes());
        Address::from_public_key(key)
    }

    fn at(seconds: u64) -> UnixTime {
        UnixTime::from_secs(seconds)
    }

    #[test]
    fn a_ban_ends_by_itself_at_its_second_and_one_without_an_end_does_not() {
        let mut bans = BanTable::default();
        let (brief, endless) = (Ban::new(Some(at(1_010)), "spam"), Ban::new(None, "worse"));
        bans.insert(address(1), brief.clone(), NOW).expect("room");
        bans.insert(address(2), endless.clone(), NOW).expect("room");
        assert_eq!(bans.get(&address(1), at(1_009)), Some(&brief));
        assert_eq!(bans.get(&address(1), at(1_010)), None);
        assert_eq!(bans.get(&address(2), at(u64::MAX)), Some(&endless));
        assert_eq!(bans.get(&address(3), NOW), None);
        assert_eq!(bans.iter(at(1_009)).count(), 2);
        assert_eq!(bans.iter(at(1_010)).map(|(who, _)| *who).collect::<Vec<_>>(), [address(2)]);
        assert_eq!(bans.expire(at(1_009)), []);
        assert_eq!(bans.expire(at(1_010)), [address(1)]);
        assert_eq!(bans.expire(at(1_010)), []);
    }

    #[test]
    fn a_ban_that_is_lifted_is_returned_unless_it_was_over() {
        let mut bans = BanTable::default();
        let ban = Ban::new(Some(at(1_010)), "spam");
        for (lifted_at, expected) in [(1_009, Some(ban.clone())), (1_010, None)] {
            bans.insert(address(1), ban.clone(), NOW).expect("room");
            assert_eq!(bans.remove(&address(1), at(lifted_at)), expected);
            assert_eq!(bans.get(&address(1), NOW), None);
        }
    }

    #[test]
    fn a_table_takes_so_many_bans_and_forgets_those_that_are_over_for_more() {
        let mut bans = BanTable::default();
        for number in 0..MAX_BANS {
            let until = (number == 7).then(|| at(1_010));
            bans.insert(address(number), Ban::new(until, ""), NOW).expect("room");
        }
        assert_eq!(bans.insert(address(MAX_BANS), Ban::new(None, ""), at(1_009)), Err(BansFull));
        assert_eq!(bans.insert(address(1), Ban::new(None, "again"), at(1_009)), Ok(()), "it has a place");
        assert_eq!(bans.insert(address(MAX_BANS), Ban::new(None, ""), at(1_010)), Ok(()));
        assert_eq!(bans.iter(at(1_010)).count(), MAX_BANS);
    }

    #[test]
    fn a_reason_is_cut_at_its_limit() {
        let longest = "\u{e9}".repeat(MAX_BAN_REASON_CHARACTERS);
        assert_eq!(Ban::new(None, &longest).reason, longest);
        let longer = alloc::format!("{longest}x");
        assert_eq!(Ban::new(None, &longer).reason, longest);
    }
}
