//! Where a head ends, found once per byte however the bytes are cut.
//!
//! It knows blank lines and the size limit; what the lines say is `head.rs`.

use alloc::borrow::Cow;
use alloc::vec::Vec;
use core::mem;

use super::head::{HeadError, MAX_HEAD_BYTES};

/// Where in a line the last byte was.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
enum Place {
    /// Before the start line; RFC 9112 section 2.2 lets blank lines come first.
    #[default]
    Before,
    Inside,
    LineStart,
    LineStartCr,
}

/// Looks for the blank line that ends a head.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct HeadScan {
    place: Place,
    seen: usize,
}

impl HeadScan {
    /// Looks at the next bytes; `Some(n)` if the head ends after `n` of them.
    ///
    /// A control byte fails here and not when the head is whole, so that a stream which is not HTTP is
    /// recognised as such at once.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<Option<usize>, HeadError> {
        let mut at = 0;
        while let Some(byte) = bytes.get(at) {
            // Most of a head is the inside of lines.
            let plain = if self.place == Place::Inside { ctl_free_prefix(&bytes[at..]) } else { 0 };
            at += plain.max(1);
            self.seen = self.seen.saturating_add(plain.max(1));
            if self.seen > MAX_HEAD_BYTES {
                return Err(HeadError::TooLong);
            }
            if plain > 0 {
                continue;
            }
            self.place = match (self.place, *byte) {
                (Place::LineStart | Place::LineStartCr, b'\n') => return Ok(Some(at)),
                (Place::Before, b'\r' | b'\n') => Place::Before,
                (Place::LineStart, b'\r') => Place::LineStartCr,
                (_, b'\n') => Place::LineStart,
                (_, b'\r' | b'\t') => Place::Inside,
                (_, byte) if byte.is_ascii_control() => return Err(HeadError::Byte(byte)),
                (_, _) => Place::Inside,
            };
        }
        Ok(None)
    }
}

/// How many of these bytes, from the first one on, are no control bytes: neither the end of a line nor an error.
pub fn ctl_free_prefix(bytes: &[u8]) -> usize {
    const EACH: u64 = u64::MAX / 255;
    let mut at = 0;
    for chunk in bytes.chunks_exact(size_of::<u64>()) {
        let word = chunk.iter().fold(0, |word, byte| word << 8 | u64::from(*byte));
        // Eight at once: the top bit of a byte is set where it is below 0x20, or 0x7f; perhaps also in those before it.
        let low = word.wrapping_sub(EACH * 0x20) & !word;
        let delete = word ^ (EACH * 0x7f);
        let delete = delete.wrapping_sub(EACH) & !delete;
        if (low | delete) & (EACH * 0x80) != 0 {
            break;
        }
        at += chunk.len();
    }
    let rest = bytes.get(at..).unwrap_or_default();
    at + rest.iter().position(u8::is_ascii_control).unwrap_or(rest.len())
}

/// What one call to [`HeadBuffer::take`] took.
#[derive(Debug)]
pub struct Taken<'a> {
    /// How many of the bytes belong to the head.
    pub used: usize,
    /// The head, once it is whole.
    pub head: Option<Cow<'a, [u8]>>,
}

/// Collects one head from pieces; holds at most [`MAX_HEAD_BYTES`], and nothing when the head comes in one.
#[derive(Debug, Default)]
pub struct HeadBuffer {
    scan: HeadScan,
    partial: Vec<u8>,
}

impl HeadBuffer {
    /// Takes bytes up to the end of the head.
    ///
    /// # Errors
    /// [`HeadError`] if these bytes can never become a head.
    pub fn take<'a>(&mut self, bytes: &'a [u8]) -> Result<Taken<'a>, HeadError> {
        let Some(end) = self.scan.feed(bytes)? else {
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

    /// Whether a start line has begun and its head is not whole.
    pub fn has_begun(&self) -> bool {
        self.scan.place != Place::Before
    }

    /// Heap bytes held.
    pub fn held(&self) -> usize {
        self.partial.capacity()
    }

    /// Doubles like a `Vec`, but never past the limit.
    fn keep(&mut self, bytes: &[u8]) {
        let needed = self.partial.len().saturating_add(bytes.len());
        if needed > self.partial.capacity() {
            let wanted = needed.saturating_mul(2).min(MAX_HEAD_BYTES).max(needed);
            self.partial.reserve_exact(wanted - self.partial.len());
        }
        self.partial.extend_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_the_first_blank_line_after_the_start_line() {
        let mut scan = HeadScan::default();
        assert_eq!(scan.feed(b"\r\n\nGET / HTTP/1.1\r\nA: b\r\n\r\nrest"), Ok(Some(27)));
        assert_eq!(HeadScan::default().feed(b"A\n\nB"), Ok(Some(3)));
        assert_eq!(HeadScan::default().feed(b"A\r\n\r"), Ok(None));
    }

    #[test]
    fn a_stream_that_is_not_text_fails_at_its_first_control_byte() {
        assert_eq!(HeadScan::default().feed(b"\x16\x03\x01"), Err(HeadError::Byte(0x16)));
    }

    #[test]
    fn plain_bytes_end_at_the_first_control_byte_wherever_it_is() {
        for byte in 0..=u8::MAX {
            for at in 0..20 {
                let mut bytes = [b'a'; 20];
                bytes[at] = byte;
                assert_eq!(
                    ctl_free_prefix(&bytes),
                    if byte.is_ascii_control() { at } else { 20 },
                    "{byte} at {at}"
                );
            }
        }
    }

    #[test]
    fn a_head_of_exactly_the_limit_is_whole() {
        let mut head = alloc::vec![b'a'; MAX_HEAD_BYTES - 2];
        head.extend_from_slice(b"\n\n");
        assert_eq!(HeadScan::default().feed(&head), Ok(Some(MAX_HEAD_BYTES)));
        head.insert(0, b'a');
        assert_eq!(HeadScan::default().feed(&head), Err(HeadError::TooLong));
    }
}
