//! What one visitor has under way, and what is left of its rates. Knows nothing of others.

use alloc::vec::Vec;

use hvym_yamux::Instant;

use super::bucket::Bucket;
use super::{LimitError, Use, VisitorShare};

#[derive(Debug)]
struct ServiceUse<S> {
    service: S,
    /// Tunnels included.
    requests: usize,
    tunnels: usize,
}

/// One visitor's counters.
#[derive(Debug)]
pub(super) struct Visits<S> {
    connections: usize,
    requests: usize,
    /// Has only services with requests. Mostly one.
    services: Vec<ServiceUse<S>>,
    opens: Bucket,
    resets: Bucket,
}

impl<S: Ord + Clone> Visits<S> {
    pub(super) fn new(share: &VisitorShare, now: Instant) -> Self {
        Self {
            connections: 0,
            requests: 0,
            services: Vec::new(),
            opens: Bucket::full(share.connection_rate, now),
            resets: Bucket::full(share.reset_rate, now),
        }
    }

    /// Whether nothing is under way.
    pub(super) const fn is_idle(&self) -> bool {
        self.connections == 0 && self.requests == 0
    }

    /// Whether a new entry would say the same.
    pub(super) fn is_forgettable(&self, share: &VisitorShare, now: Instant) -> bool {
        self.is_idle()
            && self.opens.is_full(share.connection_rate, now)
            && self.resets.is_full(share.reset_rate, now)
    }

    pub(super) fn open(&mut self, share: &VisitorShare, now: Instant) -> Result<(), LimitError> {
        if self.connections >= share.connections {
            return Err(LimitError::VisitorConnections);
        }
        if !self.opens.has_one(share.connection_rate, now) {
            return Err(LimitError::ConnectionRate);
        }
        self.opens.take(share.connection_rate, now);
        self.connections += 1;
        Ok(())
    }

    pub(super) const fn close(&mut self) {
        self.connections = self.connections.saturating_sub(1);
    }

    pub(super) fn enter(
        &mut self,
        share: &VisitorShare,
        service: &S,
        kind: Use,
        now: Instant,
    ) -> Result<(), LimitError> {
        if !self.resets.has_one(share.reset_rate, now) {
            return Err(LimitError::ResetRate);
        }
        let at = self.services.iter().position(|at| at.service == *service);
        let (requests, tunnels) =
            at.map_or((0, 0), |at| (self.services[at].requests, self.services[at].tunnels));
        if self.requests >= share.requests || requests >= share.service_requests {
            return Err(LimitError::VisitorRequests);
        }
        if kind == Use::Tunnel && tunnels >= share.service_tunnels {
            return Err(LimitError::VisitorTunnels);
        }
        let at = at.unwrap_or_else(|| {
            self.services.push(ServiceUse { service: service.clone(), requests: 0, tunnels: 0 });
            self.services.len() - 1
        });
        self.requests += 1;
        self.services[at].requests += 1;
        self.services[at].tunnels += usize::from(kind == Use::Tunnel);
        Ok(())
    }

    pub(super) fn leave(&mut self, service: &S, kind: Use) {
        let Some(at) = self.services.iter().position(|at| at.service == *service) else { return };
        self.requests = self.requests.saturating_sub(1);
        let used = &mut self.services[at];
        used.requests = used.requests.saturating_sub(1);
        used.tunnels = used.tunnels.saturating_sub(usize::from(kind == Use::Tunnel));
        if used.requests == 0 {
            self.services.swap_remove(at);
        }
    }

    pub(super) fn reset(&mut self, share: &VisitorShare, now: Instant) {
        self.resets.take(share.reset_rate, now);
    }
}
