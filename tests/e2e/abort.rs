//! Visitors who break off what they asked for, many at once: the real program, and everybody else on the same link.
#![cfg(unix)]

use std::io;
use std::thread;

use hvym_tunnel_tests::http::{Conversation, Origin, ok};
use hvym_tunnel_tests::tunnel::{Agent, PORTS, Relay, Tunnel};

/// Visitors at once.
const VISITORS: usize = 300;
/// How often each breaks off.
const TIMES: usize = 20;

/// A service that begins to answer `/long` and never ends it, and answers everything else.
fn service() -> Origin {
    Origin::start(|mut connection| {
        loop {
            let head = connection.head()?;
            if head.target() == "/long" {
                connection.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nbegun")?;
                return connection.rest().map(drop);
            }
            connection.send(ok(b"served"))?;
        }
    })
}

/// Lets all visitors do `visit` as often as each does, at once.
fn all_at_once(visit: impl Fn() -> io::Result<()> + Sync) -> usize {
    thread::scope(|scope| {
        let visitors: Vec<_> =
            (0..VISITORS).map(|_| scope.spawn(|| (0..TIMES).filter(|_| visit().is_ok()).count())).collect();
        visitors.into_iter().map(|visitor| visitor.join().expect("no panic")).sum()
    })
}

fn assert_one_link(relay: &Relay, agent: &Agent) {
    let (relay, agent) = (relay.program.transcript(), agent.program.transcript());
    assert!(!agent.contains("disconnected"), "{agent}");
    assert!(!relay.contains("agent_left"), "{relay}");
}

#[test]
fn three_hundred_visitors_who_break_off_twenty_times_each_cost_the_agent_no_link() {
    let tunnel = Tunnel::to(service().port);
    let request = tunnel.request("GET", "/long", &[]);
    let broken_off = all_at_once(|| {
        let mut visitor = tunnel.visit();
        visitor.send(&request)?;
        let begun = visitor.head().map(drop);
        visitor.reset();
        begun
    });
    // More than a session with a limit of rapid resets takes.
    assert!(broken_off > VISITORS * TIMES / 2, "only {broken_off} were served before they broke off");
    let (head, body) = tunnel.get("/").expect("an answer");
    assert_eq!((head.status(), body.as_slice()), (200, &b"served"[..]));
    assert_one_link(&tunnel.relay, &tunnel.agent);
}

#[test]
fn connections_to_a_public_port_that_are_reset_by_the_thousand_cost_the_agent_no_link() {
    let relay = Relay::with_ports(PORTS);
    let agent = Agent::carrying(&relay, Origin::echo().port, &[]);
    let broken_off = all_at_once(|| {
        let mut visitor = Conversation::dial(agent.port());
        visitor.send("ping")?;
        let begun = visitor.take(4).map(drop);
        visitor.reset();
        begun
    });
    assert!(broken_off > VISITORS * TIMES / 2, "only {broken_off} were served before they broke off");
    let mut visitor = Conversation::dial(agent.port());
    visitor.send("ping").expect("the relay reads");
    assert_eq!(visitor.take(4).expect("an echo"), b"ping");
    assert_one_link(&relay, &agent);
}
