//! The map from stream ids on the wire to slots, and the tombstones of recently closed streams.

use alloc::vec;
use alloc::vec::Vec;

/// Closed streams that are remembered, so that frames in flight to them are recognised. Eight bytes each.
const MAX_TOMBSTONES: usize = 4096;
/// Marks a map value as the index of a tombstone.
const TOMBSTONE: u32 = 1 << 31;
const MIN_BUCKETS: usize = 16;

/// What the map holds for an id.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Entry {
    /// A live stream, by the key of its slot.
    Live(usize),
    /// A recently closed stream, by the index of its tombstone.
    Tombstone(usize),
}

/// An open-addressing hash map from stream ids to slots, with linear probing, and a ring of tombstones.
///
/// The hash is keyed, so that a peer that chooses its ids cannot make them collide.
#[derive(Debug)]
pub(crate) struct IdMap {
    /// `(id, value)`; id 0 marks an empty bucket, since it is the session's own (no stream has it).
    buckets: Vec<(u32, u32)>,
    used: usize,
    key: u64,
    /// `(id, credit)` of closed streams; a ring once it is full.
    tombstones: Vec<(u32, u32)>,
    oldest_tombstone: usize,
}

impl IdMap {
    pub(crate) fn new(key: u64) -> Self {
        Self { buckets: vec![(0, 0); MIN_BUCKETS], used: 0, key, tombstones: Vec::new(), oldest_tombstone: 0 }
    }

    pub(crate) fn find(&self, id: u32) -> Option<Entry> {
        let at = self.position(id)?;
        let value = self.buckets[at].1;
        Some(match value & TOMBSTONE {
            0 => Entry::Live(value as usize),
            _ => Entry::Tombstone((value & !TOMBSTONE) as usize),
        })
    }

    pub(crate) fn insert(&mut self, id: u32, slot: usize) {
        self.put(id, slot as u32);
    }

    /// Removes an id, which must be in the map.
    pub(crate) fn remove(&mut self, id: u32) {
        let Some(mut hole) = self.position(id) else {
            debug_assert!(false, "stream id {id} is not in the map");
            return;
        };
        self.used -= 1;
        // Backward-shift deletion: entries that probed past the hole move into it.
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
    pub(crate) fn tombstone(&mut self, id: u32, credit: u32) {
        let index = if self.tombstones.len() < MAX_TOMBSTONES {
            self.tombstones.push((id, credit));
            self.tombstones.len() - 1
        } else {
            let index = self.oldest_tombstone;
            self.oldest_tombstone = (self.oldest_tombstone + 1) % MAX_TOMBSTONES;
            let evicted = core::mem::replace(&mut self.tombstones[index], (id, credit)).0;
            self.remove(evicted);
            index
        };
        self.put(id, TOMBSTONE | index as u32);
    }

    /// What the peer may still send to a tombstone.
    pub(crate) fn tombstone_credit(&mut self, index: usize) -> &mut u32 {
        &mut self.tombstones[index].1
    }

    /// The number of live map. Walks the whole map: for the invariant check only.
    pub(crate) fn live(&self) -> usize {
        self.buckets.iter().filter(|(id, value)| *id != 0 && value & TOMBSTONE == 0).count()
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
    fn the_map_finds_exactly_the_ids_that_are_in_it() {
        let mut map = IdMap::new(0x1234_5678_9ABC_DEF0);
        for id in 1..2000u32 {
            map.insert(id, id as usize * 3);
        }
        for id in (1..2000).step_by(2) {
            map.remove(id);
        }
        for id in 1..2000u32 {
            let expected = (id % 2 == 0).then_some(Entry::Live(id as usize * 3));
            assert_eq!(map.find(id), expected, "id {id}");
        }
    }

    #[test]
    fn ids_chosen_to_collide_are_spread() {
        for key in [0, 7, 0x9E37_79B9_7F4A_7C15, u64::MAX] {
            for stride in [2, 16, 1024, 1 << 16, 1 << 20] {
                let mut map = IdMap::new(key);
                for n in 1..=1024 {
                    map.insert(n * stride, 0);
                }
                assert_eq!(map.buckets.len(), 2048, "a power of two, half full");
                let mask = map.buckets.len() - 1;
                let away = |n: u32| {
                    let at = map.position(n * stride).expect("it was inserted");
                    at.wrapping_sub(map.home(n * stride)) & mask
                };
                let farthest = (1..=1024).map(away).max();
                assert!(farthest < Some(128), "key {key:x}, stride {stride}: {farthest:?}");
            }
        }
    }

    #[test]
    fn the_oldest_tombstone_is_forgotten_first() {
        let mut map = IdMap::new(7);
        for id in 1..=(MAX_TOMBSTONES as u32 + 10) {
            map.insert(id, 0);
            map.tombstone(id, id);
        }
        assert_eq!(map.find(10), None);
        assert!(matches!(map.find(11), Some(Entry::Tombstone(_))));
        assert_eq!(map.live(), 0);
    }
}
