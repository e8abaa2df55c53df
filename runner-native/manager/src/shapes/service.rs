//! What a person or a program says of a new service.

use hvym_tunnel_core::names::MAX_SERVICE_CHARACTERS;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// `POST /api/v1/services`
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend(
    "if" = { "properties": { "private": { "const": true } }, "required": ["private"] },
    "else" = { "properties": { "allow": { "maxItems": 0 } } }
))]
pub struct NewService {
    /// Its name at the relay. One that is in use is replaced.
    #[schemars(extend("pattern" = "^[a-z0-9]+(-[a-z0-9]+)*$", "maxLength" = MAX_SERVICE_CHARACTERS))]
    pub name: String,
    /// The local place, as `hvym-tunnel expose` takes it.
    #[schemars(extend("format" = "tunnel-target"))]
    pub target: String,
    /// By which link; needed if there are several.
    #[serde(default)]
    pub link: Option<String>,
    /// Whether only identities of `allow` may reach it.
    #[serde(default)]
    pub private: bool,
    /// Those identities, `G...`.
    #[serde(default)]
    #[schemars(schema_with = "addresses")]
    pub allow: Vec<String>,
    /// `tcp`, `ollama`, or a path to ask for by HTTP; what suits the target without it.
    #[serde(default)]
    #[schemars(extend("pattern" = "^(tcp|ollama|/[!-~]*)$"))]
    pub probe: Option<String>,
}

fn addresses(_generator: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "array", "items": { "type": "string", "format": "stellar-address" } })
}
