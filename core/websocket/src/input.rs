//! Bytes that were read from a connection and are not decoded yet, in a buffer that becomes a payload where it can.

use alloc::vec::Vec;
use core::mem;
use core::ops::Range;

use bytes::{Buf, Bytes};

/// A payload is copied out of its buffer unless it fills all but one part of this many: the buffer stays allocated for
/// as long as somebody holds the payload, and the peer chooses what is held.
const WASTE_PARTS: usize = 8;
/// Less is always copied, so that its buffer serves again.
const MIN_KEPT_BYTES: usize = 4 * 1024;

/// One buffer of input.
#[derive(Debug, Default)]
pub struct Input {
    buffer: Vec<u8>,
    /// What is before it is decoded.
    start: usize,
}

impl Input {
    /// The bytes in `buffer`.
    pub fn new(buffer: Vec<u8>) -> Self {
        Self { buffer, start: 0 }
    }

    /// Whether all of it is decoded.
    pub fn is_empty(&self) -> bool {
        self.start == self.buffer.len()
    }

    /// The buffer, emptied, for the next read. Its capacity may be any.
    pub fn into_buffer(mut self) -> Vec<u8> {
        self.buffer.clear();
        self.buffer
    }

    pub(crate) fn unread(&mut self) -> &mut [u8] {
        &mut self.buffer[self.start..]
    }

    pub(crate) fn advance(&mut self, n: usize) {
        self.start += n;
    }

    /// The bytes at `range` of the buffer, which are decoded.
    pub(crate) fn take(&mut self, range: Range<usize>) -> Bytes {
        let capacity = self.buffer.capacity();
        if range.len() < MIN_KEPT_BYTES || range.len() < capacity - capacity / WASTE_PARTS {
            return Bytes::copy_from_slice(&self.buffer[range]);
        }
        let rest = self.unread().to_vec();
        self.start = 0;
        let mut data = Bytes::from(mem::replace(&mut self.buffer, rest));
        data.truncate(range.end);
        data.advance(range.start);
        data
    }

    pub(crate) fn slice(&self, range: Range<usize>) -> &[u8] {
        &self.buffer[range]
    }

    pub(crate) fn position(&self) -> usize {
        self.start
    }
}
