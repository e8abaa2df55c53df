//! The settings file of a manager, changed over its API while it runs.
#![cfg(unix)]

use std::fs;

use hvym_tunnel_tests::http::{Conversation, Origin};
use hvym_tunnel_tests::managed::Managed;
use hvym_tunnel_tests::tunnel::{host_of, request};
use serde_json::json;

const SETTINGS: &str = "/api/v1/settings";

fn visit(managed: &Managed, url: &str) -> u16 {
    let mut visitor = Conversation::dial(managed.relay.port);
    visitor.send(request(host_of(url), "GET", "/", &[])).expect("the relay reads");
    visitor.head().expect("it answers").status()
}

/// How many copies of the settings there are.
fn backups(managed: &Managed) -> usize {
    fs::read_dir(managed.file().with_file_name("backups")).map_or(0, Iterator::count)
}

#[test]
fn settings_change_by_the_api_after_a_copy_and_apply_at_once() {
    let origin = Origin::saying(b"hello");
    let mut managed = Managed::start(&format!(
        "[[service]]\nname = \"web\"\ntarget = \"{}\"\nprobe = \"tcp\"\n\n[health]\ninterval = 30 # slow\n",
        origin.port
    ));
    let web = managed.program.event("ready")["url"].as_str().expect("a URL").to_owned();
    let before = managed.text();
    let (status, shown) = managed.call("GET", SETTINGS, "");
    assert_eq!((status, &shown["settings"]["health"]["interval"]), (200, &json!(30)), "{shown:#}");
    let port = json!({ "origin": "HVYM_TUNNEL_API_PORT", "value": managed.port.to_string() });
    assert_eq!((&shown["overrides"]["api.port"], &shown["settings"]["api"]["port"]), (&port, &json!(8765)));
    assert_eq!(shown["file"], managed.file().display().to_string());

    // Putting back what was read changes nothing, not even a byte.
    assert_eq!(managed.call("PUT", SETTINGS, &shown["settings"].to_string()).0, 200);
    assert_eq!((managed.text(), backups(&managed)), (before.clone(), 0));

    let mut services = shown["settings"]["service"].as_array().expect("a list").clone();
    services.push(json!({ "name": "docs", "target": origin.port.to_string(), "probe": "tcp" }));
    let changes = json!({ "health": { "interval": 60 }, "service": services }).to_string();
    let (status, changed) = managed.call("PUT", SETTINGS, &changes);
    assert_eq!((status, &changed["settings"]["health"]["interval"]), (200, &json!(60)), "{changed:#}");
    let docs = managed.program.event("bound");
    assert_eq!(visit(&managed, docs["url"].as_str().expect("a URL")), 200);
    assert_eq!(visit(&managed, &web), 200);
    let after = managed.text();
    assert!(after.starts_with("# mine\n") && after.contains("interval = 60 # slow"), "{after}");
    assert_eq!(backups(&managed), 1);
    let copy = changed["backups"][0].as_str().expect("a path");
    assert_eq!(fs::read_to_string(copy).expect("a copy"), before);

    let wrong =
        json!({ "health": { "interval": 4, "max_retries": 0 }, "log": { "level": "loud" } }).to_string();
    let (status, said) = managed.call("PUT", SETTINGS, &wrong);
    let mistakes = said["mistakes"].as_array().expect("a list");
    let keys: Vec<_> = mistakes.iter().filter_map(|mistake| mistake["key"].as_str()).collect();
    assert_eq!((status, keys), (422, vec!["health.interval", "health.max_retries", "log.level"]), "{said:#}");
    assert!(mistakes[0]["message"].as_str().is_some_and(|text| text.contains("5 to 300")), "{said:#}");
    assert_eq!((managed.text(), backups(&managed)), (after, 1), "what is wrong is not written");
}

#[test]
fn settings_are_copied_exported_taken_in_and_reset_by_the_api() {
    let managed = Managed::start("[alerts]\non_alert_url = \"https://a.example/hook?token=sesame\"\n");
    let (head, export) = managed.ask("GET", "/api/v1/settings/export", "");
    let export = String::from_utf8(export).expect("text");
    assert_eq!(head.status(), 200);
    assert!(export.contains("https://a.example/hook") && !export.contains("sesame"), "{export}");
    let (_, whole) = managed.ask("GET", "/api/v1/settings/export?with_secrets=true", "");
    assert_eq!(String::from_utf8(whole).expect("text"), managed.text());

    let (status, copy) = managed.call("POST", "/api/v1/settings/backup", "");
    let copy = fs::read_to_string(copy["path"].as_str().expect("a path")).expect("a copy");
    assert_eq!((status, copy), (200, managed.text()));

    let theirs = json!({ "text": json!({ "healthCheckInterval": 45, "enableCloudProxy": false, "unheard": 1 }).to_string() });
    let (status, taken) = managed.call("POST", "/api/v1/settings/import", &theirs.to_string());
    assert!(status == 200 && taken["warnings"].to_string().contains("unheard"), "{status} {taken:#}");
    assert!(managed.text().contains("interval = 45"), "{}", managed.text());
    let (status, said) =
        managed.call("POST", "/api/v1/settings/import", &json!({ "text": "[api\n" }).to_string());
    assert_eq!((status, said["mistakes"].as_array().map(Vec::len)), (422, Some(1)), "{said:#}");

    let (status, reset) = managed.call("POST", "/api/v1/settings/reset", r#"{"confirm":true}"#);
    assert_eq!((status, &reset["settings"]["link"]), (200, &json!([])), "{reset:#}");
    assert_eq!((managed.text(), backups(&managed)), ("version = 1\n".to_owned(), 3));
    assert_eq!(managed.call("GET", "/api/status", "").0, 503, "nothing is configured");
}
