//! Inspection of responses by their status, fields and the beginning of their body.

use alloc::vec::Vec;
use core::convert::Infallible;

use crate::headers::Headers;
use crate::view::ResponseView;

/// Decides which responses a [`Tap`](super::Tap) inspects, and what their beginning says.
///
/// `()` inspects nothing.
pub trait Sniff {
    /// What an inspection can find.
    type Finding;

    /// How many bytes of a body are kept for [`inspect`](Self::inspect); each connection may hold that many.
    const PREFIX_BYTES: usize;

    /// Whether the beginning of this response's body is needed. The fields are kept until it is there, so answer `false`
    /// for most responses.
    fn wants(&self, response: &ResponseView<'_>) -> bool;

    /// What the response says. `prefix` is decoded from its transfer coding, not from its content coding; it has
    /// [`PREFIX_BYTES`](Self::PREFIX_BYTES) bytes, or fewer if the body is shorter or the connection ended.
    fn inspect(&self, status: u16, headers: &Headers, prefix: &[u8]) -> Option<Self::Finding>;
}

impl Sniff for () {
    type Finding = Infallible;

    const PREFIX_BYTES: usize = 0;

    fn wants(&self, _: &ResponseView<'_>) -> bool {
        false
    }

    fn inspect(&self, _: u16, _: &Headers, _: &[u8]) -> Option<Infallible> {
        None
    }
}

/// A response under inspection.
#[derive(Debug)]
pub(super) struct Sniffed {
    pub(super) headers: Headers,
    pub(super) prefix: Vec<u8>,
}

impl Sniffed {
    pub(super) fn new(headers: Headers) -> Self {
        Sniffed { headers, prefix: Vec::new() }
    }

    /// Keeps the beginning of the body, at most `limit` bytes of it.
    pub(super) fn extend(&mut self, payload: &[u8], limit: usize) {
        let room = limit.saturating_sub(self.prefix.len());
        self.prefix.extend(payload.iter().take(room));
    }

    /// Heap bytes held.
    pub(super) fn held(&self) -> usize {
        let fields: usize = self.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        fields + self.prefix.capacity()
    }
}
