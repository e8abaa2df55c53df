//! The beginning of a body, and how long all of it is.

/// The most that is kept of one body. Pages, JSON and pictures of development fit; an upload of a gigabyte does not, and is
/// only counted.
pub const MAX_BODY_BYTES: usize = 1024 * 1024;

/// The beginning of one body.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct KeptBody {
    bytes: Vec<u8>,
    /// Bytes that were offered to be kept, framing included if it is kept.
    offered: u64,
    /// Bytes of the body itself.
    length: u64,
}

impl KeptBody {
    /// Keeps what there is room for of `bytes`, of which `length` are the body's own and the others its framing.
    pub(crate) fn extend(&mut self, bytes: &[u8], length: usize) {
        self.offered = self.offered.saturating_add(bytes.len() as u64);
        self.length = self.length.saturating_add(length as u64);
        let room = MAX_BODY_BYTES - self.bytes.len();
        let kept = &bytes[..bytes.len().min(room)];
        let needed = self.bytes.len() + kept.len();
        if needed > self.bytes.capacity() {
            // Doubles as `Vec` does, but never beyond the limit.
            let wanted = needed.saturating_mul(2).min(MAX_BODY_BYTES).max(needed);
            self.bytes.reserve_exact(wanted - self.bytes.len());
        }
        self.bytes.extend_from_slice(kept);
    }

    /// Counts bytes that are kept elsewhere, as messages.
    pub(super) fn count(&mut self, length: usize) {
        self.length = self.length.saturating_add(length as u64);
    }

    /// What is kept.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How long the body is, as far as it came.
    pub(crate) const fn length(&self) -> u64 {
        self.length
    }

    /// Whether all that was offered is kept.
    pub(crate) const fn is_whole(&self) -> bool {
        self.offered == self.bytes.len() as u64
    }

    /// Heap bytes held.
    pub(super) const fn held(&self) -> usize {
        self.bytes.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_kept_up_to_its_limit_and_counted_beyond() {
        for (length, whole) in
            [(MAX_BODY_BYTES - 1, true), (MAX_BODY_BYTES, true), (MAX_BODY_BYTES + 1, false)]
        {
            let mut body = KeptBody::default();
            for piece in vec![b'x'; length].chunks(65_521) {
                body.extend(piece, piece.len());
            }
            assert_eq!((body.length(), body.is_whole()), (length as u64, whole));
            assert_eq!(body.bytes().len(), length.min(MAX_BODY_BYTES));
            assert!(body.held() <= MAX_BODY_BYTES, "{}", body.held());
        }
    }
}
