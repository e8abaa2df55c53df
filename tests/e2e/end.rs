//! Ends, wanted and unwanted: what visitors see of them, and what the program's exit code says.
#![cfg(unix)]

use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use hvym_tunnel_tests::http::{Conversation, Origin, nobody, ok};
use hvym_tunnel_tests::program::{Home, PATIENCE};
use hvym_tunnel_tests::tunnel::{Agent, Relay, Tunnel, request};
use hvym_tunnel_tests::{Door, Key};
use rustix::process::Signal;

/// Less than a keepalive takes to notice anything: what is seen so soon was told, not guessed.
const AT_ONCE: Duration = Duration::from_secs(8);

/// A service that answers `first half, second half`, and the second half only after `door` has opened.
fn halves(door: &Door) -> Origin {
    let door = door.clone();
    Origin::start(move |mut connection| {
        let head = connection.head()?;
        match head.target() {
            "/quick" => return connection.send(ok(b"quick")),
            "/chunked" => {
                connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")?
            }
            _ => connection.send("HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nfirst")?,
        }
        door.pass();
        match head.target() {
            "/chunked" => connection.send("7\r\n second\r\n0\r\n\r\n"),
            _ => connection.send(" second"),
        }
    })
}

/// A visitor who has received the first half.
fn in_the_middle(tunnel: &Tunnel, target: &str) -> Conversation {
    let mut visitor = tunnel.visit();
    visitor.send(tunnel.request("GET", target, &[])).expect("the relay reads");
    let head = visitor.head().expect("an answer");
    let first = if head.field("transfer-encoding").is_some() { visitor.chunk() } else { visitor.take(5) };
    assert_eq!(first.expect("the first half"), b"first");
    visitor
}

fn status(tunnel: &Tunnel) -> u16 {
    tunnel.get("/quick").expect("an answer").0.status()
}

#[test]
fn visitors_of_an_agent_that_was_killed_see_an_error_and_not_an_end() {
    let door = Door::default();
    let mut tunnel = Tunnel::to(halves(&door).port);
    let mut sized: Vec<_> = (0..4).map(|_| in_the_middle(&tunnel, "/")).collect();
    let mut chunked: Vec<_> = (0..4).map(|_| in_the_middle(&tunnel, "/chunked")).collect();
    tunnel.agent.program.kill();
    let killed = Instant::now();
    for visitor in &mut sized {
        let rest = visitor.take(7);
        assert!(rest.is_err(), "{rest:?}");
    }
    for visitor in &mut chunked {
        let rest = visitor.chunks();
        assert!(rest.is_err(), "a clean end of half an answer: {rest:?}");
    }
    let (head, _) = tunnel.get("/").expect("an answer");
    assert_eq!((head.status(), head.field("retry-after").is_some()), (503, true));
    assert!(killed.elapsed() < AT_ONCE, "{:?}", killed.elapsed());
    door.open();
}

#[test]
fn a_service_that_breaks_off_is_seen_to_break_off() {
    let origin = Origin::start(|mut connection| {
        let head = connection.head()?;
        match head.target() {
            "/chunked" => {
                connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
            }
            _ => connection.send("HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nfirst"),
        }
    });
    let tunnel = Tunnel::to(origin.port);
    assert!(in_the_middle(&tunnel, "/").take(7).is_err());
    assert!(in_the_middle(&tunnel, "/chunked").chunks().is_err());
}

#[test]
fn a_visitor_who_breaks_off_is_seen_to_break_off() {
    let (heard, hearing) = channel();
    let heard = Mutex::new(heard);
    let origin = Origin::start(move |mut connection| {
        let head = connection.head()?;
        let first = if head.field("transfer-encoding").is_some() {
            connection.chunk()?
        } else {
            connection.take(5)?
        };
        let heard = heard.lock().expect("nobody panics here");
        heard.send(Ok(first)).expect("the test waits");
        let rest = connection.body(&head).map_err(|error| error.kind());
        heard.send(rest).expect("the test waits");
        Ok(())
    });
    let tunnel = Tunnel::to(origin.port);
    for (framing, first) in
        [("Content-Length: 12", "first"), ("Transfer-Encoding: chunked", "5\r\nfirst\r\n")]
    {
        let mut visitor = tunnel.visit();
        visitor.send(tunnel.request("POST", "/", &[framing]) + first).expect("the relay reads");
        assert_eq!(hearing.recv_timeout(PATIENCE).expect("the service is asked"), Ok(b"first".to_vec()));
        drop(visitor);
        let rest = hearing.recv_timeout(PATIENCE).expect("the service notices");
        let kind = rest.expect_err("half a body looked whole");
        assert!(matches!(kind, io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset), "{kind}");
    }
}

#[test]
fn one_interrupt_lets_a_download_finish() {
    let door = Door::default();
    let mut tunnel = Tunnel::to(halves(&door).port);
    let mut visitor = in_the_middle(&tunnel, "/");
    tunnel.agent.program.signal(Signal::INT);
    assert_eq!(tunnel.agent.program.event("draining")["deadline_ms"], 10_000);
    // The relay hears of it a moment later; from then on new visitors wait for another agent, and none comes.
    while status(&tunnel) == 200 {}
    door.open();
    assert_eq!(visitor.take(7).expect("the second half"), b" second");
    tunnel.agent.program.event("stopped");
    assert_eq!(tunnel.agent.program.code(), 0);
    assert_eq!(status(&tunnel), 503);
}

#[test]
fn a_second_interrupt_does_not() {
    let door = Door::default();
    let mut tunnel = Tunnel::to(halves(&door).port);
    let mut visitor = in_the_middle(&tunnel, "/");
    tunnel.agent.program.signal(Signal::INT);
    tunnel.agent.program.event("draining");
    tunnel.agent.program.signal(Signal::INT);
    let asked = Instant::now();
    assert_eq!(tunnel.agent.program.code(), 0);
    assert!(asked.elapsed() < AT_ONCE, "{:?}", asked.elapsed());
    assert!(visitor.take(7).is_err());
    assert_eq!(status(&tunnel), 503);
    door.open();
}

#[test]
fn a_relay_that_is_asked_to_stop_lets_a_download_finish() {
    let door = Door::default();
    let mut tunnel = Tunnel::to(halves(&door).port);
    let mut visitor = in_the_middle(&tunnel, "/chunked");
    tunnel.relay.program.signal(Signal::TERM);
    tunnel.relay.program.event("draining");
    assert_eq!(tunnel.agent.program.event("told")["code"], "drain");
    door.open();
    let (rest, _) = visitor.chunks().expect("the second half");
    assert_eq!(rest, b" second");
    tunnel.relay.program.event("stopped");
    assert_eq!(tunnel.relay.program.code(), 0);
    let lost = tunnel.agent.program.event("disconnected");
    assert!(lost["retry_in_ms"].is_u64(), "{lost}");
}

#[test]
fn an_agent_with_nothing_under_way_stops_at_once() {
    let mut tunnel = Tunnel::to(Origin::saying(b"ok").port);
    let asked = Instant::now();
    tunnel.agent.program.signal(Signal::INT);
    assert_eq!(tunnel.agent.program.code(), 0);
    assert!(asked.elapsed() < AT_ONCE, "{:?}", asked.elapsed());
    tunnel.relay.program.event("agent_left");
}

#[test]
fn an_agent_that_is_restarted_under_load_loses_no_get_and_no_post() {
    let origin = Origin::start(|mut connection| {
        while let Ok(head) = connection.head() {
            connection.body(&head)?;
            connection.send(ok(b"all of it"))?;
        }
        Ok(())
    });
    let Tunnel { relay, mut agent } = Tunnel::to(origin.port);
    let (host, port) = (agent.host().to_owned(), relay.port);
    let (is_over, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
    let ask = |method: &str, visitor: &mut Conversation| {
        let request = request(&host, method, "/", &["Content-Length: 4"]) + "data";
        visitor.send(request).expect("the relay reads");
        let head = visitor.head().unwrap_or_else(|error| panic!("{method}: {error}"));
        let body = visitor.body(&head).unwrap_or_else(|error| panic!("{method}: {error}"));
        let body = String::from_utf8_lossy(&body);
        assert_eq!((head.status(), &*body), (200, "all of it"), "{method}");
        asked.fetch_add(1, Ordering::Relaxed);
    };
    let _agent = std::thread::scope(|scope| {
        for method in ["GET", "POST", "GET", "POST"] {
            scope.spawn(|| {
                let mut visitor = Conversation::dial(port);
                while !is_over.load(Ordering::Relaxed) {
                    ask(method, &mut visitor);
                    // A visitor who comes for the first time.
                    ask(method, &mut Conversation::dial(port));
                }
            });
        }
        for _ in 0..3 {
            let before = asked.load(Ordering::Relaxed);
            while asked.load(Ordering::Relaxed) < before + 50 {
                std::thread::yield_now();
            }
            agent.program.signal(Signal::TERM);
            assert_eq!(agent.program.code(), 0);
            agent = Agent::start_in(agent.home, &relay, origin.port, &[]);
        }
        is_over.store(true, Ordering::Relaxed);
        // It serves the last requests.
        agent
    });
    assert!(asked.load(Ordering::Relaxed) > 150);
}

/// How `expose` with these arguments ends by itself: its exit code, and its error.
fn end(home: &Home, arguments: &[&str]) -> (i32, String) {
    let mut program = home.start(&[&["expose"], arguments].concat());
    (program.code(), program.transcript())
}

#[test]
fn each_way_to_fail_has_its_exit_code_and_its_words() {
    let home = Home::new();
    let service = Origin::saying(b"ok").port.to_string();
    let away = format!("ws://127.0.0.1:{}", nobody());
    let relay = Relay::start(&["--service-allow", "pintheon"]);
    let there = relay.url();
    let other = Key::from_seed([61; 32]).address().to_string();
    let nothing = nobody().to_string();
    let cases: [(&[&str], i32, &str); 7] = [
        (&["ftp://host"], 2, "cannot forward to ftp://"),
        (&[&service, "--auth", "bearer", "--relay", &there], 3, "--relay-address"),
        (&[&service, "--relay", &there, "--relay-address", &other], 4, "is expected"),
        (&[&service, "--service", "web", "--relay", &there], 4, "not allowed: web"),
        (&[&service, "--relay", &away, "--no-retry"], 6, "cannot be reached"),
        (&[&service, "--relay", &away, "--timeout", "0.3"], 6, "not connected within 0.3 s"),
        (&[&nothing, "--require-upstream"], 7, "nothing is listening on"),
    ];
    for (arguments, code, words) in cases {
        let (found, said) = end(&home, arguments);
        assert_eq!(found, code, "{arguments:?}: {said}");
        assert!(said.contains(words), "{arguments:?}: {said}");
    }
}

#[test]
fn an_interrupt_before_anything_was_ready_is_an_interrupt() {
    let (door, knocked) = (Door::default(), Door::default());
    let (held, heard) = (door.clone(), knocked.clone());
    // It takes the connection of the agent, and never answers.
    let silent = Origin::start(move |mut connection| {
        connection.head()?;
        heard.open();
        held.pass();
        Ok(())
    });
    let home = Home::new();
    let mut agent = home.start(&["expose", "3000", "--relay", &format!("ws://127.0.0.1:{}", silent.port)]);
    knocked.pass();
    agent.signal(Signal::INT);
    assert_eq!(agent.code(), 130, "{agent:?}");
    door.open();
}

#[test]
fn a_relay_whose_port_is_taken_says_so() {
    let relay = Relay::start(&[]);
    let home = Home::new();
    let mut second = home.start(&["relay", "--listen", &relay.port.to_string()]);
    assert_eq!(second.code(), 3);
    assert!(second.transcript().contains("something listens there already"), "{second:?}");
}
