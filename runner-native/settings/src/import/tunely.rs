//! The TOML file of tunely's agent, and its variables WS_TUNNEL_CLIENT_*.

use toml_edit::{DocumentMut, Item, TableLike};

use super::{Import, ImportedValue, dialled};

/// The keys of its file.
const KEYS: [&str; 7] = ["server", "target", "token", "reconnect_secs", "force", "max_reconnect", "tunnel"];
/// Where its agent leads visitors unless told otherwise.
const TARGET: &str = "http://localhost:8080";

/// One tunnel, as its file or its variables describe it.
#[derive(Default)]
struct Tunnel {
    name: String,
    server: String,
    target: Option<String>,
    has_token: bool,
    reconnect: Option<f64>,
    force: bool,
}

pub(super) fn from_document(document: &DocumentMut) -> Import {
    let mut import = Import::default();
    let words = |table: &dyn TableLike, key: &str| table.get(key).and_then(Item::as_str).map(str::to_owned);
    let number = |item: &Item| item.as_float().or_else(|| item.as_integer().map(|number| number as f64));
    let Some(server) = words(document.as_table(), "server") else {
        import.warn("server is not set: add a [[link]] with a relay");
        return import;
    };
    let common = Tunnel {
        name: "tunely".to_owned(),
        server,
        target: words(document.as_table(), "target"),
        has_token: document.contains_key("token"),
        reconnect: document.get("reconnect_secs").and_then(number),
        force: document.get("force").and_then(Item::as_bool).unwrap_or(false),
    };
    let tunnels = document.get("tunnel").and_then(Item::as_array_of_tables);
    for table in tunnels.into_iter().flatten() {
        let name = words(table, "name").unwrap_or_else(|| common.name.clone());
        let target = words(table, "target").or_else(|| common.target.clone());
        let has_token = table.contains_key("token") || common.has_token;
        for (key, _) in table.iter().filter(|(key, _)| !["name", "token", "target"].contains(key)) {
            import.warn(format!("{key} of a tunnel is no key of tunely, and was left out"));
        }
        tunnel(Tunnel { name, target, has_token, server: common.server.clone(), ..common }, &mut import);
    }
    if tunnels.is_none() {
        tunnel(common, &mut import);
    }
    if document.get("max_reconnect").and_then(Item::as_integer).is_some_and(|most| most > 0) {
        import.warn("max_reconnect was left out: a link is dialled for as long as the program runs");
    }
    for (key, _) in document.iter().filter(|(key, _)| !KEYS.contains(key)) {
        import.warn(format!("{key} is no key of tunely, and was left out"));
    }
    import
}

/// Reads the variables of tunely's agent; `None` if the server is not set.
pub fn import_variables(variable: impl Fn(&str) -> Option<String>) -> Option<Import> {
    let get = |name: &str| variable(&format!("WS_TUNNEL_CLIENT_{name}")).filter(|value| !value.is_empty());
    let mut import = Import::default();
    let is_true = |value: String| matches!(value.to_ascii_lowercase().as_str(), "1" | "true" | "yes" | "on");
    let described = Tunnel {
        name: "tunely".to_owned(),
        server: get("SERVER_URL")?,
        target: get("TARGET_URL"),
        has_token: get("TOKEN").is_some(),
        reconnect: get("RECONNECT_INTERVAL").and_then(|text| text.parse().ok()),
        force: get("FORCE").is_some_and(is_true),
    };
    tunnel(described, &mut import);
    for name in ["MAX_RECONNECT_ATTEMPTS", "REQUEST_TIMEOUT", "MAX_RESPONSE_BYTES", "STREAM_THRESHOLD_BYTES"]
    {
        if get(name).is_some_and(|value| value != "0") {
            import.warn(format!("WS_TUNNEL_CLIENT_{name} has no counterpart here, and was left out"));
        }
    }
    Some(import)
}

fn tunnel(tunnel: Tunnel, import: &mut Import) {
    let Tunnel { name, server, target, has_token, reconnect, force } = tunnel;
    let name = name.to_ascii_lowercase();
    if name.parse::<hvym_tunnel_net::target::ServiceName>().is_err() {
        return import.warn("a tunnel whose name cannot be that of a link was left out");
    }
    let server = dialled(&server);
    let mut entry = vec![
        ("name", ImportedValue::Text(name.clone())),
        // The path that its servers have is not named.
        ("relay", ImportedValue::Text(server.strip_suffix("/ws/tunnel").unwrap_or(&server).to_owned())),
        ("dialect", ImportedValue::Text("tunely".to_owned())),
    ];
    if force {
        entry.push(("force", ImportedValue::Truth(true)));
    }
    if let Some(seconds) = reconnect {
        entry.push(("reconnect_delay", ImportedValue::Number(seconds)));
    }
    import.links.push(entry);
    import.services.push(vec![
        ("name", ImportedValue::Text(name.clone())),
        ("target", ImportedValue::Text(target.unwrap_or_else(|| TARGET.to_owned()))),
        ("link", ImportedValue::Text(name.clone())),
    ]);
    let what = if has_token { "its token is not copied" } else { "it needs a token" };
    import.next_steps.push(format!("{what}: put it into {name}.token beside config.toml (chmod 600)"));
}
