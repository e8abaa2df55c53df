//! The options that a relay takes over while it runs: the agents of other systems, the origins of pages, and the limits of
//! visitors.

use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use hvym_tunnel_net::secret::{Fingerprint, Secret};
use hvym_tunnel_registry::TunnelRegistry;

use crate::compat_agents::{CompatAgents, KeysError};
use crate::config::{GuestOptions, RelayOptions, WebhookOptions};

/// Those options as they are now.
pub(crate) struct LiveOptions(RwLock<Arc<CurrentOptions>>);

/// One set of them.
#[derive(Debug, Default)]
pub(crate) struct CurrentOptions {
    pub(crate) compat_agents: CompatAgents,
    /// The origins whose pages may connect as agents; empty is every origin.
    pub(crate) origins: Vec<String>,
    guests: GuestOptions,
    /// Of the file of its own.
    admin_key: Option<Fingerprint>,
}

impl CurrentOptions {
    /// Those of `options`, with the tunnels of `registry`.
    ///
    /// # Errors
    /// The keys that verify tokens cannot be loaded.
    pub(crate) fn new(options: &RelayOptions, registry: Option<TunnelRegistry>) -> Result<Self, KeysError> {
        let (guests, origins) = (options.guests.clone(), options.admission.origins.clone());
        let admin_key = options.admin.admin_key_file.as_deref().map(admin_key).transpose()?;
        Ok(Self { compat_agents: CompatAgents::new(&guests, registry)?, origins, guests, admin_key })
    }

    /// Whether this is the operator's key.
    pub(crate) fn is_operator(&self, key: &[u8]) -> bool {
        self.is_operator_key(&Fingerprint::new(key))
    }

    /// Whether this is the hash of the operator's key. Compares in constant time.
    pub(crate) fn is_operator_key(&self, shown: &Fingerprint) -> bool {
        // Both are compared, so that the time does not tell which there is.
        self.operator_keys().filter(|known| known.matches(shown)).count() > 0
    }

    /// Whether the operator has a key.
    pub(crate) fn has_operator_key(&self) -> bool {
        self.operator_keys().next().is_some()
    }

    fn operator_keys(&self) -> impl Iterator<Item = &Fingerprint> {
        let tunely = self.guests.tunely.as_ref().and_then(|tunely| tunely.admin_key.as_ref());
        [self.admin_key.as_ref(), tunely].into_iter().flatten()
    }

    /// Who is told that agents come and go.
    pub(crate) fn webhook(&self) -> Option<&WebhookOptions> {
        self.guests.webhook.as_ref()
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

/// The operator's key in this file.
fn admin_key(path: &Path) -> Result<Fingerprint, KeysError> {
    /// Whoever guesses 16 random letters needs longer than anybody has.
    const MIN_CHARACTERS: usize = 16;
    let secret = Secret::from_file(path)?;
    if secret.bytes().len() < MIN_CHARACTERS {
        return Err(KeysError::ShortAdminKey { path: path.display().to_string() });
    }
    Ok(Fingerprint::new(secret.bytes()))
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

/// The groups of options in which these differ, beyond what [`RelayState::take_over`](crate::relay_state::RelayState::take_over) takes over: they need a restart.
pub(crate) fn beyond_reload(before: &RelayOptions, after: &RelayOptions) -> Vec<&'static str> {
    let taken_over = |options: &RelayOptions| {
        let mut options = options.clone();
        options.admission.origins.clone_from(&after.admission.origins);
        options.admin.admin_key_file.clone_from(&after.admin.admin_key_file);
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
        ("admin_listen or operator", before.admin != after.admin),
        ("restarts", before.restart != after.restart),
        ("other relays", before.cluster != after.cluster),
        ("connections to services", before.upstream != after.upstream),
        ("names", before.names != after.names),
        ("tunnel_port", before.tunnel_ports != after.tunnel_ports),
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
    fn the_operator_has_the_key_of_either_file_and_nobody_a_short_one() {
        let path = std::env::temp_dir().join(format!("hvym-tunnel-admin-key-{}", std::process::id()));
        let options = |key: &str| {
            std::fs::write(&path, key).expect("a file");
            #[cfg(unix)]
            {
                use std::os::unix::fs::PermissionsExt;
                std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("it is ours");
            }
            let tunely =
                TunelyOptions { admin_key: Some(Fingerprint::new(b"theirs")), ..TunelyOptions::default() };
            let mut options = RelayOptions::default();
            options.admin.admin_key_file = Some(path.clone());
            options.guests.tunely = Some(tunely);
            CurrentOptions::new(&options, None)
        };
        let current = options("0123456789abcdef\n").expect("a key");
        let known = ["0123456789abcdef", "theirs", "", "0123456789abcdeg"]
            .map(|key| current.is_operator(key.as_bytes()));
        assert_eq!(known, [true, true, false, false]);
        assert!(!CurrentOptions::default().is_operator(b""));
        assert!(current.has_operator_key() && !CurrentOptions::default().has_operator_key());
        assert!(matches!(options("0123456789abcde"), Err(KeysError::ShortAdminKey { .. })));
        std::fs::remove_file(&path).expect("it was ours");
        let gone = RelayOptions {
            admin: crate::config::AdminSettings { admin_key_file: Some(path), ..Default::default() },
            ..RelayOptions::default()
        };
        assert!(matches!(CurrentOptions::new(&gone, None), Err(KeysError::AdminKey(_))));
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
