//! The registry's tunnels at this relay: what they carried is counted, and sessions end whose tunnel was deleted, disabled or given
//! another token.

use std::net::IpAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use hvym_tunnel_core::reason::DownReason;
use hvym_tunnel_core::relay::Owner;
use hvym_tunnel_net::timer::Timer;
use hvym_tunnel_registry::{
    AuditAction, RegistryError, RegistryObserver, TunnelChange, TunnelRegistry, TunnelUsage, unix_millis,
};

use crate::audit::{AuditKind, AuditRecord};
use crate::event::RelayEvent;
use crate::relay_state::RelayState;
use crate::sessions::AgentSession;

/// How often what was carried is counted.
const COUNT_INTERVAL: Duration = Duration::from_secs(10);
/// The close code of Tunely's relay for sessions that its operator ends.
const NORMAL_CLOSURE: u16 = 1000;

/// Brings what happens in the registry to the sessions of a relay.
struct TunnelChanges(Weak<RelayState>);

impl RegistryObserver for TunnelChanges {
    fn handle_changes(&self, changes: &[TunnelChange]) {
        let Some(state) = self.0.upgrade() else { return };
        if changes.iter().any(|change| matches!(change, TunnelChange::Deleted(_))) {
            state.sessions.set_guests(state.live.get().compat_agents.names());
        }
        for change in changes {
            // The texts of Tunely's relay; it does not end sessions of tunnels that are disabled.
            match change {
                TunnelChange::Created(domain) => state.sessions.add_guest(Arc::clone(domain)),
                TunnelChange::Rotated(domain) => end(&state, domain, "token rotated"),
                TunnelChange::Disabled(domain) => end(&state, domain, "tunnel disabled"),
                TunnelChange::Deleted(domain) => end(&state, domain, "tunnel revoked"),
                _ => {}
            }
        }
    }

    fn handle_database(&self, lost: Option<&RegistryError>) {
        if let Some(state) = self.0.upgrade() {
            state.emit(RelayEvent::TunnelDatabase(lost.cloned().map_or(Ok(()), Err)));
        }
    }
}

/// Ends the sessions of a tunnel.
fn end(state: &Arc<RelayState>, domain: &Arc<str>, reason: &str) {
    if state.live.get().compat_agents.has_tunnel(domain) {
        return;
    }
    let owner = Owner::Named(Arc::clone(domain));
    for live in state.sessions.sessions_of(&owner) {
        state.audit(AuditRecord::new(AuditKind::Kicked, reason).agent(owner.clone()));
        let closed = DownReason::Unknown { code: NORMAL_CLOSURE, reason: reason.to_owned() };
        live.session.with(|session, now| session.refuse(closed, now));
    }
}

/// Follows the registry, if there is one, from now on. The result counts what is carried.
pub(crate) fn observe(state: &Arc<RelayState>) -> Option<impl Future<Output = ()> + Send + use<>> {
    let registry = state.plugins.tunnels.clone()?;
    registry.observe(Arc::new(TunnelChanges(Arc::downgrade(state))));
    // Whatever changed between the start and now.
    state.sessions.set_guests(state.live.get().compat_agents.names());
    let state = Arc::downgrade(state);
    Some(async move {
        loop {
            Timer::after(COUNT_INTERVAL).await;
            let Some(state) = state.upgrade() else { return };
            record_all(&state);
        }
    })
}

/// Counts what the sessions carried, and writes everything.
pub(crate) async fn flush(state: &RelayState) {
    if let Some(registry) = &state.plugins.tunnels {
        record_all(state);
        registry.flush().await;
    }
}

/// Counts what all sessions have carried since they were last counted.
pub(crate) fn record_all(state: &RelayState) {
    state.sessions.all().iter().for_each(|live| record_usage(state, live));
}

/// Counts what a session has carried since it was last counted.
pub(crate) fn record_usage(state: &RelayState, live: &AgentSession) {
    let Some((registry, domain)) = registered(state, live.record.joined.get().map(|joined| &joined.owner))
    else {
        return;
    };
    let carried = live.session.counters();
    let all = TunnelUsage {
        requests: live.record.metrics.counts().total,
        bytes_in: carried.written,
        bytes_out: carried.read,
        connected_at: None,
    };
    let usage = live.record.take_usage(all);
    if usage != TunnelUsage::default() {
        registry.add_usage(domain, usage);
    }
}

/// The agent of a tunnel has logged in.
pub(crate) fn handle_login(state: &RelayState, domain: &Arc<str>) {
    if let Some(registry) = &state.plugins.tunnels {
        registry
            .add_usage(domain, TunnelUsage { connected_at: Some(unix_millis()), ..TunnelUsage::default() });
    }
}

/// A newer agent takes the place of an older one.
pub(crate) fn handle_takeover(state: &RelayState, owner: Option<&Owner>, source: IpAddr) {
    if let Some((registry, domain)) = registered(state, owner)
        && registry.get(domain).is_some()
    {
        registry.audit(
            AuditAction::Takeover,
            domain,
            "a newer agent took its place".to_owned(),
            Some(source),
        );
    }
}

fn registered<'a>(
    state: &'a RelayState,
    owner: Option<&'a Owner>,
) -> Option<(&'a TunnelRegistry, &'a Arc<str>)> {
    match (&state.plugins.tunnels, owner) {
        (Some(registry), Some(Owner::Named(domain))) => Some((registry, domain)),
        _ => None,
    }
}
