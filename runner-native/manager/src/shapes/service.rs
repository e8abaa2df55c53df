//! What a person or a program says of a new service.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `POST /api/v1/services`
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewService {
    /// Its name at the relay. One that is in use is replaced.
    pub name: String,
    /// The local place, as `hvym-tunnel expose` takes it.
    pub target: String,
    /// By which link; needed if there are several.
    #[serde(default)]
    pub link: Option<String>,
    /// Whether only identities of `allow` may reach it.
    #[serde(default)]
    pub private: bool,
    /// Those identities, `G...`.
    #[serde(default)]
    pub allow: Vec<String>,
    /// `tcp`, `ollama`, or a path to ask for by HTTP; what suits the target without it.
    #[serde(default)]
    pub probe: Option<String>,
}
