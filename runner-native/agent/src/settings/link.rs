//! The settings of the link to the relay: where to dial, how to log in, when to dial again.

use std::path::PathBuf;
use std::time::Duration;

use hvym_tunnel_core::backoff::BackoffConfig;
use hvym_tunnel_core::handshake::AuthMode;
use hvym_tunnel_core::stellar::Address;
use hvym_tunnel_net::config::KeepaliveSettings;
use hvym_tunnel_net::seconds;
use hvym_tunnel_net::target::RelayUrl;
use serde::{Deserialize, Serialize};

use super::SettingsError;

/// The link of an agent to its relay.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "clap", derive(clap::Args), command(next_help_heading = "Relay"))]
pub struct LinkSettings {
    /// Where to dial. An agent cannot start without it.
    #[cfg_attr(
        feature = "clap",
        arg(
            long,
            value_name = "URL",
            env = "HVYM_TUNNEL_RELAY",
            hide_env = true,
            help = "The relay to connect to: a host name, wss://host:port or ws://localhost:4896",
            long_help = "The relay to connect to: a host name, wss://host:port or ws://localhost:4896\n\n\
            Without it the agent starts a relay of its own, which only this machine can visit.",
        )
    )]
    pub relay: Option<RelayUrl>,
    /// Other relays that lead to the same names: dialled in turn when the link ends or cannot be had. They have the identity of the first.
    #[cfg_attr(
        feature = "clap",
        arg(
            long = "standby-relay",
            value_name = "URL",
            value_delimiter = ',',
            requires = "relay",
            env = "HVYM_TUNNEL_STANDBY_RELAY",
            hide_env = true,
            help = "Connect to this relay when the other is away, and back when this one is; repeat for more",
            long_help = "Connect to this relay when the other is away, and back when this one is; repeat for more\n\n\
            For relays that serve one domain together and have the same identity. Where one name leads to all of them by DNS, that name \
            alone is enough.",
        )
    )]
    pub standby_relays: Vec<RelayUrl>,
    /// The relay's identity. If set, the agent signs for no other; if not, it trusts the relay that answers.
    #[cfg_attr(
        feature = "clap",
        arg(
            long,
            value_name = "ADDRESS",
            requires = "relay",
            env = "HVYM_TUNNEL_RELAY_ADDRESS",
            hide_env = true,
            help = "The address of that relay; no other is believed",
        )
    )]
    pub relay_address: Option<Address>,
    /// A PEM file of certificate authorities to trust beside the public ones.
    #[cfg_attr(
        feature = "clap",
        arg(
            long,
            value_name = "FILE",
            requires = "relay",
            env = "HVYM_TUNNEL_RELAY_CA",
            hide_env = true,
            help = "Trust this certificate authority (PEM) beside the public ones",
        )
    )]
    pub relay_ca: Option<PathBuf>,
    /// A file with the delegation that lets the identity act for another one, as whom it then logs in.
    #[cfg_attr(
        feature = "clap",
        arg(
            long,
            value_name = "FILE",
            env = "HVYM_TUNNEL_DELEGATION",
            hide_env = true,
            help = "Act for the owner of this delegation (hvym-tunnel identity delegate)",
        )
    )]
    pub delegation: Option<PathBuf>,
    /// Whether plain `ws://` may leave this machine.
    #[cfg_attr(
        feature = "clap",
        arg(
            long,
            env = "HVYM_TUNNEL_PLAIN_RELAY",
            hide_env = true,
            help = "Allow ws:// to another machine, where everything can be read on the way",
        )
    )]
    pub plain_relay: bool,
    /// How to prove the identity.
    #[cfg_attr(
        feature = "clap",
        arg(
            long,
            value_enum,
            default_value_t,
            env = "HVYM_TUNNEL_AUTH",
            hide_env = true,
            help = "How to prove who you are; bearer needs --relay-address",
        )
    )]
    pub auth: Auth,
    /// When to dial again, and when to give up.
    #[cfg_attr(feature = "clap", command(flatten))]
    pub retry: RetrySettings,
    /// When a silent link counts as dead.
    #[cfg_attr(feature = "clap", command(flatten))]
    pub keepalive: KeepaliveSettings,
    /// How long a login token is valid. It is used within seconds, but clocks differ, and older systems give an hour.
    #[serde(with = "seconds")]
    #[cfg_attr(feature = "clap", arg(skip = TOKEN_LIFETIME))]
    pub token_lifetime: Duration,
}

/// As long as the tokens of older systems are valid.
const TOKEN_LIFETIME: Duration = Duration::from_secs(3600);

impl Default for LinkSettings {
    fn default() -> Self {
        Self {
            relay: None,
            standby_relays: Vec::new(),
            relay_address: None,
            relay_ca: None,
            delegation: None,
            plain_relay: false,
            auth: Auth::default(),
            retry: RetrySettings::default(),
            keepalive: KeepaliveSettings::default(),
            token_lifetime: TOKEN_LIFETIME,
        }
    }
}

impl LinkSettings {
    /// Whether the options make sense together.
    ///
    /// # Errors
    /// The first contradiction.
    pub fn check(&self) -> Result<(), SettingsError> {
        let mut relays = self.relay.iter().chain(&self.standby_relays);
        if let Some(relay) = relays.find(|relay| !(relay.tls || self.plain_relay || relay.is_loopback())) {
            return Err(SettingsError::PlaintextRelay(relay.clone()));
        }
        if self.auth == Auth::Bearer && self.relay.is_some() && self.relay_address.is_none() {
            return Err(SettingsError::BearerWithoutAddress);
        }
        if self.retry.backoff_initial > self.retry.backoff_max {
            return Err(SettingsError::BackoffOrder);
        }
        Ok(())
    }
}

/// How an agent proves who it is.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
pub enum Auth {
    /// It signs the relay's challenge, which cannot be replayed.
    #[default]
    #[cfg_attr(feature = "clap", value(help = "Sign what the relay asks"))]
    Challenge,
    /// It sends a token with the upgrade: one round trip less, but the token can be replayed until it expires.
    #[cfg_attr(feature = "clap", value(help = "Send a token along, which saves a round trip"))]
    Bearer,
}

impl From<Auth> for AuthMode {
    fn from(auth: Auth) -> Self {
        match auth {
            Auth::Challenge => AuthMode::Challenge,
            Auth::Bearer => AuthMode::Bearer,
        }
    }
}

/// When an agent dials again, and when it gives up.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "clap", derive(clap::Args), command(next_help_heading = "When the relay is away"))]
pub struct RetrySettings {
    /// Whether the agent ends when the relay cannot be reached, instead of dialling again.
    #[cfg_attr(
        feature = "clap",
        arg(
            long,
            env = "HVYM_TUNNEL_NO_RETRY",
            hide_env = true,
            help = "Stop (exit 6) instead of connecting again",
        )
    )]
    pub no_retry: bool,
    /// The agent ends when the relay has been out of reach for this long, at the start or later.
    #[serde(with = "seconds::optional")]
    #[cfg_attr(feature = "clap", arg(
        long, value_name = "SECS", value_parser = seconds::parse, env = "HVYM_TUNNEL_TIMEOUT", hide_env = true,
        help = "Stop (exit 6) when the relay has been out of reach for this long",
    ))]
    pub timeout: Option<Duration>,
    /// The longest first delay. Too short, and a relay that restarts meets all its agents at once.
    #[serde(with = "seconds")]
    #[cfg_attr(feature = "clap", arg(
        long, value_name = "SECS", value_parser = seconds::parse, default_value = "1",
        env = "HVYM_TUNNEL_BACKOFF_INITIAL", hide_env = true,
        help = "Wait up to this long before the second attempt; it doubles from there",
    ))]
    pub backoff_initial: Duration,
    /// The longest delay. Too long, and agents stay away after the relay is back.
    #[serde(with = "seconds")]
    #[cfg_attr(feature = "clap", arg(
        long, value_name = "SECS", value_parser = seconds::parse, default_value = "60",
        env = "HVYM_TUNNEL_BACKOFF_MAX", hide_env = true,
        help = "Never wait longer than this",
    ))]
    pub backoff_max: Duration,
    /// By how much the delay grows with each failure, in thousandths: 2000 doubles it.
    #[cfg_attr(feature = "clap", arg(skip = BackoffConfig::default().multiplier_permille))]
    pub backoff_multiplier: u32,
}

impl Default for RetrySettings {
    /// For ever, with the delays of the core: 1 s at first, twice as much each time, 60 s at most.
    fn default() -> Self {
        let BackoffConfig { initial, max, multiplier_permille, .. } = BackoffConfig::default();
        Self {
            no_retry: false,
            timeout: None,
            backoff_initial: initial,
            backoff_max: max,
            backoff_multiplier: multiplier_permille,
        }
    }
}

impl From<RetrySettings> for BackoffConfig {
    fn from(settings: RetrySettings) -> Self {
        Self {
            initial: settings.backoff_initial,
            max: settings.backoff_max,
            multiplier_permille: settings.backoff_multiplier,
            ..Self::default()
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
        assert_eq!(LinkSettings { plain_relay: true, ..away.clone() }.check(), Ok(()));
        let standby_relays = away.relay.into_iter().collect();
        let standby = LinkSettings { standby_relays, ..link("wss://relay.example") };
        assert!(matches!(standby.check(), Err(SettingsError::PlaintextRelay(_))));
    }

    #[test]
    fn a_first_delay_over_the_longest_is_a_contradiction() {
        let retry = RetrySettings { backoff_initial: Duration::from_secs(61), ..RetrySettings::default() };
        assert_eq!(LinkSettings { retry, ..link("relay.example") }.check(), Err(SettingsError::BackoffOrder));
    }

    #[test]
    fn a_file_names_settings_as_the_command_line_does() {
        let text = r#"{"relay": "tunnel.example", "auth": "bearer", "retry": {"timeout": 90, "backoff_max": 0.5},
            "keepalive": {"ping_interval": 20}}"#;
        let read: LinkSettings = serde_json::from_str(text).expect("settings");
        let retry = RetrySettings {
            timeout: Some(Duration::from_secs(90)),
            backoff_max: Duration::from_millis(500),
            ..RetrySettings::default()
        };
        let keepalive =
            KeepaliveSettings { ping_interval: Duration::from_secs(20), ..KeepaliveSettings::default() };
        assert_eq!(read, LinkSettings { auth: Auth::Bearer, retry, keepalive, ..link("tunnel.example") });
        let written = serde_json::to_string(&read).expect("a text");
        assert_eq!(serde_json::from_str::<LinkSettings>(&written).ok(), Some(read));
        for wrong in
            [r#"{"relais": "x"}"#, r#"{"retry": {"timeout": 0}}"#, r#"{"keepalive": {"interval": 1}}"#]
        {
            assert!(serde_json::from_str::<LinkSettings>(wrong).is_err(), "{wrong}");
        }
    }
}
