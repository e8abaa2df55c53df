//! What tunnels carried since it was last written: bounded by the number of tunnels, and kept until it is written.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::EpochMillis;

/// What one tunnel carried.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct TunnelUsage {
    /// Requests of visitors.
    pub requests: u64,
    /// Bytes from visitors.
    pub bytes_in: u64,
    /// Bytes to visitors.
    pub bytes_out: u64,
    /// When its agent logged in, if it did.
    pub connected_at: Option<EpochMillis>,
}

impl TunnelUsage {
    /// Adds `more`.
    pub(crate) fn add(&mut self, more: TunnelUsage) {
        self.requests = self.requests.saturating_add(more.requests);
        self.bytes_in = self.bytes_in.saturating_add(more.bytes_in);
        self.bytes_out = self.bytes_out.saturating_add(more.bytes_out);
        self.connected_at = self.connected_at.max(more.connected_at);
    }
}

/// Usage by tunnel that is not written.
pub(crate) type PendingUsage = BTreeMap<Arc<str>, TunnelUsage>;

/// A counter as a database keeps it.
pub(crate) fn stored(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
