//! The schema of the settings file and the parser agree.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use hvym_tunnel_settings::{parse, schema};
use hvym_tunnel_tests::installed::packaged_python;

/// Reads a schema and documents, and says which are valid: another implementation of JSON Schema.
const VALIDATOR: &str = "\
import json, sys
from jsonschema import Draft202012Validator
task = json.load(sys.stdin)
Draft202012Validator.check_schema(task['schema'])
validator = Draft202012Validator(task['schema'])
json.dump([validator.is_valid(document) for document in task['documents']], sys.stdout)
";

#[test]
fn the_schema_that_is_committed_is_that_of_the_types() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config.schema.json");
    if std::env::var_os("HVYM_TUNNEL_WRITE").is_some() {
        std::fs::write(&path, schema()).expect("the file takes the schema");
    }
    let committed = std::fs::read_to_string(&path).expect("the committed schema");
    assert!(committed == schema(), "run this test with HVYM_TUNNEL_WRITE=1, and commit config.schema.json");
}

const LINK: &str = "[[link]]\nrelay = \"a.example\"\n";
const ADDRESS: &str = "GCEZWKCA5VLDNRLN3RPRJMRZOX3Z6G5CHCGSNFHEYVXM3XOJMDS674JZ";

/// Files, and whether each is right.
fn files() -> Vec<(String, bool)> {
    let mut files = Vec::new();
    let mut all = |before: &str, right: &[&str], wrong: &[&str]| {
        files.extend(right.iter().map(|line| (format!("{before}{line}\n"), true)));
        files.extend(wrong.iter().map(|line| (format!("{before}{line}\n"), false)));
    };
    all("", &["", "version = 1"], &["version = 2", "version = \"1\"", "colour = 1", "link = 1", "api = []"]);
    let address = format!("relay_address = \"{ADDRESS}\"");
    all(
        LINK,
        &[
            "",
            "name = \"home-1\"",
            &address,
            "enabled = false",
            "dialect = \"tunely\"",
            "dialect = \"cloud\"\naudience = \"x\"",
            "dialect = \"tunely\"\ntoken_command = [\"pass\", \"x\"]",
            "auth = \"challenge\"",
            "jwt_lifetime = 60",
            "jwt_lifetime = 86400",
            "reconnect_delay = 0.5",
            "reconnect_multiplier = 1.5",
            "reconnect_multiplier = 10",
            "max_reconnect_delay = 3600",
            "names = [\"cool-app\", \"app.example.org\"]",
        ],
        &[
            "name = \"Home\"",
            "name = \"a--b\"",
            "name = \"xn\"",
            "name = \"\"",
            "relay_address = \"GABC\"",
            "enabled = \"no\"",
            "dialect = \"other\"",
            "auth = \"none\"",
            "jwt_lifetime = 59",
            "jwt_lifetime = 86401",
            "jwt_lifetime = 3600.5",
            "reconnect_delay = 0",
            "reconnect_delay = -1",
            "reconnect_multiplier = 0.9",
            "reconnect_multiplier = 10.5",
            "ping_timeout = \"5\"",
            "names = \"cool-app\"",
            "token_command = []",
            "token_command = \"pass\"",
            "relais = \"x\"",
        ],
    );
    all(
        "[[link]]\n",
        &["relay = \"wss://a.example:8443\"", "relay = \"ws://localhost:4896\""],
        &["", "relay = \"ftp://a\"", "relay = \"\"", "relay = 1"],
    );
    let service = format!("{LINK}[[service]]\nname = \"web\"\n");
    all(
        &service,
        &[
            "target = \"3000\"",
            "target = \"./site\"",
            "target = \"unix:/run/a.sock\"",
            "target = \"https+insecure://localhost:8443\"",
            "target = \"tcp://db:5432\"",
            "target = \"tcp://db:5432\"\nproxy_protocol = true",
            "target = \"h2c://app:50051\"",
            "target = \"3000\"\nallow_cidr = [\"10.0.0.0/8\", \"2001:db8::1\"]",
            "target = \"3000\"\nhost_header = \"localhost:3000\"",
            "target = \"3000\"\non_conflict = \"pool\"",
            "target = \"3000\"\nprobe = \"ollama\"\nmodels = [\"llama2\"]",
            "target = \"3000\"\nprobe_path = \"/health\"",
        ],
        &[
            "",
            "target = \"localhost\"",
            "target = \"ftp://x:1\"",
            "target = 3000",
            "target = \"3000\"\nallow_cidr = [\"everywhere\"]",
            "target = \"3000\"\nhost_header = \"a b\"",
            "target = \"3000\"\non_conflict = \"fight\"",
            "target = \"3000\"\nprobe = \"ping\"",
            "target = \"3000\"\nprobe_path = \"health\"",
            "target = \"3000\"\nallow = [\"GABC\"]",
            "target = \"3000\"\nport = 1",
        ],
    );
    all(
        "[api]\n",
        &[
            "port = 1",
            "port = 65535",
            "listen = [\"127.0.0.1\", \"::1\"]",
            "allowed_origins = [\"http://localhost:*\", \"https://a.example\"]",
            "metrics_interval = 60",
        ],
        &[
            "port = 0",
            "port = 65536",
            "listen = [\"localhost\"]",
            "allowed_origins = [\"*\"]",
            "allowed_origins = [\"https://a.example/\"]",
            "metrics_interval = 61",
            "enabled = 1",
        ],
    );
    all(
        "[health]\n",
        &["interval = 5", "interval = 300", "retry_delay = 1", "max_retries = 1"],
        &["interval = 4", "interval = 301", "retry_delay = 0.5", "max_retries = 0"],
    );
    all(
        "[limits]\n",
        &["request_timeout = 5", "connection_pool_size = 1"],
        &["request_timeout = 4", "connection_pool_size = 0"],
    );
    all(
        "[log]\n",
        &["level = \"warn\"", "format = \"json\"", "agent_file = \"tunnel_manager.log\""],
        &["level = \"INFO\"", "format = \"xml\"", "agent_file = \"../x\"", "agent_file = \"\""],
    );
    all(
        "[[hooks.ready]]\n",
        &["", "exec = [\"true\"]", "on = \"every\"", "form = { gateway = \"{url}\" }"],
        &["url = \"ftp://x\"", "exec = []", "on = \"never\"", "form = { gateway = 1 }", "tries = 0"],
    );
    files
}

#[test]
fn the_schema_and_the_parser_agree_on_more_than_a_hundred_files() {
    let files = files();
    assert!(files.len() > 100, "{}", files.len());
    for (text, is_right) in &files {
        let parsed = parse(text, Path::new("config.toml"), &[]);
        assert_eq!(parsed.is_ok(), *is_right, "{text}\n{:?}", parsed.err().map(|error| error.to_string()));
    }
    let Some(python) = packaged_python() else { return };
    let documents: Vec<serde_json::Value> = files
        .iter()
        .map(|(text, _)| {
            let table: toml::Table = text.parse().expect("all of them are TOML");
            serde_json::to_value(table).expect("and JSON")
        })
        .collect();
    let schema: serde_json::Value = serde_json::from_str(&schema()).expect("JSON");
    let task = serde_json::json!({ "schema": schema, "documents": documents });
    let mut validator = Command::new(python)
        .args(["-c", VALIDATOR])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python starts");
    let mut stdin = validator.stdin.take().expect("it was piped");
    stdin.write_all(task.to_string().as_bytes()).expect("it reads");
    drop(stdin);
    let output = validator.wait_with_output().expect("it ends");
    let verdicts: Vec<bool> = serde_json::from_slice(&output.stdout).expect("verdicts");
    for ((text, is_right), verdict) in files.iter().zip(&verdicts) {
        assert_eq!(verdict, is_right, "{text}");
    }
    assert_eq!(verdicts.len(), files.len());
}

#[test]
fn every_key_is_in_the_documentation() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/SETTINGS.md");
    let page = std::fs::read_to_string(page).expect("the page");
    let schema: serde_json::Value = serde_json::from_str(&schema()).expect("JSON");
    let keys = |pointer: &str| -> Vec<String> {
        let object = schema.pointer(pointer).and_then(|object| object.as_object());
        object.into_iter().flatten().map(|(key, _)| key.clone()).collect()
    };
    let mut checked = 0;
    for definition in keys("/$defs") {
        let section = match definition.as_str() {
            "LinkEntry" | "ServiceEntry" | "HookEntry" => String::new(),
            other => match other.strip_suffix("Section") {
                Some("Hook") | None => continue,
                Some("Alert") => "alerts.".to_owned(),
                Some("Limit") => "limits.".to_owned(),
                Some(name) => format!("{}.", name.to_ascii_lowercase()),
            },
        };
        for key in keys(&format!("/$defs/{definition}/properties")) {
            let name = format!("`{section}{key}`");
            assert!(page.contains(&name), "{name} is not in docs/SETTINGS.md");
            checked += 1;
        }
    }
    assert!(checked > 70, "{checked}");
}
