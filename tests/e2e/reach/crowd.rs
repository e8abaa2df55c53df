//! Identities that open streams to one owner and let them idle: what they leave to others, and when they end.

use std::time::Instant;

use hvym_tunnel_core::dialect::{OpenResult, StreamHeader};
use hvym_tunnel_tests::Key;
use hvym_tunnel_tests::http::{Conversation, Origin};
use hvym_tunnel_tests::program::{Home, PATIENCE};
use hvym_tunnel_tests::tunnel::{Agent, PORTS, Relay, request};

use super::caller::Caller;
use super::{FRIEND, Forward, OWNER, address, echo, expose};

#[test]
fn identities_that_idle_leave_room_for_visitors_and_learn_nothing() {
    let relay = Relay::start(&["--tcp-ports", PORTS]);
    let web = Origin::saying(b"a website");
    // It says nothing as long as its visitors do not end.
    let bind = format!("silent=tcp://localhost:{}", echo().port);
    let owner = Agent::start_in(
        Home::of(&Key::from_seed(OWNER)),
        &relay,
        web.port,
        &["--service", "web", "--bind", &bind],
    );
    let opening = |service: &str| StreamHeader {
        service: service.to_owned(),
        to: Some(address(OWNER)),
        ..StreamHeader::default()
    };
    let mut callers: Vec<Caller> =
        (0..5).map(|number| Caller::new(&relay, &Key::from_seed([200 + number; 32]))).collect();
    let mut last = callers.pop().expect("five");
    for caller in &mut callers {
        let ids: Vec<_> = (0..128).map(|_| caller.idle(&opening("silent"))).collect();
        // The owner has taken them when it answers.
        ids.iter().for_each(|id| assert!(caller.begins(*id).is_some()));
    }
    let refused = last.open(&opening("web"), b"");
    assert_eq!(last.rest(refused), Some(OpenResult::not_reachable().encode().to_vec()));
    for _ in 0..3 {
        let mut visitor = relay.visit();
        visitor.send(request(owner.host(), "GET", "/", &[])).expect("the relay reads");
        assert_eq!(visitor.head().expect("an answer").status(), 200);
    }
    // With the sessions of one identity its streams end, and there is room again.
    drop(callers.pop());
    let deadline = Instant::now() + PATIENCE;
    loop {
        let id = last.open(&opening("web"), b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let answer = last.rest(id).unwrap_or_default();
        if String::from_utf8_lossy(&answer).contains("a website") {
            break;
        }
        assert!(Instant::now() < deadline, "{}", String::from_utf8_lossy(&answer));
    }
}

#[test]
fn a_reached_connection_that_is_silent_for_too_long_ends() {
    let relay = Relay::start(&["--tunnel-timeout", "1"]);
    let target = format!("tcp://localhost:{}", echo().port);
    let _owner = expose(&relay, &target);
    let friend = Forward::start(&relay, FRIEND, &format!("{}/db", address(OWNER)));
    let mut silent = Conversation::dial(friend.port);
    assert!(silent.rest().map_or(true, |rest| rest.is_empty()), "the relay ends it");
}
