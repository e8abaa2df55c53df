//! Events of the data path for whoever records them: which link, stream or visitor, and how many bytes. No payload, no name
//! and no address is in them.
//!
//! They are `tracing` events of the target [`TARGET`], so that they cost one comparison while nobody records them.

use std::sync::atomic::{AtomicU64, Ordering};

use hvym_tunnel_core::mux::StreamId;

/// The target of the events: none of a crate, so that no log shows them.
pub const TARGET: &str = "data_path";

/// What a recorder tells links, or visitors, apart by.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct TraceId(u64);

impl TraceId {
    /// A number that nothing else of this process has.
    #[must_use]
    pub fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }

    /// The number.
    #[must_use]
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// Something happened to all of a link.
    pub fn link(self, event: &'static str) {
        tracing::trace!(target: TARGET, event, link = self.0);
    }

    /// Something happened to a stream of this link, with so many bytes.
    pub fn stream(self, event: &'static str, id: StreamId, bytes: usize) {
        tracing::trace!(target: TARGET, event, link = self.0, socket = id.session(), stream = id.number(), bytes);
    }

    /// Something happened to a visitor's connection, with so many bytes.
    pub fn visitor(self, event: &'static str, bytes: usize) {
        tracing::trace!(target: TARGET, event, visitor = self.0, bytes);
    }
}
