//! Unread bytes: what the streams of a session and of a group may hold together, and which stream goes when they hold more.

use alloc::vec;

use crate::error::ResetReason;
use crate::groups::GroupKey;
use crate::instant::Instant;
use crate::session::Mux;
use crate::stream_state::StreamState;

/// Streams that [`Mux::shed_unread`] resets at once: each is looked for among all.
const MAX_SHED: usize = 64;

impl Mux {
    /// Resets streams, chosen as for [`MuxConfig::max_unread`](crate::MuxConfig::max_unread), until `bytes` fewer are unread: for the
    /// owner of several sessions that hold too much together. At most 64; the rest is for the next call.
    pub fn shed_unread(&mut self, bytes: usize, now: Instant) {
        self.advance(now);
        let most = self.counts.unread.saturating_sub(bytes);
        for _ in 0..MAX_SHED {
            if self.counts.unread <= most {
                return;
            }
            let group = self.largest_group();
            self.evict_from(group);
        }
    }

    /// Counts bytes that arrived for a stream, which holds them already.
    pub(crate) fn add_unread(&mut self, key: usize, bytes: usize) {
        self.counts.unread += bytes;
        let stream = &mut self.streams[key];
        if stream.recv.unread() as usize == bytes {
            stream.reader.read_at = self.now.into();
        }
        let group = stream.reader.group;
        if self.groups.add_unread(group, bytes) > self.config.max_group_unread {
            self.evict_from(group);
        }
        if self.counts.unread > self.config.max_unread {
            let group = self.largest_group();
            self.evict_from(group);
        }
    }

    /// Counts bytes that were read or discarded.
    pub(crate) fn remove_unread(&mut self, key: usize, bytes: usize) {
        self.counts.unread -= bytes;
        self.groups.remove_unread(self.streams[key].reader.group, bytes);
    }

    /// Moves a stream to another group.
    pub(crate) fn set_group(&mut self, key: usize, number: u64) {
        let joined = self.groups.join(number);
        let stream = &mut self.streams[key];
        let left = core::mem::replace(&mut stream.reader.group, joined);
        let (unread, growth) = (stream.recv.unread() as usize, stream.recv.window_growth());
        self.groups.remove_unread(left, unread);
        self.groups.shrink(left, growth);
        self.groups.leave(left);
        self.groups.add_unread(joined, unread);
        self.groups.grow(joined, growth);
    }

    /// How much memory a stream keeps from others: its unread bytes, by the time since it was last read. The time, since a
    /// stream that is read now and then may hold as much as one that is never read.
    fn held(&self, stream: &StreamState) -> (u64, u32) {
        let unread = stream.recv.unread();
        (u64::from(unread) * u64::from(stream.reader.read_at.elapsed(self.now)), unread)
    }

    /// The group that keeps most memory from others; [`GroupKey::NONE`] if a stream without a group keeps more.
    fn largest_group(&self) -> GroupKey {
        let mut groups = vec![(0u64, 0u64); self.groups.places()];
        let mut largest = (0, 0, GroupKey::NONE);
        for (_, stream) in self.streams.live() {
            let (held, unread) = self.held(stream);
            let sum = match stream.reader.group.index() {
                Some(index) => {
                    let sum = &mut groups[index];
                    *sum = (sum.0.saturating_add(held), sum.1 + u64::from(unread));
                    *sum
                }
                None => (held, u64::from(unread)),
            };
            if sum > (largest.0, largest.1) {
                largest = (sum.0, sum.1, stream.reader.group);
            }
        }
        largest.2
    }

    /// Resets the stream of a group, or of those without one, that keeps most memory from others; of several, the newest.
    fn evict_from(&mut self, group: GroupKey) {
        let of_group = self.streams.live().filter(|(_, stream)| stream.reader.group == group);
        let largest = of_group.max_by_key(|(_, stream)| (self.held(stream), stream.id));
        if let Some((key, _)) = largest {
            self.reset_stream(key, ResetReason::Budget, true);
        }
    }
}
