//! The settings file by the API: who may see and change it, and what is said. The file itself is a stand-in in memory.

use std::sync::{Arc, Mutex};

use hvym_tunnel_manager::api::{ApiHooks, ApiServer};
use hvym_tunnel_manager::settings::ApiSettings;
use hvym_tunnel_manager::settings_store::{
    SettingMistake, SettingsImportReport, SettingsRefusal, SettingsReport, SettingsStore,
};
use serde_json::{Map, Value, json};

use crate::world::{World, ask};

const ROUTES: [(&str, &str, &str); 7] = [
    ("GET", "/api/v1/settings", ""),
    ("PUT", "/api/v1/settings", r#"{"health":{"interval":60}}"#),
    ("GET", "/api/v1/settings/schema", ""),
    ("GET", "/api/v1/settings/export", ""),
    ("POST", "/api/v1/settings/import", r#"{"text":"version = 1"}"#),
    ("POST", "/api/v1/settings/backup", ""),
    ("POST", "/api/v1/settings/reset", r#"{"confirm":true}"#),
];

/// A settings file that understands nothing, but that a key `wrong` is one.
#[derive(Default)]
pub(crate) struct MemoryStore {
    sections: Mutex<Map<String, Value>>,
}

impl SettingsStore for MemoryStore {
    fn reload(&self) -> Result<String, String> {
        Ok("0 changes are applied".to_owned())
    }

    fn read(&self) -> Result<SettingsReport, SettingsRefusal> {
        let settings = Value::Object(self.sections.lock().expect("no panic").clone());
        let (file, exists) = ("/etc/config.toml".to_owned(), true);
        Ok(SettingsReport {
            file,
            exists,
            settings,
            overrides: Default::default(),
            backups: vec!["a".to_owned()],
        })
    }

    fn schema(&self) -> Value {
        json!({ "type": "object" })
    }

    fn change(&self, changes: &Map<String, Value>) -> Result<SettingsReport, SettingsRefusal> {
        if changes.contains_key("wrong") {
            let (key, message) = ("wrong".to_owned(), "there is no such key".to_owned());
            return Err(SettingsRefusal::Mistakes(vec![SettingMistake { key, line: Some(2), message }]));
        }
        self.sections.lock().expect("no panic").extend(changes.clone());
        self.read()
    }

    fn export(&self, with_secrets: bool) -> Result<String, SettingsRefusal> {
        Ok(format!("secrets = {with_secrets}\n"))
    }

    fn import(&self, text: &str) -> Result<SettingsImportReport, SettingsRefusal> {
        match text {
            "unwritable" => Err(SettingsRefusal::Failed("the disk is full".to_owned())),
            text => Ok(SettingsImportReport { warnings: vec![text.to_owned()], next_steps: Vec::new() }),
        }
    }

    fn back_up(&self) -> Result<Option<String>, SettingsRefusal> {
        let is_empty = self.sections.lock().expect("no panic").is_empty();
        Ok((!is_empty).then(|| "/etc/backup.toml".to_owned()))
    }

    fn reset(&self) -> Result<SettingsReport, SettingsRefusal> {
        self.sections.lock().expect("no panic").clear();
        self.read()
    }
}

#[test]
fn settings_are_read_changed_and_reset_with_the_token() {
    let world = World::new();
    let managed = world.manage(Vec::new());
    assert_eq!(managed.call("POST", "/api/v1/settings/backup", "").status, 404, "there is none yet");
    let changed = managed.call("PUT", "/api/v1/settings", r#"{"health":{"interval":60}}"#);
    assert_eq!((changed.status, &changed.json()["settings"]["health"]["interval"]), (200, &60.into()));
    assert_eq!(managed.call("GET", "/api/v1/settings", "").body, changed.body);
    assert_eq!(managed.call("POST", "/api/v1/settings/backup", "").json()["path"], "/etc/backup.toml");
    let wrong = managed.call("PUT", "/api/v1/settings", r#"{"wrong":1}"#);
    assert_eq!((wrong.status, &wrong.json()["mistakes"][0]["key"]), (422, &"wrong".into()), "{wrong:?}");
    let export = managed.call("GET", "/api/v1/settings/export", "");
    assert_eq!(
        (export.body.as_str(), export.field("content-disposition")),
        ("secrets = false\n", Some("attachment; filename=\"config.toml\""))
    );
    for (query, secrets) in
        [("with_secrets=true", true), ("with_secrets=false", false), ("x=with_secrets=true", false)]
    {
        let export = managed.call("GET", &format!("/api/v1/settings/export?{query}"), "");
        assert_eq!(export.body, format!("secrets = {secrets}\n"), "{query}");
    }
    assert_eq!(managed.call("GET", "/api/v1/settings/export?with_secrets=1", "").status, 400);
    let failed = managed.call("POST", "/api/v1/settings/import", r#"{"text":"unwritable"}"#);
    assert_eq!((failed.status, &failed.json()["message"]), (500, &"the disk is full".into()));
    for unsure in ["", "{}", r#"{"confirm":false}"#] {
        assert_eq!(managed.call("POST", "/api/v1/settings/reset", unsure).status, 400, "{unsure}");
    }
    assert_eq!(managed.call("GET", "/api/v1/settings", "").body, changed.body, "nothing was reset");
    let reset = managed.call("POST", "/api/v1/settings/reset", r#"{"confirm":true}"#);
    assert_eq!((reset.status, &reset.json()["settings"]), (200, &json!({})));
    world.end(managed);
}

#[test]
fn nobody_without_the_token_and_no_page_of_another_origin_comes_near_the_settings() {
    let world = World::new();
    let managed = world.manage(Vec::new());
    let bearer = format!("Bearer {}", managed.token);
    let own = format!("http://{}", managed.at);
    for (method, path, content) in ROUTES {
        assert_eq!(managed.request(method, path, &[], content).status, 401, "{path}");
        for (origin, status) in [("http://localhost:3000", 403), ("https://app.cloudtolocalllm.online", 403)]
        {
            let fields = [("Origin", origin), ("Authorization", &bearer)];
            assert_eq!(managed.request(method, path, &fields, content).status, status, "{path} of {origin}");
        }
    }
    assert_eq!(
        managed.call("GET", "/api/v1/settings", "").json()["settings"],
        json!({}),
        "nothing was changed"
    );
    for (method, path, content) in ROUTES {
        let answer = managed.request(method, path, &[("Origin", &own), ("Authorization", &bearer)], content);
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
    }
    world.end(managed);
}

#[test]
fn a_manager_without_a_settings_file_says_so() {
    let world = World::new();
    let managed = world.manage(Vec::new());
    let settings = ApiSettings::new(0, world.socket().with_file_name("api.token"));
    let server =
        ApiServer::start(&settings, managed.manager.clone(), ApiHooks::default(), world.runtime.handle())
            .expect("a free port");
    let at = server.addresses()[0];
    for (method, path, _) in ROUTES.into_iter().chain([("POST", "/api/v1/reload", "")]) {
        let token = &managed.token;
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {at}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
        );
        assert_eq!(ask(at, &request).status, 409, "{path}");
    }
    world.runtime.block_on(server.shutdown());
    world.end(managed);
}

#[test]
fn a_settings_file_is_taken_up_to_its_limit() {
    let world = World::new();
    let managed = world.manage(Vec::new());
    let limit = 2 * 1024 * 1024;
    let around = r#"{"text":""}"#.len();
    for (length, status) in [(limit - 1, 200), (limit, 200), (limit + 1, 413)] {
        let content = format!(r#"{{"text":"{}"}}"#, "#".repeat(length - around));
        assert_eq!(managed.call("POST", "/api/v1/settings/import", &content).status, status, "{length}");
    }
    world.end(managed);
}

/// The store that managers of these tests have.
pub(crate) fn store() -> Option<Arc<dyn SettingsStore>> {
    Some(Arc::new(MemoryStore::default()))
}
