//! Bytes on their way to one peer, in the buffers in which they came.

use alloc::collections::VecDeque;

use bytes::{Buf, Bytes};

/// A queue of buffers. Nothing is copied in it.
#[derive(Clone, Debug, Default)]
pub struct SendQueue {
    buffers: VecDeque<Bytes>,
    /// Bytes in the buffers.
    len: usize,
    /// Bytes that were taken out since the queue was made.
    sent: u64,
}

impl SendQueue {
    /// An empty queue.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends `data`.
    pub fn push(&mut self, data: Bytes) {
        if !data.is_empty() {
            self.len += data.len();
            self.buffers.push_back(data);
        }
    }

    /// The buffers, the next one first, for a vectored write.
    pub fn buffers(&self) -> impl Iterator<Item = &Bytes> {
        self.buffers.iter()
    }

    /// Removes `count` bytes from the front: they were sent.
    ///
    /// # Panics
    /// `count` is more than [`len`](Self::len).
    pub fn advance(&mut self, mut count: usize) {
        assert!(count <= self.len, "more was sent than was queued");
        self.len -= count;
        self.sent = self.sent.saturating_add(count as u64);
        while let Some(front) = self.buffers.front_mut() {
            if front.len() > count {
                front.advance(count);
                return;
            }
            count -= front.len();
            self.buffers.pop_front();
        }
    }

    /// Drops everything.
    pub fn clear(&mut self) {
        self.buffers.clear();
        self.len = 0;
    }

    /// Bytes that wait.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing waits.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes that were sent since the queue was made.
    pub const fn sent(&self) -> u64 {
        self.sent
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn bytes_leave_in_their_order_however_many_are_taken_at_once() {
        for step in 1..=7 {
            let mut queue = SendQueue::new();
            for part in ["ab", "", "c", "def"] {
                queue.push(Bytes::from(part));
            }
            let mut seen = Vec::new();
            while !queue.is_empty() {
                let front: Vec<u8> = queue.buffers().flatten().copied().take(step).collect();
                queue.advance(front.len());
                seen.extend(front);
            }
            assert_eq!((seen.as_slice(), queue.sent(), queue.buffers().count()), (&b"abcdef"[..], 6, 0));
        }
    }

    #[test]
    #[should_panic(expected = "more was sent than was queued")]
    fn no_more_is_sent_than_was_queued() {
        let mut queue = SendQueue::new();
        queue.push(Bytes::from("ab"));
        queue.advance(3);
    }
}
