//! What one visitor may use of a service and of the relay, whatever it comes by. A trusted proxy says who it is.
#![cfg(unix)]

use std::io::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Instant;

use hvym_tunnel_tests::Door;
use hvym_tunnel_tests::frames::{self, DATA, END_HEADERS, END_STREAM, Frames, HEADERS, RST_STREAM};
use hvym_tunnel_tests::http::{Conversation, Origin, ok};
use hvym_tunnel_tests::program::PATIENCE;
use hvym_tunnel_tests::tunnel::{Agent, PORTS, Relay, Tunnel};

const GREEDY: &str = "203.0.113.1";
const OTHER: &str = "198.51.100.7";
const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: Example\r\n\r\n";

fn tunnel(origin: Origin, limits: &[&str]) -> Tunnel {
    Tunnel::with(origin.port, &[&["--trusted-proxy", "127.0.0.0/8"], limits].concat(), &[])
}

/// A connection on which `who` has asked for `target`.
fn asked(tunnel: &Tunnel, who: &str, target: &str, fields: &[&str]) -> Conversation {
    let mut visitor = tunnel.visit();
    let from = format!("X-Forwarded-For: {who}");
    visitor
        .send(tunnel.request("GET", target, &[&[from.as_str()], fields].concat()))
        .expect("the relay reads");
    visitor
}

/// The status and the body that `who` gets.
fn get(tunnel: &Tunnel, who: &str, target: &str) -> (u16, String) {
    read(&mut asked(tunnel, who, target, &[]))
}

fn read(visitor: &mut Conversation) -> (u16, String) {
    let head = visitor.head().expect("an answer");
    let body = visitor.body(&head).expect("a whole answer");
    if head.status() == 429 {
        assert_eq!(head.field("retry-after"), Some("5"), "{head:?}");
    }
    (head.status(), String::from_utf8(body).expect("text"))
}

/// Asks until the answer is this one.
fn until(tunnel: &Tunnel, who: &str, status: u16) {
    let begun = Instant::now();
    while get(tunnel, who, "/").0 != status {
        assert!(begun.elapsed() < PATIENCE, "{who} never got {status}");
    }
}

/// A service that holds requests for `/held` behind the door, after it has told of them.
fn holding(door: &Door) -> (Origin, Receiver<()>) {
    let (entered, entering) = channel();
    let (held, entered) = (door.clone(), Mutex::new(entered));
    let origin = Origin::answering(move |head, _| {
        if head.target() == "/held" {
            entered.lock().expect("nobody panics here").send(()).expect("the test waits");
            held.pass();
        }
        ok(b"here")
    });
    (origin, entering)
}

#[test]
fn one_visitor_has_its_share_of_a_service_over_any_number_of_connections() {
    let door = Door::default();
    let (origin, entering) = holding(&door);
    let tunnel = tunnel(origin, &["--visitor-requests", "4", "--service-requests", "6"]);
    let mut first = asked(&tunnel, GREEDY, "/held", &[]);
    let mut shared = Frames::dial(tunnel.relay.port, 65_535);
    let block = frames::get(tunnel.agent.host(), "/held", &[("x-forwarded-for", GREEDY)]);
    for stream in [1, 3, 5] {
        shared.send(HEADERS, END_STREAM | END_HEADERS, stream, &block).expect("the relay reads");
    }
    for _ in 0..4 {
        entering.recv_timeout(PATIENCE).expect("the service is asked");
    }
    // One more, by either connection, is answered by the relay.
    let (status, page) = get(&tunnel, GREEDY, "/");
    assert!(status == 429 && page.contains("as many requests under way"), "{status}: {page}");
    shared.send(HEADERS, END_STREAM | END_HEADERS, 7, &block).expect("the relay reads");
    assert_eq!(shared.wait_for(HEADERS).expect("an answer").stream, 7);
    assert_eq!(get(&tunnel, OTHER, "/"), (200, "here".to_owned()));
    door.open();
    assert_eq!(read(&mut first), (200, "here".to_owned()));
    until(&tunnel, GREEDY, 200);
}

#[test]
fn one_visitor_has_so_many_websockets_and_room_for_requests_beside_them() {
    let origin = Origin::start(|mut connection| {
        loop {
            let head = connection.head()?;
            if head.field("upgrade").is_none() {
                connection.send(ok(b"here"))?;
                continue;
            }
            connection.send(SWITCH)?;
            while connection.take(1).is_ok() {}
            return Ok(());
        }
    });
    let tunnel = tunnel(origin, &["--visitor-tunnels", "2"]);
    let upgrade = ["Connection: Upgrade", "Upgrade: Example"];
    let open = |who: &str| {
        let mut visitor = asked(&tunnel, who, "/", &upgrade);
        (visitor.head().expect("an answer").status(), visitor)
    };
    let mut sockets: Vec<_> = (0..2).map(|_| open(GREEDY)).collect();
    assert!(sockets.iter().all(|(status, _)| *status == 101));
    let (status, page) = read(&mut asked(&tunnel, GREEDY, "/", &upgrade));
    assert!(status == 429 && page.contains("as many WebSockets"), "{status}: {page}");
    assert_eq!(get(&tunnel, GREEDY, "/"), (200, "here".to_owned()));
    assert_eq!(open(OTHER).0, 101);
    sockets.pop();
    let begun = Instant::now();
    while open(GREEDY).0 != 101 {
        assert!(begun.elapsed() < PATIENCE, "a place never came back");
    }
}

#[test]
fn who_breaks_off_request_after_request_is_answered_by_the_relay() {
    let door = Door::default();
    let (origin, entering) = holding(&door);
    let tunnel = tunnel(origin, &["--visitor-resets", "1"]);
    let mut flood = Frames::dial(tunnel.relay.port, 65_535);
    let block = frames::get(tunnel.agent.host(), "/held", &[("x-forwarded-for", GREEDY)]);
    let begun = Instant::now();
    let mut stream = 1;
    while get(&tunnel, GREEDY, "/").0 != 429 {
        flood.send(HEADERS, END_STREAM | END_HEADERS, stream, &block).expect("the relay reads");
        entering.recv_timeout(PATIENCE).expect("the service is asked");
        flood.send(RST_STREAM, 0, stream, &8_u32.to_be_bytes()).expect("the relay reads");
        stream += 2;
        assert!(begun.elapsed() < PATIENCE, "it may break off {} requests", stream / 2);
    }
    assert!(stream / 2 >= 10, "a page that is left breaks off as many at once, not {}", stream / 2);
    assert_eq!(get(&tunnel, OTHER, "/"), (200, "here".to_owned()));
    door.open();
    // Some seconds later it may ask again.
    until(&tunnel, GREEDY, 200);
}

#[test]
fn a_tunnel_that_is_silent_for_too_long_ends_and_one_that_pings_does_not() {
    let origin = Origin::start(|mut connection| {
        let head = connection.head()?;
        if head.field("upgrade").is_none() {
            return connection.send(ok(b"here"));
        }
        connection.send(SWITCH)?;
        loop {
            let byte = connection.take(1)?;
            connection.send(byte)?;
        }
    });
    let tunnel = tunnel(origin, &["--tunnel-timeout", "0.5"]);
    let open = || {
        let mut visitor = asked(&tunnel, OTHER, "/", &["Connection: Upgrade", "Upgrade: Example"]);
        assert_eq!(visitor.head().expect("an answer").status(), 101);
        visitor
    };
    let (silent, mut pinging) = (open(), open());
    let mut reader = Conversation::over(silent.writer());
    let ended = std::thread::spawn(move || reader.rest().unwrap_or_default());
    while !ended.is_finished() {
        pinging.send("p").expect("the relay reads");
        assert_eq!(pinging.take(1).expect("an echo"), b"p");
    }
    assert_eq!(ended.join().expect("it reads"), b"");
    pinging.send("p").expect("the relay reads");
    assert_eq!(pinging.take(1).expect("an echo"), b"p");
}

#[test]
fn a_tcp_connection_that_is_silent_for_too_long_ends() {
    let relay = Relay::start(&["--tcp-ports", PORTS, "--tunnel-timeout", "0.5"]);
    let agent = Agent::carrying(&relay, Origin::echo().port, &[]);
    let mut visitor = Conversation::dial(agent.port());
    visitor.send("p").expect("the relay reads");
    assert_eq!(visitor.take(1).expect("an echo"), b"p");
    assert_eq!(visitor.rest().unwrap_or_default(), b"", "it ends without a word");
}

#[test]
fn a_body_that_dribbles_ends_where_most_places_are_taken() {
    let door = Door::default();
    let (origin, entering) = holding(&door);
    let limits = ["--service-requests", "3", "--body-timeout", "0.5", "--min-rate", "1000000"];
    let tunnel = tunnel(origin, &[&limits[..], &["--visitor-requests", "3"]].concat());
    let _held = asked(&tunnel, OTHER, "/held", &[]);
    entering.recv_timeout(PATIENCE).expect("the service is asked");
    let block = frames::post(tunnel.agent.host(), "/", &[("x-forwarded-for", GREEDY)]);
    let mut shared = Frames::dial(tunnel.relay.port, 65_535);
    let mut own = asked(&tunnel, GREEDY, "/held", &["Content-Length: 1000000"]);
    shared.send(HEADERS, END_HEADERS, 1, &block).expect("the relay reads");
    let (mut to_own, mut to_shared) = (own.writer(), shared.writer());
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let begun = Instant::now();
            // Bytes keep coming, one for each answer that somebody else gets.
            while !ended.load(Ordering::Relaxed) && begun.elapsed() < PATIENCE {
                let _gone = to_own.write_all(b"x");
                let _gone = to_shared.write_all(&frames::frame(DATA, 0, 1, b"x"));
                get(&tunnel, OTHER, "/");
            }
        });
        let (status, page) = read(&mut own);
        assert_eq!(status, 408, "{page}");
        assert_eq!(shared.wait_for(HEADERS).expect("an answer").stream, 1);
        ended.store(true, Ordering::Relaxed);
    });
}
