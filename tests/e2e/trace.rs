//! `--trace`: what is written about links, streams and visitors, and what is not.
#![cfg(unix)]

use std::fs;
use std::path::Path;

use hvym_tunnel_tests::http::{Origin, ok};
use hvym_tunnel_tests::program::Home;
use hvym_tunnel_tests::tunnel::Tunnel;
use rustix::process::Signal;
use serde_json::Value;

/// The lines of a trace whose process has ended.
fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).expect("a trace");
    for secret in ["a-secret-path", "hello", "127.0.0.1", "localhost"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn bytes(lines: &[Value], event: &str) -> u64 {
    lines.iter().filter(|line| line["event"] == event).filter_map(|line| line["bytes"].as_u64()).sum()
}

#[test]
fn a_trace_tells_how_much_passed_and_never_what() {
    let home = Home::new();
    let (of_relay, of_agent) = (home.path("relay.jsonl"), home.path("agent.jsonl"));
    let service = Origin::answering(|_, _| ok(b"hello"));
    let option = |path: &Path| ["--trace".to_owned(), path.display().to_string()];
    let (relay, agent) = (option(&of_relay), option(&of_agent));
    let mut tunnel =
        Tunnel::with(service.port, &relay.each_ref().map(|s| &**s), &agent.each_ref().map(|s| &**s));
    let (_, body) = tunnel.post("/a-secret-path", &[b'x'; 5000]).expect("an answer");
    assert_eq!(body, b"hello");
    tunnel.agent.program.signal(Signal::TERM);
    tunnel.agent.program.code();
    tunnel.relay.program.signal(Signal::TERM);
    tunnel.relay.program.code();
    let (relay, agent) = (lines(&of_relay), lines(&of_agent));
    let visits = |event: &str| relay.iter().filter(|line| line["event"] == event).count();
    assert_eq!((visits("arrived"), visits("left")), (2, 2), "the agent and the visitor: {relay:?}");
    let received = bytes(&relay, "received");
    assert!((5000..6000).contains(&received) && bytes(&relay, "sent") > 5, "{relay:?}");
    assert!(bytes(&relay, "written") >= 5000 && bytes(&relay, "read") > 5, "{relay:?}");
    assert!(bytes(&agent, "read") >= 5000 && bytes(&agent, "written") > 5, "{agent:?}");
    for trace in [&relay, &agent] {
        assert!(trace.iter().any(|line| line["event"] == "socket"), "{trace:?}");
        assert!(trace.iter().all(|line| line["at"].is_u64()), "{trace:?}");
    }
}

#[test]
fn a_trace_that_cannot_be_written_is_told_before_anything_else_happens() {
    let mut program = Home::new().into_program(&["relay", "--trace", "/nowhere/at/all"]);
    program.says("cannot write the file of --trace");
    assert_ne!(program.code(), 0);
}
