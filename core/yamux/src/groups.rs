//! Groups of streams: how many unread bytes each holds, and what its windows have grown by.
//!
//! It knows nothing of the streams but their number.

use alloc::string::String;
use alloc::vec::Vec;
use alloc::{format, vec};

/// The place of a group in [`Groups`].
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) struct GroupKey(u32);

impl GroupKey {
    /// No group: the stream counts by itself.
    pub(crate) const NONE: GroupKey = GroupKey(u32::MAX);

    /// The index in a list of all groups; `None` for no group.
    pub(crate) fn index(self) -> Option<usize> {
        if self == Self::NONE { None } else { Some(self.0 as usize) }
    }
}

#[derive(Debug, Default)]
struct Group {
    /// The number that the application knows it by.
    number: u64,
    /// Its live streams; 0 marks a free place.
    streams: u32,
    unread: usize,
    growth: usize,
}

/// The groups that have streams. At most as many as there are streams.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    places: Vec<Group>,
    free: Vec<u32>,
    /// The places of the groups with streams, sorted by number. Some hundred at most; a tree would be the only one of a browser
    /// package, and 10 KB of it.
    by_number: Vec<(u64, u32)>,
}

impl Groups {
    /// A stream joins group `number`, which is made if it has no streams; 0 is no group.
    pub(crate) fn join(&mut self, number: u64) -> GroupKey {
        if number == 0 {
            return GroupKey::NONE;
        }
        let place = match self.by_number.binary_search_by_key(&number, |(known, _)| *known) {
            Ok(at) => self.by_number[at].1,
            Err(at) => {
                let place = self.free.pop().unwrap_or_else(|| {
                    self.places.push(Group::default());
                    self.places.len() as u32 - 1
                });
                self.by_number.insert(at, (number, place));
                place
            }
        };
        let group = &mut self.places[place as usize];
        group.number = number;
        group.streams += 1;
        GroupKey(place)
    }

    /// A stream that holds nothing any more leaves its group.
    pub(crate) fn leave(&mut self, key: GroupKey) {
        let Some(group) = self.find(key) else { return };
        group.streams -= 1;
        if group.streams == 0 {
            debug_assert!(group.unread == 0 && group.growth == 0, "a group without streams holds something");
            let number = group.number;
            if let Ok(at) = self.by_number.binary_search_by_key(&number, |(known, _)| *known) {
                self.by_number.remove(at);
            }
            self.free.push(key.0);
        }
    }

    fn find(&mut self, key: GroupKey) -> Option<&mut Group> {
        key.index().map(|index| &mut self.places[index])
    }

    /// Adds unread bytes; how many the group holds then, 0 for no group.
    pub(crate) fn add_unread(&mut self, key: GroupKey, bytes: usize) -> usize {
        self.find(key).map_or(0, |group| {
            group.unread += bytes;
            group.unread
        })
    }

    pub(crate) fn remove_unread(&mut self, key: GroupKey, bytes: usize) {
        if let Some(group) = self.find(key) {
            group.unread -= bytes;
        }
    }

    pub(crate) fn grow(&mut self, key: GroupKey, bytes: usize) {
        if let Some(group) = self.find(key) {
            group.growth += bytes;
        }
    }

    pub(crate) fn shrink(&mut self, key: GroupKey, bytes: usize) {
        if let Some(group) = self.find(key) {
            group.growth -= bytes;
        }
    }

    /// What the windows of a group have grown by; `None` for no group.
    pub(crate) fn growth(&self, key: GroupKey) -> Option<usize> {
        key.index().map(|index| self.places[index].growth)
    }

    /// How many places there are, free ones included.
    pub(crate) fn places(&self) -> usize {
        self.places.len()
    }

    /// Compares with the live streams: of each its group, unread bytes and growth. For the invariant check only.
    pub(crate) fn check(
        &self,
        streams: impl Iterator<Item = (GroupKey, usize, usize)>,
    ) -> Result<(), String> {
        let mut counted = vec![(0, 0, 0); self.places.len()];
        for (key, unread, growth) in streams {
            if let Some(index) = key.index() {
                let sum = &mut counted[index];
                *sum = (sum.0 + 1, sum.1 + unread, sum.2 + growth);
            }
        }
        for (group, counted) in self.places.iter().zip(counted) {
            let kept = (group.streams, group.unread, group.growth);
            if kept != counted {
                return Err(format!("group {}: {counted:?} counted, {kept:?} kept", group.number));
            }
        }
        let live = self.places.len() - self.free.len();
        if live == self.by_number.len() { Ok(()) } else { Err(format!("{live} groups, not all are listed")) }
    }
}
