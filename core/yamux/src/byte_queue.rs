//! A FIFO of byte slices. Most streams hold one slice at a time, so the first needs no allocation.

use alloc::boxed::Box;
use alloc::collections::VecDeque;

use bytes::Bytes;

/// A queue of slices, none of them empty. An empty queue owns no memory.
#[derive(Debug, Default)]
pub(crate) struct ByteQueue {
    /// Empty if and only if the queue is.
    first: Bytes,
    #[expect(
        clippy::box_collection,
        reason = "a stream has two of these and rarely needs the rest, so it costs a pointer until then"
    )]
    rest: Option<Box<VecDeque<Bytes>>>,
}

impl ByteQueue {
    pub(crate) fn push_back(&mut self, data: Bytes) {
        if self.first.is_empty() {
            self.first = data;
        } else {
            self.rest.get_or_insert_default().push_back(data);
        }
    }

    pub(crate) fn pop_front(&mut self) -> Option<Bytes> {
        if self.first.is_empty() {
            return None;
        }
        let Some(rest) = &mut self.rest else {
            return Some(core::mem::take(&mut self.first));
        };
        let next = rest.pop_front();
        self.free_empty_rest();
        Some(core::mem::replace(&mut self.first, next.unwrap_or_default()))
    }

    /// Drops everything.
    pub(crate) fn clear(&mut self) {
        if !self.is_empty() {
            *self = Self::default();
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_empty()
    }

    pub(crate) fn front_mut(&mut self) -> Option<&mut Bytes> {
        Some(&mut self.first).filter(|data| !data.is_empty())
    }

    pub(crate) fn front(&self) -> Option<&Bytes> {
        Some(&self.first).filter(|data| !data.is_empty())
    }

    pub(crate) fn back(&self) -> Option<&Bytes> {
        let last = self.rest.as_ref().and_then(|rest| rest.back());
        Some(last.unwrap_or(&self.first)).filter(|data| !data.is_empty())
    }

    pub(crate) fn pop_back(&mut self) -> Option<Bytes> {
        let last = self.rest.as_mut().and_then(|rest| rest.pop_back());
        self.free_empty_rest();
        last.or_else(|| Some(core::mem::take(&mut self.first)).filter(|data| !data.is_empty()))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Bytes> {
        let first = (!self.first.is_empty()).then_some(&self.first);
        first.into_iter().chain(self.rest.iter().flat_map(|rest| rest.iter()))
    }

    fn free_empty_rest(&mut self) {
        if self.rest.as_ref().is_some_and(|rest| rest.is_empty()) {
            self.rest = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_gives_back_in_order_from_both_ends() {
        let mut queue = ByteQueue::default();
        assert_eq!((queue.pop_front(), queue.pop_back()), (None, None));
        for part in ["a", "b", "c", "d"] {
            queue.push_back(Bytes::from_static(part.as_bytes()));
        }
        assert_eq!(queue.iter().map(|data| data[0]).collect::<alloc::vec::Vec<_>>(), b"abcd");
        assert_eq!(queue.pop_back().as_deref(), Some(&b"d"[..]));
        assert_eq!(queue.pop_front().as_deref(), Some(&b"a"[..]));
        assert_eq!(queue.back().map(|data| data[0]), Some(b'c'));
        assert_eq!(queue.pop_front().as_deref(), Some(&b"b"[..]));
        assert_eq!(queue.front_mut().map(|data| data[0]), Some(b'c'));
        assert_eq!(queue.pop_back().as_deref(), Some(&b"c"[..]));
        assert_eq!((queue.pop_front(), queue.back()), (None, None));
        assert!(queue.rest.is_none());
    }
}
