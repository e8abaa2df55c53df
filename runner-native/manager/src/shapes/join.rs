//! What a program says that wants something of its own on a link that runs.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::service::NewService;

/// `POST /api/v1/join`
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [
    { "required": ["services"], "properties": { "services": { "minItems": 1 }, "forward": { "type": "null" } } },
    { "required": ["forward"], "properties": { "services": { "maxItems": 0 }, "forward": { "type": "object" } } }
]))]
pub struct JoinRequest {
    /// Where it would dial itself; the relay that this process has of its own without it.
    #[serde(default)]
    #[schemars(extend("format" = "relay-url"))]
    pub relay: Option<String>,
    /// The identity that the relay must have, `G...`.
    #[serde(default)]
    #[schemars(extend("format" = "stellar-address"))]
    pub relay_address: Option<String>,
    /// Who it would log in as, `G...`.
    #[schemars(extend("format" = "stellar-address"))]
    pub address: String,
    /// Its services. Their `link` means nothing.
    #[serde(default)]
    pub services: Vec<NewService>,
    /// The service of another identity that it wants at a local port.
    #[serde(default)]
    pub forward: Option<JoinForward>,
}

/// The service of another identity, at a local port.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JoinForward {
    /// Whose service, and which: `G.../name`.
    #[schemars(extend("format" = "service-address"))]
    pub to: String,
    /// Where local connections are taken: IP:port, of which port 0 is a free one. Whoever can connect there is the link's identity, to
    /// the owner of the service.
    #[schemars(extend("format" = "socket-address"))]
    pub listen: String,
}
