//! The slab of streams, its free slots, and the lists that point into it.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::ops::{Index, IndexMut};

use crate::id_map::IdMap;
use crate::instant::Instant;
use crate::stream_state::{List, StreamState};

/// The number of variants of [`List`].
const LISTS: usize = 5;

/// All streams of a session. The key of a stream is the index of its slot; slots are reused, but never freed, so that
/// their number is the most that were live at once.
#[derive(Debug)]
pub(crate) struct StreamTable {
    slots: Vec<StreamState>,
    free: Vec<usize>,
    pub(crate) ids: IdMap,
    /// By `List`. Each holds a key at most once.
    lists: [VecDeque<usize>; LISTS],
}

impl StreamTable {
    /// `hash_key` keys the id map.
    pub(crate) fn new(hash_key: u64) -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            ids: IdMap::new(hash_key),
            lists: [const { VecDeque::new() }; LISTS],
        }
    }

    /// A new stream.
    pub(crate) fn create(&mut self, id: u32, outbound: bool, now: Instant) -> usize {
        let key = self.free.pop().unwrap_or_else(|| {
            self.slots.push(StreamState::new());
            self.slots.len() - 1
        });
        self.slots[key].create(id, outbound, now);
        self.ids.insert(id, key);
        key
    }

    /// Frees the slot of a stream. Its ids become stale.
    pub(crate) fn free(&mut self, key: usize) {
        let stream = &mut self.slots[key];
        stream.id = 0;
        stream.generation = stream.generation.wrapping_add(1);
        self.free.push(key);
    }

    pub(crate) fn get(&self, key: usize) -> Option<&StreamState> {
        self.slots.get(key)
    }

    /// The number of slots, free ones included.
    pub(crate) fn slots(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn free_slots(&self) -> usize {
        self.free.len()
    }

    /// The live streams, by key.
    pub(crate) fn live(&self) -> impl Iterator<Item = (usize, &StreamState)> {
        self.slots.iter().enumerate().filter(|(_, stream)| !stream.is_free())
    }

    /// Puts a slot at the end of a list, unless the list holds it.
    pub(crate) fn push(&mut self, list: List, key: usize) {
        if self.slots[key].lists.insert(list) {
            self.lists[list as usize].push_back(key);
        }
    }

    /// Puts a slot at the front of a list, which must not hold it.
    pub(crate) fn push_front(&mut self, list: List, key: usize) {
        let is_new = self.slots[key].lists.insert(list);
        debug_assert!(is_new, "slot {key} is in the list already");
        self.lists[list as usize].push_front(key);
    }

    /// Takes the first slot from a list.
    pub(crate) fn pop(&mut self, list: List) -> Option<usize> {
        let key = self.lists[list as usize].pop_front()?;
        self.slots[key].lists.remove(list);
        Some(key)
    }

    /// The first slot of a list, which stays there.
    pub(crate) fn front(&self, list: List) -> Option<usize> {
        self.lists[list as usize].front().copied()
    }

    pub(crate) fn list(&self, list: List) -> &VecDeque<usize> {
        &self.lists[list as usize]
    }

    /// Empties every list, at the end of the session.
    pub(crate) fn clear_lists(&mut self) {
        self.lists.iter_mut().for_each(VecDeque::clear);
    }
}

impl Index<usize> for StreamTable {
    type Output = StreamState;

    fn index(&self, key: usize) -> &StreamState {
        &self.slots[key]
    }
}

impl IndexMut<usize> for StreamTable {
    fn index_mut(&mut self, key: usize) -> &mut StreamState {
        &mut self.slots[key]
    }
}
