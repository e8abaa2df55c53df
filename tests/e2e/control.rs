//! The control socket: an operator lists, ends and bans agents of a relay that runs.
#![cfg(unix)]

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;

use hvym_tunnel_tests::Key;
use hvym_tunnel_tests::http::Origin;
use hvym_tunnel_tests::program::{Home, PATIENCE};
use hvym_tunnel_tests::tunnel::{Agent, Relay};
use serde_json::Value;

/// What `admin` says to these words, with its exit code.
fn admin(relay: &Relay, words: &[&str]) -> (i32, Value) {
    let output =
        relay.home.command(&[&["admin", "--json"], words].concat()).output().expect("the program starts");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let answer = serde_json::from_str(&out).unwrap_or_else(|_| Value::String(err.into_owned()));
    (output.status.code().expect("it was not killed"), answer)
}

fn asked(relay: &Relay, words: &[&str]) -> Value {
    let (code, answer) = admin(relay, words);
    assert_eq!(code, 0, "{words:?}: {answer}");
    answer
}

#[test]
fn an_operator_lists_ends_and_bans_agents_while_the_relay_runs() {
    let key = Key::from_seed([91; 32]);
    let address = key.address().to_string();
    let mut relay = Relay::start(&[]);
    assert_eq!(asked(&relay, &["agents"])["agents"], serde_json::json!([]));
    let mut agent = Agent::start_in(Home::of(&key), &relay, Origin::echo().port, &["--service", "web"]);
    let listed = asked(&relay, &["agents"]);
    assert_eq!(listed["agents"][0]["agent"], address, "{listed}");
    assert_eq!(listed["agents"][0]["services"], serde_json::json!(["web"]));

    assert_eq!(asked(&relay, &["kick", &address, "--reason", "too much traffic"])["ended"], 1);
    assert_eq!(agent.program.code(), 4);
    assert!(agent.program.transcript().contains("ended your session: too much traffic"), "{agent:?}");
    assert_eq!(relay.program.event("audit")["action"], "kicked");
    let (code, error) = admin(&relay, &["kick", &address]);
    assert!(code == 4 && error.as_str().is_some_and(|text| text.contains("not logged in")), "{error}");

    let mut agent = Agent::start_in(Home::of(&key), &relay, Origin::echo().port, &[]);
    assert_eq!(asked(&relay, &["ban", &address, "--for", "1h", "--reason", "spam"])["ended"], 1);
    assert_eq!(agent.program.code(), 4);
    assert!(agent.program.transcript().contains("has banned you: spam"), "{agent:?}");
    let banned = relay.program.event("audit");
    assert_eq!((&banned["action"], &banned["detail"]), (&"banned".into(), &"for 3600 s: spam".into()));
    let bans = asked(&relay, &["bans"]);
    assert_eq!(
        (&bans["bans"][0]["subject"], &bans["bans"][0]["reason"]),
        (&address.clone().into(), &"spam".into())
    );

    // It outlives the relay.
    let mut relay = relay.restart(&[]);
    let home = Home::of(&key);
    let mut refused = home.start(&["expose", "3000", "--relay", &relay.url()]);
    refused.says("has banned you: spam");
    assert_eq!(refused.code(), 4);
    assert_eq!(relay.program.event("audit")["action"], "login_refused");
    asked(&relay, &["unban", &address]);
    assert_eq!(relay.program.event("audit")["action"], "unbanned");
    assert_eq!(admin(&relay, &["unban", &address]).0, 4, "there is no ban any more");
    let _served = Agent::start_in(home, &relay, Origin::echo().port, &[]);
    asked(&relay, &["reload"]);
}

#[test]
fn the_socket_is_for_its_owner_and_answers_whatever_it_is_sent() {
    let home = Home::new();
    let path = home.path("control");
    let file = path.to_str().expect("a path").to_owned();
    let mut relay = Relay::start_in(home, 0, &["--control", &file]);
    let mode = fs::metadata(&path).expect("a socket").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let ask = |text: String| {
        let mut stream = UnixStream::connect(&path).expect("the relay listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.write_all(text.as_bytes()).expect("the relay reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer.get(9..12).unwrap_or_default().to_owned()
    };
    let post = |content: &str| {
        let length = content.len();
        ask(format!(
            "POST /api/v1/bans HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{content}"
        ))
    };
    for content in ["", "{}", "[]", "{", r#"{"subject":"x"}"#, r#"{"subject":"192.0.2.1","more":1}"#] {
        assert_eq!(post(content), "400", "{content}");
    }
    assert_eq!(post(&"x".repeat(9_000)), "413");
    assert_eq!(ask("GET /api/v1/bans HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".to_owned()), "200");
    assert_eq!(ask("nonsense\r\n\r\n".to_owned()), "400");
    assert_eq!(asked(&relay, &["bans", "--control", &file])["bans"], serde_json::json!([]));
    // A second relay does not take it away.
    let other = Home::new();
    let mut second = other.start(&["relay", "--listen", "0", "--control", &file]);
    second.says("another process listens there");
    assert_eq!(second.code(), 3);
    relay.program.signal(rustix::process::Signal::TERM);
    assert_eq!(relay.program.code(), 0);
    assert!(!path.exists());
}

#[test]
fn the_next_process_of_a_relay_takes_the_socket_over_and_keeps_it() {
    let relay = Relay::start(&["--reuse-port"]);
    let Relay { mut program, home, port, address } = relay;
    let next = home.start(&["relay", "--json", "--listen", &port.to_string(), "--reuse-port"]);
    let mut next = Relay { program: next, home, port, address };
    next.program.event("listening");
    program.signal(rustix::process::Signal::TERM);
    assert_eq!(program.code(), 0);
    assert_eq!(asked(&next, &["agents"])["agents"], serde_json::json!([]));
}
