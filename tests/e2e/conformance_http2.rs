//! HTTP/2 without TLS from the visitor to the service: gRPC as it is really used, Node.js with many requests at once,
//! curl and nginx.
#![cfg(unix)]

use std::path::Path;

use hvym_tunnel_tests::curl::Curl;
use hvym_tunnel_tests::http::nobody;
use hvym_tunnel_tests::installed::{Nginx, packaged_python, peer, peer_command, required_tool};
use hvym_tunnel_tests::program::Program;
use hvym_tunnel_tests::tunnel::Tunnel;
use serde_json::{Value, json};

/// A gRPC service, and a tunnel under which it is called `rpc`.
fn service(python: &Path) -> (Program, Tunnel) {
    service_at(python, &[])
}

/// The same, at a relay with these arguments.
fn service_at(python: &Path, relay: &[&str]) -> (Program, Tunnel) {
    let mut service = peer(python, &["rpc.py", "serve"]);
    let target = format!("rpc=h2c://localhost:{}", service.line());
    (service, Tunnel::with(nobody(), relay, &["--bind", &target]))
}

/// A visitor who does this on one connection, and prints one answer for each.
fn visitor(python: &Path, tunnel: &Tunnel, commands: &[Value]) -> Program {
    let (port, host) = (tunnel.relay.port.to_string(), format!("rpc--{}", tunnel.agent.host()));
    let mut command = peer_command(python, &["rpc.py", "visit", &port, &host]);
    command.args(commands.iter().map(Value::to_string));
    Program::start(command)
}

fn answers(visitor: &mut Program, count: usize) -> Vec<Value> {
    (0..count).map(|_| serde_json::from_str(&visitor.line()).expect("JSON")).collect()
}

#[test]
fn a_call_has_its_answer_its_metadata_and_its_status() {
    let Some(python) = packaged_python() else { return };
    let (_service, tunnel) = service(&python);
    let small = json!({"same": true, "early": "me", "late": "yes"});
    let commands = [
        json!({"unary": 0}),
        json!({"unary": 100}),
        json!({"unary": 3_000_000}),
        json!({"fail": "no ☃ here"}),
    ];
    let found = answers(&mut visitor(&python, &tunnel, &commands), commands.len());
    assert_eq!(found[..3], [small.clone(), small.clone(), small]);
    assert_eq!(found[3], json!({"code": "NOT_FOUND", "details": "no ☃ here"}));
}

#[test]
fn streams_of_messages_go_either_way_and_both_ways() {
    let Some(python) = packaged_python() else { return };
    let (_service, tunnel) = service(&python);
    let commands = [
        json!({"count": 0}),
        json!({"count": 2000}),
        json!({"sum": [1, 700_000, 0, 3]}),
        // Each message waits for the answer to the one before: nothing may be held back on the way.
        json!({"chat": 100}),
    ];
    let found = answers(&mut visitor(&python, &tunnel, &commands), commands.len());
    assert_eq!(found[..2], [json!({"right": true}), json!({"right": true})]);
    assert_eq!(found[2], json!({"sum": 700_004}));
    assert_eq!(found[3], json!({"right": 100, "ended": true, "code": "OK"}));
}

#[test]
fn a_visitor_may_listen_for_longer_than_a_body_may_stand_still() {
    let Some(python) = packaged_python() else { return };
    let (_service, tunnel) = service_at(&python, &["--body-timeout", "1"]);
    let found = answers(&mut visitor(&python, &tunnel, &[json!({"listen": 3})]), 1);
    assert_eq!(found, [json!({"seen": ["first", "last"], "ended": true})]);
}

#[test]
fn a_visitor_who_cancels_or_has_no_time_left_ends_the_call_in_the_service_too() {
    let Some(python) = packaged_python() else { return };
    let (mut service, tunnel) = service(&python);
    let commands = [json!({"hang": 3}), json!({"late": 3}), json!({"unary": 1})];
    let found = answers(&mut visitor(&python, &tunnel, &commands), commands.len());
    assert_eq!(found[0], json!({"seen": [0, 1, 2]}));
    assert_eq!(found[1]["code"], "DEADLINE_EXCEEDED", "{}", found[1]);
    assert_eq!(found[2]["same"], true, "the connection goes on");
    assert_eq!([service.line(), service.line()], ["cancelled", "cancelled"]);
}

#[test]
fn visitors_who_call_at_once_get_their_own_answers() {
    let Some(python) = packaged_python() else { return };
    let (_service, tunnel) = service(&python);
    let commands = [json!({"chat": 20}), json!({"unary": 50_000}), json!({"count": 200})];
    let mut visitors: Vec<_> = (0..4).map(|_| visitor(&python, &tunnel, &commands)).collect();
    for visitor in &mut visitors {
        let found = answers(visitor, commands.len());
        assert_eq!((&found[0]["right"], &found[1]["same"]), (&20.into(), &true.into()));
        assert_eq!(found[2]["right"], true);
    }
}

#[test]
fn a_hundred_requests_are_under_way_at_once_on_one_connection_of_node() {
    let Some(node) = required_tool("node") else { return };
    let mut service = peer(&node, &["service.mjs"]);
    let tunnel = Tunnel::to(service.line().parse().expect("a port"));
    let port = tunnel.relay.port.to_string();
    // The service answers none of them before all are there.
    let mut visitor = peer(&node, &["visitor.mjs", &port, tunnel.agent.host(), "gather", "100"]);
    assert_eq!(visitor.line(), r#"{"right":100}"#);
}

#[test]
fn each_side_may_speak_its_own_version() {
    let second = nobody();
    let Some(nginx) = Nginx::start(&format!("listen 127.0.0.1:{second} http2;")) else { return };
    std::fs::write(nginx.file("file"), vec![b'x'; 100_000]).expect("a folder takes a file");
    let tunnel = Tunnel::with(nginx.port, &[], &["--bind", &format!("second=h2c://localhost:{second}")]);
    let Some(curl) = Curl::through(&tunnel) else { return };
    for (curl, service) in [(curl.clone(), 1), (curl.named("second"), 2)] {
        for (flag, version) in [("--http1.1", "1.1"), ("--http2-prior-knowledge", "2")] {
            let found = curl.fetch("/file", &[flag]);
            assert_eq!(
                (found.code, found.status(), found.body.len()),
                (0, 200, 100_000),
                "{service}: {found:?}"
            );
            assert_eq!(found.facts["http_version"], version, "{service}: {found:?}");
        }
    }
}
