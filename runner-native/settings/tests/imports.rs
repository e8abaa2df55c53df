//! The settings of older programs, as they come to settings here.

use std::collections::BTreeMap;
use std::path::Path;

use hvym_tunnel_settings::{
    Import, ImportError, ImportSource, LinkSystem, ProbeKind, Settings, import, import_variables, parse,
};

/// The blocks of the Tunnel Manager's own documentation, joined.
const DOCUMENTED: &str = r#"{
  "enableLocalOllama": true, "ollamaHost": "localhost", "ollamaPort": 11434, "connectionTimeout": 30,
  "enableCloudProxy": true, "cloudProxyUrl": "https://app.cloudtolocalllm.online",
  "cloudProxyAudience": "https://api.cloudtolocalllm.online",
  "apiServerPort": 8765, "enableApiServer": true,
  "allowedOrigins": ["http://localhost:*", "https://app.cloudtolocalllm.online"],
  "healthCheckInterval": 30, "maxRetries": 5, "retryDelay": 2,
  "connectionPoolSize": 10, "requestTimeout": 60, "enableMetrics": true,
  "minimizeToTray": true, "startMinimized": false, "showNotifications": true, "logLevel": "INFO",
  "autoStartTunnel": true, "autoStartOnBoot": false
}"#;

fn settings(text: &str) -> Settings {
    parse(text, Path::new("config.toml"), &[]).unwrap_or_else(|error| panic!("{error}\n{text}")).settings
}

fn merged(import: &Import) -> Settings {
    settings(&import.merge("").expect("an empty file takes everything"))
}

#[test]
fn the_documented_settings_of_the_tunnel_manager_come_in_without_a_warning_and_are_the_defaults() {
    let import = import(DOCUMENTED, None).expect("an import");
    assert_eq!(import.warnings, Vec::<String>::new());
    let settings = merged(&import);
    let defaults = Settings::default();
    assert_eq!((&settings.api, &settings.health), (&defaults.api, &defaults.health));
    assert_eq!((&settings.ui, &settings.log), (&defaults.ui, &defaults.log));
    assert_eq!((&settings.start, &settings.limits), (&defaults.start, &defaults.limits));
    let link = &settings.links[0];
    assert_eq!((link.relay.host.as_str(), link.dialect), ("app.cloudtolocalllm.online", LinkSystem::Cloud));
    assert_eq!(link.audience.as_deref(), Some("https://api.cloudtolocalllm.online"));
    let service = &settings.services[0];
    assert_eq!((service.name.as_str(), service.probe), ("ollama", Some(ProbeKind::Ollama)));
    assert_eq!(service.target.to_string(), "http://localhost:11434");
    assert_eq!(settings.services_of(link).count(), 1);
}

#[test]
fn every_key_of_the_tunnel_manager_has_an_effect() {
    let plain: serde_json::Value = serde_json::from_str(DOCUMENTED).expect("JSON");
    let before = merged(&import(DOCUMENTED, None).expect("an import"));
    let others = BTreeMap::from([
        ("ollamaHost", serde_json::json!("gpu.local")),
        ("cloudProxyUrl", serde_json::json!("https://other.example")),
        ("cloudProxyAudience", serde_json::json!("https://api.other.example")),
        ("allowedOrigins", serde_json::json!([])),
        ("logLevel", serde_json::json!("DEBUG")),
    ]);
    let object = plain.as_object().expect("an object");
    assert_eq!(object.len(), 22);
    for (key, value) in object {
        let other = others.get(key.as_str()).cloned().unwrap_or_else(|| match value {
            serde_json::Value::Bool(truth) => serde_json::json!(!truth),
            number => serde_json::json!(number.as_u64().expect("a number") + 3),
        });
        let mut changed = object.clone();
        changed.insert(key.clone(), other);
        let changed = import(&serde_json::to_string(&changed).expect("JSON"), None).expect("an import");
        assert_eq!(changed.warnings, Vec::<String>::new(), "{key}");
        assert_ne!(merged(&changed), before, "{key}");
    }
}

#[test]
fn what_the_tunnel_manager_has_no_key_for_is_said_and_no_value_shown() {
    let text = r#"{"ollamaPort": 0, "retryDelay": "soon", "logLevel": "LOUD", "password": "secret", "enableCloudProxy": false}"#;
    let import = import(text, None).expect("an import");
    assert_eq!(import.warnings.len(), 4, "{:?}", import.warnings);
    assert!(!import.warnings.join(" ").contains("secret"));
    assert!(import.next_steps.is_empty(), "a link that is off needs no token");
    assert!(!merged(&import).links[0].enabled);
}

#[test]
fn metavincis_document_is_found_among_its_others() {
    let address = "GCEZWKCA5VLDNRLN3RPRJMRZOX3Z6G5CHCGSNFHEYVXM3XOJMDS674JZ";
    let text = format!(
        r#"{{"_default": {{"1": {{"type": "app_data", "wallet": "SSECRET"}}, "7": {{"type": "tunnel_config",
        "server_url": "wss://tunnel.hvym.link/connect", "server_address": "{address}", "auto_connect": true,
        "services": ["pintheon", "gone"], "port_bindings": {{"pintheon": 9998, "My Site": 8080, "bad": 0}},
        "last_endpoint": "https://x.tunnel.hvym.link", "enabled": true}}}}}}"#
    );
    let import = import(&text, None).expect("an import");
    let said = import.warnings.join("\n");
    for word in ["gone", "my-site", "bad", "last_endpoint"] {
        assert!(said.contains(word), "{word}: {said}");
    }
    assert!(!said.contains("SSECRET"));
    let settings = merged(&import);
    let link = &settings.links[0];
    assert_eq!((link.relay.to_string().as_str(), link.auto_connect), ("wss://tunnel.hvym.link", true));
    assert_eq!(link.relay_address.map(|a| a.to_string()).as_deref(), Some(address));
    let mut services: Vec<_> =
        settings.services.iter().map(|s| (s.name.as_str(), s.target.to_string())).collect();
    services.sort();
    assert_eq!(
        services,
        [("my-site", "http://localhost:8080".to_owned()), ("pintheon", "http://localhost:9998".to_owned())]
    );
}

#[test]
fn tunelys_file_and_variables_come_in_without_their_tokens() {
    let text = r#"server = "wss://tunely.example/ws/tunnel"
target = "http://localhost:3000"
token = "tun_secret"
reconnect_secs = 2.5
force = true
max_reconnect = 3

[[tunnel]]
name = "one"
token = "tun_other_secret"

[[tunnel]]
name = "two"
target = "http://localhost:4000"
colour = "red"
"#;
    let import = import(text, None).expect("an import");
    assert_eq!(import.warnings.len(), 2, "{:?}", import.warnings);
    let file = import.merge("").expect("a file");
    assert!(!file.contains("secret"), "{file}");
    let settings = settings(&file);
    let names: Vec<_> = settings.links.iter().map(|link| link.name.as_str()).collect();
    assert_eq!(names, ["one", "two"]);
    let link = &settings.links[0];
    assert_eq!((link.dialect, link.force), (LinkSystem::Tunely, true));
    assert_eq!(
        (link.relay.to_string().as_str(), link.reconnect_delay.thousandths()),
        ("wss://tunely.example", 2500)
    );
    assert_eq!(settings.services[1].target.to_string(), "http://localhost:4000");

    let environment = BTreeMap::from([
        ("WS_TUNNEL_CLIENT_SERVER_URL", "ws://localhost:8000/ws/tunnel"),
        ("WS_TUNNEL_CLIENT_TOKEN", "tun_secret"),
        ("WS_TUNNEL_CLIENT_TARGET_URL", "http://localhost:5000"),
        ("WS_TUNNEL_CLIENT_FORCE", "true"),
        ("WS_TUNNEL_CLIENT_RECONNECT_INTERVAL", "5"),
        ("WS_TUNNEL_CLIENT_REQUEST_TIMEOUT", "1800"),
    ]);
    let get = |name: &str| environment.get(name).map(|value| (*value).to_owned());
    let import = import_variables(get).expect("an import");
    assert_eq!(import.warnings.len(), 1, "{:?}", import.warnings);
    let settings = merged(&import);
    assert_eq!(settings.links[0].relay.to_string(), "ws://localhost:8000");
    assert!(settings.links[0].force);
    assert!(import_variables(|_| None).is_none());
}

#[test]
fn the_trays_file_comes_in_as_far_as_it_is_understood() {
    let text = r#"{"ollama": {"host": "localhost", "port": 11435, "enabled": true, "timeout": 5},
        "cloud": {"url": "https://app.example", "enabled": false}, "preferred": "auto"}"#;
    let import = import(text, None).expect("an import");
    assert_eq!(import.warnings.len(), 2, "{:?}", import.warnings);
    let settings = merged(&import);
    assert_eq!(settings.services[0].target.to_string(), "http://localhost:11435");
    assert_eq!((settings.links[0].relay.host.as_str(), settings.links[0].enabled), ("app.example", false));
}

#[test]
fn an_import_into_a_file_keeps_what_else_is_there() {
    let text = "# mine\n[[link]]\nname = \"home\"\nrelay = \"tunnel.example\"\n\n[[link]]\nname = \"cloud\"\nrelay = \"old.example\"\n\
        dialect = \"cloud\"\n\n[[service]]\nname = \"web\"\ntarget = \"3000\"\nlink = \"home\"\n\n[health]\ninterval = 60 # mine\n";
    let import = import(DOCUMENTED, None).expect("an import");
    let once = import.merge(text).expect("a file");
    assert!(once.contains("# mine\n"), "{once}");
    let settings = settings(&once);
    assert_eq!((settings.links.len(), settings.services.len()), (2, 2));
    assert_eq!(settings.health.interval.get(), 30, "what is imported wins");
    let cloud = settings.links.iter().find(|link| link.name.as_str() == "cloud").expect("the link");
    assert_eq!(cloud.relay.host, "app.cloudtolocalllm.online");
    assert_eq!(import.merge(&once).expect("a file"), once, "a second time changes nothing");
}

#[test]
fn a_file_of_no_known_program_is_refused() {
    for text in ["{}", "[]", "{\"a\": 1}", "a = 1\n", ""] {
        assert_eq!(import(text, None), Err(ImportError::Unknown), "{text}");
    }
    for (text, line) in [("{\n\"a\": ", 2), ("a = 1\n=\n", 2)] {
        assert!(
            matches!(import(text, None), Err(ImportError::NotText { line: at, .. }) if at == line),
            "{text}"
        );
    }
    assert!(import("{}", Some(ImportSource::Metavinci)).is_err());
    assert!(import("a = 1", Some(ImportSource::Tunely)).is_err());
    let ours = "version = 1\n[health]\ninterval = 7\n";
    assert_eq!(import(ours, None).expect("our own").merge("x = 1").as_deref(), Ok(ours));
}

#[test]
fn the_usual_places_are_those_of_the_three_systems() {
    let places = ImportSource::TunnelManager.places(Path::new("/home/ann"), Some(Path::new("/data")));
    let texts: Vec<_> = places.iter().map(|path| path.display().to_string()).collect();
    assert_eq!(
        texts,
        [
            "/home/ann/.cloudtolocalllm/tunnel_config.json",
            "/home/ann/Library/Application Support/CloudToLocalLLM/tunnel_config.json",
            "/data/CloudToLocalLLM/tunnel_config.json",
        ]
    );
}
