//! Services and visitors that take nothing, while the other side leaves: what was held for them is given back.
#![cfg(target_os = "linux")]

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hvym_tunnel_tests::http::{Conversation, Origin};
use hvym_tunnel_tests::program::{Home, PATIENCE};
use hvym_tunnel_tests::tunnel::{Agent, PORTS, Relay, request};

/// Connections at once.
const MANY: usize = 6;
/// Room that has not come back after this long will not come. On a slow machine it might, and less is tested.
const QUIET: Duration = Duration::from_millis(300);
/// More than all buffers between a visitor and a service hold.
const MUCH: usize = 32 * 1024 * 1024;

/// A service that reads `some` of what it is sent and then nothing more, and the connections to it.
fn deaf(
    some: impl Fn(&mut Conversation) -> io::Result<()> + Send + Sync + 'static,
) -> (Origin, Receiver<Conversation>) {
    let (hand, hands) = channel();
    let hand = Mutex::new(hand);
    let origin = Origin::start(move |mut connection| {
        some(&mut connection)?;
        let hand = hand.lock().unwrap_or_else(PoisonError::into_inner);
        hand.send(connection).map_err(io::Error::other)
    });
    (origin, hands)
}

/// Writes until nothing has been taken for a while: then every buffer on the way is full.
fn fill(visitor: &Conversation) {
    let mut writer = visitor.writer();
    writer.set_write_timeout(Some(QUIET)).expect("an option of every socket");
    let zeros = vec![0; 64 * 1024];
    let mut sent = 0;
    while sent < MUCH {
        match writer.write(&zeros) {
            Ok(n) => sent += n,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) => panic!("the relay reads until it has no room: {error}"),
        }
    }
    assert!(sent < MUCH, "somebody reads");
}

#[test]
fn an_upload_to_a_service_that_does_not_read_costs_no_descriptor_once_its_caller_has_left() {
    let (service, hands) = deaf(|connection| connection.head().map(drop));
    let relay = Relay::start(&[]);
    let mut owner = Agent::start(&relay, service.port, &["--service", "web"]);
    let address = owner.ready["address"].as_str().expect("an address").to_owned();
    let home = Home::new();
    let mut forward = home.start(&["forward", &format!("{address}/web"), "--json", "--relay", &relay.url()]);
    let listen = forward.event("forwarding")["listen"].as_str().expect("a place").to_owned();
    let port = listen.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).expect("a port");
    let before = (owner.program.descriptors(), forward.descriptors());
    let length = format!("Content-Length: {MUCH}");
    let mut held = Vec::new();
    for _ in 0..MANY {
        let mut caller = Conversation::dial(port);
        caller.send(request("web", "POST", "/upload", &[&length])).expect("the forward reads");
        held.push(hands.recv_timeout(PATIENCE).expect("a connection to the service"));
        fill(&caller);
        caller.reset();
    }
    for _ in 0..MANY {
        let told = owner.program.event("request");
        assert_eq!((&told["status"], &told["path"]), (&499.into(), &"/upload".into()), "{told}");
    }
    owner.program.comes_down_to(before.0);
    forward.comes_down_to(before.1);
}

#[test]
fn an_upload_to_a_service_that_does_not_read_costs_no_descriptor_once_its_visitor_has_left() {
    let (service, hands) = deaf(|connection| connection.head().map(drop));
    let relay = Relay::start(&[]);
    let mut agent = Agent::start(&relay, service.port, &[]);
    let before = (agent.program.descriptors(), relay.program.descriptors());
    let length = format!("Content-Length: {MUCH}");
    let mut held = Vec::new();
    for _ in 0..MANY {
        let mut visitor = relay.visit();
        visitor.send(request(agent.host(), "POST", "/upload", &[&length])).expect("the relay reads");
        held.push(hands.recv_timeout(PATIENCE).expect("a connection to the service"));
        fill(&visitor);
        visitor.reset();
    }
    for _ in 0..MANY {
        let told = agent.program.event("request");
        assert_eq!(told["path"], "/upload", "{told}");
    }
    agent.program.comes_down_to(before.0);
    relay.program.comes_down_to(before.1);
}

#[test]
fn bytes_for_a_service_that_does_not_read_cost_no_descriptor_once_their_visitor_has_left() {
    let (service, hands) = deaf(|connection| connection.take(1).map(drop));
    let relay = Relay::with_ports(PORTS);
    let agent = Agent::carrying(&relay, service.port, &[]);
    let before = (agent.program.descriptors(), relay.program.descriptors());
    let mut held = Vec::new();
    for _ in 0..MANY {
        let visitor = Conversation::dial(agent.port());
        fill(&visitor);
        held.push(hands.recv_timeout(PATIENCE).expect("a connection to the service"));
        visitor.reset();
    }
    agent.program.comes_down_to(before.0);
    relay.program.comes_down_to(before.1);
}

#[test]
fn visitors_who_do_not_read_cost_the_relay_no_descriptor_once_the_agent_is_gone() {
    let service = Origin::start(|mut connection| {
        let zeros = vec![0; 64 * 1024];
        loop {
            connection.send(&zeros)?;
        }
    });
    let relay = Relay::with_ports(PORTS);
    let before = relay.program.descriptors();
    let mut agent = Agent::carrying(&relay, service.port, &[]);
    // They have begun to read, and go on no more.
    let visitors: Vec<Conversation> = (0..MANY)
        .map(|_| {
            let mut visitor = Conversation::dial(agent.port());
            visitor.take(1).expect("a byte of the service");
            visitor
        })
        .collect();
    agent.program.kill();
    // One for the public port, which waits for the agent.
    relay.program.comes_down_to(before + 1);
    drop(visitors);
}
