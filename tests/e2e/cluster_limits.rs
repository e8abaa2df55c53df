//! What one visitor may use of a service at another relay: the relay that has the visitor limits it, by its own address, and logs what it
//! refuses.
#![cfg(unix)]

use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::{fs, time::Instant};

use hvym_tunnel_tests::Door;
use hvym_tunnel_tests::http::{Conversation, Origin, ok};
use hvym_tunnel_tests::program::{Home, PATIENCE};
use hvym_tunnel_tests::redis::RedisServer;
use hvym_tunnel_tests::tunnel::{Agent, Relay, request};

use super::cluster::{relay, stop, until, visitor_from};

/// Requests at once of one visitor.
const REQUESTS: usize = 2;

/// A connection of the visitor with this last number, which has asked for `target`.
fn asked(relay: &Relay, who: u8, host: &str, target: &str) -> Conversation {
    let mut visitor = visitor_from([127, 0, 0, who], relay.port);
    visitor.send(request(host, "GET", target, &["Connection: close"])).expect("the relay reads");
    visitor
}

fn status(mut visitor: Conversation) -> u16 {
    let head = visitor.head().expect("an answer");
    let _page = visitor.body(&head).expect("a whole answer");
    head.status()
}

#[test]
fn a_visitor_of_a_service_at_another_relay_is_limited_and_logged_once_by_its_own_address() {
    let Some(redis) = RedisServer::start() else { return };
    let homes = [(); 2].map(|()| Home::new());
    let logs = homes.each_ref().map(|home| home.path("access.log").display().to_string());
    let limit = REQUESTS.to_string();
    let mut relays =
        logs.each_ref().map(|log| relay(&redis.url(), &["--visitor-requests", &limit, "--access-log", log]));
    let (door, (entered, entering)) = (Door::default(), channel());
    let (held, entered) = (door.clone(), Mutex::new(entered));
    let origin = Origin::answering(move |head, _| {
        if head.target().starts_with("/held") {
            entered.lock().expect("nobody panics here").send(()).expect("the test waits");
            held.pass();
        }
        ok(b"here")
    });
    let agent = Agent::start(&relays[0], origin.port, &[]);
    let host = agent.host();
    until(&relays[1], host, "here");
    // As many as it may, of each of three: for the relay of the agent all come by one link, and none too many.
    let mut waiting = Vec::new();
    for who in [7, 8, 9] {
        for _ in 0..REQUESTS {
            waiting.push(asked(&relays[1], who, host, &format!("/held/{who}")));
            entering.recv_timeout(PATIENCE).expect("the service is asked");
        }
    }
    for who in [7, 8, 9] {
        assert_eq!(status(asked(&relays[1], who, host, &format!("/more/{who}"))), 429);
    }
    assert_eq!(status(asked(&relays[1], 10, host, "/other")), 200);
    door.open();
    for visitor in waiting {
        assert_eq!(status(visitor), 200);
    }
    let deadline = Instant::now() + PATIENCE;
    while status(asked(&relays[1], 7, host, "/again")) != 200 {
        assert!(Instant::now() < deadline, "its requests are over");
    }
    drop(agent);
    relays.iter_mut().for_each(stop);
    let [there, here] = logs.each_ref().map(|log| fs::read_to_string(log).expect("a log"));
    for who in [7, 8, 9] {
        for (target, count) in [(format!("/held/{who} "), REQUESTS), (format!("/more/{who} "), 1)] {
            let lines: Vec<&str> = here.lines().filter(|line| line.contains(&target)).collect();
            let is_own = |line: &&str| line.starts_with(&format!("127.0.0.{who} "));
            assert!(lines.len() == count && lines.iter().all(is_own), "{here}");
            assert!(!there.contains(&target), "{there}");
        }
    }
}
