//! A relay whose disk is full: visitors do not notice, and what is not logged is counted.
#![cfg(target_os = "linux")]

use std::ffi::OsStr;
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use hvym_tunnel_tests::guests::{write_config, write_private};
use hvym_tunnel_tests::http::{Conversation, Origin};
use hvym_tunnel_tests::program::{Home, PATIENCE, Program};
use hvym_tunnel_tests::tunnel::{Agent, Relay, request};
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::{Value, json};

use super::asking::{ask, read};

const CONFIG: &str = "[tunely]\nadmin_key = \"the-operators-own-key\"\n";
const KEY: &str = "X-Api-Key: the-operators-own-key";
/// Requests while there is no room: more than a batch of the log.
const REQUESTS: usize = 300;

/// `command`, which is told that a file is too large, and not ended by it.
fn enduring(command: &Command) -> Command {
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", "trap '' 25; exec \"$0\" \"$@\""]).arg(command.get_program()).args(command.get_args());
    shell.env_clear();
    let set = command.get_envs().filter_map(|(name, value)| Some((name, value?)));
    shell.envs(set.collect::<Vec<(&OsStr, &OsStr)>>());
    shell
}

/// How long files of the relay may become, bytes.
fn limit(relay: &Relay, bytes: Option<u64>) {
    let pid = Pid::from_raw(i32::try_from(relay.program.id()).expect("a number of a process"));
    let limit = Rlimit { current: bytes, maximum: None };
    prlimit(pid, Resource::Fsize, limit).expect("it is ours");
}

fn visit(relay: &Relay, count: usize) {
    let mut visitor = Conversation::dial(relay.port);
    for _ in 0..count {
        visitor.send(request("shop.localhost", "GET", "/", &[])).expect("the relay reads");
        let head = visitor.head().expect("an answer");
        assert_eq!((head.status(), &*visitor.body(&head).expect("a whole answer")), (200, &b"hello"[..]));
    }
}

/// A counter of the relay.
fn counter(relay: &Relay, name: &str) -> f64 {
    let (_, metrics) = ask(relay, "GET", "/metrics", &[KEY], "");
    let text = String::from_utf8(metrics).expect("text");
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    line.unwrap_or_else(|| panic!("no {name}: {text}"))
}

fn wait(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn visitors_do_not_notice_a_full_disk_and_what_is_not_logged_is_counted() {
    let home = Home::new();
    let config = write_config(&home, CONFIG);
    let log = home.path("access.log");
    let arguments = ["relay", "--json", "--listen", "0", "--config", &config, "--access-log"];
    let mut command = home.command(&arguments);
    command.arg(&log);
    let mut relay = Relay::started(Program::start(enduring(&command)), home);
    let fields = [KEY, "Content-Type: application/json"];
    let (_, created) = ask(&relay, "POST", "/api/tunnels", &fields, "{\"domain\": \"shop\"}");
    let created: Value = serde_json::from_slice(&created).expect("JSON");
    let on = json!({"log_requests": true}).to_string();
    assert_eq!(ask(&relay, "PUT", "/api/tunnels/shop", &fields, &on).0.status(), 200);
    let agent_home = Home::new();
    let token = write_private(&agent_home, "token", created["token"].as_str().expect("a token"));
    let service = Origin::saying(b"hello");
    let dialect = ["--dialect", "tunely", "--token-file", &token];
    let _agent = Agent::start_in(agent_home, &relay, service.port, &dialect);
    visit(&relay, 10);
    let logged = |relay: &Relay| read(relay, "/api/tunnels/shop/logs?limit=1", &[KEY]).1["total"].as_u64();
    wait("requests are logged", || logged(&relay) == Some(10));
    let lines = || fs::read_to_string(&log).expect("a log").lines().count();
    wait("lines are written", || lines() >= 10);

    limit(&relay, Some(1));
    visit(&relay, REQUESTS);
    assert!(
        relay.program.event("database_lost")["message"]
            .as_str()
            .is_some_and(|why| why.contains("tunnels.db"))
    );
    visit(&relay, REQUESTS);
    let access = "hvym_tunnel_relay_access_log_dropped_total";
    wait("lines are counted", || counter(&relay, access) >= 2.0 * REQUESTS as f64);
    limit(&relay, None);
    relay.program.event("database_back");
    let said = relay.program.transcript();
    let counts = ["\"database_lost\"", "\"database_back\""].map(|event| said.matches(event).count());
    assert_eq!(counts, [1, 1], "each is said once: {said}");
    visit(&relay, 10);
    wait("requests are logged again", || logged(&relay) >= Some(20));
    wait("what is missing is told", || {
        fs::read_to_string(&log)
            .expect("a log")
            .lines()
            .any(|line| line.starts_with("# ") && line.contains("left out"))
    });
    // What waited for room is there by now, and nothing is lost without being counted.
    let dropped = counter(&relay, "tunely_request_logs_dropped_total");
    assert_eq!(logged(&relay).map(|total| total as f64 + dropped), Some(2.0 * REQUESTS as f64 + 20.0));
}
