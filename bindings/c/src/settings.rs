//! The settings of an agent as one JSON object.

use hvym_tunnel_agent::settings::{CompatSettings, CompatSystem, LinkSettings};
use hvym_tunnel_agent::{Agent, AgentBuilder, ServiceSpec, Signer};
use hvym_tunnel_json::service::ServiceFields;
use serde::Deserialize;

use crate::error::Error;

/// The settings, of which the relay in `link` and the services are needed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AgentFields {
    link: LinkSettings,
    services: Vec<ServiceFields>,
    #[serde(default)]
    names: Vec<String>,
    #[serde(default)]
    login: Option<LoginFields>,
}

/// The login at a server of an older system.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LoginFields {
    system: SystemName,
    token: String,
    #[serde(default)]
    force: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum SystemName {
    Tunely,
    Cloud,
}

/// An agent with these settings, whose logins `signer` signs.
///
/// # Errors
/// What is wrong with them; no token is in the text.
pub(crate) fn builder(signer: impl Into<Signer>, json: &str) -> Result<AgentBuilder, Error> {
    let fields: AgentFields = serde_json::from_str(json).map_err(Error::invalid)?;
    let mut builder = Agent::builder(signer).link(fields.link);
    for service in fields.services {
        builder = builder.service(ServiceSpec::try_from(service).map_err(Error::invalid)?);
    }
    for name in fields.names {
        builder = builder.name(name);
    }
    let Some(login) = fields.login else { return Ok(builder) };
    let system = match login.system {
        SystemName::Tunely => CompatSystem::Tunely,
        SystemName::Cloud => CompatSystem::CloudLlm,
    };
    let token = login.token.parse().map_err(Error::invalid)?;
    Ok(builder.compat(CompatSettings { system, token, token_file: None, force: login.force }))
}

#[cfg(test)]
mod tests {
    use hvym_tunnel_agent::Identity;

    use super::*;

    fn refused(json: &str) -> String {
        match builder(Identity::from_seed(&[7; 32]), json) {
            Ok(_) => panic!("{json} is taken"),
            Err(error) => format!("{}: {}", error.code, error.message),
        }
    }

    #[test]
    fn settings_are_the_groups_of_the_library() {
        let json = r#"{"link": {"relay": "ws://localhost:1", "retry": {"no_retry": true}},
            "services": [{"name": "web", "target": "3000"}], "names": ["app"],
            "login": {"system": "tunely", "token": "t0ken"}}"#;
        let taken = builder(Identity::from_seed(&[7; 32]), json).map(|builder| builder.check());
        assert!(matches!(taken, Ok(Ok(()))));
    }

    #[test]
    fn what_is_unknown_or_missing_is_named() {
        assert!(refused("").starts_with("invalid: EOF"));
        assert!(refused(r#"{"link": {}, "services": [], "reley": 1}"#).contains("reley"));
        assert!(refused(r#"{"link": {}}"#).contains("services"));
        assert!(refused(r#"{"link": {}, "services": [{"name": "web", "target": ""}]}"#).contains("\"\""));
        let secret = r#"{"link": {}, "services": [], "login": {"system": "other", "token": "s3cret"}}"#;
        assert!(!refused(secret).contains("s3cret"));
    }
}
