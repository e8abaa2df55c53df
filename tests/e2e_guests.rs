//! Agents of other systems at the real relay, by hand: let in by their tokens, reached by visitors, kept apart.
#![cfg(unix)]

#[path = "e2e_guests/cloud.rs"]
mod cloud;
#[path = "e2e_guests/config.rs"]
mod config;
#[path = "e2e_guests/hostile.rs"]
mod hostile;
#[path = "e2e_guests/hvym.rs"]
mod hvym;
#[path = "e2e_guests/tunely.rs"]
mod tunely;

use hvym_tunnel_tests::guests::{Guest, relay_with};
use hvym_tunnel_tests::http::{Conversation, Head};
use hvym_tunnel_tests::tunnel::{Relay, request};
use serde_json::json;

const TOKEN: &str = "tun_one-token-that-is-long-enough";
const TUNELY: &str = "[[tunely.tunnels]]\nname = \"app\"\ntoken = \"tun_one-token-that-is-long-enough\"\n";

/// A visitor who asks, and has not read the answer.
fn ask(relay: &Relay, host: &str, method: &str, target: &str, lines: &[&str]) -> Conversation {
    let mut visitor = relay.visit();
    visitor.send(request(host, method, target, lines)).expect("the relay reads");
    visitor
}

fn answer(visitor: &mut Conversation) -> (Head, Vec<u8>) {
    let head = visitor.head().expect("an answer");
    let body = visitor.body(&head).expect("the whole of it");
    (head, body)
}

#[test]
fn a_tunely_agent_answers_visitors_by_its_name_and_by_path() {
    let mut relay = relay_with(TUNELY, &[]);
    let mut agent = Guest::tunely(&relay, TOKEN, false);
    let joined = relay.program.event("agent_joined");
    assert_eq!(joined["name"], "app", "{joined}");
    assert_eq!(joined["url"], format!("http://app.localhost:{}/", relay.port), "{joined}");
    for (host, target, path) in [
        ("app.localhost", "/a?b=c", "/a?b=c"),
        ("APP.LocalHost.", "/", "/"),
        ("localhost", "/t/app/a?b=c", "/a?b=c"),
        ("localhost", "/t/App", "/"),
    ] {
        let mut visitor = ask(&relay, host, "GET", target, &[]);
        let asked = agent.hears("request");
        assert_eq!((asked["method"].as_str(), asked["path"].as_str()), (Some("GET"), Some(path)), "{asked}");
        agent.tell(&json!({"type": "response", "id": asked["id"], "status": 200, "headers": {"X-A": "b"}, "body": "hi"}));
        let (head, body) = answer(&mut visitor);
        assert_eq!((head.status(), head.field("x-a"), &*body), (200, Some("b"), &b"hi"[..]), "{head:?}");
    }
    drop(agent);
    let left = relay.program.event("agent_left");
    assert_eq!(left["name"], "app", "{left}");
}
