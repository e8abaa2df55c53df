//! How the tests ask, and what was recorded when others asked the real programs.

use hvym_tunnel_core::stellar::{Claims, Scope};
use hvym_tunnel_core::time::UnixTime;
use hvym_tunnel_tests::Key;
use hvym_tunnel_tests::dialects::{Visit, conversation, visits};
use hvym_tunnel_tests::http::Head;
use hvym_tunnel_tests::shapes::Shape;
use hvym_tunnel_tests::tunnel::{Relay, request};
use serde_json::Value;
use std::time::{SystemTime, UNIX_EPOCH};

/// What the relay answers to a request with these field lines and this body.
pub(crate) fn ask(relay: &Relay, method: &str, target: &str, lines: &[&str], body: &str) -> (Head, Vec<u8>) {
    let mut visitor = relay.visit();
    let length = format!("Content-Length: {}", body.len());
    let lines = if body.is_empty() { lines.to_vec() } else { [lines, &[length.as_str()]].concat() };
    let host = format!("localhost:{}", relay.port);
    visitor.send(request(&host, method, target, &lines) + body).expect("the relay reads");
    let head = visitor.head().expect("an answer");
    let has_none = method == "HEAD" || head.status() == 204;
    let body = if has_none { Vec::new() } else { visitor.body(&head).expect("a whole answer") };
    (head, body)
}

/// The status and the JSON of what is read at `target`.
pub(crate) fn read(relay: &Relay, target: &str, lines: &[&str]) -> (u16, Value) {
    let (head, body) = ask(relay, "GET", target, lines, "");
    let text = String::from_utf8_lossy(&body).into_owned();
    let value = serde_json::from_slice(&body).unwrap_or_else(|error| panic!("{target}: {error}: {text}"));
    assert_eq!(head.field("content-type"), Some("application/json"), "{target}");
    (head.status(), value)
}

/// What the real programs answered with `status` to requests that begin like this.
pub(crate) fn recorded(files: &[&str], start: &str, status: u16) -> Shape {
    let all: Vec<Visit> = files.iter().flat_map(|file| visits(&conversation(file))).collect();
    let bodies: Vec<Value> = all
        .iter()
        .filter(|visit| visit.request["start"].as_str().is_some_and(|s| s.starts_with(start)))
        .filter(|visit| visit.response["start"].as_str().is_some_and(|s| s.contains(&format!(" {status} "))))
        .filter_map(|visit| serde_json::from_str(visit.response["text"].as_str()?).ok())
        .collect();
    assert!(!bodies.is_empty(), "nobody asked {start} and got {status}");
    Shape::of(&bodies)
}

/// A token of `key` for `relay`, as its owner would make one for a tool.
pub(crate) fn token(key: &Key, relay: &Relay) -> String {
    signed(key, &Claims::new(key.address(), relay.address.to_string(), now()).with_scope(Scope::Api))
}

/// `claims`, signed.
pub(crate) fn signed(key: &Key, claims: &Claims) -> String {
    let input = claims.clone().signing_input();
    let signature = key.sign(&input);
    input.into_token(signature).expect("its own key").as_str().to_owned()
}

/// This moment.
pub(crate) fn now() -> UnixTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    UnixTime::from_secs(since.as_secs())
}
