//! Conversations that go on: events, lines, both directions at once and WebSockets, between programs that know
//! nothing of tunnels.
#![cfg(unix)]

use std::path::Path;

use hvym_tunnel_tests::curl::Curl;
use hvym_tunnel_tests::http::Conversation;
use hvym_tunnel_tests::installed::{packaged_python, peer, peer_command, required_tool};
use hvym_tunnel_tests::program::Program;
use hvym_tunnel_tests::tunnel::Tunnel;
use serde_json::{Value, json};

const MIB: usize = 1024 * 1024;

/// A peer that prints its port first, and a tunnel to it.
fn service(interpreter: &Path, arguments: &[&str]) -> (Program, u16, Tunnel) {
    let mut service = peer(interpreter, arguments);
    let port = service.line().parse().expect("a port");
    (service, port, Tunnel::to(port))
}

/// Asks the service itself, past the tunnel.
fn poke(port: u16, target: &str) -> Vec<u8> {
    let mut direct = Conversation::dial(port);
    direct.send(format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n")).expect("the service reads");
    let head = direct.head().expect("an answer");
    direct.body(&head).expect("a whole answer")
}

#[test]
fn each_line_and_each_event_of_a_service_is_there_before_the_next() {
    let Some(node) = required_tool("node") else { return };
    for (target, kind, lines) in [
        ("/lines", "application/x-ndjson", ["{\"n\":#}"].as_slice()),
        ("/events", "text/event-stream", &["id: #", "data: event #", ""]),
    ] {
        let (_service, port, tunnel) = service(&node, &["service.mjs"]);
        let Some(curl) = Curl::through(&tunnel) else { return };
        let mut visitor = curl.start(target, &["--no-buffer", "-w", "%{content_type}\n"]);
        // Until somebody listens nothing is said.
        while poke(port, "/next") == b"0" {}
        for number in 1..=20 {
            for line in lines {
                assert_eq!(visitor.line(), line.replace('#', &number.to_string()));
            }
            // The service makes each when it is told to, and that is after the one before has arrived.
            poke(port, "/next");
        }
        poke(port, "/end");
        for line in lines {
            assert_eq!(visitor.line(), line.replace('#', "21"));
        }
        assert_eq!(visitor.line(), kind);
        assert_eq!(visitor.code(), 0, "{visitor:?}");
    }
}

#[test]
fn node_sends_and_receives_at_once_and_trailers_go_both_ways() {
    let Some(node) = required_tool("node") else { return };
    let (_service, _, tunnel) = service(&node, &["service.mjs"]);
    // More than all buffers on the way hold.
    let size = 64 * MIB;
    let arguments =
        ["visitor.mjs", &tunnel.relay.port.to_string(), tunnel.agent.host(), "duplex", &size.to_string()];
    let mut visitor = peer(&node, &arguments);
    let found: Value = serde_json::from_str(&visitor.line()).expect("JSON");
    assert_eq!(
        (&found["status"], &found["same"], &found["complete"]),
        (&200.into(), &true.into(), &true.into())
    );
    assert!(found["early"].as_u64().is_some_and(|early| early > 0), "nothing came back before all was sent");
    assert_eq!(found["trailers"]["x-seen"], r#"{"x-asked":"yes"}"#, "{found}");
    assert_eq!(found["trailers"]["x-sha256"].as_str().map(str::len), Some(64), "{found}");
}

/// A visitor with a WebSocket, who does this and prints one answer for each.
fn chat(python: &Path, tunnel: &Tunnel, commands: &[Value]) -> Program {
    let port = tunnel.relay.port.to_string();
    let mut command = peer_command(python, &["websocket.py", "visit", &port, tunnel.agent.host()]);
    command.args(commands.iter().map(Value::to_string));
    Program::start(command)
}

fn answers(visitor: &mut Program, count: usize) -> Vec<Value> {
    (0..count).map(|_| serde_json::from_str(&visitor.line()).expect("JSON")).collect()
}

fn open(compression: Value) -> Value {
    json!({"open": {"subprotocols": ["chat.v1", "other"], "compression": compression, "path": "/room?n=1"}})
}

#[test]
fn a_websocket_carries_large_messages_pings_and_the_visitors_last_word() {
    let Some(python) = packaged_python() else { return };
    let (mut service, _, tunnel) = service(&python, &["websocket.py", "serve"]);
    for compression in [Value::Null, "deflate".into()] {
        let commands = [
            open(compression.clone()),
            json!({"text": "héllo ☃"}),
            json!({"binary": MIB}),
            json!({"binary": 3 * MIB}),
            json!({"ping": "are you there"}),
            json!({"close": [4001, "bye ☃"]}),
        ];
        let mut visitor = chat(&python, &tunnel, &commands);
        let found = answers(&mut visitor, commands.len());
        assert_eq!(found[0]["subprotocol"], "chat.v1");
        let deflates =
            found[0]["extensions"].as_str().is_some_and(|text| text.contains("permessage-deflate"));
        assert_eq!(deflates, !compression.is_null(), "{}", found[0]);
        assert_eq!(found[1], json!({"text": "héllo ☃"}));
        assert_eq!(found[2..4], [json!({"same": true}), json!({"same": true})]);
        assert_eq!(found[4], json!({"pong": true}));
        assert_eq!(found[5]["received"], json!([4001, "bye ☃"]), "the service agreed");
        let heard: Value = serde_json::from_str(&service.line()).expect("JSON");
        assert_eq!(heard["received"], json!([4001, "bye ☃"]));
    }
}

#[test]
fn the_last_word_of_a_service_reaches_the_visitor_and_so_does_its_silence() {
    let Some(python) = packaged_python() else { return };
    let (mut service, _, tunnel) = service(&python, &["websocket.py", "serve"]);
    let commands = [open(Value::Null), json!({"text": "close 4321 that is it"})];
    let found = answers(&mut chat(&python, &tunnel, &commands), 2);
    assert_eq!(found[1]["received"], json!([4321, "that is it"]));
    let heard: Value = serde_json::from_str(&service.line()).expect("JSON");
    assert_eq!(heard["received"], json!([4321, "that is it"]), "the visitor agreed");
    let commands = [open(Value::Null), json!({"text": "drop"})];
    let found = answers(&mut chat(&python, &tunnel, &commands), 2);
    assert_eq!(found[1]["received"], Value::Null, "no close, so none was made up: {}", found[1]);
}

#[test]
fn a_service_notices_that_its_visitor_is_gone() {
    let Some(python) = packaged_python() else { return };
    let (mut service, _, tunnel) = service(&python, &["websocket.py", "serve"]);
    let mut visitor =
        chat(&python, &tunnel, &[open(Value::Null), json!({"text": "hi"}), json!({"wait": true})]);
    answers(&mut visitor, 2);
    visitor.kill();
    let heard: Value = serde_json::from_str(&service.line()).expect("JSON");
    assert_eq!(heard["received"], Value::Null, "no close, so none was made up: {heard}");
}
