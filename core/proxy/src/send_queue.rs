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

    /// Offers each buffer to `send`, which takes from its front, until one is not taken whole or `send` fails.
    ///
    /// # Errors
    /// What `send` failed with.
    pub fn send_with<E>(&mut self, mut send: impl FnMut(&mut Bytes) -> Result<(), E>) -> Result<(), E> {
        while let Some(mut front) = self.buffers.pop_front() {
            let before = front.len();
            let sent = send(&mut front);
            let taken = before.saturating_sub(front.len());
            self.len -= taken;
            self.sent = self.sent.saturating_add(taken as u64);
            let is_whole = front.is_empty();
            if !is_whole {
                self.buffers.push_front(front);
            }
            sent?;
            if !is_whole {
                break;
            }
        }
        Ok(())
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
    fn what_is_not_taken_stays_at_the_front() {
        let mut queue = SendQueue::new();
        ["abc", "de"].map(Bytes::from).into_iter().for_each(|part| queue.push(part));
        let mut room = 4;
        let mut seen = Vec::new();
        let taken = queue.send_with(|part| {
            let count = part.len().min(room);
            room -= count;
            seen.extend_from_slice(&part.split_to(count));
            Ok::<_, ()>(())
        });
        assert_eq!((taken, seen.as_slice(), queue.len(), queue.sent()), (Ok(()), &b"abcd"[..], 1, 4));
        assert_eq!(queue.send_with(|_| Err("closed")), Err("closed"));
        assert_eq!(queue.buffers().next(), Some(&Bytes::from("e")));
    }

    #[test]
    #[should_panic(expected = "more was sent than was queued")]
    fn no_more_is_sent_than_was_queued() {
        let mut queue = SendQueue::new();
        queue.push(Bytes::from("ab"));
        queue.advance(3);
    }
}
