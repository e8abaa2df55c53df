//! What an operator's programs see of a relay and do to it: metrics, health, the management API, and the commands that use it.
#![cfg(unix)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use hvym_tunnel_tests::Key;
use hvym_tunnel_tests::http::{Conversation, Head, Origin, answer, nobody, ok};
use hvym_tunnel_tests::program::Home;
use hvym_tunnel_tests::tunnel::{Agent, Relay, request};
use rustix::process::Signal;
use serde_json::{Value, json};

#[path = "../../runner-native/manager/tests/api/schema.rs"]
mod schema;

const KEY: &str = "a key that nobody guesses";

/// A relay with a listener for operators, and where that is.
fn relay(arguments: &[&str]) -> (Relay, u16) {
    let (home, port) = (Home::new(), nobody());
    let key = home.path("key");
    fs::write(&key, KEY).expect("a folder takes a file");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("its owner may change a mode");
    let (listen, key) = (port.to_string(), key.to_str().expect("a path").to_owned());
    let own = ["--admin-listen", &listen, "--admin-key-file", &key];
    (Relay::start_in(home, 0, &[&own, arguments].concat()), port)
}

/// The response at `port` to a request with these fields and this content.
fn ask(port: u16, method: &str, path: &str, fields: &[&str], content: &str) -> (Head, String) {
    ask_for("localhost", port, (method, path), fields, content)
}

/// The same, for this host.
fn ask_for(
    host: &str,
    port: u16,
    (method, path): (&str, &str),
    fields: &[&str],
    content: &str,
) -> (Head, String) {
    let mut connection = Conversation::dial(port);
    let length = format!("Content-Length: {}", content.len());
    let text = request(host, method, path, &[fields, &["Connection: close", &length]].concat());
    connection.send(text + content).expect("it reads");
    let head = connection.head().unwrap_or_else(|error| panic!("{method} {path}: {error}"));
    let body = connection.body(&head).expect("a whole answer");
    (head, String::from_utf8(body).expect("text"))
}

fn bearer() -> String {
    format!("Authorization: Bearer {KEY}")
}

/// The value of one sample.
fn sample(metrics: &str, name: &str) -> f64 {
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    let line = line.unwrap_or_else(|| panic!("no {name}:\n{metrics}"));
    line.parse().unwrap_or_else(|error| panic!("{name} {line}: {error}"))
}

#[test]
fn connections_on_which_nothing_is_asked_keep_no_operator_out() {
    /// What the listener takes.
    const AT_ONCE: usize = 64;
    let (_relay, port) = relay(&[]);
    let begun = || {
        let mut connection = Conversation::dial(port);
        connection.send("GET /healthz HTTP/1.1\r\nX: ").expect("the head goes on");
        connection
    };
    let mut held: Vec<_> = (0..2 * AT_ONCE).map(|_| begun()).collect();
    assert_eq!(ask(port, "GET", "/healthz", &[], "").0.status(), 200);
    // The last one still has its place, and may ask.
    let last = held.last_mut().expect("some are held");
    last.send("y\r\nHost: localhost\r\n\r\n").expect("the head ends");
    assert_eq!(last.head().expect("an answer").status(), 200);
}

#[test]
fn metrics_are_what_happened_and_need_the_operators_key_where_visitors_come() {
    let origin = Origin::answering(|head, _| match head.target() {
        "/lost" => answer("404 Not Found", &[], b"no"),
        _ => ok(b"here"),
    });
    let (relay, port) = relay(&[]);
    let agent = Agent::start(&relay, origin.port, &["--service", "web"]);
    for path in ["/", "/", "/", "/lost"] {
        ask_for(agent.host(), relay.port, ("GET", path), &[], "");
    }
    let banned = Key::from_seed([92; 32]);
    let (code, _) = admin(&relay, &["ban", &banned.address().to_string()]);
    assert_eq!(code, 0);
    let home = Home::of(&banned);
    let mut refused = home.start(&["expose", "3000", "--relay", &relay.url()]);
    assert_eq!(refused.code(), 4);
    let (head, metrics) = ask(port, "GET", "/metrics", &[], "");
    assert_eq!(head.field("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    for line in metrics.lines() {
        let value = line.rsplit_once(' ').and_then(|(_, value)| value.parse::<f64>().ok());
        assert!(line.starts_with("# ") || value.is_some(), "{line}");
    }
    for (name, expected) in [
        ("hvym_tunnel_relay_requests_total{class=\"2xx\"}", 3.0),
        ("hvym_tunnel_relay_requests_total{class=\"4xx\"}", 1.0),
        ("hvym_tunnel_relay_requests_failed_total", 0.0),
        ("hvym_tunnel_relay_request_duration_seconds_count", 4.0),
        ("hvym_tunnel_relay_sessions{system=\"native\"}", 1.0),
        ("hvym_tunnel_relay_sessions{system=\"tunely\"}", 0.0),
        ("hvym_tunnel_relay_logins_total", 1.0),
        ("hvym_tunnel_relay_logins_refused_total{reason=\"not_allowed\"}", 1.0),
        ("hvym_tunnel_relay_bans", 1.0),
        ("tunely_tunnels_connected", 0.0),
        ("tunely_tcp_connections_active", 0.0),
    ] {
        assert_eq!(sample(&metrics, name), expected, "{name}:\n{metrics}");
    }
    assert!(sample(&metrics, "hvym_tunnel_relay_bytes_total{direction=\"out\"}") > 100.0, "{metrics}");
    assert!(sample(&metrics, "hvym_tunnel_relay_links") >= 1.0, "{metrics}");

    let status = |fields: &[&str]| ask(relay.port, "GET", "/metrics", fields, "").0.status();
    assert_eq!(status(&[]), 401);
    assert_eq!(status(&["X-API-Key: another"]), 401);
    assert_eq!(status(&[&bearer()]), 200);
    assert_eq!(status(&[&format!("X-API-Key: {KEY}")]), 200);
    for path in ["/healthz", "/readyz"] {
        for port in [relay.port, port] {
            assert_eq!(ask(port, "GET", path, &[], "").0.status(), 200, "{path}");
        }
    }
}

/// What `admin` says to these words, with its exit code.
fn admin(relay: &Relay, words: &[&str]) -> (i32, String) {
    let output = relay.home.command(&[&["admin"], words].concat()).output().expect("the program starts");
    let text = if output.status.success() { output.stdout } else { output.stderr };
    (output.status.code().expect("it was not killed"), String::from_utf8(text).expect("text"))
}

/// Asks at the listener for operators with the key, and holds the answer against the description. Returns its status and content.
fn described(
    port: u16,
    document: &Value,
    method: &str,
    (route, path): (&str, &str),
    content: &str,
) -> (u16, Value) {
    let (head, body) = ask(port, method, path, &[&bearer()], content);
    let responses = &document["paths"][route][method.to_ascii_lowercase()]["responses"];
    let response = &responses[head.status().to_string()];
    assert!(response.is_object(), "{method} {route}: {} is not described", head.status());
    let value: Value = serde_json::from_str(&body).unwrap_or_else(|error| panic!("{path}: {error}: {body}"));
    let shape = &response["content"]["application/json"]["schema"];
    assert_eq!(schema::mismatch(document, shape, &value, ""), None, "{method} {path}: {value:#}");
    (head.status(), value)
}

#[test]
fn every_answer_of_the_management_api_is_as_it_is_described_and_none_has_a_secret() {
    let (relay, port) = relay(&["--claim-names", "--tcp-ports", hvym_tunnel_tests::tunnel::PORTS]);
    let web = Agent::start(&relay, Origin::echo().port, &["--service", "web", "--name", "cool-app"]);
    let database = Agent::carrying(&relay, Origin::echo().port, &[]);
    let (_, document) = ask(port, "GET", "/api/v1/openapi.json", &[], "");
    let document: Value = serde_json::from_str(&document).expect("JSON");
    let get = |path: &str| {
        let route = path.split('?').next().unwrap_or_default();
        let (status, value) = described(port, &document, "GET", (route, path), "");
        assert_eq!(status, 200, "{path}");
        assert!(!value.to_string().contains(KEY), "{path}");
        value
    };
    for (path, operations) in document["paths"].as_object().expect("an object") {
        if operations.get("get").is_some() && path.starts_with("/api/v1/") {
            // An operator has to say whose requests.
            let whose = path
                .ends_with("/requests")
                .then(|| format!("?agent={}", web.ready["address"].as_str().expect("text")));
            let path = &format!("{path}{}", whose.unwrap_or_default());
            get(path);
            assert_eq!(ask(relay.port, "GET", path, &[&bearer()], "").0.status(), 200, "{path}");
            let is_open = path.ends_with("openapi.json");
            for at in [port, relay.port] {
                let status = ask(at, "GET", path, &[], "").0.status();
                assert_eq!(status, if is_open { 200 } else { 401 }, "{path} at {at}");
            }
        }
    }
    let status = get("/api/v1/status");
    assert_eq!(
        (&status["agents"], &status["sessions"], &status["draining"]),
        (&json!(2), &json!(2), &json!(false))
    );
    let agents = get("/api/v1/agents");
    assert_eq!(agents["agents"].as_array().map(Vec::len), Some(2), "{agents}");
    let sessions = get("/api/v1/sessions");
    assert_eq!(sessions["sessions"][0]["from"], "127.0.0.1", "{sessions}");
    let services = get("/api/v1/services");
    let shown: Vec<_> = ["web", "db"]
        .iter()
        .map(|name| {
            services["services"]
                .as_array()
                .expect("a list")
                .iter()
                .find(|service| service["service"] == *name)
        })
        .map(|service| service.expect("it is served")["url"].as_str().expect("a URL").to_owned())
        .collect();
    assert!(shown[0].starts_with("http://") && shown[1] == database.url(), "{shown:?}");
    let names = get("/api/v1/names");
    assert_eq!(
        (&names["names"][0]["name"], &names["names"][0]["connected"]),
        (&json!("cool-app"), &json!(true))
    );
    let limits = get("/api/v1/limits");
    assert_eq!(limits["limits"]["max_agents"]["used"], 2.0, "{limits}");
    assert_eq!(limits["limits"]["tcp_ports"]["used"], 1.0, "{limits}");

    let post =
        |path: &str, content: Value| described(port, &document, "POST", (path, path), &content.to_string());
    let unban = |subject: &str| {
        described(
            port,
            &document,
            "DELETE",
            ("/api/v1/bans/{subject}", &format!("/api/v1/bans/{subject}")),
            "",
        )
    };
    let id = sessions["sessions"][0]["id"].as_u64().expect("a number");
    assert_eq!(post("/api/v1/kicks", json!({ "session": id, "reason": "x" })).1["ended"], 1);
    for content in [json!({}), json!({ "session": 1, "agent": "G" }), json!({ "sesion": 1 })] {
        assert_eq!(post("/api/v1/kicks", content).0, 400);
    }
    assert_eq!(post("/api/v1/kicks", json!({ "agent": "nobody" })).0, 404);
    assert_eq!(post("/api/v1/kicks", json!({ "session": u64::MAX })).0, 404);
    assert_eq!(post("/api/v1/bans", json!({ "subject": "nobody" })).0, 400);
    assert_eq!(
        post("/api/v1/bans", json!({ "subject": "192.0.2.0/24", "seconds": 60 })),
        (200, json!({ "ended": 0 }))
    );
    assert_eq!(get("/api/v1/bans")["bans"][0]["subject"], "192.0.2.0/24");
    assert_eq!((unban("192.0.2.0%2F24").0, unban("192.0.2.0%2F24").0, unban("x").0), (200, 404, 400));
    let audit = get("/api/v1/audit?limit=1");
    assert_eq!(audit["records"][0]["action"], "unbanned", "{audit}");
    assert_eq!(described(port, &document, "GET", ("/api/v1/audit", "/api/v1/audit?limit=0"), "").0, 400);
    assert_eq!(post("/api/v1/reload", json!({})).0, 200);
    assert_eq!(post("/api/v1/drain", json!({ "seconds": 86_401 })).0, 400);
    let (head, _) = ask(port, "PUT", "/api/v1/bans", &[&bearer()], "");
    assert_eq!((head.status(), head.field("allow")), (405, Some("GET, HEAD, POST")));
    let (head, _) = ask(port, "POST", "/api/v1/bans", &[&bearer()], &"x".repeat(8 * 1024 + 1));
    assert_eq!(head.status(), 413);
    drop(web);
}

#[test]
fn a_drain_ends_the_relay_when_what_is_under_way_is_over_and_says_so_to_whoever_asks() {
    let (arrived, arrivals) = std::sync::mpsc::channel();
    let (finish, finished) = std::sync::mpsc::channel::<()>();
    let finished = std::sync::Mutex::new(finished);
    let origin = Origin::answering(move |_, _| {
        arrived.send(()).expect("the test listens");
        finished.lock().expect("no panic").recv().expect("the test says when");
        ok(b"done")
    });
    let (mut relay, port) = relay(&[]);
    let agent = Agent::start(&relay, origin.port, &[]);
    let mut visitor = relay.visit();
    visitor.send(request(agent.host(), "GET", "/", &[])).expect("the relay reads");
    arrivals.recv().expect("the request");
    assert_eq!(admin(&relay, &["drain", "--for", "60s"]).0, 0);
    // The drain begins a moment after it was asked for.
    let deadline = std::time::Instant::now() + hvym_tunnel_tests::program::PATIENCE;
    loop {
        let (head, text) = ask(port, "GET", "/readyz", &[], "");
        if (head.status(), text.starts_with("not ready")) == (503, true) {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "{text}");
    }
    assert_eq!(ask(port, "GET", "/healthz", &[], "").0.status(), 200);
    finish.send(()).expect("the service waits");
    let head = visitor.head().expect("an answer");
    assert_eq!((head.status(), visitor.body(&head).expect("whole")), (200, b"done".to_vec()));
    assert_eq!(relay.program.code(), 0);
}

#[test]
fn a_reload_of_files_with_mistakes_says_each_and_changes_nothing() {
    let home = Home::new();
    let (config, agents) = (home.path("relay.toml"), home.path("agents"));
    let write = |path: &Path, text: &str| {
        fs::write(path, text).expect("a folder takes a file");
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("its owner may change a mode");
    };
    let listed = Key::from_seed([93; 32]);
    write(&config, "max_connections = 900\n");
    write(&agents, &format!("{}\n", listed.address()));
    let options =
        ["--config", config.to_str().expect("text"), "--allow-agents-file", agents.to_str().expect("text")];
    let mut relay = Relay::start_in(home, 0, &options);
    assert_eq!(admin(&relay, &["reload"]).0, 0);
    relay.program.event("config_loaded");

    write(&config, "max_connections = 901\ncolour = 1\n");
    write(&agents, "nobody\n");
    let (code, said) = admin(&relay, &["reload"]);
    assert_eq!(code, 3, "{said}");
    for mistake in ["colour", "line 1", "hint: the relay goes on"] {
        assert!(said.contains(mistake), "{mistake}: {said}");
    }
    assert!(relay.program.event("config_kept")["message"].as_str().is_some_and(|why| why.contains("colour")));
    let limits = admin(&relay, &["limits", "--json"]).1;
    let limits: Value = serde_json::from_str(&limits).expect("JSON");
    assert_eq!(limits["limits"]["max_connections"]["max"], 900.0, "{limits:#}");
    let _served = Agent::start_in(Home::of(&listed), &relay, Origin::saying(b"hello").port, &[]);

    write(&config, "max_connections = 901\n");
    write(&agents, &format!("{}\n", listed.address()));
    assert_eq!(admin(&relay, &["reload"]).0, 0);
}

#[test]
fn the_health_command_ends_with_what_a_container_wants_to_know() {
    let (mut relay, port) = relay(&[]);
    let health = |url: &str| relay.home.start(&["health", url]).code();
    assert_eq!(health(&format!("http://127.0.0.1:{port}")), 0);
    assert_eq!(health(&format!("http://127.0.0.1:{}/healthz", relay.port)), 0);
    let socket = relay.home.path("config/hvym-tunnel/relay/control.sock");
    assert_eq!(health(&format!("unix:{}", socket.display())), 0);
    assert_eq!(health(&format!("http://127.0.0.1:{port}/nothing")), 6);
    assert_eq!(health(&format!("http://127.0.0.1:{}", nobody())), 6);
    relay.program.signal(Signal::TERM);
    assert_eq!(relay.program.code(), 0);
    assert_eq!(health(&format!("http://127.0.0.1:{port}")), 6);
}

#[test]
fn a_banned_network_has_neither_visitors_nor_agents_and_stays_banned() {
    let origin = Origin::saying(b"here");
    let proxied = ["--trusted-proxy", "127.0.0.1"];
    let relay = Relay::start(&proxied);
    let agent = Agent::start(&relay, origin.port, &[]);
    let visit = |relay: &Relay, from: &str| {
        let from = format!("X-Forwarded-For: {from}");
        ask_for(agent.host(), relay.port, ("GET", "/"), &[&from], "").0.status()
    };
    assert_eq!(visit(&relay, "192.0.2.7"), 200);
    assert_eq!(admin(&relay, &["ban", "192.0.2.0/24", "--reason", "flood"]).0, 0);
    assert_eq!((visit(&relay, "192.0.2.7"), visit(&relay, "192.0.3.7")), (403, 200));
    // An agent that comes by the proxy is told so too.
    let (_, listed) = admin(&relay, &["bans"]);
    assert!(listed.contains("192.0.2.0/24") && listed.contains("flood"), "{listed}");
    // It outlives the relay.
    let relay = relay.restart(&proxied);
    assert_eq!(visit(&relay, "192.0.2.7"), 403);
    assert_eq!(admin(&relay, &["unban", "192.0.2.0/24"]).0, 0);
    assert_ne!(visit(&relay, "192.0.2.7"), 403);
    // Whoever comes without a proxy is turned away before a request is read, and agents that are there leave.
    let served = Agent::start_in(Home::new(), &relay, origin.port, &[]);
    let (code, ended) = admin(&relay, &["ban", "127.0.0.0/8", "--json"]);
    let ended: Value = serde_json::from_str(&ended).expect("JSON");
    assert!(code == 0 && ended["ended"].as_u64().is_some_and(|ended| ended >= 1), "{ended}");
    let mut visitor = relay.visit();
    assert_eq!(visitor.head().expect("a page").status(), 403);
    assert_eq!(admin(&relay, &["unban", "127.0.0.0/8"]).0, 0, "the socket is no network");
    drop(served);
}
