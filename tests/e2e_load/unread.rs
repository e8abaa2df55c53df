//! Programs whose output nobody reads serve all the same, end when they are asked to, and say later what is missing.
#![cfg(target_os = "linux")]

use std::thread;
use std::time::Duration;

use hvym_tunnel_tests::http::{Conversation, Origin, answer};
use hvym_tunnel_tests::program::Home;
use hvym_tunnel_tests::tunnel::{Relay, host_of, request};
use hvym_tunnel_tests::unread::Unread;
use rustix::process::Signal;

/// Connections of visitors, so few that the requests are what costs time.
const VISITORS: usize = 8;
/// On each of them, one after the other: 10 000 in all, whose lines are several times what may wait to be written.
const REQUESTS_EACH: usize = 1250;
const REQUESTS: usize = VISITORS * REQUESTS_EACH;
/// How long the end of a program waits for output that is not taken.
const FLUSH_LIMIT: Duration = Duration::from_secs(1);
/// The end of a program with nothing under way takes that, and the rest is a slow machine's. Less than the ten
/// seconds in which it would give up to finish what is under way.
const IN_GOOD_TIME: Duration = Duration::from_secs(8);

/// Sends all requests to the service at `url`, and returns when all are answered.
fn visit_all(url: &str) {
    let host = host_of(url);
    let port = host.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
    let visit = || {
        let mut visitor = Conversation::dial(port);
        for n in 0..REQUESTS_EACH {
            visitor.send(request(host, "GET", &format!("/{n}"), &[])).expect("the relay reads");
            let head = visitor.head().expect("an answer");
            assert_eq!(head.status(), 200, "request {n}: {head:?}");
            assert_eq!(visitor.body(&head).expect("a whole answer"), b"ok");
        }
    };
    thread::scope(|scope| (0..VISITORS).for_each(|_| drop(scope.spawn(visit))));
}

#[test]
fn relay_and_agent_serve_and_end_while_nobody_reads_their_output() {
    let homes = [Home::new(), Home::new()];
    let mut relay = Unread::start(&homes[0], &["relay", "--json", "--listen", "127.0.0.1:0", "-vvv"]);
    let dial = format!("ws://{}", host_of(relay.url().trim_end_matches('/')));
    // A relay logs streams, not requests, so each request has one of its own.
    let service = Origin::start(|mut connection| {
        connection.head()?;
        connection.send(answer("200 OK", &[("Connection", "close")], b"ok"))
    });
    let service = service.port.to_string();
    let mut agent = Unread::start(&homes[1], &["expose", &service, "--json", "--relay", &dial, "-vvv"]);
    visit_all(&agent.url());
    for (program, name) in [(agent, "agent"), (relay, "relay")] {
        let [out, err] = program.waiting();
        let (code, took, written) = program.end(Signal::TERM);
        println!("{name}: ended within {took:?}, with {out} and {err} bytes in its pipes");
        assert_eq!(code, 0, "{name}: {written}");
        assert!(took < IN_GOOD_TIME, "{name}: {took:?}");
        // The writer is stuck: it gave up only when its time was over, and a line for each request was not written.
        let lines = written.lines().count();
        assert!(took >= FLUSH_LIMIT, "{name}: {took:?}, so everything was written");
        assert!(out + err > 0 && lines < REQUESTS / 10, "{name}: {lines} lines");
    }
}

#[test]
fn whoever_reads_again_is_told_how_many_lines_are_missing() {
    let relay = Relay::start(&[]);
    let service = Origin::saying(b"ok").port.to_string();
    let home = Home::new();
    let mut agent = Unread::start(&home, &["expose", &service, "--json", "--relay", &relay.url()]);
    visit_all(&agent.url());
    let mut agent = agent.read();
    let told = agent.says("lines were dropped");
    let missing: usize = told.split(' ').find_map(|word| word.parse().ok()).expect("a number");
    agent.signal(Signal::TERM);
    assert_eq!(agent.code(), 0);
    let said = agent.transcript();
    let written = said.lines().filter(|line| line.contains(r#""event":"request""#)).count();
    assert!(missing > 0 && written > 0, "{missing} and {written}");
    assert_eq!(missing + written, REQUESTS, "{told}");
}
