//! Services that one identity reaches at another, by three processes of the real program.
#![cfg(unix)]

mod caller;
mod crowd;

use std::io;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use hvym_tunnel_core::dialect::{OpenResult, StreamHeader};
use hvym_tunnel_core::stellar::Address;
use hvym_tunnel_tests::Key;
use hvym_tunnel_tests::apps::pattern;
use hvym_tunnel_tests::http::{Conversation, Head, Origin, nobody};
use hvym_tunnel_tests::program::{Home, PATIENCE, Program, python};
use hvym_tunnel_tests::tunnel::{Agent, Relay, host_of, request};
use rustix::process::Signal;

use caller::Caller;

const OWNER: [u8; 32] = [51; 32];
const FRIEND: [u8; 32] = [52; 32];
const STRANGER: [u8; 32] = [53; 32];

fn address(seed: [u8; 32]) -> Address {
    Key::from_seed(seed).address()
}

/// Exposes `target` as the private service `db`, for the friend alone.
fn expose(relay: &Relay, target: &str) -> Agent {
    let home = Home::of(&Key::from_seed(OWNER));
    let (url, friend) = (relay.url(), address(FRIEND).to_string());
    let arguments =
        ["expose", target, "--json", "--relay", &url, "--service", "db", "--private", "--allow", &friend];
    let mut program = home.start(&arguments);
    let ready = program.event("ready");
    Agent { program, ready, home }
}

/// `forward`, running.
struct Forward {
    program: Program,
    port: u16,
    _home: Home,
}

impl Forward {
    fn start(relay: &Relay, who: [u8; 32], to: &str) -> Self {
        let home = Home::of(&Key::from_seed(who));
        let mut program = home.start(&["forward", to, "--json", "--relay", &relay.url()]);
        let event = program.event("forwarding");
        assert_eq!(event["service"], to);
        let listen = event["listen"].as_str().expect("a place");
        let port = listen.strip_prefix("127.0.0.1:").and_then(|port| port.parse().ok()).expect(listen);
        Forward { program, port, _home: home }
    }

    fn ask(&self, method: &str, target: &str, body: &[u8]) -> io::Result<(Head, Vec<u8>)> {
        let mut connection = Conversation::dial(self.port);
        let length = format!("Content-Length: {}", body.len());
        connection.send(request(&format!("127.0.0.1:{}", self.port), method, target, &[&length]))?;
        connection.send(body)?;
        let head = connection.head()?;
        let body = connection.body(&head)?;
        Ok((head, body))
    }
}

/// A service that sends back what comes, and ends when its visitor ends.
fn echo() -> Origin {
    Origin::start(|mut connection| {
        let all = connection.rest()?;
        connection.send(&all)?;
        connection.finish()
    })
}

#[test]
fn an_allowed_identity_reaches_a_private_service_and_its_owner_sees_who_it_is() {
    let mut service = python(&["origin.py"]);
    let port = service.line();
    let relay = Relay::start(&[]);
    let mut owner = expose(&relay, &port);
    let name = format!("{}/db", address(OWNER));
    assert_eq!((owner.url(), &owner.ready["private"]), (name.as_str(), &true.into()));
    let friend = Forward::start(&relay, FRIEND, &name);
    let body = pattern(3, 5_000_000);
    let (head, back) = friend.ask("POST", "/echo", &body).expect("an answer");
    assert_eq!(head.status(), 200);
    assert!(back == body, "{} bytes came back, or others", back.len());
    let (head, back) = friend.ask("GET", "/download?bytes=5000000", b"").expect("an answer");
    assert_eq!((head.status(), back.len()), (200, 5_000_000));
    let reached = owner.program.event("reached");
    assert_eq!(
        (reached["service"].as_str(), reached["from"].as_str()),
        (Some("db"), Some(&*address(FRIEND).to_string()))
    );
    assert_eq!(owner.program.event("request")["path"], "/echo");
}

#[test]
fn no_refusal_comes_so_soon_that_its_time_tells_whether_there_is_an_owner() {
    /// What every refusal takes at least; a way to the owner and back on this machine takes a hundredth of it.
    const LEAST: Duration = Duration::from_millis(500);
    let relay = Relay::start(&[]);
    let _owner = expose(&relay, &Origin::saying(b"private").port.to_string());
    let there = address(OWNER);
    let absent = address(STRANGER);
    for (who, to) in [
        (STRANGER, format!("{there}/db")),
        (STRANGER, format!("{there}/zz")),
        (FRIEND, format!("{there}/zz")),
        (FRIEND, format!("{absent}/db")),
    ] {
        let forward = Forward::start(&relay, who, &to);
        let asked = Instant::now();
        forward.ask("GET", "/", b"").expect_err(&to);
        let took = asked.elapsed();
        assert!(took >= LEAST, "{to}: {took:?}");
    }
}

#[test]
fn visitors_see_the_same_page_for_a_private_service_and_for_none() {
    let relay = Relay::start(&[]);
    let _owner = expose(&relay, &Origin::saying(b"private").port.to_string());
    let ask = |service: &str| {
        let host = format!("{service}.{}.localhost:{}", address(OWNER).label(), relay.port);
        let mut visitor = relay.visit();
        visitor.send(request(&host, "GET", "/", &["Accept: text/html"])).expect("sent");
        let mut head = visitor.head().expect("an answer");
        let body = String::from_utf8(visitor.body(&head).expect("a body")).expect("text");
        head.fields.retain(|(name, _)| !name.eq_ignore_ascii_case("date"));
        (head, body.replace(service, "SERVICE"))
    };
    assert_eq!(ask("db"), ask("zz"));
    assert_eq!(ask("db").0.status(), 404);
    assert_eq!(ask("db").0.field("hvym-tunnel-error"), Some("HT-404-service"));
    assert!(ask("db").1.contains("404 Not Found · HT-404-service"), "{}", ask("db").1);
    let mut visitor = relay.visit();
    let host = format!("{}.localhost:{}", address(OWNER).label(), relay.port);
    visitor.send(request(&host, "GET", "/", &[])).expect("sent");
    let head = visitor.head().expect("an answer");
    assert_ne!(head.status(), 200);
    assert!(!String::from_utf8_lossy(&visitor.body(&head).expect("a body")).contains("private"));
}

#[test]
fn a_stranger_is_refused_with_the_same_bytes_whatever_the_reason_and_the_owner_sees_it() {
    let relay = Relay::start(&[]);
    let mut owner = expose(&relay, &Origin::saying(b"private").port.to_string());
    let mut stranger = Caller::new(&relay, &Key::from_seed(STRANGER));
    let no = OpenResult::not_reachable().encode().to_vec();
    for (to, service) in [(OWNER, "db"), (OWNER, "none"), ([99; 32], "db"), (STRANGER, "db")] {
        let id = stranger.open(&StreamHeader::reaching(address(to), service), b"let me in");
        assert_eq!(stranger.rest(id), Some(no.clone()), "{service}");
    }
    let refused = owner.program.event("refused");
    let (service, from) = (refused["service"].as_str(), refused["from"].as_str());
    assert_eq!((service, from), (Some("db"), Some(&*address(STRANGER).to_string())));
    // Whoever says who they are, or asks for nobody, is not even answered.
    let forged = StreamHeader { from: Some(address(FRIEND)), ..StreamHeader::reaching(address(OWNER), "db") };
    let nobody = StreamHeader { service: "db".into(), ..StreamHeader::default() };
    for opening in [forged, nobody] {
        let id = stranger.open(&opening, b"let me in");
        assert_eq!(stranger.rest(id), None);
    }
    let mut friend = Caller::new(&relay, &Key::from_seed(FRIEND));
    let id = friend.open(&StreamHeader::reaching(address(OWNER), "db"), b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    let answer = friend.rest(id).expect("an answer");
    assert!(
        answer.starts_with(&[&OpenResult::Accepted.encode()[..], b"HTTP/1.1 200"].concat()),
        "{answer:?}"
    );
}

#[test]
fn a_stranger_is_told_why_once_and_its_connections_are_cut() {
    let relay = Relay::start(&[]);
    let _owner = expose(&relay, &Origin::saying(b"private").port.to_string());
    let mut stranger = Forward::start(&relay, STRANGER, &format!("{}/db", address(OWNER)));
    for _ in 0..3 {
        let cut = stranger.ask("GET", "/", b"").expect_err("nobody lets it in");
        assert_ne!(cut.kind(), io::ErrorKind::WouldBlock, "cut, and not left waiting");
    }
    let told = stranger.program.event("not_reached");
    assert_eq!(told["code"], OpenResult::NOT_REACHABLE);
    assert!(
        told["hint"].as_str().is_some_and(|hint| hint.contains(&address(STRANGER).to_string())),
        "{told}"
    );
    stranger.program.signal(Signal::TERM);
    assert_eq!(stranger.program.code(), 0);
    assert_eq!(stranger.program.transcript().matches("not_reached").count(), 1, "{:?}", stranger.program);
}

#[test]
fn a_forward_says_at_its_start_that_there_is_no_such_service_and_reaches_one_that_comes_later() {
    let relay = Relay::start(&[]);
    let name = format!("{}/db", address(OWNER));
    let mut friend = Forward::start(&relay, FRIEND, &name);
    let told = friend.program.event("not_reached");
    assert_eq!((&told["service"], &told["code"]), (&name.into(), &OpenResult::NOT_REACHABLE.into()));
    assert!(told["hint"].as_str().is_some_and(|hint| hint.contains("owner connected")), "{told}");
    let _owner = expose(&relay, &Origin::saying(b"private").port.to_string());
    assert_eq!(friend.ask("GET", "/", b"").expect("an answer").1, b"private");
}

#[test]
fn whether_a_service_can_be_reached_is_found_out_without_a_connection_to_it() {
    let relay = Relay::start(&[]);
    let (connected, connections) = channel();
    let service = Origin::start(move |mut connection| {
        let all = connection.rest()?;
        connected.send(all).expect("the test waits");
        Ok(())
    });
    let mut owner = expose(&relay, &format!("tcp://127.0.0.1:{}", service.port));
    assert_eq!(connections.recv_timeout(PATIENCE).expect("its owner looks whether it is there"), b"");
    let friend = Forward::start(&relay, FRIEND, &format!("{}/db", address(OWNER)));
    for words in ["first", "second"] {
        let mut connection = Conversation::dial(friend.port);
        connection.send(words).expect("taken");
        connection.finish().expect("open");
        assert_eq!(connections.recv_timeout(PATIENCE).expect("a connection"), words.as_bytes());
    }
    owner.program.event("reached");
    assert!(!friend.program.transcript().contains("not_reached"), "{:?}", friend.program);
}

#[test]
fn bytes_pass_both_ways_each_half_ends_by_itself_and_no_public_port_is_needed() {
    let relay = Relay::start(&[]);
    let _owner = expose(&relay, &format!("tcp://127.0.0.1:{}", echo().port));
    let friend = Forward::start(&relay, FRIEND, &format!("{}/db", address(OWNER)));
    let words = pattern(9, 700_000);
    let mut connection = Conversation::dial(friend.port);
    let mut writer = connection.writer();
    let sent = words.clone();
    let sending = std::thread::spawn(move || io::Write::write_all(&mut writer, &sent));
    sending.join().expect("no panic").expect("taken");
    connection.finish().expect("open");
    assert!(connection.rest().expect("a clean end") == words);
}

#[test]
fn an_allowed_caller_learns_that_the_service_is_down() {
    for scheme in ["http", "tcp"] {
        let relay = Relay::start(&[]);
        let _owner = expose(&relay, &format!("{scheme}://127.0.0.1:{}", nobody()));
        let mut friend = Forward::start(&relay, FRIEND, &format!("{}/db", address(OWNER)));
        friend.ask("GET", "/", b"").expect_err("nobody listens");
        assert_eq!(friend.program.event("not_reached")["code"], OpenResult::UNAVAILABLE, "{scheme}");
    }
}

#[test]
fn a_public_service_is_reached_by_anybody_who_is_logged_in_and_still_visited() {
    let relay = Relay::start(&[]);
    let home = Home::of(&Key::from_seed(OWNER));
    let mut owner = Agent::start_in(home, &relay, Origin::saying(b"for all").port, &[]);
    let stranger = Forward::start(&relay, STRANGER, &format!("{}/web", address(OWNER)));
    assert_eq!(stranger.ask("GET", "/", b"").expect("an answer").1, b"for all");
    assert_eq!(owner.program.event("reached")["from"], address(STRANGER).to_string());
    let mut visitor = relay.visit();
    visitor.send(request(host_of(owner.url()), "GET", "/", &[])).expect("sent");
    assert_eq!(visitor.head().expect("an answer").status(), 200);
}

#[test]
fn a_forward_carries_128_connections_at_once_and_says_why_it_carries_no_more() {
    const AT_ONCE: usize = 128;
    let relay = Relay::start(&[]);
    let _owner = expose(&relay, &format!("tcp://localhost:{}", Origin::echo().port));
    let mut friend = Forward::start(&relay, FRIEND, &format!("{}/db", address(OWNER)));
    let served = || {
        let mut connection = Conversation::dial(friend.port);
        let is_served =
            connection.send("ping").is_ok() && connection.take(4).is_ok_and(|echo| echo == b"ping");
        is_served.then_some(connection)
    };
    let deadline = Instant::now() + PATIENCE;
    // One place is free when the forward has found out that it may have the service.
    let mut connections: Vec<Conversation> = Vec::new();
    while connections.len() < AT_ONCE {
        connections.extend(served());
        assert!(Instant::now() < deadline, "{} connections: {:?}", connections.len(), friend.program);
    }
    Conversation::dial(friend.port).rest().expect_err("one too many");
    let told = friend.program.event("not_reached");
    assert_eq!(told["code"], "too_many", "{told}");
    assert!(told["message"].as_str().is_some_and(|message| message.contains("128 connections")), "{told}");
    // Those that are open are none the worse for it, and one that ends makes room.
    connections.pop();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut next = Conversation::dial(friend.port);
        // One that is turned away may be reset before it says anything.
        if next.send("ping").is_ok() && next.take(4).is_ok() {
            break;
        }
        assert!(Instant::now() < deadline, "there is never room again");
    }
    for connection in &mut connections {
        connection.send("pong").expect("the forward reads");
        assert_eq!(connection.take(4).expect("an echo"), b"pong");
    }
}

#[test]
fn after_the_relay_was_restarted_forward_works_again() {
    let relay = Relay::start(&[]);
    let mut owner = expose(&relay, &Origin::saying(b"still here").port.to_string());
    let mut friend = Forward::start(&relay, FRIEND, &format!("{}/db", address(OWNER)));
    assert_eq!(friend.ask("GET", "/", b"").expect("an answer").1, b"still here");
    let _relay = relay.restart(&[]);
    owner.program.event("reconnected");
    friend.program.event("reconnected");
    assert_eq!(friend.ask("GET", "/", b"").expect("an answer").1, b"still here");
}

#[test]
fn a_person_reads_who_reached_what_and_how_to_reach_it() {
    let relay = Relay::start(&[]);
    let (home, target) = (Home::of(&Key::from_seed(OWNER)), Origin::saying(b"ok").port.to_string());
    let (url, friend, name) = (relay.url(), address(FRIEND).to_string(), format!("{}/db", address(OWNER)));
    let arguments = ["expose", &target, "--relay", &url, "--service", "db", "--private", "--allow", &friend];
    let mut owner = home.start(&arguments);
    assert_eq!(owner.line(), name);
    owner.says(&format!("{target} is service db of "));
    owner.says(&format!("hvym-tunnel forward {name} --relay "));
    let forward = Forward::start(&relay, FRIEND, &name);
    forward.ask("GET", "/", b"").expect("an answer");
    assert!(owner.line().ends_with(&format!("{friend} reached db")), "{owner:?}");
    Forward::start(&relay, STRANGER, &name).ask("GET", "/", b"").expect_err("a stranger");
    let refused = format!("{} was refused db", address(STRANGER));
    // What she was told before may come first, but no more than that.
    assert!((0..10).any(|_| owner.line().ends_with(&refused)), "{owner:?}");
}

#[test]
fn options_that_contradict_each_other_are_named() {
    let friend = address(FRIEND).to_string();
    let other = format!("{friend}/db");
    for (arguments, word) in [
        (vec!["expose", "3000", "--allow", &friend], "--private"),
        (
            vec!["expose", "3000", "--private", "--allow", &friend, "--allow-cidr", "10.0.0.0/8"],
            "--allow-cidr",
        ),
        (vec!["forward", &other], "--relay"),
    ] {
        let home = Home::of(&Key::from_seed(OWNER));
        let mut program = home.start(&arguments);
        assert_eq!(program.code(), 3, "{arguments:?} {program:?}");
        assert!(program.transcript().contains(word), "{arguments:?} {program:?}");
    }
}
