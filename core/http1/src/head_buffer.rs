//! Collects a head that arrives in pieces.

use alloc::borrow::Cow;
use alloc::vec::Vec;
use core::mem;

use crate::error::HeadError;
use crate::limits::MAX_HEAD_BYTES;
use crate::scan::HeadScanner;

/// What one call to [`HeadBuffer::take`] took.
#[derive(Debug)]
pub struct Taken<'a> {
    /// How many of the bytes belong to the head.
    pub used: usize,
    /// The head, once it is complete: borrowed if it lay in the given bytes alone.
    pub head: Option<Cow<'a, [u8]>>,
}

/// Collects one head from pieces. Holds at most [`MAX_HEAD_BYTES`], and nothing when the head arrives in one piece.
#[derive(Debug, Default)]
pub struct HeadBuffer {
    scanner: HeadScanner,
    partial: Vec<u8>,
}

impl HeadBuffer {
    /// Takes bytes up to the end of the head.
    ///
    /// # Errors
    /// [`HeadError`] if these bytes can never become a head.
    pub fn take<'a>(&mut self, bytes: &'a [u8]) -> Result<Taken<'a>, HeadError> {
        let Some(end) = self.scanner.feed(bytes)? else {
            self.keep(bytes);
            return Ok(Taken { used: bytes.len(), head: None });
        };
        let last = &bytes[..end];
        if self.partial.is_empty() {
            return Ok(Taken { used: end, head: Some(Cow::Borrowed(last)) });
        }
        self.keep(last);
        Ok(Taken { used: end, head: Some(Cow::Owned(mem::take(&mut self.partial))) })
    }

    /// Whether a start line has begun and its head is not complete.
    pub const fn has_begun(&self) -> bool {
        self.scanner.has_begun()
    }

    /// Heap bytes held.
    pub fn held(&self) -> usize {
        self.partial.capacity()
    }

    /// Doubles the capacity as `Vec` does, but never beyond the limit of a head.
    fn keep(&mut self, bytes: &[u8]) {
        let needed = self.partial.len().saturating_add(bytes.len());
        if needed > self.partial.capacity() {
            let wanted = needed.saturating_mul(2).min(MAX_HEAD_BYTES).max(needed);
            self.partial.reserve_exact(wanted - self.partial.len());
        }
        self.partial.extend_from_slice(bytes);
    }
}
