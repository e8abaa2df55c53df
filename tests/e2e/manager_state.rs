//! What a manager knows after its end, whatever ended it.

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use hvym_tunnel_tests::Key;
use hvym_tunnel_tests::http::{Conversation, Origin, nobody};
use hvym_tunnel_tests::program::{Home, PATIENCE, Program};
use hvym_tunnel_tests::tunnel::{PORTS, Relay, host_of, request};
use serde_json::Value;

/// Threads that wait for slow system calls, which come and go.
const SPARE_THREADS: usize = 4;

/// A manager in `home` with these services, and what its `api` event said.
fn manage(home: &Home, relay: &Relay, bindings: &[&str], arguments: &[&str]) -> (Program, Value) {
    let url = relay.url();
    let mut command = vec!["manager", "--json", "--api-port", "0", "--relay", &url];
    command.extend(bindings.iter().flat_map(|binding| ["--bind", *binding]));
    let mut program = home.start(&[&command, arguments].concat());
    let api = program.event("api");
    (program, api)
}

/// What a command to the manager of `home` prints, and its exit code.
fn run(home: &Home, words: &[&str]) -> (i32, String) {
    let output = home.command(words).output().expect("the program starts");
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().expect("it was not killed"), String::from_utf8(text).expect("text"))
}

/// What the API answers that an `api` event tells of.
fn ask(api: &Value, method: &str, path: &str) -> Value {
    let word = |name: &str| api[name].as_str().expect("a text");
    let token = fs::read_to_string(word("token_file")).expect("a token");
    let port = word("url").rsplit_once(':').and_then(|(_, port)| port.parse().ok()).expect("a port");
    let bearer = format!("Authorization: Bearer {}", token.trim());
    let mut conversation = Conversation::dial(port);
    conversation.send(request("localhost", method, path, &[&bearer, "Content-Length: 0"])).expect("it reads");
    let head = conversation.head().expect("it answers");
    assert_eq!(head.status(), 200, "{path}");
    serde_json::from_slice(&conversation.body(&head).expect("a body")).expect("JSON")
}

fn visit(relay: &Relay, url: &str) -> u16 {
    let mut visitor = Conversation::dial(relay.port);
    visitor.send(request(host_of(url), "GET", "/looked-at?secret", &[])).expect("the relay reads");
    visitor.head().expect("it answers").status()
}

fn text(event: &Value, name: &str) -> String {
    event[name].as_str().unwrap_or_else(|| panic!("no {name} in {event}")).to_owned()
}

fn database(home: &Home) -> PathBuf {
    home.path(".local/state/hvym-tunnel/state.db")
}

#[test]
fn a_manager_that_was_killed_is_as_it_was_with_its_addresses_ports_and_requests() {
    let (relay, home) = (Relay::with_ports(PORTS), Home::of(&Key::from_seed([75; 32])));
    let (web, db) = (Origin::saying(b"hello"), Origin::saying(b"bytes"));
    let bindings = [format!("web={}", web.port), format!("db=tcp://localhost:{}", db.port)];
    let bindings = [bindings[0].as_str(), &bindings[1]];
    let (mut manager, _) = manage(&home, &relay, &bindings, &[]);
    let (ready, bound) = (text(&manager.event("ready"), "url"), text(&manager.event("bound"), "url"));
    assert!(bound.starts_with("tcp://"), "{bound}");
    assert_eq!(run(&home, &["bind", &format!("docs={}", web.port)]).0, 0);
    let docs = text(&manager.event("bound"), "url");
    assert_eq!(visit(&relay, &ready), 200);
    // It is kept within a second, which nobody should have to wait for: what ends it by hand is kept at once.
    manager.event("request");
    manager.signal(rustix::process::Signal::TERM);
    assert_eq!(manager.code(), 0, "{manager:?}");

    let (mut manager, api) = manage(&home, &relay, &bindings, &[]);
    assert_eq!(text(&manager.event("ready"), "url"), ready);
    assert_eq!(
        [text(&manager.event("bound"), "url"), text(&manager.event("bound"), "url")],
        [bound.clone(), docs.clone()]
    );
    let requests = ask(&api, "GET", "/api/v1/requests");
    assert_eq!(
        (&requests["requests"][0]["path"], &requests["requests"][1]),
        (&"/looked-at".into(), &Value::Null)
    );
    let history = ask(&api, "GET", "/api/v1/history?range=24h");
    let counted = |history: &Value| -> u64 {
        let points = history["points"].as_array().expect("steps");
        points.iter().map(|point| point["requests"].as_u64().expect("a number")).sum()
    };
    assert_eq!((counted(&history), history["points"].as_array().map(Vec::len)), (1, Some(96)));

    manager.kill();
    let (mut manager, api) = manage(&home, &relay, &bindings, &[]);
    assert_eq!(text(&manager.event("ready"), "url"), ready);
    assert_eq!([text(&manager.event("bound"), "url"), text(&manager.event("bound"), "url")], [bound, docs]);
    assert_eq!(counted(&ask(&api, "GET", "/api/v1/history?range=7d")), 1);
    assert_eq!(run(&home, &["unbind", "docs"]).0, 0);
    manager.kill();
    let (mut manager, _) = manage(&home, &relay, &bindings, &[]);
    manager.event("bound");
    assert!(!run(&home, &["status"]).1.contains("docs"), "what was removed stays so");
    manager.signal(rustix::process::Signal::TERM);
    assert_eq!(manager.code(), 0, "{manager:?}");
}

#[test]
fn what_was_stopped_stays_stopped_and_is_said() {
    let (relay, home) = (Relay::start(&[]), Home::of(&Key::from_seed([76; 32])));
    let web = Origin::saying(b"hello");
    let binding = format!("web={}", web.port);
    let (mut manager, _) = manage(&home, &relay, &[&binding], &[]);
    let url = text(&manager.event("ready"), "url");
    assert_eq!(run(&home, &["stop"]).0, 0);
    manager.kill();

    let (mut manager, api) = manage(&home, &relay, &[&binding], &[]);
    let said = manager.event("told");
    assert_eq!((&said["code"], &said["hint"]), (&"stopped".into(), &"hvym-tunnel start relay".into()));
    let status = ask(&api, "GET", "/api/status");
    assert_eq!(status["links"][0]["state"], "disconnected");
    let service = &status["services"][0];
    assert_eq!((&service["url"], &service["last_url"]), (&Value::Null, &url.as_str().into()));
    assert_eq!(visit(&relay, &url), 503);
    assert_eq!(ask(&api, "DELETE", "/api/v1/endpoints")["message"], "1 endpoints forgotten");
    assert_eq!(ask(&api, "GET", "/api/status")["services"][0]["last_url"], Value::Null);
    assert_eq!(run(&home, &["start"]).0, 0);
    manager.kill();

    let (mut manager, _) = manage(&home, &relay, &[&binding], &[]);
    assert_eq!(text(&manager.event("ready"), "url"), url, "what was started runs again");
    assert_eq!(visit(&relay, &url), 200);
}

#[test]
fn alerts_outlive_a_manager_that_was_killed() {
    let (relay, home) = (Relay::start(&[]), Home::of(&Key::from_seed([77; 32])));
    let binding = format!("web={}", nobody());
    let interval = ["--check-interval", "5"];
    let (mut manager, _) = manage(&home, &relay, &[&binding], &interval);
    manager.event("ready");
    let mut events = home.start(&["events", "--json"]);
    loop {
        let event: Value = serde_json::from_str(&events.line()).expect("JSON");
        if event["type"] == "alert" && event["alert"]["subject"] == "web" {
            break;
        }
    }
    let kept = |api: &Value| -> Vec<Value> {
        let alerts = ask(api, "GET", "/api/v1/alerts");
        alerts["active"].as_array().expect("a list").clone()
    };
    // A change that is waited for: everything before it is written with it.
    assert_eq!(run(&home, &["start"]).0, 0);
    manager.kill();
    let (mut manager, api) = manage(&home, &relay, &[&binding], &interval);
    let first = kept(&api);
    assert!(
        first.iter().any(|alert| alert["subject"] == "web" && alert["kind"] == "disconnected"),
        "{first:?}"
    );
    manager.event("ready");
    let id = first[0]["id"].as_u64().expect("a number");
    assert_eq!(ask(&api, "POST", &format!("/api/v1/alerts/{id}/ack"))["status"], "success");
    assert_eq!(run(&home, &["start"]).0, 0);
    manager.kill();
    let (_manager, api) = manage(&home, &relay, &[&binding], &interval);
    let second = kept(&api);
    let known = second.iter().find(|alert| alert["id"] == id).expect("it is remembered");
    assert_eq!((&known["acknowledged"], &known["raised_at"]), (&true.into(), &first[0]["raised_at"]));
}

#[test]
fn a_database_that_cannot_be_used_is_said_and_nobody_stops_for_it() {
    let (relay, home) = (Relay::start(&[]), Home::of(&Key::from_seed([78; 32])));
    let web = Origin::saying(b"hello");
    let binding = format!("web={}", web.port);
    let runs = |damage: &dyn Fn(), words: &str| {
        damage();
        let (mut manager, _) = manage(&home, &relay, &[&binding], &[]);
        let ready = manager.event("ready");
        assert_eq!(visit(&relay, &text(&ready, "url")), 200);
        let said = manager.transcript();
        assert_eq!(said.contains("state_failed"), !words.is_empty(), "{said}");
        assert!(said.contains(words), "{words}: {said}");
        manager.signal(rustix::process::Signal::TERM);
        assert_eq!(manager.code(), 0, "{manager:?}");
    };
    let database = database(&home);
    runs(&|| {}, "");
    runs(&|| {}, "");
    let remove = || {
        // With what a process that did not close it left beside it, which would mend it.
        for suffix in ["", "-wal", "-shm"] {
            let _none = fs::remove_file(format!("{}{suffix}", database.display()));
        }
    };
    runs(
        &|| {
            remove();
            fs::write(&database, "no database").expect("a file");
        },
        "it was set aside",
    );
    runs(
        &|| {
            remove();
            fs::create_dir(&database).expect("a folder in its place");
        },
        "nothing is remembered beyond the end",
    );
    fs::remove_dir(&database).expect("it is empty");
    let elsewhere = home.path("elsewhere.db");
    let (mut manager, _) =
        manage(&home, &relay, &[&binding], &["--state-db", elsewhere.to_str().expect("text")]);
    manager.event("ready");
    assert!(elsewhere.exists() && !database.exists());
}

/// Stops, starts and restarts all links.
fn cycle(api: &Value, manager: &mut Program) {
    ask(api, "POST", "/api/tunnel/stop");
    ask(api, "POST", "/api/tunnel/start");
    manager.event("ready");
    ask(api, "POST", "/api/tunnel/restart");
    manager.event("ready");
}

#[test]
fn a_hundred_stops_starts_and_restarts_leave_nothing_open() {
    let (relay, home) = (Relay::start(&[]), Home::of(&Key::from_seed([79; 32])));
    let web = Origin::saying(b"hello");
    let (mut manager, api) = manage(&home, &relay, &[&format!("web={}", web.port)], &[]);
    let url = text(&manager.event("ready"), "url");
    // What is made once, as the thread that waits for the disk, is there after the first.
    cycle(&api, &mut manager);
    let (open, threads) = (manager.descriptors(), manager.threads());
    let at_relay = relay.program.descriptors();
    (0..100).for_each(|_| cycle(&api, &mut manager));
    manager.comes_down_to(open);
    relay.program.comes_down_to(at_relay);
    assert!(manager.threads() <= threads + SPARE_THREADS, "{} threads, not {threads}", manager.threads());
    assert_eq!(visit(&relay, &url), 200);
}

#[test]
fn hooks_are_run_at_the_first_url_at_each_return_and_when_it_is_gone() {
    let (relay, home) = (Relay::start(&[]), Home::of(&Key::from_seed([87; 32])));
    let (web, log) = (Origin::saying(b"hello"), home.path("hooks.log"));
    let line =
        |name: &str| format!("exec = [\"sh\", \"-c\", \"echo {name} {{service}} >> {}\"]\n", log.display());
    let ready =
        ["first", "changed", "every"].map(|on| format!("[[hooks.ready]]\non = \"{on}\"\n{}", line(on)));
    let settings = format!(
        "version = 1\n[api]\nport = {}\n[[link]]\nname = \"home\"\nrelay = \"{}\"\n\
         [[service]]\nname = \"web\"\ntarget = \"{}\"\nprobe = \"tcp\"\n{}[[hooks.down]]\n{}",
        nobody(),
        relay.url(),
        web.port,
        ready.concat(),
        line("down")
    );
    fs::write(home.path("config/hvym-tunnel/config.toml"), settings).expect("the folder takes a file");
    let mut manager = home.start(&["manager", "--json"]);
    manager.event("ready");
    let written = |expected: &[&str]| {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let text = fs::read_to_string(&log).unwrap_or_default();
            let mut lines: Vec<_> = text.lines().collect();
            lines.sort_unstable();
            if lines == expected {
                return;
            }
            assert!(Instant::now() < deadline && lines.len() <= expected.len(), "{text}\n{manager:?}");
            std::thread::yield_now();
        }
    };
    written(&["changed web", "every web", "first web"]);
    assert_eq!(run(&home, &["stop"]).0, 0);
    written(&["changed web", "down web", "every web", "first web"]);
    assert_eq!(run(&home, &["start"]).0, 0);
    written(&["changed web", "down web", "every web", "every web", "first web"]);
}

#[test]
fn the_api_moves_to_another_port_when_the_file_says_so_and_no_stream_notices() {
    let (relay, home) = (Relay::start(&[]), Home::of(&Key::from_seed([88; 32])));
    let (web, ports) = (Origin::saying(b"hello"), [nobody(), nobody()]);
    let write = |port: u16| {
        let text = format!(
            "version = 1\n[api]\nport = {port}\n[[link]]\nname = \"home\"\nrelay = \"{}\"\n\
             [[service]]\nname = \"web\"\ntarget = \"{}\"\nprobe = \"tcp\"\n",
            relay.url(),
            web.port
        );
        fs::write(home.path("config/hvym-tunnel/config.toml"), text).expect("the folder takes a file");
    };
    write(ports[0]);
    let mut manager = home.start(&["manager", "--json"]);
    let first = manager.event("api");
    let url = text(&manager.event("ready"), "url");
    let mut visitor = Conversation::dial(relay.port);
    let mut visit_again = || {
        visitor.send(request(host_of(&url), "GET", "/", &[])).expect("the relay reads");
        let head = visitor.head().expect("it answers");
        visitor.body(&head).expect("a body");
        head.status()
    };
    assert_eq!(visit_again(), 200);
    write(ports[1]);
    let second = manager.event("api");
    assert!(text(&second, "url").ends_with(&format!(":{}", ports[1])), "{second}");
    assert_eq!(ask(&second, "GET", "/api/status")["links"][0]["state"], "connected");
    assert!(std::net::TcpStream::connect(("127.0.0.1", ports[0])).is_err(), "{first}");
    assert_eq!(visit_again(), 200);
    // A port that somebody has leaves it where it is.
    write(relay.port);
    let kept = manager.event("config_kept");
    assert!(text(&kept, "message").contains("the API stays as it was"), "{kept}");
    assert_eq!(manager.event("api")["url"], second["url"]);
    assert_eq!(ask(&second, "GET", "/api/status")["links"][0]["state"], "connected");
    assert_eq!(visit_again(), 200);
    assert_eq!(manager.transcript().matches("\"ready\"").count(), 1, "nothing was dialled anew: {manager:?}");
}
