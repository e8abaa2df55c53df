//! Reads certificates, keys and lists of agents again: when they have changed, and when somebody asks for it.

use std::sync::Arc;

use hvym_tunnel_core::reason::DownReason;
use hvym_tunnel_core::relay::Owner;
use hvym_tunnel_net::timeout::within;

use crate::audit::{AuditKind, AuditRecord};
use crate::event::RelayEvent;
use crate::registry::{AgentListFileError, REGISTRY_TIMEOUT, Registry};
use crate::relay_state::RelayState;
use crate::tls::Tls;

/// Reloads what has changed, or what was asked for, until it is dropped.
pub(crate) async fn run(state: Arc<RelayState>, tls: Option<Tls>) {
    loop {
        let asked = within(state.settings.certificate_poll, state.lifecycle.reloads.1.recv()).await.is_some();
        let certificates = tls.as_ref().map(|tls| &tls.source);
        let certificate =
            certificates.and_then(|source| if asked { Some(source.reload()) } else { source.poll() });
        if let Some(reloaded) = certificate {
            state.emit(RelayEvent::Certificate(reloaded));
        }
        if asked && let Some(reloaded) = state.live.get().compat_agents.reload() {
            state.emit(RelayEvent::Keys(reloaded));
        }
        let registry = &state.plugins.registry;
        if let Some(reloaded) = if asked { registry.reload() } else { registry.poll() } {
            state.handle_registry_reload(reloaded).await;
        }
    }
}

impl RelayState {
    /// Asks for certificates, keys and lists to be read again. The results are sent as events.
    pub(crate) fn request_reload(&self) {
        // A full channel means that it was asked for before.
        let _asked_already = self.lifecycle.reloads.0.try_send(());
    }

    /// The registry has read its list again. Ends the sessions of identities that it would not admit any more.
    async fn handle_registry_reload(self: &Arc<Self>, reloaded: Result<usize, AgentListFileError>) {
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
