//! The settings file as a person and an operator use it: the real program, its file, its signals.
#![cfg(unix)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::Mutex;
use std::sync::mpsc::channel;

use hvym_tunnel_tests::http::{Conversation, Origin};
use hvym_tunnel_tests::program::{Home, PATIENCE, Program};
use hvym_tunnel_tests::tunnel::{Relay, host_of, request};
use rustix::process::Signal;

/// What CloudToLocalLLM's Tunnel Manager documents as its file.
const TUNNEL_MANAGER: &str = r#"{"enableLocalOllama": true, "ollamaHost": "localhost", "ollamaPort": 11434,
    "connectionTimeout": 30, "enableCloudProxy": true, "cloudProxyUrl": "https://app.cloudtolocalllm.online",
    "cloudProxyAudience": "https://api.cloudtolocalllm.online", "apiServerPort": 8765, "enableApiServer": true,
    "allowedOrigins": ["http://localhost:*", "https://app.cloudtolocalllm.online"], "healthCheckInterval": 30,
    "maxRetries": 5, "retryDelay": 2, "connectionPoolSize": 10, "requestTimeout": 60, "enableMetrics": true,
    "minimizeToTray": true, "startMinimized": false, "showNotifications": true, "logLevel": "INFO",
    "autoStartTunnel": true, "autoStartOnBoot": false}"#;

fn file(home: &Home) -> PathBuf {
    home.path("config/hvym-tunnel/config.toml")
}

/// Puts `text` there as editors do: a new file in the place of the old one.
fn save(home: &Home, text: &str) {
    let path = file(home);
    fs::create_dir_all(path.parent().expect("a folder")).expect("a folder takes a folder");
    let draft = path.with_extension("new");
    fs::write(&draft, text).expect("a folder takes a file");
    fs::rename(&draft, &path).expect("a file takes the place of another");
}

fn config(home: &Home, arguments: &[&str]) -> Output {
    command(home, arguments).output().expect("the program starts")
}

fn command(home: &Home, arguments: &[&str]) -> Command {
    home.command(&[&["config"], arguments].concat())
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_file_is_made_changed_checked_and_brought_back_by_commands() {
    let home = Home::new();
    assert_eq!(out(&config(&home, &["path"])).trim_end(), file(&home).display().to_string());
    let missing = config(&home, &["show"]);
    assert_eq!(missing.status.code(), Some(3), "{missing:?}");

    assert!(config(&home, &["set", "health.interval", "60"]).status.success());
    assert!(config(&home, &["set", "log.level", "debug"]).status.success());
    assert_eq!(out(&config(&home, &["get", "health.interval"])), "60\n");
    assert_eq!(out(&config(&home, &["get", "health.max_retries"])), "5\n");
    let refused = config(&home, &["set", "health.interval", "4"]);
    assert_eq!(refused.status.code(), Some(3));
    assert!(err(&refused).contains("from 5 to 300"), "{refused:?}");
    assert_eq!(out(&config(&home, &["get", "health.interval"])), "60\n", "what is wrong is not written");
    assert!(err(&config(&home, &["check"])).contains("is right"));

    let shown = command(&home, &["show", "--effective", "--origin", "--set", "api.port=9000"])
        .env("HVYM_TUNNEL_LOG_LEVEL", "error")
        .output()
        .expect("the program starts");
    let shown = out(&shown);
    for (key, origin) in [
        ("api.port = 9000", "--set api.port"),
        ("log.level = \"error\"", "HVYM_TUNNEL_LOG_LEVEL"),
        ("health.interval = 60", "config.toml:4"),
        ("health.max_retries = 5", "default"),
    ] {
        let line =
            shown.lines().find(|line| line.starts_with(key)).unwrap_or_else(|| panic!("{key}: {shown}"));
        assert!(line.ends_with(origin), "{line}");
    }

    assert!(config(&home, &["reset"]).status.success());
    assert_eq!(out(&config(&home, &["show"])), "version = 1\n");
    assert!(config(&home, &["restore"]).status.success());
    assert_eq!(out(&config(&home, &["get", "health.interval"])), "60\n");
    let copy = home.path("copy.toml");
    assert!(config(&home, &["export", copy.to_str().expect("text")]).status.success());
    assert_eq!(
        fs::read_to_string(&copy).expect("the copy"),
        fs::read_to_string(file(&home)).expect("the file")
    );
    let schema: serde_json::Value = serde_json::from_str(&out(&config(&home, &["schema"]))).expect("JSON");
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
}

#[test]
fn the_first_setting_makes_the_file_for_its_owner_alone_and_says_where() {
    let home = Home::new();
    let refused = config(&home, &["set", "link.main.relay", "no relay"]);
    assert_eq!((refused.status.code(), file(&home).exists()), (Some(3), false), "{refused:?}");
    let made = config(&home, &["set", "link.main.relay", "wss://tunnel.example"]);
    assert!(made.status.success(), "{made:?}");
    assert_eq!(err(&made), format!("{} is made\n", file(&home).display()));
    let mode = fs::metadata(file(&home)).expect("the file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let added = config(&home, &["set", "service.web.target", "3000"]);
    assert_eq!((added.status.success(), err(&added).as_str()), (true, ""));
    assert_eq!(out(&config(&home, &["get", "link.main.relay"])), "wss://tunnel.example\n");
    assert!(err(&config(&home, &["check"])).contains("is right: 1 link, 1 service"));
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let home = Home::new();
    save(&home, "colour = 1\n[health]\ninterval = 1\n[api]\nport = 0\n");
    let checked = config(&home, &["check"]);
    assert_eq!(checked.status.code(), Some(3));
    let text = err(&checked);
    for line in ["config.toml:1: colour", "config.toml:3: health.interval", "config.toml:5: api.port"] {
        assert!(text.contains(line), "{line}: {text}");
    }
    let up = home.command(&["up"]).output().expect("the program starts");
    assert_eq!(up.status.code(), Some(3));
    assert!(err(&up).contains("config.toml:5: api.port"), "{up:?}");
}

#[test]
fn the_tunnel_managers_file_is_found_taken_in_without_a_warning_and_left_as_it_is() {
    let home = Home::new();
    let theirs = home.path(".cloudtolocalllm/tunnel_config.json");
    fs::create_dir_all(theirs.parent().expect("a folder")).expect("a folder takes a folder");
    fs::write(&theirs, TUNNEL_MANAGER).expect("a folder takes a file");
    let imported = config(&home, &["import", "--from", "tunnel-manager"]);
    assert!(imported.status.success(), "{imported:?}");
    assert!(!err(&imported).contains("warning"), "{imported:?}");
    assert!(err(&imported).contains("cloud.token"), "{imported:?}");
    assert_eq!(fs::read_to_string(&theirs).expect("their file"), TUNNEL_MANAGER);
    assert_eq!(out(&config(&home, &["get", "service.ollama.target"])), "http://localhost:11434\n");
    let again = config(&home, &["import", theirs.to_str().expect("text"), "--dry-run"]);
    assert_eq!(out(&again), fs::read_to_string(file(&home)).expect("the file"));
}

/// A service whose first answer is whole when `go` says so.
pub(crate) fn slow_service() -> (Origin, std::sync::mpsc::Sender<()>) {
    let (go, gone) = channel::<()>();
    let gone = Mutex::new(gone);
    let origin = Origin::start(move |mut visitor: Conversation| {
        visitor.head()?;
        visitor.send("HTTP/1.1 200 OK\r\nContent-Length: 8\r\nConnection: close\r\n\r\nhalf")?;
        let _waited = gone.lock().expect("one at a time").recv_timeout(PATIENCE);
        visitor.send("rest")
    });
    (origin, go)
}

fn get(relay: &Relay, url: &str) -> (u16, String) {
    let mut visitor = relay.visit();
    visitor.send(request(host_of(url), "GET", "/", &[])).expect("the relay reads");
    let head = visitor.head().expect("an answer");
    let body = visitor.body(&head).expect("a whole answer");
    (head.status(), String::from_utf8_lossy(&body).into_owned())
}

/// The next event called `name` about the service `service`.
fn bound(program: &mut Program, name: &str, service: &str) -> serde_json::Value {
    loop {
        let event = program.event(name);
        if event["service"] == service {
            return event;
        }
    }
}

#[test]
fn a_service_that_is_added_to_the_file_is_offered_and_cuts_nobody_off() {
    let relay = Relay::start(&[]);
    let home = Home::new();
    let ((first, go), second) = (slow_service(), Origin::saying(b"second"));
    let text = format!(
        "[[link]]\nname = \"home\"\nrelay = \"{}\"\n\n[[service]]\nname = \"web\"\ntarget = \"{}\"\n",
        relay.url(),
        first.port
    );
    save(&home, &text);
    let mut up = home.start(&["up", "--json"]);
    let ready = up.event("ready");
    let url = ready["url"].as_str().expect("a URL").to_owned();
    let mut visitor = relay.visit();
    visitor.send(request(host_of(&url), "GET", "/", &[])).expect("the relay reads");
    let head = visitor.head().expect("the head of an answer");
    assert_eq!(visitor.take(4).expect("half an answer"), b"half");

    let more = format!("{text}\n[[service]]\nname = \"api\"\ntarget = \"{}\"\n", second.port);
    save(&home, &more);
    // The relay takes the service when it likes, before or after the file is said to be read.
    let api = bound(&mut up, "bound", "api");
    assert_eq!(get(&relay, api["url"].as_str().expect("a URL")), (200, "second".to_owned()));
    go.send(()).expect("the service waits");
    assert_eq!((head.status(), visitor.take(4).expect("the rest")), (200, b"rest".to_vec()));

    save(&home, &more.replace("target", "targte"));
    let kept = up.event("config_kept");
    let message = kept["message"].as_str().expect("a message");
    assert!(
        message.contains("config.toml:7: service.web.targte: ") && message.contains("target?"),
        "{message}"
    );
    assert_eq!(get(&relay, api["url"].as_str().expect("a URL")).0, 200, "what ran runs on");

    save(&home, &text);
    let loaded = up.event("config_loaded");
    assert_eq!(loaded["changes"], 1, "{loaded}");
    up.signal(Signal::HUP);
    assert_eq!(up.event("config_loaded")["changes"], 0);
    up.signal(Signal::TERM);
    assert_eq!(up.code(), 0);
}

#[test]
fn a_link_without_a_token_says_which_file_it_wants() {
    let home = Home::new();
    save(
        &home,
        "[[link]]\nname = \"cloud\"\nrelay = \"ws://localhost:1\"\ndialect = \"cloud\"\n\n[[service]]\nname = \"web\"\ntarget = \"3000\"\n",
    );
    let up = home.command(&["up"]).output().expect("the program starts");
    assert_ne!(up.status.code(), Some(0));
    assert!(err(&up).contains("config/hvym-tunnel/cloud.token"), "{up:?}");
}

#[test]
fn the_options_of_a_relay_stand_in_its_file_and_sighup_never_ends_it() {
    let home = Home::new();
    let path = home.path("relay.toml");
    fs::write(&path, "listen = \"127.0.0.1:0\"\nopen = true\nmax_connections = 100\n").expect("a file");
    let path = path.to_str().expect("text");
    let program = home.start(&["relay", "--json", "--config", path]);
    let mut relay = Relay::started(program, home);
    for _ in 0..3 {
        relay.program.signal(Signal::HUP);
    }
    let mut visitor = relay.visit();
    visitor.send(request("localhost", "GET", "/", &[])).expect("the relay reads");
    assert_eq!(visitor.head().expect("an answer").status(), 200);
    assert!(relay.program.runs());

    fs::write(path, "listen = \"nowhere\"\nopne = true\n").expect("a file");
    let refused = relay.home.command(&["relay", "--config", path]).output().expect("the program starts");
    assert_eq!(refused.status.code(), Some(3), "{refused:?}");
    let text = err(&refused);
    assert!(text.contains("relay.toml:1: listen: ") && text.contains("relay.toml:2: opne: "), "{text}");
    relay.program.signal(Signal::TERM);
    assert_eq!(relay.program.code(), 0);
}
