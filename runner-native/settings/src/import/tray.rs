//! `connection_config.json` of CloudToLocalLLM's tray daemon: a section about Ollama and one about the cloud.
//!
//! Its versions name their keys differently; what is understood is taken, and the rest is said.

use serde_json::{Map, Value as Json};

use super::{Import, ImportedValue, dialled, text};

/// The names of its two sections.
const OLLAMA: [&str; 3] = ["ollama", "local_ollama", "localOllama"];
const CLOUD: [&str; 3] = ["cloud", "cloud_proxy", "cloudProxy"];

pub(super) fn is_one(object: &Map<String, Json>) -> bool {
    OLLAMA.iter().chain(&CLOUD).any(|key| object.get(*key).is_some_and(Json::is_object))
}

pub(super) fn from_json(object: &Map<String, Json>) -> Import {
    let mut import = Import::default();
    for (key, value) in object {
        match value.as_object() {
            Some(section) if OLLAMA.contains(&key.as_str()) => ollama(key, section, &mut import),
            Some(section) if CLOUD.contains(&key.as_str()) => cloud(key, section, &mut import),
            _ => import.warn(format!("{key} has no counterpart here, and was left out")),
        }
    }
    // A service needs the link that it is offered on.
    if import.links.is_empty() && !import.services.is_empty() {
        import.services.clear();
        import.warn("the service ollama was left out, since the file names no cloud to offer it on");
    }
    import
}

fn is_enabled(section: &Map<String, Json>) -> ImportedValue {
    ImportedValue::Truth(section.get("enabled").and_then(Json::as_bool).unwrap_or(true))
}

fn ollama(name: &str, section: &Map<String, Json>, import: &mut Import) {
    let address = text(section, "url").or_else(|| text(section, "base_url"));
    let target = address.map_or_else(
        || {
            let port = section.get("port").and_then(Json::as_u64).unwrap_or(11_434);
            format!("http://{}:{port}", text(section, "host").unwrap_or("localhost"))
        },
        |url| url.trim_end_matches('/').to_owned(),
    );
    import.services.push(vec![
        ("name", ImportedValue::Text("ollama".to_owned())),
        ("target", ImportedValue::Text(target)),
        ("link", ImportedValue::Text("cloud".to_owned())),
        ("probe", ImportedValue::Text("ollama".to_owned())),
        ("enabled", is_enabled(section)),
    ]);
    rest(name, section, &["url", "base_url", "host", "port", "enabled"], import);
}

fn cloud(name: &str, section: &Map<String, Json>, import: &mut Import) {
    let url = text(section, "url").or_else(|| text(section, "base_url"));
    let url = url.unwrap_or("https://app.cloudtolocalllm.online");
    import.links.push(vec![
        ("name", ImportedValue::Text("cloud".to_owned())),
        ("relay", ImportedValue::Text(dialled(url))),
        ("dialect", ImportedValue::Text("cloud".to_owned())),
        ("enabled", is_enabled(section)),
    ]);
    import
        .next_steps
        .push("put the token of your account into cloud.token beside config.toml (chmod 600)".to_owned());
    rest(name, section, &["url", "base_url", "enabled"], import);
}

fn rest(name: &str, section: &Map<String, Json>, known: &[&str], import: &mut Import) {
    for key in section.keys().filter(|key| !known.contains(&key.as_str())) {
        import.warn(format!("{name}.{key} has no counterpart here, and was left out"));
    }
}
