//! What is set beside the file: by variables of the environment, and by the command line, which wins.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::mistake::ValueOrigin;

/// What every variable begins with.
const PREFIX: &str = "HVYM_TUNNEL_";

/// One key that is set beside the file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Override {
    /// The key, as in `api.port`.
    pub key: String,
    /// The value: TOML, or a text as it is.
    pub value: String,
    /// Who set it.
    pub origin: ValueOrigin,
}

impl Override {
    /// `KEY=VALUE` from a command line; `None` without an equals sign.
    pub fn from_flag(text: &str) -> Option<Self> {
        let (key, value) = text.split_once('=')?;
        let origin = ValueOrigin::Flag(format!("--set {}", key.trim()));
        Some(Self { key: key.trim().to_owned(), value: value.trim().to_owned(), origin })
    }
}

/// The keys that variables set: `HVYM_TUNNEL_API_PORT` is `api.port`. Those in `[[link]]`, `[[service]]` and `[[hooks]]`
/// have none, since there may be several. An empty variable counts as not set.
pub fn variables(variable: impl Fn(&str) -> Option<String>) -> Vec<Override> {
    let keys = keys();
    let set = keys.iter().filter_map(|(name, key)| {
        let value = variable(name).filter(|value| !value.is_empty())?;
        Some(Override { key: key.clone(), value, origin: ValueOrigin::Variable(name.clone()) })
    });
    set.collect()
}

/// The variable of each key that has one.
fn keys() -> BTreeMap<String, String> {
    let schema: Value = serde_json::from_str(&crate::schema::schema()).expect("it was written as JSON");
    let mut keys = BTreeMap::new();
    for (section, place) in members(&schema) {
        let definition = place["$ref"].as_str().and_then(|path| schema.pointer(path.trim_start_matches('#')));
        for (key, _) in definition.into_iter().flat_map(members).filter(|_| section != "hooks") {
            let name = format!("{PREFIX}{section}_{key}").to_ascii_uppercase();
            keys.insert(name, format!("{section}.{key}"));
        }
    }
    keys
}

fn members(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
    schema["properties"].as_object().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_is_named_after_its_section_and_key() {
        let environment = BTreeMap::from([
            ("HVYM_TUNNEL_API_PORT", "9000"),
            ("HVYM_TUNNEL_HEALTH_INTERVAL", ""),
            ("HVYM_TUNNEL_LINK_RELAY", "x"),
            ("HVYM_TUNNEL_RELAY", "x"),
        ]);
        let set = variables(|name| environment.get(name).map(|value| (*value).to_owned()));
        let origin = ValueOrigin::Variable("HVYM_TUNNEL_API_PORT".to_owned());
        assert_eq!(set, [Override { key: "api.port".to_owned(), value: "9000".to_owned(), origin }]);
        let keys = keys();
        assert_eq!(keys.get("HVYM_TUNNEL_LOG_LEVEL").map(String::as_str), Some("log.level"));
        assert!(keys.len() > 30, "{keys:?}");
    }
}
