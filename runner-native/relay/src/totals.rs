//! What a relay counts beside requests: logins that it refused, the bytes of its links, and connections at its TCP ports.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hvym_tunnel_core::reason::DownReason;
use hvym_tunnel_net::link_driver::ByteCounters;

/// Those counts.
#[derive(Default)]
pub(crate) struct Totals {
    /// By the code that the agent is told, of which there are a dozen.
    refused: Mutex<BTreeMap<&'static str, u64>>,
    carried: Mutex<CarriedBytes>,
    tcp_connections: Arc<AtomicUsize>,
}

/// The bytes of streams.
#[derive(Default)]
struct CarriedBytes {
    /// Of the sessions that have ended.
    ended: ByteCounters,
    /// What was told last.
    shown: ByteCounters,
}

/// One connection at a TCP port, until it is dropped.
pub(crate) struct TcpConnection(Arc<AtomicUsize>);

impl Totals {
    /// An agent was not let in.
    pub(crate) fn count_refusal(&self, reason: &DownReason) {
        self.count_refusal_by(reason.auth_failed_code());
    }

    /// The same, by another code than a login's.
    pub(crate) fn count_refusal_by(&self, code: &'static str) {
        *lock(&self.refused).entry(code).or_default() += 1;
    }

    /// How many agents were not let in, by the code that they were told.
    pub(crate) fn refusals(&self) -> BTreeMap<&'static str, u64> {
        lock(&self.refused).clone()
    }

    /// A session has ended that carried so much.
    pub(crate) fn end_session(&self, carried: ByteCounters) {
        let mut all = lock(&self.carried);
        all.ended.read += carried.read;
        all.ended.written += carried.written;
    }

    /// The bytes since the start, where the sessions that there are carried `live`. Never less than the time before: a
    /// session that just ended may be in neither.
    pub(crate) fn carried(&self, live: ByteCounters) -> ByteCounters {
        let mut all = lock(&self.carried);
        all.shown = ByteCounters {
            read: all.shown.read.max(all.ended.read + live.read),
            written: all.shown.written.max(all.ended.written + live.written),
        };
        all.shown
    }

    /// A visitor came to a TCP port.
    pub(crate) fn open_tcp(&self) -> TcpConnection {
        self.tcp_connections.fetch_add(1, Ordering::Relaxed);
        TcpConnection(Arc::clone(&self.tcp_connections))
    }

    /// Visitors at TCP ports.
    pub(crate) fn tcp_connections(&self) -> usize {
        self.tcp_connections.load(Ordering::Relaxed)
    }
}

impl Drop for TcpConnection {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn lock<T>(counts: &Mutex<T>) -> MutexGuard<'_, T> {
    counts.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_never_become_fewer_when_a_session_ends() {
        let totals = Totals::default();
        let of = |read, written| ByteCounters { read, written };
        assert_eq!(totals.carried(of(5, 7)), of(5, 7));
        // It is not among the sessions any more, and was not added yet.
        assert_eq!(totals.carried(of(0, 0)), of(5, 7));
        totals.end_session(of(6, 7));
        assert_eq!(totals.carried(of(0, 1)), of(6, 8));
    }

    #[test]
    fn refusals_are_counted_by_their_code_and_connections_while_they_are_open() {
        let totals = Totals::default();
        totals.count_refusal(&DownReason::NotAllowed("x".to_owned()));
        totals.count_refusal(&DownReason::NotAllowed("y".to_owned()));
        totals.count_refusal_by("logins");
        assert_eq!(totals.refusals(), BTreeMap::from([("logins", 1), ("not_allowed", 2)]));
        let both = [totals.open_tcp(), totals.open_tcp()];
        assert_eq!(totals.tcp_connections(), 2);
        drop(both);
        assert_eq!(totals.tcp_connections(), 0);
    }
}
