//! Tunnels that Tunely's tools create, change and delete at a relay, and what becomes of their agents.

use std::io::Write as _;
use std::process::Command;

use hvym_tunnel_tests::dialects::{conversation, fields, visits};
use hvym_tunnel_tests::guests::{Guest, relay_with, write_config, write_private};
use hvym_tunnel_tests::http::Head;
use hvym_tunnel_tests::installed::tunely_folder;
use hvym_tunnel_tests::program::Home;
use hvym_tunnel_tests::tokens::hs256;
use hvym_tunnel_tests::tunely::{NEW, OLD, python_tool};
use hvym_tunnel_tests::tunnel::Relay;
use rustix::process::Signal;
use serde_json::{Value, json};

use super::asking::{ask, now};

const CONFIG: &str = "
[tunely]
admin_key = \"the-operators-own-key\"
[[tunely.tunnels]]
name = \"fixed\"
token = \"tun_one-token-that-is-long-enough\"
";
const KEY: &str = "X-Api-Key: the-operators-own-key";
const SECRET: &str = "a secret that has thirty-two bytes";

fn told(relay: &Relay, method: &str, target: &str, body: &str) -> (u16, Value) {
    with(relay, method, target, &[KEY], body)
}

fn with(relay: &Relay, method: &str, target: &str, lines: &[&str], body: &str) -> (u16, Value) {
    let (head, answer) =
        ask(relay, method, target, &[lines, &["Content-Type: application/json"]].concat(), body);
    (head.status(), serde_json::from_slice(&answer).unwrap_or_else(|error| panic!("{target}: {error}")))
}

/// Creates a tunnel, and returns its token.
fn create(relay: &Relay, domain: &str) -> String {
    let (status, created) = told(relay, "POST", "/api/tunnels", &json!({"domain": domain}).to_string());
    assert_eq!(status, 200, "{created}");
    created["token"].as_str().expect("a token").to_owned()
}

/// `recorded`, with everything that differs from run to run as it is in `ours`, if it has the form that it must have.
fn adjusted(recorded: &Value, ours: &Value) -> Value {
    match (recorded, ours) {
        (Value::Object(recorded), Value::Object(ours)) => {
            let pair = |(key, value): (&String, &Value)| {
                let own = ours.get(key).unwrap_or(&Value::Null);
                let alike = match (key.as_str(), value, own) {
                    ("token", Value::String(one), Value::String(other)) => {
                        one.len() == other.len() && other.starts_with("tun_")
                    }
                    ("created_at" | "last_connected_at", Value::String(one), Value::String(other)) => {
                        one.len() == other.len()
                    }
                    ("duration_ms", Value::Number(_), Value::Number(_)) => true,
                    _ => false,
                };
                (key.clone(), if alike { own.clone() } else { adjusted(value, own) })
            };
            let mut all: serde_json::Map<String, Value> = recorded.iter().map(pair).collect();
            // Tunely's relay does not say it.
            all.extend(ours.get("last_seen").map(|seen| ("last_seen".to_owned(), seen.clone())));
            Value::Object(all)
        }
        (Value::Array(recorded), Value::Array(ours)) if recorded.len() == ours.len() => {
            recorded.iter().zip(ours).map(|(recorded, ours)| adjusted(recorded, ours)).collect()
        }
        (recorded, _) => recorded.clone(),
    }
}

#[test]
fn the_calls_that_were_recorded_at_tunelys_relay_are_answered_alike() {
    let config = "[tunely]\nadmin_key = \"adminkey-of-sixteen\"\n";
    let relay = relay_with(config, &[]);
    let mut token = String::new();
    let mut count = 0;
    for visit in visits(&conversation("tunely/ws/50_rest_s012.jsonl")) {
        let start = visit.request["start"].as_str().unwrap_or_default();
        let mut words = start.split(' ');
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let body = visit.request["text"].as_str().unwrap_or_default();
        // Names are lower case here, and end where they end; two Host fields are refused by other words.
        let is_ours =
            target.starts_with("/api/tunnels") && !body.contains("Upper-Case") && !body.contains("\\n");
        let hosts = fields(&visit.request).iter().filter(|(name, _)| name == "Host").count();
        if !is_ours || hosts > 1 {
            continue;
        }
        let mut lines = Vec::new();
        for (name, value) in fields(&visit.request) {
            match (name.as_str(), value.as_str()) {
                ("x-api-key", "adminkey") => lines.push("X-Api-Key: adminkey-of-sixteen".to_owned()),
                ("x-api-key" | "x-tunnel-token", "bad") => lines.push(format!("{name}: {value}")),
                ("x-tunnel-token", _) => lines.push(format!("{name}: {token}")),
                _ => {}
            }
        }
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let (status, ours) = with(&relay, method, target, &lines, body);
        let answer = &visit.response;
        let recorded: Value = serde_json::from_str(answer["text"].as_str().expect("a body")).expect("JSON");
        let label = format!("{start} {body}");
        assert!(
            answer["start"].as_str().is_some_and(|start| start.contains(&format!(" {status} "))),
            "{label}: {ours}"
        );
        assert_eq!(ours, adjusted(&recorded, &ours), "{label}");
        if method == "POST" && status == 200 && ours["token"].is_string() {
            token = ours["token"].as_str().unwrap_or_default().to_owned();
        }
        count += 1;
    }
    assert_eq!(count, 27);
    let (status, audit) = with(&relay, "GET", "/api/audit?limit=3", &["X-Api-Key: adminkey-of-sixteen"], "");
    let entries: Vec<&Value> =
        audit.as_array().expect("a list").iter().map(|entry| &entry["action"]).collect();
    assert_eq!((status, entries), (200, vec![&json!("delete"), &json!("delete"), &json!("create")]));
    assert_eq!(audit[0]["source_ip"], "127.0.0.1");
}

#[test]
fn an_agent_stays_until_its_tunnel_is_rotated_disabled_or_deleted() {
    let relay = relay_with(CONFIG, &[]);
    let first = create(&relay, "shop");
    let refused = |token: &str| {
        let mut guest = Guest::dial(&relay, "/ws/tunnel", &[]);
        guest.knock(token, false);
        let (said, code, _) = guest.end();
        assert_eq!(
            (said[0]["type"].as_str(), said[0]["code"].as_str(), code),
            (Some("auth_error"), Some("auth_failed"), 4002)
        );
    };
    let guest = Guest::tunely(&relay, &first, false);
    assert_eq!(told(&relay, "GET", "/api/tunnels/shop", "").1["connected"], true);
    let (_, rotated) = told(&relay, "POST", "/api/tunnels/shop/regenerate-token", "");
    assert_eq!(guest.end(), (vec![], 1000, "token rotated".to_owned()));
    refused(&first);
    let second = rotated["token"].as_str().expect("a token");
    let guest = Guest::tunely(&relay, second, false);
    let (status, disabled) = told(&relay, "PUT", "/api/tunnels/shop", r#"{"enabled": false}"#);
    assert_eq!((status, &disabled["enabled"]), (200, &json!(false)));
    assert_eq!(guest.end(), (vec![], 1000, "tunnel disabled".to_owned()));
    refused(second);
    told(&relay, "PUT", "/api/tunnels/shop", r#"{"enabled": true}"#);
    let guest = Guest::tunely(&relay, second, false);
    assert_eq!(
        told(&relay, "DELETE", "/api/tunnels/shop", ""),
        (200, json!({"success": true, "domain": "shop"}))
    );
    assert_eq!(guest.end(), (vec![], 1000, "tunnel revoked".to_owned()));
    refused(second);
    assert_eq!(ask(&relay, "GET", "/", &[], "").0.status(), 200, "the relay goes on");
}

#[test]
fn what_the_configuration_file_says_is_shown_and_changed_there_only() {
    let relay = relay_with(CONFIG, &[]);
    create(&relay, "shop");
    let (_, list) = told(&relay, "GET", "/api/tunnels", "");
    let names: Vec<(&Value, &Value)> = list
        .as_array()
        .expect("a list")
        .iter()
        .map(|tunnel| (&tunnel["domain"], &tunnel["description"]))
        .collect();
    let of_file = json!("Set in the relay's configuration file");
    assert_eq!(names, [(&json!("fixed"), &of_file), (&json!("shop"), &Value::Null)]);
    assert_eq!(told(&relay, "POST", "/api/tunnels", r#"{"domain": "fixed"}"#).0, 409);
    for (method, target) in [
        ("PUT", "/api/tunnels/fixed"),
        ("DELETE", "/api/tunnels/fixed"),
        ("POST", "/api/tunnels/fixed/regenerate-token"),
    ] {
        let (status, told) = told(&relay, method, target, "{}");
        let text = told["detail"].as_str().expect("a sentence");
        assert!(status == 403 && text.contains("configuration file"), "{method} {target}: {told}");
    }
    let _guest = Guest::tunely(&relay, "tun_one-token-that-is-long-enough", false);
}

#[test]
fn tunnels_and_what_they_carried_outlive_the_relay() {
    let mut relay = relay_with(CONFIG, &["--path-names"]);
    let token = create(&relay, "shop");
    let mut guest = Guest::tunely(&relay, &token, false);
    assert_eq!(visited(&relay, &mut guest, "/t/shop/hello", &[]).0.status(), 200);
    relay.program.signal(Signal::INT);
    assert_eq!(relay.program.code(), 0);
    let path = relay.home.path("relay.toml");
    let Relay { home, .. } = relay;
    let relay = Relay::start_in(home, 0, &["--config", path.to_str().expect("a path of text")]);
    let (_, tunnel) = told(&relay, "GET", "/api/tunnels/shop", "");
    assert_eq!((&tunnel["total_requests"], &tunnel["connected"]), (&json!(1), &json!(false)));
    assert!(tunnel["bytes_in"].as_u64() > Some(10) && tunnel["last_connected_at"].is_string(), "{tunnel}");
    let _guest = Guest::tunely(&relay, &token, false);
}

/// What a visitor gets from an agent that answers once.
fn visited(relay: &Relay, guest: &mut Guest, target: &str, lines: &[&str]) -> (Head, Vec<u8>) {
    std::thread::scope(|scope| {
        let visitor = scope
            .spawn(|| ask(relay, "POST", target, &[lines, &["Content-Type: text/plain"]].concat(), "asked"));
        let asked = guest.hears("request");
        guest.tell(&json!({"type": "response", "id": asked["id"], "status": 200,
            "headers": {"content-type": "text/plain", "set-cookie": "hush=1"}, "body": "answered"}));
        visitor.join().expect("a visitor")
    })
}

#[test]
fn requests_are_logged_where_the_operator_wants_it_and_without_credentials() {
    let relay = relay_with(CONFIG, &["--path-names"]);
    let token = create(&relay, "shop");
    let mut guest = Guest::tunely(&relay, &token, false);
    visited(&relay, &mut guest, "/t/shop/before", &[]);
    assert_eq!(told(&relay, "GET", "/api/tunnels/shop/logs", ""), (200, json!({"total": 0, "logs": []})));
    assert_eq!(told(&relay, "PUT", "/api/tunnels/shop", r#"{"log_requests": true}"#).0, 200);
    let lines = ["Authorization: Bearer hush", "Cookie: hush=1", "X-Kept: yes"];
    let (head, body) = visited(&relay, &mut guest, "/t/shop/a?b=c", &lines);
    assert_eq!((head.status(), &*body), (200, &b"answered"[..]), "logging changes no answer");
    let (_, page) = told(&relay, "GET", "/api/tunnels/shop/logs?limit=5", "");
    assert_eq!(page["total"], 1, "{page}");
    let log = &page["logs"][0];
    let expected = json!({"id": log["id"], "timestamp": log["timestamp"], "tunnel_domain": "shop", "method": "POST", "path": "/a?b=c",
        "request_headers": log["request_headers"], "request_body": "asked", "status_code": 200,
        "response_headers": log["response_headers"], "response_body": "answered", "error": null, "duration_ms": log["duration_ms"]});
    assert_eq!(*log, expected);
    let shown = page.to_string();
    assert!(!shown.contains("hush") && shown.contains("[REDACTED]") && shown.contains("x-kept"), "{shown}");
}

#[test]
fn the_owner_of_a_token_has_tunnels_of_its_own() {
    let home = Home::new();
    write_private(&home, "jwt", SECRET);
    let config = "[tunely]\nadmin_key = \"the-operators-own-key\"\njwt_secret_file = \"jwt\"\nmax_tunnels_per_owner = 1\n";
    let path = write_config(&home, config);
    let relay = Relay::start_in(home, 0, &["--config", &path]);
    let bearer = |subject: &str| {
        let claims = json!({"sub": subject, "exp": now().as_secs() + 600});
        format!("Authorization: Bearer {}", hs256(SECRET.as_bytes(), &json!({"alg": "HS256"}), &claims))
    };
    let (ann, bob) = (bearer("ann"), bearer("bob"));
    let info = with(&relay, "GET", "/api/info", &[], "").1;
    assert_eq!(info["auth"], json!({"required": true, "type": "bearer"}));
    for visit in visits(&conversation("tunely/ws/53_rest_jwt_s012.jsonl")) {
        let (Some(label), Some(body)) = (visit.request["label"].as_str(), visit.request["text"].as_str())
        else {
            continue;
        };
        // Its tokens are of another secret, and have expired since.
        let lines: Vec<String> = fields(&visit.request)
            .into_iter()
            .filter(|(name, _)| name == "Authorization")
            .map(|(name, value)| format!("{name}: {value}"))
            .collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let (status, told) = with(&relay, "POST", "/api/tunnels", &lines, body);
        let recorded: Value =
            serde_json::from_str(visit.response["text"].as_str().expect("a body")).expect("JSON");
        match label {
            "good JWT" | "expired" => assert_eq!(
                (status, &told["detail"]),
                (401, &json!("Invalid token: Signature verification failed"))
            ),
            _ => assert_eq!((status, told), (401, recorded), "{label}"),
        }
    }
    let create = |who: &str, domain: &str| {
        with(&relay, "POST", "/api/tunnels", &[who], &json!({"domain": domain}).to_string()).0
    };
    assert_eq!((create(&ann, "anns"), create(&ann, "more"), create(&bob, "bobs")), (200, 403, 200));
    assert_eq!(
        create(&bob, "abcdefghijklmnop"),
        400,
        "what looks like an identity's name is nobody's to choose"
    );
    let list = with(&relay, "GET", "/api/tunnels", &[&ann], "").1;
    assert_eq!((list.as_array().map(Vec::len), &list[0]["domain"]), (Some(1), &json!("anns")));
    for (method, target) in [
        ("GET", "/api/tunnels/bobs"),
        ("PUT", "/api/tunnels/bobs"),
        ("DELETE", "/api/tunnels/bobs"),
        ("POST", "/api/tunnels/bobs/regenerate-token"),
        ("POST", "/api/tunnels/bobs/forward"),
        ("GET", "/api/tunnels/bobs/logs"),
    ] {
        let told = with(&relay, method, target, &[&ann], "{}");
        assert_eq!(told, (404, json!({"detail": "Tunnel not found"})), "{method} {target}");
    }
    assert_eq!(with(&relay, "GET", "/api/audit", &[&ann], "").0, 401);
    assert_eq!(with(&relay, "DELETE", "/api/tunnels/anns", &[&ann], "").0, 200);
    assert_eq!(create(&ann, "more"), 200);
}

/// What the program prints to an operator, and how it ends.
fn operator(relay: &Relay, arguments: &[&str]) -> (i32, String) {
    let server = format!("http://localhost:{}", relay.port);
    let mut command = relay.home.command(&[&["tunnel"], arguments, &["--server", &server]].concat());
    command.env("HVYM_TUNNEL_API_KEY", "the-operators-own-key");
    let output = command.output().expect("the program starts");
    let said = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn an_operator_looks_after_tunnels_on_the_command_line() {
    let relay = relay_with(CONFIG, &[]);
    let (code, said) = operator(&relay, &["create", "shop", "--name", "The shop"]);
    let token = said.split_whitespace().find(|word| word.starts_with("tun_")).expect("a token").to_owned();
    assert_eq!(code, 0, "{said}");
    let guest = Guest::tunely(&relay, &token, false);
    let (_, list) = operator(&relay, &["list"]);
    assert!(list.lines().any(|line| line.starts_with("shop") && line.contains("The shop")), "{list}");
    assert_eq!(operator(&relay, &["create", "shop"]).0, 5, "the name is taken");
    let (code, said) = operator(&relay, &["delete", "shop"]);
    assert!(code == 3 && said.contains("--yes"), "nobody is asked without a terminal: {said}");
    assert_eq!(operator(&relay, &["rotate", "shop", "--yes"]).0, 0);
    assert_eq!(guest.end().2, "token rotated");
    let (_, said) = operator(&relay, &["disable", "shop", "--json"]);
    let shown: Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!(shown["enabled"], false);
    assert_eq!(operator(&relay, &["update", "shop", "--log-requests", "on"]).0, 0);
    assert_eq!(operator(&relay, &["logs", "shop"]).0, 0);
    assert_eq!(operator(&relay, &["delete", "shop", "--yes"]).0, 0);
    let (code, said) = operator(&relay, &["show", "shop"]);
    assert!(code == 3 && said.contains("Tunnel not found"), "{said}");
}

#[test]
fn the_database_is_carried_by_its_commands() {
    let relay = relay_with(CONFIG, &[]);
    let token = create(&relay, "shop");
    let Relay { mut program, home, .. } = relay;
    program.signal(Signal::INT);
    assert_eq!(program.code(), 0);
    let db = |arguments: &[&str]| {
        let output =
            home.command(&[&["relay", "db"], arguments].concat()).output().expect("the program starts");
        (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };
    assert_eq!(db(&["status"]), (Some(0), "0001_tunnels  made\n".to_owned()));
    let (_, export) = db(&["export"]);
    assert!(export.contains("\"shop\"") && !export.contains(&token), "{export}");
    let file = write_private(&home, "tunnels.json", &export);
    let (code, said) = db(&["rollback"]);
    assert!(code == Some(3) && said.contains("--yes"), "{said}");
    assert_eq!(db(&["rollback", "--yes"]).0, Some(0));
    assert_eq!(db(&["migrate"]).0, Some(0));
    let (code, said) = db(&["import", &file]);
    assert!(code == Some(0) && said.starts_with("1 tunnel(s) added"), "{said}");
    let (code, said) = db(&["status", "--database", "oracle://me:hush@host/name"]);
    assert!(code == Some(3) && !said.contains("hush"), "{said}");
    let path = home.path("relay.toml");
    let relay = Relay::start_in(home, 0, &["--config", path.to_str().expect("a path of text")]);
    let _guest = Guest::tunely(&relay, &token, false);
}

#[test]
fn the_real_programs_of_tunely_create_list_and_delete_tunnels() {
    let Some(folder) = tunely_folder() else { return };
    for version in [NEW, OLD] {
        let relay = relay_with(CONFIG, &[]);
        let tunely = |arguments: &[&str]| {
            let mut command: Command = python_tool(&folder, version, "tunely", &relay.home);
            command.arg("tunnel").args(arguments);
            command.args([
                "--server",
                &format!("http://localhost:{}", relay.port),
                "--api-key",
                "the-operators-own-key",
            ]);
            // It asks before it deletes.
            let (reader, mut writer) = std::io::pipe().expect("a pipe");
            writer.write_all(b"y\n").expect("a pipe takes a line");
            let output = command.stdin(reader).output().expect("the program starts");
            let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
            assert!(output.status.success(), "{version} {arguments:?}: {said}");
            said
        };
        let said = tunely(&["create", "shop"]);
        let at = said.find("tun_").unwrap_or_else(|| panic!("{version}: no token: {said}"));
        let is_token = |character: &char| character.is_ascii_alphanumeric() || matches!(character, '_' | '-');
        let token: String = said[at..].chars().take_while(is_token).collect();
        let guest = Guest::tunely(&relay, &token, false);
        assert!(tunely(&["list"]).contains("shop"), "{version}");
        tunely(&["delete", "shop"]);
        assert_eq!(guest.end().2, "tunnel revoked", "{version}");
    }
}
