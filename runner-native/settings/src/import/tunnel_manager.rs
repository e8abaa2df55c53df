//! `tunnel_config.json` of CloudToLocalLLM's Tunnel Manager: 22 keys, each with a default.

use serde_json::{Map, Value as Json};

use super::{Import, ImportedValue, dialled, text};

/// Its keys.
pub(super) const KEYS: [&str; 22] = [
    "enableLocalOllama",
    "ollamaHost",
    "ollamaPort",
    "connectionTimeout",
    "enableCloudProxy",
    "cloudProxyUrl",
    "cloudProxyAudience",
    "apiServerPort",
    "enableApiServer",
    "allowedOrigins",
    "healthCheckInterval",
    "maxRetries",
    "retryDelay",
    "connectionPoolSize",
    "requestTimeout",
    "enableMetrics",
    "minimizeToTray",
    "startMinimized",
    "showNotifications",
    "logLevel",
    "autoStartTunnel",
    "autoStartOnBoot",
];

/// Keys that mean the same here, of one kind each.
const SAME: [(&str, &str, Kind); 15] = [
    ("connectionTimeout", "health.timeout", Kind::Number),
    ("apiServerPort", "api.port", Kind::Number),
    ("enableApiServer", "api.enabled", Kind::Truth),
    ("allowedOrigins", "api.allowed_origins", Kind::Texts),
    ("healthCheckInterval", "health.interval", Kind::Number),
    ("maxRetries", "health.max_retries", Kind::Number),
    ("retryDelay", "health.retry_delay", Kind::Number),
    ("connectionPoolSize", "limits.connection_pool_size", Kind::Number),
    ("requestTimeout", "limits.request_timeout", Kind::Number),
    ("enableMetrics", "api.metrics", Kind::Truth),
    ("minimizeToTray", "ui.minimize_to_tray", Kind::Truth),
    ("startMinimized", "ui.start_minimized", Kind::Truth),
    ("showNotifications", "ui.show_notifications", Kind::Truth),
    ("autoStartTunnel", "start.auto_start_tunnel", Kind::Truth),
    ("autoStartOnBoot", "start.auto_start_on_boot", Kind::Truth),
];

#[derive(Copy, Clone)]
enum Kind {
    Number,
    Truth,
    Texts,
}

/// Where its link leads unless its file says otherwise.
const CLOUD: &str = "https://app.cloudtolocalllm.online";
/// For whom its tokens are made.
const AUDIENCE: &str = "https://api.cloudtolocalllm.online";

pub(super) fn from_json(object: &Map<String, Json>) -> Import {
    let mut import = Import::default();
    for (key, ours, kind) in SAME {
        let Some(value) = object.get(key) else { continue };
        match converted(value, kind) {
            Some(value) => import.key(ours, value),
            None => import.warn(format!("{key} has a value of another kind, and was left out")),
        }
    }
    log_level(object, &mut import);
    link(object, &mut import);
    service(object, &mut import);
    for key in object.keys().filter(|key| !KEYS.contains(&key.as_str())) {
        import.warn(format!("{key} is no key of the Tunnel Manager, and was left out"));
    }
    import
}

fn converted(value: &Json, kind: Kind) -> Option<ImportedValue> {
    match kind {
        Kind::Number => value.as_f64().map(ImportedValue::Number),
        Kind::Truth => value.as_bool().map(ImportedValue::Truth),
        Kind::Texts => {
            let texts = value.as_array()?.iter().map(|text| text.as_str().map(str::to_owned));
            texts.collect::<Option<_>>().map(ImportedValue::Texts)
        }
    }
}

fn log_level(object: &Map<String, Json>, import: &mut Import) {
    let Some(level) = object.get("logLevel") else { return };
    let level = level.as_str().unwrap_or_default().to_ascii_lowercase();
    match level.as_str() {
        "debug" | "info" | "warn" | "error" => import.key("log.level", ImportedValue::Text(level)),
        _ => import.warn("logLevel is none of DEBUG, INFO, WARN and ERROR, and was left out"),
    }
}

fn link(object: &Map<String, Json>, import: &mut Import) {
    let is_enabled = object.get("enableCloudProxy").and_then(Json::as_bool).unwrap_or(true);
    let url = text(object, "cloudProxyUrl").unwrap_or(CLOUD);
    let audience = text(object, "cloudProxyAudience").unwrap_or(AUDIENCE);
    import.links.push(vec![
        ("name", ImportedValue::Text("cloud".to_owned())),
        ("relay", ImportedValue::Text(dialled(url))),
        ("dialect", ImportedValue::Text("cloud".to_owned())),
        ("audience", ImportedValue::Text(audience.to_owned())),
        ("enabled", ImportedValue::Truth(is_enabled)),
    ]);
    if is_enabled {
        import
            .next_steps
            .push("put the token of your account into cloud.token beside config.toml (chmod 600)".to_owned());
    }
}

fn service(object: &Map<String, Json>, import: &mut Import) {
    let is_enabled = object.get("enableLocalOllama").and_then(Json::as_bool).unwrap_or(true);
    let host = text(object, "ollamaHost").unwrap_or("localhost");
    let port = match object.get("ollamaPort").map(Json::as_u64) {
        None => 11_434,
        Some(Some(port)) if (1..=65_535).contains(&port) => port,
        Some(_) => return import.warn("ollamaPort is no port from 1 to 65535, and its service was left out"),
    };
    import.services.push(vec![
        ("name", ImportedValue::Text("ollama".to_owned())),
        ("target", ImportedValue::Text(format!("http://{host}:{port}"))),
        ("link", ImportedValue::Text("cloud".to_owned())),
        ("probe", ImportedValue::Text("ollama".to_owned())),
        ("enabled", ImportedValue::Truth(is_enabled)),
    ]);
}
