//! From wire ids to slots, and the memory of ids that closed a moment ago.

use alloc::vec;
use alloc::vec::Vec;

use crate::Role;

/// Closed streams that are remembered, so that frames still on their way to them are recognised.
const MAX_TOMBS: usize = 4096;
const TOMB: u32 = 1 << 31;
const MIN_BUCKETS: usize = 16;

/// When a session should be replaced by a new one: at 1000 streams a second this is a quarter of an hour.
const FEW_IDS: u32 = 1 << 20;
/// Ids go up to 2^32 - 2 in steps of two.
const LAST_ID: u32 = u32::MAX - 1;

/// The ids this side may still open, each once.
#[derive(Debug)]
pub(super) struct OwnIds {
    next: u32,
}

impl OwnIds {
    /// Odd for a client, even for a server.
    pub(super) fn new(role: Role) -> Self {
        let next = match role {
            Role::Client => 1,
            Role::Server => 2,
        };
        Self { next }
    }

    pub(super) fn is_exhausted(&self) -> bool {
        self.next > LAST_ID
    }

    /// The next one; there must be one.
    pub(super) fn take(&mut self) -> u32 {
        let id = self.next;
        self.next = id.saturating_add(2);
        id
    }

    /// Whether exactly [`FEW_IDS`] are left, which is true after one `take` of all.
    pub(super) fn just_became_few(&self) -> bool {
        let left = LAST_ID.saturating_sub(self.next) / 2 + 1;
        left == FEW_IDS
    }

    /// Whether `id`, of this side's parity, has been taken.
    pub(super) fn has_taken(&self, id: u32) -> bool {
        id < self.next
    }
}

/// What is known of an id.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Known {
    /// The slot of a live stream.
    Live(usize),
    /// Closed; the credit its peer may still have used.
    Tomb(usize),
}

/// An open-addressing table from ids to slots, and a ring of tombstones found through it.
///
/// The hash is keyed, so that a peer that chooses its ids cannot make them collide.
#[derive(Debug)]
pub(super) struct Ids {
    /// `(id, value)`; id 0 is empty, which no stream can have.
    buckets: Vec<(u32, u32)>,
    used: usize,
    key: u64,
    tombs: Vec<(u32, u32)>,
    oldest: usize,
}

impl Ids {
    pub(super) fn new(key: u64) -> Self {
        Self { buckets: vec![(0, 0); MIN_BUCKETS], used: 0, key, tombs: Vec::new(), oldest: 0 }
    }

    pub(super) fn find(&self, id: u32) -> Option<Known> {
        let at = self.position(id)?;
        let value = self.buckets[at].1;
        Some(match value & TOMB {
            0 => Known::Live(value as usize),
            _ => Known::Tomb((value & !TOMB) as usize),
        })
    }

    pub(super) fn insert(&mut self, id: u32, slot: usize) {
        self.put(id, slot as u32);
    }

    /// Forgets a live id that never was on the wire.
    pub(super) fn remove(&mut self, id: u32) {
        let Some(mut hole) = self.position(id) else { return };
        self.used -= 1;
        // Close the gap: move back what was pushed on by it.
        let mask = self.buckets.len() - 1;
        let mut at = (hole + 1) & mask;
        while self.buckets[at].0 != 0 {
            let home = self.home(self.buckets[at].0);
            if (at.wrapping_sub(home) & mask) >= (at.wrapping_sub(hole) & mask) {
                self.buckets[hole] = self.buckets[at];
                hole = at;
            }
            at = (at + 1) & mask;
        }
        self.buckets[hole] = (0, 0);
    }

    /// Turns a live id into a tombstone with what its peer may still send.
    pub(super) fn bury(&mut self, id: u32, credit: u32) {
        let index = if self.tombs.len() < MAX_TOMBS {
            self.tombs.push((id, credit));
            self.tombs.len() - 1
        } else {
            let index = self.oldest;
            self.oldest = (self.oldest + 1) % MAX_TOMBS;
            let forgotten = core::mem::replace(&mut self.tombs[index], (id, credit)).0;
            self.remove(forgotten);
            index
        };
        self.put(id, TOMB | index as u32);
    }

    /// What the peer may still send to a tombstone.
    pub(super) fn tomb_credit(&mut self, index: usize) -> &mut u32 {
        &mut self.tombs[index].1
    }

    /// Live ids, for the invariant check.
    pub(super) fn live(&self) -> usize {
        self.buckets.iter().filter(|(id, value)| *id != 0 && value & TOMB == 0).count()
    }

    fn home(&self, id: u32) -> usize {
        let mixed = (u64::from(id) ^ self.key).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mixed = (mixed ^ (mixed >> 32)).wrapping_mul(0xD6E8_FEB8_6659_FD93);
        (mixed >> 40) as usize & (self.buckets.len() - 1)
    }

    fn position(&self, id: u32) -> Option<usize> {
        let mask = self.buckets.len() - 1;
        let mut at = self.home(id);
        while self.buckets[at].0 != 0 {
            if self.buckets[at].0 == id {
                return Some(at);
            }
            at = (at + 1) & mask;
        }
        None
    }

    fn put(&mut self, id: u32, value: u32) {
        if let Some(at) = self.position(id) {
            self.buckets[at].1 = value;
            return;
        }
        if (self.used + 1) * 2 > self.buckets.len() {
            let old = core::mem::take(&mut self.buckets);
            self.buckets = vec![(0, 0); old.len() * 2];
            for (id, value) in old.into_iter().filter(|(id, _)| *id != 0) {
                self.place(id, value);
            }
        }
        self.used += 1;
        self.place(id, value);
    }

    fn place(&mut self, id: u32, value: u32) {
        let mask = self.buckets.len() - 1;
        let mut at = self.home(id);
        while self.buckets[at].0 != 0 {
            at = (at + 1) & mask;
        }
        self.buckets[at] = (id, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_come_and_go_and_the_table_finds_exactly_those_that_are_there() {
        let mut ids = Ids::new(0x1234_5678_9ABC_DEF0);
        for id in 1..2000u32 {
            ids.insert(id, id as usize * 3);
        }
        for id in (1..2000).step_by(2) {
            ids.remove(id);
        }
        for id in 1..2000u32 {
            let expected = (id % 2 == 0).then_some(Known::Live(id as usize * 3));
            assert_eq!(ids.find(id), expected, "id {id}");
        }
    }

    #[test]
    fn a_session_is_told_once_that_its_ids_run_low_and_then_uses_each_of_them() {
        for role in [Role::Client, Role::Server] {
            let mut ids = OwnIds::new(role);
            ids.next += (LAST_ID / 2 - FEW_IDS - 10) * 2;
            let mut told_after = Vec::new();
            let mut taken = 0;
            let mut last = 0;
            while !ids.is_exhausted() {
                let id = ids.take();
                assert!(id > last && id % 2 == OwnIds::new(role).next % 2);
                last = id;
                taken += 1;
                if ids.just_became_few() {
                    told_after.push(taken);
                }
            }
            assert_eq!(told_after, [taken - FEW_IDS]);
            assert!(last >= LAST_ID - 1);
        }
    }

    #[test]
    fn ids_that_a_peer_chose_to_collide_are_spread_all_the_same() {
        for key in [0, 7, 0x9E37_79B9_7F4A_7C15, u64::MAX] {
            for stride in [2, 16, 1024, 1 << 16, 1 << 20] {
                let mut ids = Ids::new(key);
                for n in 1..=1024 {
                    ids.insert(n * stride, 0);
                }
                let mask = ids.buckets.len() - 1;
                let away = |n: u32| {
                    let at = ids.position(n * stride).expect("it was put there");
                    at.wrapping_sub(ids.home(n * stride)) & mask
                };
                let farthest = (1..=1024).map(away).max();
                assert!(farthest < Some(128), "key {key:x}, stride {stride}: {farthest:?}");
            }
        }
    }

    #[test]
    fn the_oldest_tombstone_is_forgotten_first() {
        let mut ids = Ids::new(7);
        for id in 1..=(MAX_TOMBS as u32 + 10) {
            ids.insert(id, 0);
            ids.bury(id, id);
        }
        assert_eq!(ids.find(10), None);
        assert!(matches!(ids.find(11), Some(Known::Tomb(_))));
        assert_eq!(ids.live(), 0);
    }
}
