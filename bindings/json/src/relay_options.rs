//! The options of a relay as JSON: the groups of its own settings, and the tunnels of agents that log in by token.

use std::collections::BTreeMap;
use std::sync::Arc;

use hvym_tunnel_core::names::check_label;
use hvym_tunnel_net::secret::Fingerprint;
use hvym_tunnel_relay::config::{
    AccessSettings, HttpsSettings, IngressSettings, KeepaliveSettings, Limits, NameSettings, PublicSettings,
    RelayOptions, StateSettings, TunelyOptions, TunelyTunnel, VisitorSettings,
};
use serde::Deserialize;

/// The groups, all of them optional.
#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct Fields {
    ingress: IngressSettings,
    public: PublicSettings,
    https: HttpsSettings,
    access: AccessSettings,
    names: NameSettings,
    state: StateSettings,
    keepalive: KeepaliveSettings,
    limits: Limits,
    visitors: VisitorSettings,
    tunely: Option<TunelyFields>,
}

/// Tunnels by their names, and who may look after them.
#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct TunelyFields {
    admin_key: Option<String>,
    tunnels: BTreeMap<String, TunnelFields>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TunnelFields {
    token: String,
    enabled: bool,
}

/// The options in this JSON.
///
/// # Errors
/// What is wrong with it, for a person; no token is in the text.
pub fn parse(json: &str) -> Result<RelayOptions, String> {
    let fields: Fields = serde_json::from_str(json).map_err(|error| error.to_string())?;
    let mut options = RelayOptions {
        ingress: fields.ingress,
        public: fields.public,
        https: fields.https,
        access: fields.access,
        names: fields.names,
        state: fields.state,
        keepalive: fields.keepalive,
        limits: fields.limits,
        visitors: fields.visitors,
        ..RelayOptions::default()
    };
    options.guests.tunely = fields.tunely.map(tunely).transpose()?;
    Ok(options)
}

fn tunely(fields: TunelyFields) -> Result<TunelyOptions, String> {
    let mut tunnels = BTreeMap::new();
    for (name, tunnel) in fields.tunnels {
        check_label(&name).map_err(|error| format!("{name:?}: {error}"))?;
        let token = Fingerprint::new(tunnel.token.as_bytes());
        tunnels.insert(Arc::from(name), TunelyTunnel { token, enabled: tunnel.enabled });
    }
    let admin_key = fields.admin_key.map(|key| Fingerprint::new(key.as_bytes()));
    Ok(TunelyOptions { tunnels, admin_key, ..TunelyOptions::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_that_are_left_out_are_as_usual() {
        assert_eq!(parse("{}").expect("it is right").ingress, IngressSettings::default());
        let options = parse(r#"{"ingress": {"listen": "127.0.0.1:0"}}"#).expect("it is right");
        assert_eq!(options.ingress.listen.port(), 0);
    }

    #[test]
    fn what_is_wrong_is_named_and_no_token_is() {
        let wrong = |json: &str| parse(json).map(drop).expect_err("it is wrong");
        assert!(wrong(r#"{"igress": {}}"#).contains("igress"));
        let tunnels = r#"{"tunely": {"tunnels": {"A b": {"token": "s3cret", "enabled": true}}}}"#;
        let said = wrong(tunnels);
        assert!(said.contains("\"A b\"") && !said.contains("s3cret"), "{said}");
    }
}
