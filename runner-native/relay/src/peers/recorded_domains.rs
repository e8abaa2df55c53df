//! Custom domains that HVYM's server has verified and recorded in the Redis of the cluster: visitors of each are led to its owner. What
//! this relay knows by a proof of its own goes ahead.

use std::collections::BTreeMap;

use hvym_tunnel_cluster::{DomainPage, DomainScan};
use hvym_tunnel_core::names::{CustomHost, PublicName};
use hvym_tunnel_core::relay::NameError;
use hvym_tunnel_core::stellar::Address;
use hvym_tunnel_core::time::Instant;

use crate::relay_state::RelayState;

/// The domains of one relay.
pub(super) struct RecordedDomains {
    scan: DomainScan,
    /// Those that lead to their owners by a record.
    given: BTreeMap<CustomHost, Address>,
}

impl RecordedDomains {
    pub(super) fn new(now: Instant) -> Self {
        Self { scan: DomainScan::new(now), given: BTreeMap::new() }
    }

    /// Which part of the records is to be read now.
    pub(super) fn poll_cursor(&self, now: Instant) -> Option<u64> {
        self.scan.poll_cursor(now)
    }

    /// A part of the records was read.
    pub(super) fn handle_page(&mut self, state: &RelayState, page: &DomainPage) {
        let Some(mut recorded) = self.scan.handle_page(page, state.clock.now()) else { return };
        recorded.retain(|host, _| !is_own(state, host));
        let is_gone = |host: &CustomHost| !recorded.contains_key(host);
        for host in self.given.keys().filter(|host| is_gone(host)) {
            tracing::info!(%host, "no longer recorded as a custom domain");
            let name = PublicName::Host(host.clone());
            if state.names.owner(&name).is_none() {
                state.sessions.withdraw_name(&name);
            }
        }
        for (host, owner) in &recorded {
            let name = PublicName::Host(host.clone());
            let is_new = self.given.get(host) != Some(owner);
            // One that was claimed here meanwhile, and given up, leads nowhere by now.
            let is_lost = || matches!(state.sessions.find(host.as_str()), Err(NameError::OtherDomain { .. }));
            if state.names.owner(&name).is_none() && (is_new || is_lost()) {
                tracing::info!(%host, %owner, "recorded as a custom domain");
                state.sessions.give_name(name, *owner);
            }
        }
        self.given = recorded;
    }
}

/// Whether a host is the relay's, so that no record leads it elsewhere.
fn is_own(state: &RelayState, host: &CustomHost) -> bool {
    host.is_within(&state.settings.options.ingress.domain) || state.info.names.contains(host.as_str(), false)
}
