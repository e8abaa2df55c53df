//! Which identities may be agents of this relay now: its lists, and the bans of its operator.

mod lists;

use std::sync::Arc;

use hvym_tunnel_core::reason::DownReason;
use hvym_tunnel_core::relay::Owner;
use hvym_tunnel_net::timeout::within;

use crate::audit::{AuditKind, AuditRecord};
use crate::registry::{AgentListFileError, REGISTRY_TIMEOUT, Registry};
use crate::relay_state::RelayState;
pub(crate) use lists::AgentLists;

impl RelayState {
    /// The registry has read its list again. Ends the sessions of identities that it would not admit any more.
    pub(crate) async fn handle_registry_reload(
        self: &Arc<Self>,
        reloaded: Result<usize, AgentListFileError>,
    ) {
        let agents = match reloaded {
            Ok(agents) => agents,
            Err(error) => return self.audit(AuditRecord::new(AuditKind::ListKept, error.to_string())),
        };
        self.audit(AuditRecord::new(AuditKind::ListLoaded, format!("{agents} agents are listed")));
        let registry: &dyn Registry = &*self.plugins.registry;
        for live in self.sessions.all() {
            let owner = live.record.joined.get().map(|joined| joined.owner.clone());
            let Some(Owner::Identity(address)) = owner else { continue };
            if let Some(Err(refusal)) = within(REGISTRY_TIMEOUT, registry.admit(address)).await {
                self.audit(
                    AuditRecord::new(AuditKind::Kicked, refusal.0.clone()).agent(Owner::Identity(address)),
                );
                live.session.with(|session, now| session.refuse(DownReason::NotAllowed(refusal.0), now));
            }
        }
    }
}
