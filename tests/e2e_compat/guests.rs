//! Agents of other systems at the real relay, by hand: let in by their tokens, reached by visitors, kept apart.
#![cfg(unix)]

mod cloud;
mod config;
mod hostile;
mod hvym;
mod tunely;

use data_encoding::BASE64;
use hvym_tunnel_tests::guests::{Guest, PYTHON, relay_with};
use hvym_tunnel_tests::http::{Conversation, Head};
use hvym_tunnel_tests::tunnel::{Relay, request};
use rustix::process::Signal;
use serde_json::{Value, json};

const TOKEN: &str = "tun_one-token-that-is-long-enough";
const TUNELY: &str = "[[tunely.tunnels]]\nname = \"app\"\ntoken = \"tun_one-token-that-is-long-enough\"\n";

/// What makes a request a WebSocket's.
const UPGRADE: [&str; 4] = [
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
];

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
    let mut relay = relay_with(TUNELY, &["--path-names"]);
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

#[test]
fn paths_lead_to_agents_only_if_the_operator_says_so_and_then_in_a_sandbox() {
    let relay = relay_with(TUNELY, &[]);
    let _agent = Guest::tunely(&relay, TOKEN, false);
    let (head, _) = answer(&mut ask(&relay, "localhost", "GET", "/t/app/", &[]));
    assert_eq!(head.status(), 404);

    let relay = relay_with(TUNELY, &["--path-names"]);
    let mut agent = Guest::tunely(&relay, TOKEN, false);
    let fields = json!({
        "Set-Cookie": "a=1", "Clear-Site-Data": "\"*\"", "Service-Worker-Allowed": "/",
        "Content-Security-Policy": "default-src 'self'", "X-A": "b",
    });
    let mut said = |host: &str, target: &str| {
        let mut visitor = ask(&relay, host, "GET", target, &[]);
        let asked = agent.hears("request");
        agent.tell(
            &json!({"type": "response", "id": asked["id"], "status": 200, "headers": fields, "body": "hi"}),
        );
        answer(&mut visitor).0
    };
    let shared = said("localhost", "/t/app/sw.js");
    for gone in ["set-cookie", "clear-site-data", "service-worker-allowed"] {
        assert_eq!(shared.field(gone), None, "{gone}");
    }
    let policies = shared.all("content-security-policy");
    assert_eq!((policies.len(), policies[0]), (2, "default-src 'self'"), "{policies:?}");
    assert!(policies[1].starts_with("sandbox ") && !policies[1].contains("same-origin"), "{policies:?}");
    assert_eq!(shared.field("x-a"), Some("b"));
    // At a name of its own an agent has an origin of its own.
    let own = said("app.localhost", "/sw.js");
    assert_eq!((own.field("set-cookie"), own.field("service-worker-allowed")), (Some("a=1"), Some("/")));
}

#[test]
fn a_relay_that_drains_lets_guests_answer_and_then_tells_them() {
    let mut relay = relay_with(TUNELY, &[]);
    let mut agent = Guest::tunely(&relay, TOKEN, false);
    let mut visitor = ask(&relay, "app.localhost", "GET", "/", &[]);
    let asked = agent.hears("request");
    relay.program.signal(Signal::TERM);
    relay.program.event("draining");
    agent.tell(&json!({"type": "response", "id": asked["id"], "status": 200, "headers": {}, "body": "last"}));
    assert_eq!(answer(&mut visitor).1, b"last");
    assert_eq!(agent.end().1, 1001);
    assert_eq!(relay.program.code(), 0);
}

#[test]
fn guests_count_as_agents() {
    let relay = relay_with(TUNELY, &["--max-agents", "1"]);
    let inside = Guest::tunely(&relay, TOKEN, false);
    let (head, _) = answer(&mut ask(&relay, "localhost", "GET", "/ws/tunnel", &UPGRADE));
    assert_eq!(head.status(), 503);
    let (head, _) = answer(&mut ask(&relay, "localhost", "GET", "/connect", &UPGRADE));
    assert_eq!(head.status(), 503);
    drop(inside);
}

#[test]
fn pages_of_other_origins_than_the_operators_are_no_guests() {
    let relay = relay_with(TUNELY, &["--allow-origin", "https://app.example"]);
    let from = |origin| Guest::try_dial(&relay, "/ws/tunnel", &[("origin", origin)]);
    assert!(from("https://evil.example").is_err());
    let mut agent = from("https://app.example").expect("it is named");
    agent.knock(TOKEN, false);
    agent.hears("auth_ok");
}

#[test]
fn visitors_of_a_path_change_the_protocol_and_send_bytes_like_others() {
    let relay = relay_with(TUNELY, &["--path-names"]);
    let mut agent = Guest::dial(&relay, "/ws/tunnel", &[PYTHON]);
    agent.knock(TOKEN, false);
    agent.hears("auth_ok");
    let mut visitor = ask(&relay, "localhost", "GET", "/t/app/chat?room=1", &UPGRADE);
    agent.hears("tcp_connect");
    let asked = agent.hears("tcp_data");
    let text = |data: &Value| {
        let bytes = BASE64.decode(data["data"].as_str().expect("text").as_bytes()).expect("base64");
        String::from_utf8(bytes).expect("text")
    };
    let head = text(&asked).to_ascii_lowercase();
    assert!(
        head.starts_with("get /chat?room=1 http/1.1\r\n") && head.contains("upgrade: websocket"),
        "{head}"
    );
    let tell = |agent: &mut Guest, bytes: &str| {
        let data = BASE64.encode(bytes.as_bytes());
        agent.tell(&json!({"type": "tcp_data", "conn_id": asked["conn_id"], "data": data, "sequence": 0}));
    };
    tell(&mut agent, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
    assert_eq!(visitor.head().expect("an answer").status(), 101);
    visitor.send("there").expect("the relay reads");
    assert_eq!(text(&agent.hears("tcp_data")), "there");
    tell(&mut agent, "and back");
    assert_eq!(visitor.take(8).expect("bytes"), b"and back");
}
