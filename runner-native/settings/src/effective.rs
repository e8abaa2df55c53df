//! All settings as they are in the end, each with who set it.

use toml::Value;

use crate::document::Loaded;
use crate::mistake::ValueOrigin;

/// One setting as it is.
#[derive(Clone, PartialEq, Debug)]
pub struct EffectiveValue {
    /// The key, as in `link.main.relay`.
    pub key: String,
    /// Its value as TOML.
    pub value: String,
    /// Who set it.
    pub origin: ValueOrigin,
}

/// Every setting that has a value, with the defaults, in the order of keys.
pub fn effective(loaded: &Loaded) -> Vec<EffectiveValue> {
    let mut found = Vec::new();
    if let Ok(Value::Table(table)) = Value::try_from(&loaded.settings) {
        for (key, value) in &table {
            collect(loaded, key, key, value, &mut found);
        }
    }
    found
}

/// `position` is the key with the numbers of unnamed list members, by which the file's own keys are known.
fn collect(loaded: &Loaded, key: &str, position: &str, value: &Value, found: &mut Vec<EffectiveValue>) {
    match value {
        Value::Table(table) => {
            for (step, value) in table {
                collect(loaded, &format!("{key}.{step}"), &format!("{position}.{step}"), value, found);
            }
        }
        Value::Array(list) if list.iter().any(Value::is_table) => {
            for (index, item) in list.iter().enumerate() {
                let name = item.get("name").and_then(Value::as_str);
                let key = format!("{key}.{}", name.map_or_else(|| index.to_string(), str::to_owned));
                collect(loaded, &key, &format!("{position}.{index}"), item, found);
            }
        }
        value => {
            let set = loaded.origins.get(key).or_else(|| loaded.origins.get(position));
            let origin = set.cloned().unwrap_or(ValueOrigin::Default);
            found.push(EffectiveValue { key: key.to_owned(), value: value.to_string(), origin });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn every_setting_names_who_set_it() {
        let text = "[[link]]\nrelay = \"a.example\"\n[health]\ninterval = 60\n";
        let loaded = crate::parse(text, Path::new("config.toml"), &[]).expect("settings");
        let all = effective(&loaded);
        let one = |key: &str| {
            all.iter().find(|one| one.key == key).map(|one| (one.value.as_str(), one.origin.clone()))
        };
        assert_eq!(one("link.main.relay"), Some(("\"wss://a.example\"", ValueOrigin::Line(2))));
        assert_eq!(one("link.main.auto_connect"), Some(("true", ValueOrigin::Default)));
        assert_eq!(one("health.interval"), Some(("60", ValueOrigin::Line(4))));
        assert_eq!(one("api.port"), Some(("8765", ValueOrigin::Default)));
    }
}
