//! What a program says that wants services of its own on a link that runs.

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
    pub services: Vec<NewService>,
}
