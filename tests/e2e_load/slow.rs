//! Visitors who take their time, or too much of everything: what they may use has an end, and others do not notice.
#![cfg(target_os = "linux")]

use std::io::Write;
use std::net::{Ipv4Addr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use hvym_tunnel_tests::Door;
use hvym_tunnel_tests::frames::{self, DATA, END_HEADERS, END_STREAM, Frames, GOAWAY, HEADERS};
use hvym_tunnel_tests::http::{Conversation, Head, Origin, answer, ok};
use hvym_tunnel_tests::program::PATIENCE;
use hvym_tunnel_tests::tunnel::{Agent, Relay, Tunnel, request};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

const SLOW: usize = 1000;
/// What one visitor who has not said enough may cost the relay.
const MOST_EACH: u64 = 32 * 1024;
/// Noise of the allocator and of what is served meanwhile.
const MOST_BESIDE: u64 = 16 * 1024 * 1024;

/// Lets this process have this many files open.
fn allow_files(count: u64) {
    let old = getrlimit(Resource::Nofile);
    assert!(old.maximum.is_none_or(|most| most >= count), "the machine allows too few files");
    if old.current.is_some_and(|now| now < count) {
        setrlimit(Resource::Nofile, Rlimit { current: Some(count), maximum: old.maximum })
            .expect("below the maximum");
    }
}

/// What a page says to a program.
fn whole(visitor: &mut Conversation) -> (Head, String) {
    let head = visitor.head().expect("an answer");
    let body = visitor.body(&head).expect("a whole answer");
    (head, String::from_utf8(body).expect("text"))
}

#[test]
fn a_thousand_visitors_who_dribble_do_not_stop_one_who_does_not() {
    allow_files(2 * SLOW as u64 + 256);
    // Longer than a busy machine takes to write all those bytes one by one.
    let tunnel = Tunnel::with(Origin::saying(b"here").port, &["--head-timeout", "120"], &[]);
    tunnel.get("/").expect("an answer");
    let before = tunnel.relay.program.memory("VmRSS");
    let dial = |_| TcpStream::connect((Ipv4Addr::LOCALHOST, tunnel.relay.port)).expect("the relay listens");
    let mut slow: Vec<TcpStream> = (0..SLOW).map(dial).collect();
    let head = tunnel.request("GET", "/slow", &["X-Slow: very"]);
    for byte in &head.as_bytes()[..24] {
        for visitor in &mut slow {
            visitor.write_all(&[*byte]).expect("the relay reads");
        }
        assert_eq!(tunnel.get("/").expect("an answer").1, b"here");
    }
    let grown = tunnel.relay.program.memory("VmHWM").saturating_sub(before);
    let most = SLOW as u64 * MOST_EACH + MOST_BESIDE;
    println!("{SLOW} slow visitors cost {} KiB each", grown / 1024 / SLOW as u64);
    assert!(grown < most, "the relay grew by {grown} bytes");
    // They were only slow: each is served in the end.
    for visitor in slow {
        let mut visitor = Conversation::over(visitor);
        visitor.send(&head.as_bytes()[24..]).expect("the relay reads");
        let (head, body) = whole(&mut visitor);
        assert_eq!((head.status(), body.as_str()), (200, "here"));
    }
}

#[test]
fn a_head_that_does_not_end_in_time_is_a_408() {
    let tunnel = Tunnel::with(Origin::saying(b"here").port, &["--head-timeout", "0.3"], &[]);
    let mut visitor = tunnel.visit();
    visitor.send("GET / HTTP/1.1\r\nAccept: application/json\r\nX: ").expect("the relay reads");
    // Bytes that keep coming do not buy time: one for each answer that another visitor gets.
    let (mut writer, over) = (visitor.writer(), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            let begun = Instant::now();
            let goes_on = || !over.load(Ordering::Relaxed) && begun.elapsed() < PATIENCE;
            while goes_on() && writer.write_all(b"x").is_ok() {
                tunnel.get("/").expect("an answer");
            }
        });
        let head = visitor.head().expect("an answer");
        assert_eq!(head.status(), 408, "{head:?}");
        over.store(true, Ordering::Relaxed);
    });
    let mut silent = tunnel.visit();
    silent.send("GET / HTTP/1.1\r\nAccept: application/json\r\n").expect("the relay reads");
    let (head, body) = whole(&mut silent);
    assert_eq!((head.status(), head.field("connection")), (408, Some("close")));
    assert!(body.contains("\"hint\":\"Reload"), "{body}");
    assert_eq!(silent.rest().unwrap_or_default(), b"");
}

#[test]
fn a_connection_that_idles_is_closed() {
    let limits = ["--idle-timeout", "0.3", "--head-timeout", "0.3"];
    let tunnel = Tunnel::with(Origin::saying(b"here").port, &limits, &[]);
    let mut never = tunnel.visit();
    assert_eq!(never.rest().expect("an end"), b"");
    let mut once = tunnel.visit();
    once.send(tunnel.request("GET", "/", &[])).expect("the relay reads");
    assert_eq!(whole(&mut once).1, "here");
    assert_eq!(once.rest().expect("an end"), b"");
    let mut frames = Frames::dial(tunnel.relay.port, 65_535);
    frames.wait_for(GOAWAY).expect("the relay says that it ends");
}

#[test]
fn a_body_that_stops_coming_is_a_408() {
    let tunnel = Tunnel::with(Origin::answering(|_, body| ok(&body)).port, &["--body-timeout", "0.3"], &[]);
    let mut visitor = tunnel.visit();
    visitor.send(tunnel.request("POST", "/", &["Content-Length: 10"]) + "half").expect("the relay reads");
    let (head, body) = whole(&mut visitor);
    assert_eq!(head.status(), 408, "{body}");
    assert!(body.contains("Nothing more of its body came"), "{body}");
    let mut visitor = Frames::dial(tunnel.relay.port, 65_535);
    let block = frames::get(tunnel.agent.host(), "/", &[("content-length", "10")]);
    visitor.send(HEADERS, END_HEADERS, 1, &block).expect("the relay reads");
    let head = visitor.wait_for(HEADERS).expect("an answer");
    // A literal value behind the name :status (RFC 7541 section 6.2), in Huffman's code or not.
    assert_eq!(head.payload.first(), Some(&0x48), "{head:?}");
}

#[test]
fn a_body_over_http2_may_stand_still_while_its_response_flows() {
    let limit = Duration::from_secs(1);
    let (ask, asked) = channel();
    let asked = Mutex::new(asked);
    let service = Origin::start(move |mut relay| {
        relay.head()?;
        relay.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        // A piece for each request, until there are no more.
        while asked.lock().expect("nobody panics here").recv().is_ok() {
            relay.send("1\r\n.\r\n")?;
        }
        let (rest, _) = relay.chunks()?;
        relay.send(format!("{:x}\r\n", rest.len()))?;
        relay.send([&rest[..], b"\r\n0\r\n\r\n"].concat())
    });
    let tunnel = Tunnel::with(service.port, &["--body-timeout", &limit.as_secs().to_string()], &[]);
    let mut visitor = Frames::dial(tunnel.relay.port, 65_535);
    visitor
        .send(HEADERS, END_HEADERS, 1, &frames::post(tunnel.agent.host(), "/", &[]))
        .expect("the relay reads");
    let begun = Instant::now();
    while begun.elapsed() < limit * 3 {
        ask.send(()).expect("the service waits");
        assert_eq!(visitor.wait_for(DATA).expect("a piece").payload, b".");
    }
    drop(ask);
    visitor.send(DATA, END_STREAM, 1, b"the rest").expect("the relay reads");
    assert_eq!(visitor.wait_for(DATA).expect("the last piece").payload, b"the rest");
}

#[test]
fn one_visitor_has_only_so_many_connections() {
    // The agent is one of them.
    let relay = Relay::start(&["--visitor-connections", "3", "--visitor-rate", "1000000"]);
    let agent = Agent::start(&relay, Origin::saying(b"here").port, &[]);
    let get = request(agent.host(), "GET", "/", &[]);
    let mut inside: Vec<Conversation> = (0..2).map(|_| relay.visit()).collect();
    for visitor in &mut inside {
        visitor.send(&get).expect("the relay reads");
        assert_eq!(whole(visitor).1, "here");
    }
    let mut outside = relay.visit();
    let (head, body) = whole(&mut outside);
    assert_eq!((head.status(), head.field("retry-after")), (429, Some("5")));
    assert!(body.contains("--visitor-connections"), "{body}");
    // Those inside stay, and whose place is free may come.
    inside[0].send(&get).expect("the relay reads");
    assert_eq!(whole(&mut inside[0]).1, "here");
}

/// A service that says when it is asked, and answers when the door is open.
fn held() -> (Origin, Receiver<()>, Door) {
    let door = Door::default();
    let (entered, entering) = channel();
    let (held, entered) = (door.clone(), Mutex::new(entered));
    let origin = Origin::answering(move |_, _| {
        entered.lock().expect("nobody panics here").send(()).expect("the test waits");
        held.pass();
        // Its stream ends with it, and is not kept for another request.
        answer("200 OK", &[("Connection", "close")], b"here")
    });
    (origin, entering, door)
}

#[test]
fn a_full_link_lets_visitors_wait_for_a_stream_and_then_says_that_it_is_full() {
    let (origin, entering, door) = held();
    let tunnel = Tunnel::with(origin.port, &["--link-streams", "2"], &[]);
    let ask = || {
        let mut visitor = tunnel.visit();
        visitor.send(tunnel.request("GET", "/", &["Accept: text/html"])).expect("the relay reads");
        visitor
    };
    let mut inside = [ask(), ask()];
    for _ in &inside {
        entering.recv_timeout(PATIENCE).expect("the service is asked");
    }
    let (head, body) = whole(&mut ask());
    assert_eq!((head.status(), head.field("retry-after")), (503, Some("5")));
    assert!(body.contains("carries 2 connections to its services at once"), "{body}");
    assert!(entering.try_recv().is_err(), "a third stream was opened");
    // One that waits when a stream ends has it, and does not wait until it is told that there is none.
    let mut waiting = ask();
    let unknown = request(&format!("localhost:{}", tunnel.relay.port), "GET", "/", &[]);
    let mut other = tunnel.visit();
    other.send(unknown).expect("the relay reads");
    whole(&mut other);
    door.open();
    assert_eq!(whole(&mut waiting).0.status(), 200);
    for visitor in &mut inside {
        assert_eq!(whole(visitor).1, "here");
    }
}

#[test]
fn one_service_has_only_so_many_requests_at_once() {
    let (origin, entering, door) = held();
    let tunnel = Tunnel::with(origin.port, &["--service-requests", "2"], &[]);
    let mut under_way: Vec<Conversation> = (0..2).map(|_| tunnel.visit()).collect();
    for visitor in &mut under_way {
        visitor.send(tunnel.request("GET", "/", &[])).expect("the relay reads");
        entering.recv().expect("the service is asked");
    }
    let (head, body) = tunnel.get("/").expect("an answer");
    assert_eq!((head.status(), head.field("retry-after")), (503, Some("5")));
    assert!(String::from_utf8(body).expect("text").contains("Too much at once"));
    door.open();
    for visitor in &mut under_way {
        assert_eq!(whole(visitor).1, "here");
    }
    assert_eq!(tunnel.get("/").expect("an answer").0.status(), 200);
}

#[test]
fn a_visitor_who_never_reads_gives_its_place_back() {
    let large = vec![7; 64 * 1024 * 1024];
    let origin =
        Origin::answering(move |head, _| if head.target() == "/large" { ok(&large) } else { ok(b"small") });
    let tunnel = Tunnel::with(origin.port, &["--service-requests", "1", "--send-timeout", "0.3"], &[]);
    let is_full = || tunnel.get("/").expect("an answer").0.status() == 503;
    let mut slow = tunnel.visit();
    slow.send(tunnel.request("GET", "/large", &[])).expect("the relay reads");
    assert_eq!(slow.head().expect("an answer").status(), 200);
    let begun = Instant::now();
    while is_full() {
        assert!(begun.elapsed() < PATIENCE, "it keeps its place");
    }
    assert!(slow.rest().map_or(true, |rest| rest.len() < 64 * 1024 * 1024), "the whole answer came");
    let mut slow = Frames::dial(tunnel.relay.port, 0);
    let block = frames::get(tunnel.agent.host(), "/large", &[]);
    slow.send(HEADERS, END_STREAM | END_HEADERS, 1, &block).expect("the relay reads");
    slow.wait_for(HEADERS).expect("the head of an answer");
    let begun = Instant::now();
    while is_full() {
        assert!(begun.elapsed() < PATIENCE, "it keeps its place");
    }
}

#[test]
fn a_trusted_proxy_says_who_the_visitor_is() {
    let (said, heard) = channel();
    let said = Mutex::new(said);
    let origin = Origin::answering(move |head, _| {
        said.lock().expect("nobody panics here").send(head.clone()).expect("the test waits");
        ok(b"here")
    });
    let trust = ["--trusted-proxy", "127.0.0.0/8", "--visitor-connections", "1"];
    let tunnel = Tunnel::with(origin.port, &trust, &[]);
    let fields = [
        "X-Forwarded-For: 6.6.6.6, 203.0.113.9",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Host: evil.example",
    ];
    let mut visitor = tunnel.visit();
    visitor.send(tunnel.request("GET", "/", &fields)).expect("the relay reads");
    assert_eq!(whole(&mut visitor).1, "here");
    let head = heard.recv().expect("the service was asked");
    let host = tunnel.agent.host();
    assert_eq!(head.field("x-forwarded-for"), Some("203.0.113.9, 127.0.0.1"));
    assert_eq!(head.field("x-forwarded-proto"), Some("https"));
    assert_eq!(head.field("x-forwarded-host"), Some(host));
    // A host with a port would need quotes, which some services cannot read.
    assert_eq!(head.field("forwarded"), Some("for=203.0.113.9;proto=https, for=127.0.0.1"));
}

#[test]
fn a_visitor_who_asks_first_sends_only_what_the_service_wants() {
    let allowed = Arc::new(AtomicBool::new(false));
    let allows = Arc::clone(&allowed);
    let origin = Origin::start(move |mut connection| {
        loop {
            let head = connection.head()?;
            assert_eq!(head.field("expect"), Some("100-continue"));
            if head.target() == "/never" {
                connection
                    .send("HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")?;
                return Ok(());
            }
            if head.target() == "/asked" {
                allows.store(true, Ordering::SeqCst);
                connection.send("HTTP/1.1 100 Continue\r\n\r\n")?;
            }
            let body = connection.body(&head)?;
            connection.send(ok(&body))?;
        }
    });
    let tunnel = Tunnel::to(origin.port);
    let ask = |target: &str| {
        let mut visitor = tunnel.visit();
        let fields = ["Content-Length: 8", "Expect: 100-continue"];
        visitor.send(tunnel.request("POST", target, &fields)).expect("the relay reads");
        let head = visitor.head().expect("an answer");
        (visitor, head)
    };
    let (_, head) = ask("/never");
    assert_eq!(head.status(), 413, "the visitor was asked for what nobody wants");
    let (mut visitor, head) = ask("/asked");
    assert!(head.status() == 100 && allowed.load(Ordering::SeqCst), "{head:?} came too early");
    visitor.send("question").expect("the relay reads");
    assert_eq!(whole(&mut visitor).1, "question");
    // A service that knows nothing of it is not waited for for ever.
    let (mut visitor, head) = ask("/silent");
    assert_eq!(head.status(), 100);
    visitor.send("question").expect("the relay reads");
    assert_eq!(whole(&mut visitor).1, "question");
}
