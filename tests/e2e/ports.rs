//! Public ports: which service has which, what happens while its agent is away, and where there is none.
#![cfg(unix)]

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};

use hvym_tunnel_tests::Key;
use hvym_tunnel_tests::http::{Conversation, Origin};
use hvym_tunnel_tests::program::Home;
use hvym_tunnel_tests::tunnel::{Agent, PORTS, Relay, port_of, request};

/// A port that no other test of this process is given, nor the one above it, and nobody else has. It is given as a
/// listener: a port that was let go is not free until every process that was just started has let it go too.
fn one_port() -> TcpListener {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let n = std::process::id().wrapping_mul(61) + NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 26000 + 2 * u16::try_from(n % 2000).expect("below 2000");
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            return listener;
        }
    }
}

fn port_at(listener: &TcpListener) -> u16 {
    listener.local_addr().expect("it is bound").port()
}

#[test]
fn an_agent_finds_its_port_again_and_nobody_takes_it_meanwhile() {
    let port = port_at(&one_port());
    let mut relay = Relay::with_ports(&port.to_string());
    let Agent { mut program, home, ready } = Agent::carrying(&relay, Origin::echo().port, &[]);
    assert_eq!(ready["url"], format!("tcp://localhost:{port}"));
    program.kill();
    relay.program.event("agent_left");

    let mut visitor = Conversation::dial(port);
    assert!(
        visitor.rest().map_or(true, |rest| rest.is_empty()),
        "whoever comes meanwhile is sent away at once"
    );
    let other = Home::new();
    let target = format!("tcp://localhost:{}", Origin::echo().port);
    let mut refused = other.start(&["expose", &target, "--service", "db", "--relay", &relay.url()]);
    refused.says("all ports of this relay are taken");
    assert_eq!(refused.code(), 4, "{refused:?}");

    let agent = Agent::exposing(home, &relay, &target, &["--service", "db"]);
    assert_eq!(agent.port(), port);
    let mut visitor = Conversation::dial(port);
    visitor.send("hello").expect("the relay reads");
    assert_eq!(visitor.take(5).expect("an echo"), b"hello");
}

#[test]
fn a_relay_that_starts_again_gives_the_same_ports() {
    let mut relay = Relay::with_ports(PORTS);
    let mut agent = Agent::carrying(&relay, Origin::echo().port, &[]);
    let port = agent.port();
    relay = relay.restart(&["--tcp-ports", PORTS]);
    agent.program.event("reconnected");
    let mut visitor = Conversation::dial(port);
    visitor.send("hello").expect("the relay reads");
    assert_eq!(visitor.take(5).expect("an echo"), b"hello");
    drop(relay);
}

#[test]
fn the_newer_of_two_agents_with_one_identity_has_the_port() {
    let key = Key::from_seed([31; 32]);
    let relay = Relay::with_ports(PORTS);
    let says = |word: &'static str| {
        let origin = Origin::start(move |mut connection| connection.send(word));
        format!("tcp://localhost:{}", origin.port)
    };
    let older = Agent::exposing(Home::of(&key), &relay, &says("older"), &[]);
    assert_eq!(Conversation::dial(older.port()).rest().expect("an end"), b"older");
    let newer = Agent::exposing(Home::of(&key), &relay, &says("newer"), &[]);
    assert_eq!(newer.port(), older.port());
    let Agent { mut program, .. } = older;
    assert_eq!(program.code(), 5);
    for _ in 0..5 {
        assert_eq!(Conversation::dial(newer.port()).rest().expect("an end"), b"newer");
    }
}

#[test]
fn several_services_have_a_port_each_and_a_website_keeps_the_bare_address() {
    let relay = Relay::with_ports(PORTS);
    let mut agent = {
        let [one, two] = ["one", "two"].map(|word| Origin::start(move |mut to| to.send(word)).port);
        let web = Origin::saying(b"a website").port;
        let [two, web] = [format!("second=tcp://localhost:{two}"), format!("web=http://localhost:{web}")];
        Agent::carrying(&relay, one, &["--bind", &two, "--bind", &web])
    };
    let first = agent.port();
    let bound: Vec<_> = (0..2).map(|_| agent.program.event("bound")).collect();
    let url = |service: &str| {
        let event = bound.iter().find(|event| event["service"] == service);
        event.and_then(|event| event["url"].as_str()).expect("it is bound").to_owned()
    };
    let second = port_of(&url("second"));
    assert_ne!(first, second);
    for _ in 0..3 {
        assert_eq!(Conversation::dial(first).rest().expect("an end"), b"one");
        assert_eq!(Conversation::dial(second).rest().expect("an end"), b"two");
    }
    let web = url("web");
    let host = web.strip_prefix("http://").and_then(|rest| rest.strip_suffix('/')).expect("a website");
    assert!(!host.contains("--"), "{host} is not the bare address");
    for (host, status, words) in
        [(host.to_owned(), 200, "a website"), (format!("db--{host}"), 404, "no website")]
    {
        let mut visitor = relay.visit();
        visitor.send(request(&host, "GET", "/", &[])).expect("the relay reads");
        let head = visitor.head().expect("an answer");
        let body = String::from_utf8(visitor.body(&head).expect("a whole answer")).expect("text");
        assert_eq!(head.status(), status, "{body}");
        assert!(body.contains(words), "{body}");
    }
}

#[test]
fn a_relay_without_ports_says_how_it_would_have_some() {
    let relay = Relay::start(&[]);
    let home = Home::new();
    let mut agent = home.start(&["expose", "tcp://localhost:1", "--relay", &relay.url()]);
    let line = agent.says("does not take the service web");
    assert!(line.contains("--tcp-ports"), "{line}");
    assert_eq!(agent.code(), 4, "{agent:?}");
}

#[test]
fn a_port_that_another_program_has_is_passed_over() {
    let other = one_port();
    let taken = port_at(&other);
    let relay = Relay::with_ports(&taken.to_string());
    let home = Home::new();
    let target = format!("tcp://localhost:{}", Origin::echo().port);
    let mut agent = home.start(&["expose", &target, "--relay", &relay.url()]);
    agent.says("all ports of this relay are taken");
    assert_eq!(agent.code(), 4, "{agent:?}");
    let next = taken + 1;
    let relay = Relay::start(&["--tcp-ports", &format!("{taken}-{next}")]);
    let agent = Agent::carrying(&relay, Origin::echo().port, &[]);
    assert_eq!(agent.port(), next);
}

#[test]
fn a_relay_of_ones_own_has_ports_too() {
    let home = Home::new();
    let mut agent = home.start(&["expose", &format!("tcp://localhost:{}", Origin::echo().port), "--json"]);
    let port = port_of(agent.event("ready")["url"].as_str().expect("a URL"));
    let mut visitor = Conversation::dial(port);
    visitor.send("hello").expect("the relay reads");
    assert_eq!(visitor.take(5).expect("an echo"), b"hello");
}
