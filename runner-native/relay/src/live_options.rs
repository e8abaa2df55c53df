//! The options that a relay takes over while it runs: the agents of other systems, the origins of pages, and the limits of
//! visitors.

use std::sync::{Arc, PoisonError, RwLock};

use hvym_tunnel_net::secret::Fingerprint;
use hvym_tunnel_registry::TunnelRegistry;

use crate::compat_agents::{CompatAgents, KeysError};
use crate::config::{GuestOptions, RelayOptions};

/// Those options as they are now.
pub(crate) struct LiveOptions(RwLock<Arc<CurrentOptions>>);

/// One set of them.
#[derive(Debug, Default)]
pub(crate) struct CurrentOptions {
    pub(crate) compat_agents: CompatAgents,
    /// The origins whose pages may connect as agents; empty is every origin.
    pub(crate) origins: Vec<String>,
    guests: GuestOptions,
}

impl CurrentOptions {
    /// Those of `options`, with the tunnels of `registry`.
    ///
    /// # Errors
    /// The keys that verify tokens cannot be loaded.
    pub(crate) fn new(options: &RelayOptions, registry: Option<TunnelRegistry>) -> Result<Self, KeysError> {
        let (guests, origins) = (options.guests.clone(), options.admission.origins.clone());
        Ok(Self { compat_agents: CompatAgents::new(&guests, registry)?, origins, guests })
    }

    /// Whether this is the operator's key. Compares fingerprints in constant time.
    pub(crate) fn is_operator(&self, key: &[u8]) -> bool {
        let known = self.guests.tunely.as_ref().and_then(|tunely| tunely.admin_key.as_ref());
        known.is_some_and(|known| known.matches(&Fingerprint::new(key)))
    }

    /// Whether everybody may list the connected agents.
    pub(crate) fn is_list_public(&self) -> bool {
        self.guests.public_tunnels
    }

    /// Whether the agent called `name`, which `earlier` options let in, is let in by these too.
    pub(crate) fn keeps(&self, earlier: &CurrentOptions, name: &str) -> bool {
        let tunnel = |options: &CurrentOptions| {
            options.guests.tunely.as_ref().and_then(|tunely| tunely.tunnels.get(name)).cloned()
        };
        match (tunnel(earlier), tunnel(self)) {
            (Some(before), Some(now)) => now.enabled && before.token == now.token,
            (Some(_), None) | (None, Some(_)) => false,
            (None, None) if self.compat_agents.is_registered(name) => true,
            (None, None) => {
                let account = |options: &CurrentOptions| {
                    let cloud = options.guests.cloud.as_ref()?;
                    let given = cloud.names.iter().find(|(_, given)| ***given == *name);
                    let claim = given.map_or_else(|| name.to_owned(), |(claim, _)| claim.clone());
                    Some((cloud.issuer.clone(), cloud.audience.clone(), cloud.name_claim.clone(), claim))
                };
                account(self).is_some() && account(self) == account(earlier)
            }
        }
    }
}

impl LiveOptions {
    pub(crate) fn new(options: CurrentOptions) -> Self {
        Self(RwLock::new(Arc::new(options)))
    }

    /// As they are now.
    pub(crate) fn get(&self) -> Arc<CurrentOptions> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn replace(&self, options: CurrentOptions) -> Arc<CurrentOptions> {
        let mut current = self.0.write().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *current, Arc::new(options))
    }
}

/// The groups of options in which these differ, beyond what [`RelayState::apply`](crate::relay_state::RelayState::apply) takes over: they need a restart.
pub(crate) fn beyond_reload(before: &RelayOptions, after: &RelayOptions) -> Vec<&'static str> {
    let taken_over = |options: &RelayOptions| {
        let mut options = options.clone();
        options.admission.origins.clone_from(&after.admission.origins);
        let (limits, visitors) = (&after.limits, &after.visitors);
        options.limits.connections = limits.connections;
        options.limits.requests = limits.requests;
        options.limits.service_requests = limits.service_requests;
        (options.visitors.connections, options.visitors.rate) = (visitors.connections, visitors.rate);
        (options.visitors.requests, options.visitors.tunnels) = (visitors.requests, visitors.tunnels);
        options.visitors.resets = visitors.resets;
        options
    };
    let (before, after) = (taken_over(before), after);
    let groups = [
        ("listen, domain or tcp_ports", before.ingress != after.ingress),
        ("TLS and public URLs", before.public != after.public),
        ("HTTPS and certificates", before.https != after.https),
        ("which agents are taken", before.admission != after.admission),
        ("who may be an agent", before.access != after.access),
        ("logins", before.login != after.login),
        ("the state folder", before.state != after.state),
        ("restarts", before.restart != after.restart),
        ("connections to services", before.upstream != after.upstream),
        ("names", before.names != after.names),
        ("sealing", before.guests.seal != after.guests.seal),
        ("whether tunely is served", before.guests.tunely.is_some() != after.guests.tunely.is_some()),
        ("links", before.keepalive != after.keepalive),
        ("timeouts, or limits of agents", before.limits != after.limits || before.visitors != after.visitors),
    ];
    groups.into_iter().filter(|(_, differ)| *differ).map(|(group, _)| group).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Limits, TunelyOptions, TunelyTunnel};

    /// Options with one tunnel of tunely.
    fn tunnel(name: &str, token: &str, enabled: bool) -> CurrentOptions {
        let tunnel = TunelyTunnel { token: Fingerprint::new(token.as_bytes()), enabled };
        let tunely = TunelyOptions { tunnels: [(name.into(), tunnel)].into(), ..TunelyOptions::default() };
        let guests = GuestOptions { tunely: Some(tunely), ..GuestOptions::default() };
        let options = RelayOptions { guests, ..RelayOptions::default() };
        CurrentOptions::new(&options, None).expect("no keys to load")
    }

    #[test]
    fn an_agent_stays_as_long_as_its_tunnel_and_its_token_do() {
        let before = tunnel("app", "one", true);
        assert!(tunnel("app", "one", true).keeps(&before, "app"));
        for after in [
            tunnel("app", "one", false),
            tunnel("app", "two", true),
            tunnel("other", "one", true),
            CurrentOptions::default(),
        ] {
            assert!(!after.keeps(&before, "app"), "{after:?}");
        }
    }

    #[test]
    fn what_is_taken_over_needs_no_restart_and_the_rest_is_named() {
        let before = RelayOptions::default();
        let mut after = before.clone();
        after.admission.origins = vec!["https://a.example".to_owned()];
        after.limits.connections = 7;
        after.visitors.tunnels = Some(3);
        assert_eq!(beyond_reload(&before, &after), Vec::<&str>::new());
        after.limits = Limits { sessions: 9, ..after.limits };
        after.ingress.domain = "other.example".to_owned();
        assert_eq!(
            beyond_reload(&before, &after),
            ["listen, domain or tcp_ports", "timeouts, or limits of agents"]
        );
    }
}
