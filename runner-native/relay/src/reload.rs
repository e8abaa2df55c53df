//! Reads options, certificates, keys and lists of agents again: when they have changed, and when somebody asks for it.

use std::sync::Arc;
use std::time::Duration;

use hvym_tunnel_core::reason::DownReason;
use hvym_tunnel_core::relay::Owner;
use hvym_tunnel_net::timeout::within;
use smol::channel::bounded;

use crate::audit::{AuditKind, AuditRecord};
use crate::event::RelayEvent;
use crate::registry::{AgentListFileError, REGISTRY_TIMEOUT, Registry};
use crate::relay_state::RelayState;
use crate::tls::Tls;

/// How long whoever asks for a reload waits for what comes of it: the files are of this machine, and so are the keys.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

/// Reloads what has changed, or what was asked for, until it is dropped.
pub(crate) async fn run(state: Arc<RelayState>, tls: Option<Tls>) {
    loop {
        let asked = within(state.settings.certificate_poll, state.lifecycle.reloads.1.recv()).await;
        let mistakes = state.reload(tls.as_ref(), asked.is_some()).await;
        if let Some(Ok(Some(reply))) = asked {
            // Whoever asked may have gone.
            let _gone = reply.try_send(mistakes);
        }
    }
}

impl RelayState {
    /// Asks for options, certificates, keys and lists to be read again. The results are sent as events.
    pub(crate) fn request_reload(&self) {
        // A full channel means that it was asked for before.
        let _asked_already = self.lifecycle.reloads.0.try_send(None);
    }

    /// As [`Self::request_reload`], and waits for it.
    ///
    /// # Errors
    /// What is wrong with the files, of which what they said before stays in use.
    pub(crate) async fn reload_now(&self) -> Result<(), Vec<String>> {
        let (reply, mistakes) = bounded(1);
        let asking = async {
            self.lifecycle.reloads.0.send(Some(reply)).await.ok()?;
            mistakes.recv().await.ok()
        };
        match within(ANSWER_TIMEOUT, asking).await.flatten() {
            Some(mistakes) if mistakes.is_empty() => Ok(()),
            Some(mistakes) => Err(mistakes),
            None => Err(vec!["the files were not read in time".to_owned()]),
        }
    }

    /// Reads again what has changed, or all of it if somebody `asked`. Returns what is wrong, for whoever did.
    async fn reload(self: &Arc<Self>, tls: Option<&Tls>, asked: bool) -> Vec<String> {
        let mut mistakes = Vec::new();
        if asked && let Some(read) = &self.plugins.options {
            let changed =
                read().and_then(|options| self.take_over(options).map_err(|error| error.to_string()));
            mistakes.extend(changed.as_ref().err().cloned());
            self.emit(RelayEvent::Options(changed));
        }
        let certificates = tls.map(|tls| &tls.source);
        let certificate =
            certificates.and_then(|source| if asked { Some(source.reload()) } else { source.poll() });
        if let Some(reloaded) = certificate {
            mistakes.extend(reloaded.as_ref().err().map(ToString::to_string));
            self.emit(RelayEvent::Certificate(reloaded));
        }
        if asked && let Some(reloaded) = self.live.get().compat_agents.reload() {
            mistakes.extend(reloaded.as_ref().err().map(ToString::to_string));
            self.emit(RelayEvent::Keys(reloaded));
        }
        let registry = &self.plugins.registry;
        if let Some(reloaded) = if asked { registry.reload() } else { registry.poll() } {
            mistakes.extend(reloaded.as_ref().err().map(ToString::to_string));
            self.handle_registry_reload(reloaded).await;
        }
        mistakes
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
