//! What is called when a link is ready, or down.

use std::collections::BTreeMap;

use hvym_tunnel_net::target::ServiceName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::number::{Decimal, Whole};

/// Pintheon's gateway, which wants to know its public address.
const PINTHEON: &str = "https+insecure://127.0.0.1:9999/update_gateway";

/// What is called when.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HookSection {
    /// When visitors can come.
    pub ready: Vec<HookEntry>,
    /// When they no longer can.
    pub down: Vec<HookEntry>,
}

/// One call. An empty one tells Pintheon its gateway.
///
/// `{url}`, `{address}` and `{service}` in a value stand for the public URL, the address of the agent and the service.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HookEntry {
    /// Where to post. `https+insecure://` takes any certificate, and is for this machine alone. Without it and `exec`,
    /// Pintheon's gateway.
    #[schemars(schema_with = "crate::schema::optional_hook_url")]
    #[serde(deserialize_with = "crate::schema::read_hook_url")]
    pub url: Option<String>,
    /// The program to run instead, and its arguments.
    #[schemars(schema_with = "crate::schema::optional_command")]
    #[serde(deserialize_with = "crate::schema::read_command")]
    pub exec: Option<Vec<String>>,
    /// The fields of a form to post. Without it and `json`, `gateway = "{url}"`.
    pub form: Option<BTreeMap<String, String>>,
    /// The members of a JSON object to post in place of a form.
    pub json: Option<BTreeMap<String, String>>,
    /// Only for this service.
    #[schemars(schema_with = "crate::schema::optional_name")]
    pub service: Option<ServiceName>,
    /// Seconds that one call may take.
    pub timeout: Decimal<100, 300_000, 5000>,
    /// How often it is tried; after that, a warning says so.
    pub tries: Whole<1, 10, 3>,
    /// For which of the times that visitors can come.
    pub on: HookWhen,
}

/// For which of the times that visitors can come.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum HookWhen {
    /// The first since the start.
    First,
    /// The first, and whenever the URL is another than before.
    #[default]
    Changed,
    /// Every one.
    Every,
}

impl HookEntry {
    /// Where to post, unless a program is run.
    pub fn url(&self) -> Option<&str> {
        match &self.exec {
            Some(_) => None,
            None => Some(self.url.as_deref().unwrap_or(PINTHEON)),
        }
    }

    /// The fields of the form, unless a JSON object is posted or a program run.
    pub fn form(&self) -> Option<BTreeMap<String, String>> {
        let gateway = || BTreeMap::from([("gateway".to_owned(), "{url}".to_owned())]);
        match (&self.json, &self.exec) {
            (None, None) => Some(self.form.clone().unwrap_or_else(gateway)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_hook_tells_pintheon_its_gateway() {
        let hook: HookEntry = toml::from_str("").expect("a hook");
        assert_eq!(hook.url(), Some(PINTHEON));
        assert_eq!(hook.form().and_then(|form| form.get("gateway").cloned()).as_deref(), Some("{url}"));
        assert_eq!((hook.timeout.thousandths(), hook.tries.get(), hook.on), (5000, 3, HookWhen::Changed));
        let program: HookEntry = toml::from_str(r#"exec = ["notify", "{url}"]"#).expect("a hook");
        assert_eq!((program.url(), program.form()), (None, None));
    }
}
