//! Takes over options while the relay runs.

use std::sync::Arc;

use hvym_tunnel_core::reason::DownReason;
use hvym_tunnel_core::relay::Owner;
use hvym_tunnel_net::runtime::spawn;

use crate::audit::{AuditKind, AuditRecord};
use crate::compat_agents::KeysError;
use crate::config::RelayOptions;
use crate::error::RelayError;
use crate::event::RelayEvent;
use crate::live_options::{CurrentOptions, beyond_reload};
use crate::relay_state::RelayState;

impl RelayState {
    /// Checks options, and takes over what of them may change while the relay runs. Returns the groups that differ from those at
    /// the start, and have an effect after a restart only.
    ///
    /// # Errors
    /// They contradict each other, or a file that they name cannot be used; nothing has changed then.
    pub(crate) fn take_over(
        self: &Arc<Self>,
        mut options: RelayOptions,
    ) -> Result<Vec<&'static str>, RelayError> {
        options.check()?;
        options.load_guests()?;
        self.apply(&options)?;
        Ok(beyond_reload(&self.settings.options, &options))
    }

    /// Takes over what may change while the relay runs, all of it or nothing. Agents that are let in no more are cut off.
    ///
    /// # Errors
    /// The keys that verify tokens cannot be loaded.
    fn apply(self: &Arc<Self>, options: &RelayOptions) -> Result<(), KeysError> {
        let current = CurrentOptions::new(options, self.plugins.tunnels.clone())?;
        let names = current.compat_agents.names();
        current.compat_agents.keep_keys(&self.live.get().compat_agents);
        let earlier = self.live.replace(current);
        self.fetch_keys();
        let current = self.live.get();
        self.sessions.set_guests(names);
        self.limits.set_config(options.visitors.counted(&options.limits));
        for live in self.sessions.all() {
            let owner = live.record.joined.get().map(|joined| joined.owner.clone());
            let Some(Owner::Named(name)) = owner else { continue };
            if current.keeps(&earlier, &name) {
                continue;
            }
            let reason = "the relay's operator lets this agent in no more";
            self.audit(AuditRecord::new(AuditKind::Kicked, reason).agent(Owner::Named(name)));
            live.session.with(|session, now| session.refuse(DownReason::NotAllowed(reason.to_owned()), now));
        }
        Ok(())
    }

    /// Fetches the keys that check tokens, if the options say where, until they are replaced.
    pub(crate) fn fetch_keys(self: &Arc<Self>) {
        let Some(fetch) = self.live.get().compat_agents.key_fetch() else { return };
        let state = Arc::downgrade(self);
        let report = move |outcome| {
            if let Some(state) = state.upgrade() {
                state.emit(RelayEvent::Keys(outcome));
            }
        };
        spawn(fetch.run(report)).detach();
    }
}
