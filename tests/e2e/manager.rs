//! The manager as a person runs it: its API by curl, its commands, and what a kill leaves behind.

use std::process::Command;

use hvym_tunnel_tests::Key;
use hvym_tunnel_tests::http::{Conversation, Origin, nobody};
use hvym_tunnel_tests::installed::required_tool;
use hvym_tunnel_tests::program::{Home, PATIENCE, Program};
use hvym_tunnel_tests::tunnel::{Relay, host_of, request};
use serde_json::Value;

/// What a user of the Tunnel Manager types to see what is wrong, word for word.
const DIAGNOSTICS: [&str; 4] = [
    "curl http://localhost:8765/api/health",
    "curl http://localhost:8765/api/status | jq",
    "curl http://localhost:8765/api/metrics | jq",
    "curl -X POST http://localhost:8765/api/tunnel/restart",
];

/// A manager in `home`, with a free port for its API, and what its `api` event said.
fn manage(home: &Home, relay: &Relay, target: u16, arguments: &[&str]) -> (Program, Value, Value) {
    let (url, bind) = (relay.url(), format!("web={target}"));
    let command = ["manager", "--json", "--api-port", "0", "--relay", &url, "--bind", &bind];
    let mut program = home.start(&[&command, arguments].concat());
    let api = program.event("api");
    let ready = program.event("ready");
    (program, api, ready)
}

/// What a command to the manager of `home` prints, and its exit code.
fn run(home: &Home, words: &[&str]) -> (i32, String) {
    let output = home.command(words).output().expect("the program starts");
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().expect("it was not killed"), String::from_utf8(text).expect("text"))
}

fn visit(relay: &Relay, url: &str) -> u16 {
    let mut visitor = Conversation::dial(relay.port);
    visitor.send(request(host_of(url), "GET", "/", &[])).expect("the relay reads");
    visitor.head().expect("it answers").status()
}

#[test]
fn the_four_diagnostic_commands_work_word_for_word() {
    let (Some(_), Some(_)) = (required_tool("curl"), required_tool("jq")) else { return };
    let (relay, home, origin) = (Relay::start(&[]), Home::new(), Origin::saying(b"hello"));
    let (mut manager, api, ready) = manage(&home, &relay, origin.port, &[]);
    // Other tests have managers too, and the port is one: curl finds this one by a line of its own settings.
    let at = api["url"].as_str().and_then(|url| url.strip_prefix("http://")).expect("a URL");
    std::fs::write(home.path(".curlrc"), format!("connect-to = localhost:8765:{at}\nsilent\nfail\n"))
        .expect("a folder takes a file");
    let answers = DIAGNOSTICS.map(|line| {
        let mut command = Command::new("sh");
        command.args(["-c", line]).env("HOME", home.path("")).env_remove("CURL_HOME");
        let output = command.output().expect("a shell");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{line}: {output:?} {manager:?}");
        serde_json::from_str::<Value>(&text).unwrap_or_else(|error| panic!("{line}: {error}: {text}"))
    });
    let [health, status, metrics, restarted] = answers;
    assert!(health["uptime"].is_number() && health["version"].is_string(), "{health:#}");
    assert_eq!(status["services"][0]["url"], ready["url"]);
    assert_eq!(metrics["tunnel_metrics"]["totalConnections"], 2);
    assert_eq!(
        (&restarted["status"], &restarted["message"]),
        (&"success".into(), &"Tunnel restarted".into())
    );
    let again = manager.event("ready");
    assert_eq!(again["url"], ready["url"]);
    assert_eq!(visit(&relay, again["url"].as_str().expect("a URL")), 200);
    manager.signal(rustix::process::Signal::TERM);
    assert_eq!(manager.code(), 0, "{manager:?}");
}

#[test]
fn a_person_sees_and_changes_a_manager_that_runs() {
    let (relay, home, origin) = (Relay::start(&[]), Home::new(), Origin::saying(b"hello"));
    let (code, text) = run(&home, &["status"]);
    assert!(
        code == 7 && text.contains("no manager listens at") && text.contains("hvym-tunnel manager"),
        "{text}"
    );
    let (mut manager, _, ready) = manage(&home, &relay, origin.port, &[]);
    let url = ready["url"].as_str().expect("a URL").to_owned();
    let (code, text) = run(&home, &["status"]);
    assert!(code == 0 && text.contains("connected") && text.contains(&url), "{text}");
    assert_eq!(run(&home, &["bind", &format!("docs={}", origin.port)]), (0, "docs is added\n".to_owned()));
    let docs = manager.event("bound");
    assert_eq!(visit(&relay, docs["url"].as_str().expect("a URL")), 200);
    assert_eq!(run(&home, &["unbind", "docs"]), (0, "docs is removed\n".to_owned()));
    let (code, text) = run(&home, &["unbind", "docs"]);
    assert!(code == 3 && text.contains("there is no service docs"), "{text}");
    assert_eq!(run(&home, &["stop"]), (0, "Tunnel stopped\n".to_owned()));
    assert_eq!(visit(&relay, &url), 503);
    assert_eq!(run(&home, &["start"]), (0, "Tunnel start initiated\n".to_owned()));
    assert_eq!(manager.event("ready")["url"], url.as_str());
    let (code, text) = run(&home, &["status", "--json"]);
    let status: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!((code, &status["links"][0]["state"]), (0, &"connected".into()));
    assert_eq!(run(&home, &["alerts"]), (0, "no alerts\n".to_owned()));
    // Another manager finds its socket taken, and says what to do.
    let second = ["manager", "--api-port", "0", "--relay", &relay.url(), "--bind", "web=1"];
    let (code, text) = run(&home, &second);
    assert!(code == 3 && text.contains("a manager may run already"), "{text}");
}

#[test]
fn a_manager_that_was_killed_comes_back_with_its_addresses() {
    let key = Key::from_seed([73; 32]);
    let (relay, home, origin) = (Relay::start(&[]), Home::of(&key), Origin::saying(b"hello"));
    let (mut manager, api, ready) = manage(&home, &relay, origin.port, &[]);
    manager.kill();
    let (mut manager, again, back) = manage(&home, &relay, origin.port, &[]);
    assert_eq!(back["url"], ready["url"]);
    assert_eq!((&again["socket"], &again["token_file"]), (&api["socket"], &api["token_file"]));
    assert_eq!(visit(&relay, back["url"].as_str().expect("a URL")), 200);
    manager.signal(rustix::process::Signal::TERM);
    assert_eq!(manager.code(), 0, "{manager:?}");
    assert!(!std::path::Path::new(again["socket"].as_str().expect("a path")).exists());
}

#[test]
fn services_that_come_and_go_over_the_api_cut_nobody_off() {
    let (relay, home, (slow, go)) =
        (Relay::start(&[]), Home::of(&Key::from_seed([98; 32])), crate::settings::slow_service());
    let (mut manager, _, ready) = manage(&home, &relay, slow.port, &[]);
    let mut visitor = relay.visit();
    let url = ready["url"].as_str().expect("a URL");
    visitor.send(request(host_of(url), "GET", "/", &[])).expect("the relay reads");
    let head = visitor.head().expect("the head of an answer");
    assert_eq!(visitor.take(4).expect("half an answer"), b"half");
    let other = Origin::saying(b"hello");
    assert_eq!(run(&home, &["bind", &format!("docs={}", other.port)]).0, 0);
    manager.event("bound");
    // It has another target now, and the same URL.
    assert_eq!(run(&home, &["bind", &format!("docs={}", slow.port)]).0, 0);
    assert_eq!(run(&home, &["unbind", "docs"]).0, 0);
    go.send(()).expect("the service waits");
    assert_eq!((head.status(), visitor.take(4).expect("the rest")), (200, b"rest".to_vec()));
}

/// A settings file with these services, for a manager of `relay`.
fn settings(relay: &Relay, api: u16, services: &[(&str, u16)]) -> String {
    let services = services.iter().map(|(name, port)| {
        format!("[[service]]\nname = \"{name}\"\ntarget = \"{port}\"\nprobe = \"tcp\"\n")
    });
    let services: String = services.collect();
    format!(
        "version = 1\n[api]\nport = {api}\n[[link]]\nname = \"home\"\nrelay = \"{}\"\n{services}",
        relay.url()
    )
}

#[test]
fn a_manager_follows_its_settings_file_and_keeps_what_it_has_when_a_new_one_is_wrong() {
    let (relay, home, origin) =
        (Relay::start(&[]), Home::of(&Key::from_seed([74; 32])), Origin::saying(b"hello"));
    let (file, api) = (home.path("config/hvym-tunnel/config.toml"), nobody());
    let write = |text: &str| std::fs::write(&file, text).expect("the folder takes a file");
    write(&settings(&relay, api, &[("web", origin.port)]));
    let mut manager = home.start(&["manager", "--json"]);
    let said = manager.event("api");
    assert_eq!(said["url"], format!("http://127.0.0.1:{api}"));
    let ready = manager.event("ready");
    let url = ready["url"].as_str().expect("a URL").to_owned();
    assert_eq!(visit(&relay, &url), 200);

    write(&settings(&relay, api, &[("web", origin.port), ("docs", origin.port)]));
    // The relay may answer before everything is applied.
    let docs = manager.event("bound");
    assert!(manager.tells("\"config_loaded\"", PATIENCE), "{manager:?}");
    assert_eq!(visit(&relay, docs["url"].as_str().expect("a URL")), 200);

    write("version = 1\n[[link]]\n");
    let kept = manager.event("config_kept");
    assert!(kept["message"].as_str().is_some_and(|text| text.contains("relay")), "{kept}");
    let token = std::fs::read_to_string(said["token_file"].as_str().expect("a path")).expect("a token");
    let reload = || {
        let mut api = Conversation::dial(api);
        let bearer = format!("Authorization: Bearer {}", token.trim());
        api.send(request("localhost", "POST", "/api/v1/reload", &[&bearer, "Content-Length: 0"]))
            .expect("it reads");
        let head = api.head().expect("it answers");
        let body: Value = serde_json::from_slice(&api.body(&head).expect("a body")).expect("JSON");
        (head.status(), body)
    };
    let (status, answer) = reload();
    assert!(status == 400 && answer["error"].as_str().is_some_and(|text| text.contains("relay")), "{answer}");
    assert_eq!(visit(&relay, &url), 200);

    write(&settings(&relay, api, &[("docs", origin.port)]));
    assert_eq!(manager.event("config_loaded")["changes"], 1);
    assert_eq!(visit(&relay, docs["url"].as_str().expect("a URL")), 200);
    let (_, text) = run(&home, &["status"]);
    assert!(text.contains("docs") && !text.contains("web "), "{text}");
    assert_eq!(reload().0, 200);
}
