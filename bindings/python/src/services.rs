//! A service as JSON: its name, its target, who may reach it, and its filter.

use std::path::PathBuf;

use hvym_tunnel_agent::ServiceSpec;
use hvym_tunnel_agent::settings::FilterSettings;
use hvym_tunnel_core::access::Access;
use hvym_tunnel_core::stellar::Address;
use serde::Deserialize;

/// The fields of a service.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ServiceFields {
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
pub(crate) fn parse(json: &str) -> Result<ServiceSpec, String> {
    serde_json::from_str::<ServiceFields>(json).map_err(|error| error.to_string())?.try_into()
}
