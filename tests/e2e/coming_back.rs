//! Links that are lost and come back: two or three processes of the real program.
#![cfg(unix)]

use std::time::{Duration, Instant};

use hvym_tunnel_tests::http::Origin;
use hvym_tunnel_tests::tunnel::{Agent, Relay, Tunnel, request};
use rustix::process::Signal;

/// A link that is silent for so long is dead; short, for tests that are not about the defaults.
const BRISK: [&str; 4] = ["--ping-interval", "0.5", "--ping-timeout", "0.5"];

fn body(tunnel: &Tunnel) -> String {
    let (head, body) = tunnel.get("/").expect("an answer");
    assert_eq!(head.status(), 200, "{head:?}");
    String::from_utf8(body).expect("text")
}

#[test]
fn an_agent_is_back_by_itself_when_its_relay_is() {
    let Tunnel { mut relay, mut agent } = Tunnel::to(Origin::saying(b"still here").port);
    let (port, address, url) = (relay.port, relay.address, agent.url().to_owned());
    for _ in 0..2 {
        relay.program.kill();
        let lost = agent.program.event("disconnected");
        assert!(lost["retry_in_ms"].is_u64(), "{lost}");
        relay = relay.restart(&[]);
        assert_eq!((relay.port, relay.address), (port, address));
        let back = agent.program.event("reconnected");
        assert_eq!(back["url"], url, "the address is the name");
        let tunnel = Tunnel { relay, agent };
        assert_eq!(body(&tunnel), "still here");
        Tunnel { relay, agent } = tunnel;
    }
}

#[test]
fn a_relay_that_stops_answering_is_noticed_and_forgiven() {
    let mut tunnel = Tunnel::with(Origin::saying(b"ok").port, &[], &BRISK);
    tunnel.relay.program.signal(Signal::STOP);
    let lost = tunnel.agent.program.event("disconnected");
    assert!(lost["reason"].as_str().is_some_and(|reason| reason.contains("stopped answering")), "{lost}");
    tunnel.relay.program.signal(Signal::CONT);
    tunnel.agent.program.event("reconnected");
    assert_eq!(body(&tunnel), "ok");
}

#[test]
fn by_default_a_silent_relay_is_given_up_within_fifteen_seconds() {
    // The one test that waits for real: ping after 10 s of silence, 5 s for the answer.
    let mut tunnel = Tunnel::to(Origin::saying(b"ok").port);
    assert_eq!(body(&tunnel), "ok");
    tunnel.relay.program.signal(Signal::STOP);
    let stopped = Instant::now();
    tunnel.agent.program.event("disconnected");
    let took = stopped.elapsed();
    // A busy machine may be late to look at the clock.
    assert!(took < Duration::from_secs(15 + 2), "{took:?}");
}

#[test]
fn an_agent_that_stops_answering_is_absent_until_it_answers() {
    let mut tunnel = Tunnel::with(Origin::saying(b"ok").port, &BRISK, &[]);
    tunnel.agent.program.signal(Signal::STOP);
    let left = tunnel.relay.program.event("agent_left");
    assert!(left["reason"].as_str().is_some_and(|reason| reason.contains("stopped answering")), "{left}");
    let (head, _) = tunnel.get("/").expect("an answer");
    assert_eq!(head.status(), 503);
    assert!(head.field("retry-after").is_some(), "{head:?}");
    tunnel.agent.program.signal(Signal::CONT);
    tunnel.agent.program.event("reconnected");
    assert_eq!(body(&tunnel), "ok");
}

#[test]
fn many_agents_share_a_relay_and_each_has_its_own_visitors() {
    let relay = Relay::start(&[]);
    let bodies: [&[u8]; 5] = [b"0", b"1", b"2", b"3", b"4"];
    let agents = bodies.map(|body| Agent::start(&relay, Origin::saying(body).port, &[]));
    // One connection, and each request goes where its own host leads.
    let mut visitor = relay.visit();
    for round in 0..3 {
        for (agent, body) in agents.iter().zip(bodies) {
            visitor.send(request(agent.host(), "GET", "/", &[])).expect("the relay reads");
            let head = visitor.head().expect("an answer");
            assert_eq!(visitor.body(&head).expect("a whole answer"), body, "round {round}");
        }
    }
}
