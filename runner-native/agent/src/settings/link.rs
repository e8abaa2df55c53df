//! The settings of the link to the relay: where to dial, how to log in, when to dial again.

use std::path::PathBuf;
use std::time::Duration;

use hvym_tunnel_core::stellar::Address;

use hvym_tunnel_net::config::Keepalive;

use super::SettingsError;
use hvym_tunnel_net::target::RelayUrl;

/// The link of an agent to its relay.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LinkSettings {
    /// Where to dial. An agent cannot start without it.
    pub relay: Option<RelayUrl>,
    /// The relay's identity. If set, the agent signs for no other; if not, it trusts the relay that answers.
    pub relay_address: Option<Address>,
    /// A PEM file of certificate authorities to trust beside the public ones.
    pub relay_ca: Option<PathBuf>,
    /// Whether plain `ws://` may leave this machine.
    pub plain_relay: bool,
    /// How to prove the identity.
    pub auth: Auth,
    /// When to dial again, and when to give up.
    pub retry: RetrySettings,
    /// When a silent link counts as dead.
    pub keepalive: Keepalive,
}

impl LinkSettings {
    /// Whether the options make sense together.
    ///
    /// # Errors
    /// The first contradiction.
    pub fn check(&self) -> Result<(), SettingsError> {
        if let Some(relay) = &self.relay
            && !(relay.tls || self.plain_relay || relay.is_loopback())
        {
            return Err(SettingsError::PlaintextRelay(relay.clone()));
        }
        if self.auth == Auth::Bearer && self.relay.is_some() && self.relay_address.is_none() {
            return Err(SettingsError::BearerWithoutAddress);
        }
        if self.retry.initial > self.retry.max {
            return Err(SettingsError::BackoffOrder);
        }
        Ok(())
    }
}

/// How an agent proves who it is.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub enum Auth {
    /// It signs the relay's challenge, which cannot be replayed.
    #[default]
    Challenge,
    /// It sends a token with the upgrade: one round trip less, but the token can be replayed until it expires.
    Bearer,
}

/// When an agent dials again, and when it gives up.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct RetrySettings {
    /// Whether a relay that cannot be reached is dialled again; if not, the agent ends.
    pub again: bool,
    /// The agent ends when the relay has been out of reach for this long, at the start or later.
    pub give_up_after: Option<Duration>,
    /// The longest first delay. Too short, and a relay that restarts meets all its agents at once.
    pub initial: Duration,
    /// The longest delay. Too long, and agents stay away after the relay is back.
    pub max: Duration,
}

impl Default for RetrySettings {
    fn default() -> Self {
        RetrySettings {
            again: true,
            give_up_after: None,
            initial: Duration::from_secs(1),
            max: Duration::from_secs(60),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(relay: &str) -> LinkSettings {
        LinkSettings { relay: Some(relay.parse().expect("a relay")), ..LinkSettings::default() }
    }

    #[test]
    fn plain_text_leaves_this_machine_only_when_asked() {
        assert_eq!(link("ws://localhost").check(), Ok(()));
        assert_eq!(link("wss://relay.example").check(), Ok(()));
        let away = link("ws://relay.example");
        assert!(
            matches!(away.check(), Err(SettingsError::PlaintextRelay(relay)) if relay.host == "relay.example")
        );
        assert_eq!(LinkSettings { plain_relay: true, ..away }.check(), Ok(()));
    }

    #[test]
    fn a_first_delay_over_the_longest_is_a_contradiction() {
        let retry = RetrySettings { initial: Duration::from_secs(61), ..RetrySettings::default() };
        assert_eq!(LinkSettings { retry, ..link("relay.example") }.check(), Err(SettingsError::BackoffOrder));
    }
}
