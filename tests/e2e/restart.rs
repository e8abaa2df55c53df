//! A relay that another process of itself takes the place of, under load: no visitor sees it.
#![cfg(unix)]

use hvym_tunnel_tests::http::{Origin, ok};
use hvym_tunnel_tests::program::{Home, Program};
use hvym_tunnel_tests::tunnel::{Agent, Relay, Tunnel, request};
use rustix::process::Signal;

use crate::load::under_load;

/// A service that answers every request with its method.
fn service() -> Origin {
    Origin::answering(|head, body| ok(format!("{} {}", head.method(), body.len()).as_bytes()))
}

/// The next process of a relay, which listens at the same port.
fn successor(home: &Home, port: u16) -> Program {
    let port = port.to_string();
    let mut next = home.start(&["relay", "--json", "--listen", &port, "--reuse-port", "--hold", "30"]);
    next.event("listening");
    next
}

#[test]
fn a_relay_that_is_restarted_under_load_loses_no_get_and_no_post() {
    let origin = service();
    let relay = Relay::start(&["--reuse-port"]);
    let agent = Agent::start(&relay, origin.port, &[]);
    let Relay { program: mut relay, home, port, .. } = relay;
    let host = agent.host();
    under_load(port, host, (16, 8), |some_more| {
        for _ in 0..3 {
            some_more();
            let next = successor(&home, port);
            relay.signal(Signal::TERM);
            relay.event("draining");
            assert_eq!(relay.code(), 0);
            relay = next;
            // What an operator asks goes to the one that is there.
            assert_eq!(home.start(&["admin", "agents"]).code(), 0);
        }
        some_more();
    });
}

#[test]
fn visitors_who_are_sooner_than_the_agent_of_a_relay_that_has_just_started_wait_for_it() {
    let origin = service();
    let Tunnel { relay, mut agent } = Tunnel::to(origin.port);
    let host = agent.host().to_owned();
    agent.program.signal(Signal::TERM);
    assert_eq!(agent.program.code(), 0);
    drop(relay);
    let relay = Relay::start(&["--hold", "600"]);
    let visitors = ["GET", "POST"].map(|method| {
        let (mut visitor, host) = (relay.visit(), host.clone());
        let asked = request(&host, method, "/", &["Content-Length: 4"]) + "data";
        visitor.send(asked).expect("the relay reads");
        (visitor, method)
    });
    // Nobody waits at the relay's own name.
    let mut other = relay.visit();
    other.send(request("localhost", "GET", "/health", &[])).expect("the relay reads");
    assert_eq!(other.head().expect("an answer").status(), 200);
    let _agent = Agent::start_in(agent.home, &relay, origin.port, &[]);
    for (mut visitor, method) in visitors {
        let head = visitor.head().expect("an answer");
        let body = visitor.body(&head).expect("a whole answer");
        assert_eq!((head.status(), String::from_utf8_lossy(&body)), (200, format!("{method} 4").into()));
    }
}

#[test]
fn two_relays_share_a_port_only_if_both_agree() {
    let relay = Relay::start(&["--reuse-port"]);
    let (home, port) = (Home::new(), relay.port.to_string());
    assert_eq!(home.start(&["relay", "--listen", &port]).code(), 3);
    let relay = Relay::start(&[]);
    let port = relay.port.to_string();
    assert_eq!(home.start(&["relay", "--listen", &port, "--reuse-port"]).code(), 3);
}
