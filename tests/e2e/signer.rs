//! An agent whose key another program has.
#![cfg(unix)]

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, channel};

use data_encoding::{BASE64, BASE64URL_NOPAD};
use hvym_tunnel_tests::Key;
use hvym_tunnel_tests::http::Origin;
use hvym_tunnel_tests::installed::required_tool;
use hvym_tunnel_tests::program::{Home, PATIENCE, Program};
use hvym_tunnel_tests::tunnel::{Agent, Relay, Tunnel, host_of, request};
use serde_json::{Value, json};

/// How the signer of a test answers.
#[derive(Copy, Clone, PartialEq, Eq)]
enum Mood {
    /// It signs each login.
    Signs,
    /// It wants to delegate.
    Delegates,
    /// For a few seconds.
    DelegatesBriefly,
    /// It says no.
    Refuses,
    /// It has chosen another account.
    Mistakes,
}

/// A signer at a socket in `home`, and what it was asked.
fn signer(home: &Home, key: &Key, mood: Mood) -> (PathBuf, Receiver<Value>) {
    let path = home.path("signer.sock");
    let listener = UnixListener::bind(&path).expect("a folder takes a socket");
    let (asked, questions) = channel();
    let (address, key, other) = (key.address(), key.clone(), Key::from_seed([1; 32]));
    std::thread::spawn(move || {
        for connection in listener.incoming().map_while(Result::ok) {
            let mut line = String::new();
            BufReader::new(&connection).read_line(&mut line).expect("a question");
            let question: Value = serde_json::from_str(&line).expect("JSON");
            let text = question["text"].as_str().unwrap_or_default().as_bytes();
            let answer = match (question["ask"].as_str(), mood) {
                (Some("address"), Mood::Delegates) => json!({ "address": address, "delegate_days": 2 }),
                (Some("address"), Mood::DelegatesBriefly) => {
                    json!({ "address": address, "delegate_days": 10.0 / 86_400.0 })
                }
                (Some("address"), _) => json!({ "address": address }),
                (_, Mood::Refuses) => json!({ "refused": "not today" }),
                (_, Mood::Mistakes) => json!({ "signature": BASE64.encode(&other.sign_bytes(text).0) }),
                _ => json!({ "signature": BASE64.encode(&key.sign_bytes(text).0) }),
            };
            let _gone = writeln!(&connection, "{answer}");
            let _over = asked.send(question);
        }
    });
    (path, questions)
}

fn option(path: &std::path::Path) -> String {
    format!("unix:{}", path.display())
}

/// The next question of this kind.
fn asked(questions: &Receiver<Value>, kind: &str) -> Value {
    loop {
        let question = questions.recv_timeout(PATIENCE).expect("a question in time");
        if question["ask"] == kind {
            return question;
        }
    }
}

fn body(relay: Relay, agent: Agent) -> (String, Relay, Agent) {
    let tunnel = Tunnel { relay, agent };
    let (head, body) = tunnel.get("/").expect("an answer");
    assert_eq!(head.status(), 200, "{head:?}");
    let Tunnel { relay, agent } = tunnel;
    (String::from_utf8(body).expect("text"), relay, agent)
}

#[test]
fn a_signer_is_asked_for_each_login_and_no_key_is_kept_here() {
    let (key, home, origin, relay) =
        (Key::from_seed([91; 32]), Home::new(), Origin::saying(b"signed"), Relay::start(&[]));
    let (path, questions) = signer(&home, &key, Mood::Signs);
    let keys = home.path("config/hvym-tunnel/identity.key");
    let agent = Agent::start_in(home, &relay, origin.port, &["--signer", &option(&path)]);
    let login = asked(&questions, "login");
    assert_eq!(login["address"], key.address().to_string());
    let payload = login["text"].as_str().and_then(|text| text.split('.').nth(1)).expect("two parts");
    let claims: Value =
        serde_json::from_slice(&BASE64URL_NOPAD.decode(payload.as_bytes()).expect("base64")).expect("JSON");
    assert_eq!(
        (claims["aud"].as_str(), claims["scope"].as_str()),
        (Some(relay.address.to_string().as_str()), Some("agent"))
    );
    let (said, mut relay, mut agent) = body(relay, agent);
    assert_eq!(said, "signed");
    relay.program.kill();
    agent.program.event("disconnected");
    let _relay = relay.restart(&[]);
    asked(&questions, "login");
    agent.program.event("reconnected");
    assert!(!keys.exists(), "a key was made");
}

#[test]
fn a_signer_that_delegates_is_asked_once() {
    let (key, home, origin, relay) =
        (Key::from_seed([92; 32]), Home::new(), Origin::saying(b"delegated"), Relay::start(&[]));
    let (path, questions) = signer(&home, &key, Mood::Delegates);
    let agent = Agent::start_in(home, &relay, origin.port, &["--signer", &option(&path)]);
    let text = asked(&questions, "delegation")["text"].as_str().expect("a text").to_owned();
    assert!(text.contains(&format!("owner: {}", key.address())), "{text}");
    assert!(text.contains(&format!("relay: 127.0.0.1:{}", relay.port)), "{text}");
    let (said, mut relay, mut agent) = body(relay, agent);
    assert_eq!(said, "delegated");
    relay.program.kill();
    agent.program.event("disconnected");
    let _relay = relay.restart(&[]);
    agent.program.event("reconnected");
    assert_eq!(questions.try_iter().count(), 0, "it was asked again");
}

#[test]
fn a_manager_asks_for_the_next_delegation_before_one_is_over_and_goes_on_by_it() {
    let (key, home, origin, relay) =
        (Key::from_seed([99; 32]), Home::new(), Origin::saying(b"delegated"), Relay::start(&[]));
    let (path, questions) = signer(&home, &key, Mood::DelegatesBriefly);
    let (bind, url, signs) = (format!("web={}", origin.port), relay.url(), option(&path));
    let arguments = ["--api-port", "0", "--relay", &url, "--bind", &bind, "--signer", &signs];
    let mut manager = home.start(&[&["manager", "--json"], &arguments[..]].concat());
    let mut keys = Vec::new();
    for _ in 0..3 {
        // Each is over when the next but one is asked for.
        let text = asked(&questions, "delegation")["text"].as_str().expect("a text").to_owned();
        keys.push(text.lines().find(|line| line.starts_with("key: ")).expect("a key").to_owned());
        let ready = manager.event("ready");
        let mut visitor = relay.visit();
        let host = host_of(ready["url"].as_str().expect("a URL")).to_owned();
        visitor.send(request(&host, "GET", "/", &[])).expect("the relay reads");
        assert_eq!(visitor.head().expect("it answers").status(), 200);
    }
    keys.dedup();
    assert_eq!(keys.len(), 3, "each is for a key of its own: {keys:?}");
}

#[test]
fn a_no_and_a_wrong_signature_end_the_agent_and_nothing_asks_again() {
    let relay = Relay::start(&[]);
    for (mood, words) in [(Mood::Refuses, "the signer refused"), (Mood::Mistakes, "another key")] {
        let home = Home::new();
        let (path, questions) = signer(&home, &Key::from_seed([93; 32]), mood);
        let arguments = ["expose", "3000", "--relay", &relay.url(), "--signer", &option(&path)];
        let mut agent = home.start(&arguments);
        assert_eq!(agent.code(), 4, "{agent:?}");
        assert!(agent.transcript().contains(words), "{agent:?}");
        asked(&questions, "login");
        assert_eq!(questions.try_iter().count(), 0, "it was asked again");
    }
    let home = Home::new();
    let nowhere = option(&home.path("nothing"));
    let mut agent = home.start(&["expose", "3000", "--relay", &relay.url(), "--signer", &nowhere]);
    assert_eq!(agent.code(), 4, "{agent:?}");
    assert!(agent.transcript().contains("cannot be reached"), "{agent:?}");
}

#[test]
fn a_command_signs_tokens_as_a_socket_does() {
    let Some(nc) = required_tool("nc") else { return };
    let (key, home) = (Key::from_seed([94; 32]), Home::new());
    let (path, _questions) = signer(&home, &key, Mood::Signs);
    let audience = Key::from_seed([95; 32]).address().to_string();
    let command = format!("exec {} -NU {}", nc.display(), path.display());
    let mut started = home.command(&["token", "--audience", &audience, "--signer-command", &command]);
    started.env("PATH", "/usr/bin:/bin");
    let mut token = Program::start(started);
    let line = token.line();
    assert_eq!(token.code(), 0, "{token:?}");
    assert_eq!(line.split('.').count(), 3, "{line}");
}
