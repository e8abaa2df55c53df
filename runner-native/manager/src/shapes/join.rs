//! What a program says that wants something of its own on a link that runs.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::service::NewService;

/// `POST /api/v1/join`
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JoinRequest {
    /// Where it would dial itself; the relay that this process has of its own without it.
    #[serde(default)]
    pub relay: Option<String>,
    /// The identity that the relay must have, `G...`.
    #[serde(default)]
    pub relay_address: Option<String>,
    /// Who it would log in as, `G...`.
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
    pub to: String,
    /// Where local connections are taken: IP:port, of which port 0 is a free one. Whoever can connect there is the link's identity, to
    /// the owner of the service.
    pub listen: String,
}
