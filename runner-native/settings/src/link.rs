//! One link of the settings file: which relay, as whom, when to dial again.

use std::path::{Path, PathBuf};
use std::time::Duration;

use hvym_tunnel_agent::settings::{Auth, CompatSystem, KeepaliveSettings, LinkSettings, RetrySettings};
use hvym_tunnel_core::stellar::Address;
use hvym_tunnel_net::external_signer::{SOCKET_PREFIX, SignerPlace};
use hvym_tunnel_net::target::{RelayUrl, ServiceName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::number::{Decimal, Whole};

/// A link to a relay.
// Fields: one for each key.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LinkEntry {
    /// What it is called here, at most 40 of `a-z`, `0-9` and `-`. Only needed where there are several.
    #[serde(default = "default_name")]
    #[schemars(schema_with = "crate::schema::name")]
    pub name: ServiceName,
    /// The relay: a host name, `wss://host:port`, or `ws://` for this machine.
    #[schemars(schema_with = "crate::schema::relay")]
    pub relay: RelayUrl,
    /// Other relays of the same names and the same identity, to which it connects while that one is away.
    #[serde(default)]
    #[schemars(schema_with = "crate::schema::relays")]
    pub standby_relays: Vec<RelayUrl>,
    /// The address of that relay; no other is believed.
    #[serde(default)]
    #[schemars(schema_with = "crate::schema::optional_address")]
    pub relay_address: Option<Address>,
    /// A certificate authority (PEM) to trust beside the public ones.
    #[serde(default)]
    pub relay_ca: Option<PathBuf>,
    /// Whether `ws://` may lead to another machine, where everything can be read on the way.
    #[serde(default)]
    pub plain_relay: bool,
    /// Whether it exists at all.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Whether it connects when the program starts.
    #[serde(default = "yes")]
    pub auto_connect: bool,
    /// The file of the secret that proves who the agent is. Without it `identity.key` beside this file.
    #[serde(default)]
    pub identity: Option<PathBuf>,
    /// The Unix socket of a program that has the key and signs, in place of `identity`: `unix:/run/user/1000/signer.sock`.
    #[serde(default, deserialize_with = "crate::schema::read_signer")]
    #[schemars(schema_with = "crate::schema::optional_signer")]
    pub signer: Option<String>,
    /// A program that has the key and signs, and its arguments; it is started for each question.
    #[serde(default, deserialize_with = "crate::schema::read_command")]
    #[schemars(schema_with = "crate::schema::optional_command")]
    pub signer_command: Option<Vec<String>>,
    /// The file of a delegation by which it acts for somebody else.
    #[serde(default)]
    pub delegation: Option<PathBuf>,
    /// What the relay speaks, if it is a server that knows agents by tokens.
    #[serde(default)]
    pub dialect: LinkSystem,
    /// The file of the token for such a server, read anew before each start of the link. Without it and `token_command`,
    /// `NAME.token` beside this file.
    #[serde(default)]
    pub token_file: Option<PathBuf>,
    /// A program that writes the token to its standard output, and its arguments.
    #[serde(default, deserialize_with = "crate::schema::read_command")]
    #[schemars(schema_with = "crate::schema::optional_command")]
    pub token_command: Option<Vec<String>>,
    /// For whom the token must be made (`aud`); one for somebody else is not shown to the server.
    #[serde(default)]
    pub audience: Option<String>,
    /// Whether it takes the place of another agent with the same token (tunely).
    #[serde(default)]
    pub force: bool,
    /// How it proves who it is; `bearer` needs `relay_address`.
    #[serde(default)]
    #[schemars(schema_with = "crate::schema::auth_words")]
    pub auth: Auth,
    /// The names to ask the relay for.
    #[serde(default, deserialize_with = "crate::schema::read_public_names")]
    pub names: Vec<String>,
    /// Seconds that a login token is valid. Clocks differ, so not less than a minute.
    #[serde(default)]
    pub jwt_lifetime: Whole<60, 86_400, 3600>,
    /// Seconds before the second attempt to connect, at most.
    #[serde(default)]
    pub reconnect_delay: Decimal<1, 86_400_000, 1000>,
    /// By how much that grows with each failure.
    #[serde(default)]
    pub reconnect_multiplier: Decimal<1000, 10_000, 2000>,
    /// Seconds that are never exceeded.
    #[serde(default)]
    pub max_reconnect_delay: Decimal<1, 86_400_000, 60_000>,
    /// Seconds without a sign of life before one is asked for.
    #[serde(default)]
    pub ping_interval: Decimal<1, 86_400_000, 10_000>,
    /// Seconds more before the link counts as dead.
    #[serde(default)]
    pub ping_timeout: Decimal<1, 86_400_000, 5000>,
}

/// What a relay speaks.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LinkSystem {
    /// What it says itself: a relay of hvym-tunnel, or an existing HVYM server.
    #[default]
    Auto,
    /// A tunely server.
    Tunely,
    /// A CloudToLocalLLM relay.
    Cloud,
}

/// The token of a link cannot be used. No variant holds it.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum LinkError {
    /// It was made for somebody else.
    #[error("the token is not made for {0} (its claim aud names others)")]
    Audience(String),
    /// It names nobody.
    #[error("audience is set, and the token is no JWT that names one")]
    NoAudience,
}

fn yes() -> bool {
    true
}

fn default_name() -> ServiceName {
    "main".parse().expect("main is a name")
}

impl LinkEntry {
    /// A link with defaults for everything else.
    pub fn new(name: ServiceName, relay: RelayUrl) -> Self {
        Self {
            name,
            relay,
            standby_relays: Vec::new(),
            relay_address: None,
            relay_ca: None,
            plain_relay: false,
            enabled: true,
            auto_connect: true,
            identity: None,
            signer: None,
            signer_command: None,
            delegation: None,
            dialect: LinkSystem::default(),
            token_file: None,
            token_command: None,
            audience: None,
            force: false,
            auth: Auth::default(),
            names: Vec::new(),
            jwt_lifetime: Whole::default(),
            reconnect_delay: Decimal::default(),
            reconnect_multiplier: Decimal::default(),
            max_reconnect_delay: Decimal::default(),
            ping_interval: Decimal::default(),
            ping_timeout: Decimal::default(),
        }
    }

    /// The system of a server that knows agents by tokens.
    pub fn system(&self) -> Option<CompatSystem> {
        match self.dialect {
            LinkSystem::Auto => None,
            LinkSystem::Tunely => Some(CompatSystem::Tunely),
            LinkSystem::Cloud => Some(CompatSystem::CloudLlm),
        }
    }

    /// The link as an agent takes it. `folder` is where relative paths count from.
    pub fn settings(&self, folder: &Path) -> LinkSettings {
        LinkSettings {
            standby_relays: self.standby_relays.clone(),
            relay: Some(self.relay.clone()),
            relay_address: self.relay_address,
            relay_ca: self.relay_ca.as_deref().map(|path| folder.join(path)),
            delegation: self.delegation.as_deref().map(|path| folder.join(path)),
            plain_relay: self.plain_relay,
            auth: self.auth,
            retry: RetrySettings {
                backoff_initial: self.reconnect_delay.seconds(),
                backoff_max: self.max_reconnect_delay.seconds(),
                backoff_multiplier: self.reconnect_multiplier.thousandths(),
                ..RetrySettings::default()
            },
            keepalive: KeepaliveSettings {
                ping_interval: self.ping_interval.seconds(),
                ping_timeout: self.ping_timeout.seconds(),
            },
            token_lifetime: Duration::from_secs(self.jwt_lifetime.get().into()),
        }
    }

    /// The file of the identity.
    pub fn identity_file(&self, folder: &Path) -> PathBuf {
        folder.join(self.identity.as_deref().unwrap_or(Path::new("identity.key")))
    }

    /// The program that has the key, if the agent does not hold one.
    pub fn signer_place(&self, folder: &Path) -> Option<SignerPlace> {
        let path = self.signer.as_deref().and_then(|signer| signer.strip_prefix(SOCKET_PREFIX));
        let socket = path.map(|path| SignerPlace::Socket(folder.join(path)));
        socket.or_else(|| self.signer_command.clone().map(SignerPlace::Command))
    }

    /// The file of the token, unless a program writes it.
    pub fn token_file(&self, folder: &Path) -> Option<PathBuf> {
        match (&self.token_command, &self.token_file) {
            (Some(_), _) => None,
            (None, Some(path)) => Some(folder.join(path)),
            (None, None) => Some(folder.join(format!("{}.token", self.name))),
        }
    }

    /// Whether `token` is made for the audience that is set, if any. Its signature is the server's to check.
    ///
    /// # Errors
    /// [`LinkError`]
    pub fn check_audience(&self, token: &str) -> Result<(), LinkError> {
        let Some(audience) = &self.audience else { return Ok(()) };
        let payload = token.split('.').nth(1).ok_or(LinkError::NoAudience)?;
        let payload = data_encoding::BASE64URL_NOPAD.decode(payload.as_bytes());
        let claims = payload.ok().and_then(|bytes| serde_json::from_slice::<serde_json::Value>(&bytes).ok());
        let is_named = match claims.as_ref().and_then(|claims| claims.get("aud")) {
            Some(serde_json::Value::String(named)) => named == audience,
            Some(serde_json::Value::Array(named)) => named.iter().any(|named| named == audience.as_str()),
            _ => return Err(LinkError::NoAudience),
        };
        if is_named { Ok(()) } else { Err(LinkError::Audience(audience.clone())) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(claims: &str) -> String {
        format!("e30.{}.c2ln", data_encoding::BASE64URL_NOPAD.encode(claims.as_bytes()))
    }

    #[test]
    fn a_token_for_somebody_else_is_not_used() {
        let relay = "wss://app.example".parse().expect("a relay");
        let open = LinkEntry::new(default_name(), relay);
        assert_eq!(open.check_audience("anything"), Ok(()));
        let link = LinkEntry { audience: Some("https://api.example".to_owned()), ..open };
        for (claims, verdict) in [
            (r#"{"aud":"https://api.example"}"#, Ok(())),
            (r#"{"aud":["x","https://api.example"]}"#, Ok(())),
            (
                r#"{"aud":"https://other.example"}"#,
                Err(LinkError::Audience("https://api.example".to_owned())),
            ),
            (r#"{"aud":[]}"#, Err(LinkError::Audience("https://api.example".to_owned()))),
            (r#"{}"#, Err(LinkError::NoAudience)),
            ("[", Err(LinkError::NoAudience)),
        ] {
            assert_eq!(link.check_audience(&token(claims)), verdict, "{claims}");
        }
        assert_eq!(link.check_audience("no-jwt"), Err(LinkError::NoAudience));
    }
}
