//! A service as JSON: its name, its target, who may reach it, and its filter.

use std::path::PathBuf;

use hvym_tunnel_agent::ServiceSpec;
use hvym_tunnel_agent::settings::FilterSettings;
use hvym_tunnel_core::access::Access;
use hvym_tunnel_core::stellar::Address;
use serde::Deserialize;

/// The fields of a service, which a [`ServiceSpec`] is made of.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceFields {
    name: String,
    target: String,
    /// The identities that reach it, and no visitor; `None`: everybody.
    #[serde(default)]
    allow: Option<Vec<String>>,
    #[serde(default)]
    proxy_protocol: bool,
    #[serde(default)]
    ca: Option<PathBuf>,
    #[serde(default)]
    filter: FilterSettings,
}

impl TryFrom<ServiceFields> for ServiceSpec {
    type Error = String;

    fn try_from(fields: ServiceFields) -> Result<Self, String> {
        let name = fields.name.parse().map_err(|error| format!("{:?}: {error}", fields.name))?;
        let target = fields.target.parse().map_err(|error| format!("{:?}: {error}", fields.target))?;
        let mut spec = ServiceSpec::new(name, target);
        if let Some(allowed) = fields.allow {
            let addresses = allowed.iter().map(|text| text.parse::<Address>());
            let addresses = addresses.collect::<Result<_, _>>().map_err(|error| error.to_string())?;
            spec.access = Access::Private(addresses);
        }
        (spec.proxy_protocol, spec.ca, spec.filter) = (fields.proxy_protocol, fields.ca, fields.filter);
        Ok(spec)
    }
}

/// The service in this JSON.
///
/// # Errors
/// What is wrong with it, for a person.
pub fn parse(json: &str) -> Result<ServiceSpec, String> {
    serde_json::from_str::<ServiceFields>(json).map_err(|error| error.to_string())?.try_into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_has_a_name_and_a_target_and_is_public_unless_it_says_who_may_come() {
        let spec = parse(r#"{"name": "web", "target": "3000"}"#).expect("it is right");
        assert_eq!((spec.name.as_str(), spec.access.is_public()), ("web", true));
        assert!(
            !parse(r#"{"name": "db", "target": "tcp://x:1", "allow": []}"#)
                .expect("it is right")
                .access
                .is_public()
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        let wrong = |json: &str| parse(json).expect_err("it is wrong");
        assert!(wrong(r#"{"name": "web"}"#).contains("target"));
        assert!(wrong(r#"{"name": "web", "target": "1", "port": 1}"#).contains("port"));
        assert!(wrong(r#"{"name": "a b", "target": "1"}"#).starts_with("\"a b\""));
        assert!(wrong(r#"{"name": "web", "target": "ftp://x"}"#).starts_with("\"ftp://x\""));
        assert!(parse(r#"{"name": "web", "target": "1", "allow": ["GABC"]}"#).is_err());
    }
}
