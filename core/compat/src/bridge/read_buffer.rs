//! What waits for the reader of one call.

use alloc::collections::VecDeque;

use bytes::Bytes;
use hvym_tunnel_core::mux::Read;

/// Bytes in the order of arrival, and their end.
#[derive(Debug, Default)]
pub(super) struct ReadBuffer {
    queue: VecDeque<Bytes>,
    bytes: usize,
    /// Nothing follows.
    closed: bool,
    /// The reader has been told so, or has stopped reading.
    done: bool,
    /// The reader found nothing and waits.
    wants_read: bool,
}

impl ReadBuffer {
    /// Bytes that wait.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether the reader has read the end, or has stopped reading.
    pub(super) fn is_done(&self) -> bool {
        self.done
    }

    /// How many of the bytes were kept.
    pub(super) fn push(&mut self, data: Bytes) -> usize {
        if self.done || self.closed || data.is_empty() {
            return 0;
        }
        let n = data.len();
        self.bytes += n;
        self.queue.push_back(data);
        n
    }

    /// Nothing follows.
    pub(super) fn close(&mut self) {
        self.closed = true;
    }

    /// Whether the reader waits; it is told once.
    pub(super) fn take_wants_read(&mut self) -> bool {
        core::mem::take(&mut self.wants_read)
    }

    /// What a reader gets, up to `max` bytes.
    pub(super) fn read(&mut self, max: usize) -> Read {
        if let Some(data) = self.take(max.max(1)) {
            return Read::Data(data);
        }
        if !self.closed && !self.done {
            self.wants_read = true;
            return Read::Empty;
        }
        self.done = true;
        Read::Finished
    }

    /// The reader has stopped reading. How many bytes were dropped.
    pub(super) fn stop(&mut self) -> usize {
        self.done = true;
        self.queue.clear();
        core::mem::take(&mut self.bytes)
    }

    fn take(&mut self, max: usize) -> Option<Bytes> {
        let front = self.queue.front_mut()?;
        let data = if front.len() > max { front.split_to(max) } else { self.queue.pop_front()? };
        self.bytes -= data.len();
        Some(data)
    }
}
