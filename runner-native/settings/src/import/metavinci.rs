//! The tunnel's document in Metavinci's TinyDB database, `{"_default": {"1": {"type": "tunnel_config", ..}}}`.

use serde_json::{Map, Value as Json};

use super::{Import, ImportedValue, text};

const KEYS: [&str; 8] = [
    "type",
    "server_url",
    "server_address",
    "auto_connect",
    "services",
    "port_bindings",
    "last_endpoint",
    "enabled",
];

/// The document, in whichever table it is, or alone.
pub(super) fn document(object: &Map<String, Json>) -> Option<&Map<String, Json>> {
    let is_one = |object: &&Map<String, Json>| text(object, "type") == Some("tunnel_config");
    if is_one(&object) {
        return Some(object);
    }
    let tables = object.values().filter_map(Json::as_object);
    tables.flat_map(Map::values).filter_map(Json::as_object).find(is_one)
}

pub(super) fn from_json(object: &Map<String, Json>) -> Import {
    let mut import = Import::default();
    link(object, &mut import);
    let named: Vec<&str> = object
        .get("services")
        .and_then(Json::as_array)
        .into_iter()
        .flatten()
        .filter_map(Json::as_str)
        .collect();
    let bindings = object.get("port_bindings").and_then(Json::as_object);
    let bound: Vec<&String> = bindings.into_iter().flat_map(Map::keys).collect();
    for (name, port) in bindings.into_iter().flatten() {
        let Some(port) = port.as_u64().filter(|port| (1..=65_535).contains(port)) else {
            import.warn(format!("the port of the service {name} is none, and the service was left out"));
            continue;
        };
        service(name, port, &mut import);
    }
    for name in named.iter().filter(|name| !bound.iter().any(|bound| bound == *name)) {
        import.warn(format!("the service {name} has no port, and was left out"));
    }
    if text(object, "last_endpoint").is_some() {
        import.warn("last_endpoint was left out: the relay says anew where visitors come");
    }
    for key in object.keys().filter(|key| !KEYS.contains(&key.as_str())) {
        import.warn(format!("{key} is no key of Metavinci's tunnel, and was left out"));
    }
    import
}

fn link(object: &Map<String, Json>, import: &mut Import) {
    let Some(url) = text(object, "server_url") else {
        return import.warn("server_url is empty: add a [[link]] with a relay");
    };
    let truth = |key: &str, default| object.get(key).and_then(Json::as_bool).unwrap_or(default);
    let mut entry = vec![
        ("name", ImportedValue::Text("metavinci".to_owned())),
        // The path that every relay has is not named.
        ("relay", ImportedValue::Text(url.strip_suffix("/connect").unwrap_or(url).to_owned())),
    ];
    if let Some(address) = text(object, "server_address") {
        entry.push(("relay_address", ImportedValue::Text(address.to_owned())));
    }
    entry.push(("auto_connect", ImportedValue::Truth(truth("auto_connect", false))));
    entry.push(("enabled", ImportedValue::Truth(truth("enabled", true))));
    import.links.push(entry);
    let step = "the identity is identity.key beside config.toml; to be the account of your wallet: hvym-tunnel identity import";
    import.next_steps.push(step.to_owned());
}

fn service(name: &str, port: u64, import: &mut Import) {
    // Names were free there, and become part of a host name here.
    let mut plain = name.to_ascii_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    while plain.contains("--") {
        plain = plain.replace("--", "-");
    }
    let plain = plain.trim_matches('-').to_owned();
    if plain.parse::<hvym_tunnel_net::target::ServiceName>().is_err() {
        return import.warn("a service whose name cannot be part of a host name was left out");
    }
    if plain != name {
        import.warn(format!("the service {name} is called {plain} here"));
    }
    import.services.push(vec![
        ("name", ImportedValue::Text(plain)),
        ("target", ImportedValue::Text(format!("http://localhost:{port}"))),
        ("link", ImportedValue::Text("metavinci".to_owned())),
    ]);
}
