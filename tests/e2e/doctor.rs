//! `doctor`: what it finds, against relays that are well and relays that are not.
#![cfg(unix)]

use std::fs;
use std::os::unix::fs::PermissionsExt;

use hvym_tunnel_tests::Key;
use hvym_tunnel_tests::http::{Origin, answer, nobody, ok};
use hvym_tunnel_tests::program::Home;
use hvym_tunnel_tests::tunnel::Relay;
use serde_json::Value;

use crate::tls::Place;

/// What is found, by check, and the exit code.
struct Found {
    code: i32,
    checks: Vec<Value>,
    text: String,
}

impl Found {
    fn by(home: &Home, arguments: &[&str]) -> Self {
        let output = home.command(&[&["doctor", "--json"], arguments].concat()).output().expect("it starts");
        let text = String::from_utf8(output.stdout).expect("text");
        let found: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        let code = output.status.code().expect("it ends");
        assert_eq!(found["ok"].as_bool(), Some(code == 0), "{text}");
        let checks = found["checks"].as_array().expect("a list").clone();
        Found { code, checks, text }
    }

    fn outcome(&self, name: &str) -> &str {
        let check = self.checks.iter().find(|check| check["name"] == name);
        check
            .and_then(|check| check["outcome"].as_str())
            .unwrap_or_else(|| panic!("no {name}: {}", self.text))
    }

    fn says(&self, name: &str, words: &str) {
        let check = self.checks.iter().find(|check| check["name"] == name).expect("a check");
        assert!(check.to_string().contains(words), "{words:?}: {check}");
    }
}

#[test]
fn all_is_well_on_the_way_to_a_relay_that_works() {
    let key = Key::from_seed([11; 32]);
    let home = Home::of(&key);
    let (relay, service) = (Relay::start(&[]), Origin::answering(|_, _| ok(b"hello")));
    let found =
        Found::by(&home, &[&service.port.to_string(), "--relay", &format!("ws://localhost:{}", relay.port)]);
    for name in ["key", "proxy", "dns", "tcp", "relay", "clock", "login", "visitor", "target", "ports"] {
        assert_eq!(found.outcome(name), "ok", "{name}: {}", found.text);
    }
    assert_eq!((found.outcome("tls"), found.code), ("skip", 0), "{}", found.text);
    found.says("relay", &relay.address.to_string());
    assert!(!found.text.contains(&key.secret()), "a secret is shown");

    let output = home.command(&["doctor"]).output().expect("it starts");
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(text.starts_with("ok    key        G") && text.contains("skip  dns "), "{text}");
}

#[test]
fn a_certificate_and_its_end_are_looked_at() {
    let place = Place::new(2060);
    let relay = format!("wss://localhost:{}", place.relay.port);
    let ca = place.path("ca.pem").display().to_string();
    let home = Home::of(&Key::from_seed([12; 32]));
    let found = Found::by(&home, &["--relay", &relay, "--relay-ca", &ca]);
    // Nobody takes a wildcard right below the root, as *.localhost, so that visitors of this relay are not let in.
    assert_eq!((found.outcome("tls"), found.outcome("login")), ("ok", "ok"), "{}", found.text);
    found.says("visitor", "its certificate has to cover them");
    let found = Found::by(&home, &["--relay", &relay]);
    assert_eq!(
        (found.outcome("tls"), found.outcome("login"), found.code),
        ("fail", "skip", 6),
        "{}",
        found.text
    );
    found.says("tls", "--relay-ca");
    let ended = Place::new(2024);
    let ca = ended.path("ca.pem").display().to_string();
    let relay = format!("wss://localhost:{}", ended.relay.port);
    let found = Found::by(&home, &["--relay", &relay, "--relay-ca", &ca]);
    found.says("tls", "0 days left");
    assert_eq!(found.outcome("tls"), "fail", "{}", found.text);
}

#[test]
fn what_is_wrong_is_named_with_its_exit_code() {
    let home = Home::of(&Key::from_seed([13; 32]));
    let at = |port: u16| format!("ws://127.0.0.1:{port}");
    let found = Found::by(&home, &["--relay", "wss://nowhere.invalid"]);
    assert_eq!(
        (found.outcome("dns"), found.outcome("tcp"), found.code),
        ("fail", "skip", 6),
        "{}",
        found.text
    );
    let found = Found::by(&home, &["--relay", &at(nobody())]);
    assert_eq!(
        (found.outcome("tcp"), found.outcome("login"), found.code),
        ("fail", "skip", 6),
        "{}",
        found.text
    );
    let web = Origin::answering(|_, _| answer("200 OK", &[], b"<p>hello"));
    let found = Found::by(&home, &["--relay", &at(web.port)]);
    assert_eq!((found.outcome("relay"), found.code), ("fail", 6), "{}", found.text);
    found.says("relay", "there is a web server at 127.0.0.1:");
    let closed = Relay::start(&["--allow-agent", &Key::from_seed([14; 32]).address().to_string()]);
    let found = Found::by(&home, &["--relay", &closed.url()]);
    assert_eq!(
        (found.outcome("relay"), found.outcome("login"), found.code),
        ("ok", "fail", 4),
        "{}",
        found.text
    );
    let found = Found::by(&home, &[&nobody().to_string()]);
    assert_eq!((found.outcome("target"), found.code), ("fail", 7), "{}", found.text);

    let key = home.path("config/hvym-tunnel/identity.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).expect("its owner may change a mode");
    let found = Found::by(&home, &[]);
    assert_eq!((found.outcome("key"), found.code), ("fail", 4), "{}", found.text);
    found.says("key", "chmod 600");
}

#[test]
fn a_clock_that_is_wrong_and_a_relay_that_is_another_one_are_found() {
    let relay = |date: &'static str| {
        Origin::answering(move |_, _| {
            let body =
                br#"{"server_address":"GX","websocket_url":"","services":[],"version":"1","mux":["x"]}"#;
            answer("200 OK", &[("Date", date), ("Connection", "close")], body)
        })
    };
    let wrong = relay("Sun, 06 Nov 1994 08:49:37 GMT");
    let home = Home::of(&Key::from_seed([15; 32]));
    let pinned = Key::from_seed([16; 32]).address().to_string();
    let found =
        Found::by(&home, &["--relay", &format!("ws://127.0.0.1:{}", wrong.port), "--relay-address", &pinned]);
    assert_eq!(
        (found.outcome("clock"), found.outcome("relay"), found.code),
        ("fail", "fail", 4),
        "{}",
        found.text
    );
    found.says("clock", "set this machine's clock");
    found.says("relay", "relays forget");
}
