//! Counters of a session.

use core::time::Duration;

/// A snapshot of a session's counters, from [`Mux::stats`](crate::Mux::stats).
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct MuxStats {
    /// Live streams that the peer opened.
    pub inbound: usize,
    /// Live streams that this end opened.
    pub outbound: usize,
    /// Streams of this end that the peer has not acknowledged.
    pub unacked: usize,
    /// Bytes that were received and not read.
    pub unread: usize,
    /// Bytes that were written and have not left through [`Mux::poll_transmit`](crate::Mux::poll_transmit).
    pub unsent: usize,
    /// What the receive windows of all streams have grown beyond their first 256 KiB each, bytes.
    pub window_growth: usize,
    /// The least round trip that Yamux pings measured in the last five to ten minutes; `None` before the first.
    pub rtt: Option<Duration>,
}

/// The counters that a session keeps; see [`MuxStats`].
#[derive(Debug, Default)]
pub(crate) struct StreamCounts {
    pub(crate) inbound: usize,
    pub(crate) outbound: usize,
    pub(crate) unacked: usize,
    /// Inbound streams that the application has not accepted.
    pub(crate) unaccepted: usize,
    pub(crate) unread: usize,
    pub(crate) unsent: usize,
    pub(crate) window_growth: usize,
}
