//! Visitors share connections to a service, one after the other, and never what passes over them.
#![cfg(unix)]

use std::collections::BTreeSet;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;
use std::time::Instant;

use hvym_tunnel_tests::http::{Conversation, Head, Origin, answer, ok};
use hvym_tunnel_tests::program::{Home, PATIENCE};
use hvym_tunnel_tests::tunnel::{Agent, Relay, Tunnel};
use hvym_tunnel_tests::{Door, Key};

/// Counts connections that are asked something: the agent also tries once whether the service is there.
#[derive(Clone, Default)]
struct Count(Arc<AtomicUsize>);

impl Count {
    /// Counts one more, and says which it is: the first is 1.
    fn next(&self) -> usize {
        self.0.fetch_add(1, Ordering::SeqCst) + 1
    }

    fn now(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

/// A service that counts its connections, and answers each request with what `say` makes of it.
fn counting(say: impl Fn(&Head, Vec<u8>) -> Vec<u8> + Send + Sync + 'static) -> (Origin, Count) {
    let count = Count::default();
    let counted = count.clone();
    let origin = Origin::start(move |mut connection| {
        let mut head = connection.head()?;
        counted.next();
        loop {
            let body = connection.body(&head)?;
            connection.send(say(&head, body))?;
            head = connection.head()?;
        }
    });
    (origin, count)
}

fn text(answer: io::Result<(Head, Vec<u8>)>) -> (u16, String) {
    let (head, body) = answer.expect("an answer");
    (head.status(), String::from_utf8(body).expect("text"))
}

#[test]
fn visitors_share_a_connection_that_was_quiet_for_a_moment_until_one_of_them_sends() {
    let count = Count::default();
    let counted = count.clone();
    let origin = Origin::start(move |mut connection| {
        let mut head = connection.head()?;
        let number = counted.next().to_string();
        loop {
            connection.body(&head)?;
            connection.send(ok(number.as_bytes()))?;
            head = connection.head()?;
        }
    });
    let tunnel = Tunnel::to(origin.port);
    let begun = Instant::now();
    let mut seen = BTreeSet::new();
    while seen.insert(text(tunnel.get("/")).1) {
        assert!(begun.elapsed() < PATIENCE, "no connection is used again");
    }
    let mut visitor = tunnel.visit();
    let own: BTreeSet<String> = (0..5)
        .map(|_| {
            let head = tunnel.request("POST", "/", &["Content-Length: 1"]);
            visitor.send(head + "!").expect("the relay reads");
            let head = visitor.head().expect("an answer");
            let posted = visitor.body(&head).expect("a whole answer");
            assert_eq!(posted, ask(&tunnel, &mut visitor, "/").as_bytes());
            String::from_utf8(posted).expect("text")
        })
        .collect();
    assert_eq!(own.len(), 1, "a visitor who sends has one for itself");
    drop(visitor);
    for _ in 0..10 {
        assert!(!own.contains(&text(tunnel.get("/")).1), "and nobody else gets it");
    }
}

#[test]
fn each_of_two_services_has_connections_of_its_own() {
    let (one, ones) = counting(|_, _| ok(b"one"));
    let (two, twos) = counting(|_, _| ok(b"two"));
    let tunnel = Tunnel::with(one.port, &[], &["--bind", &format!("two=localhost:{}", two.port)]);
    let two = format!("two--{}", tunnel.agent.host());
    let mut visitor = tunnel.visit();
    for _ in 0..3 {
        for (host, says) in [(tunnel.agent.host(), b"one"), (two.as_str(), b"two")] {
            visitor.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")).expect("the relay reads");
            let head = visitor.head().expect("an answer");
            assert_eq!(visitor.body(&head).expect("a whole answer"), says);
        }
    }
    assert_eq!((ones.now(), twos.now()), (1, 1));
}

#[test]
fn a_service_that_closes_after_each_answer_is_asked_again_all_the_same() {
    let count = Count::default();
    let counted = count.clone();
    let origin = Origin::start(move |mut connection| {
        let head = connection.head()?;
        counted.next();
        let body = connection.body(&head)?;
        connection.send(answer("200 OK", &[("Connection", "close")], &body))
    });
    let tunnel = Tunnel::to(origin.port);
    for number in 0..5 {
        let body = number.to_string();
        assert_eq!(text(tunnel.post("/", body.as_bytes())), (200, body));
        assert_eq!(text(tunnel.get("/")), (200, String::new()));
    }
    assert_eq!(count.now(), 10);
}

/// A service whose first connection answers one request and ends, unanswered, with the next one.
fn forgetful(seen: impl Fn(&Head) + Send + Sync + 'static) -> (Origin, Count) {
    let count = Count::default();
    let counted = count.clone();
    let origin = Origin::start(move |mut connection| {
        let mut head = connection.head()?;
        let is_first = counted.next() == 1;
        for number in 0.. {
            seen(&head);
            connection.body(&head)?;
            if is_first && number == 1 {
                break;
            }
            connection.send(ok(head.target().as_bytes()))?;
            head = connection.head()?;
        }
        Ok(())
    });
    (origin, count)
}

#[test]
fn a_request_that_a_closing_service_lost_is_repeated_where_that_changes_nothing() {
    let (origin, count) = forgetful(|_| ());
    let tunnel = Tunnel::to(origin.port);
    let mut visitor = tunnel.visit();
    assert_eq!(ask(&tunnel, &mut visitor, "/a"), "/a");
    assert_eq!(ask(&tunnel, &mut visitor, "/b"), "/b");
    assert_eq!(count.now(), 2);
}

#[test]
fn a_request_that_may_have_had_effects_is_never_repeated() {
    let posts = Count::default();
    let counted = posts.clone();
    let (origin, _) = forgetful(move |head| {
        if head.method() == "POST" {
            counted.next();
        }
    });
    let tunnel = Tunnel::to(origin.port);
    let mut visitor = tunnel.visit();
    assert_eq!(ask(&tunnel, &mut visitor, "/a"), "/a");
    let head = tunnel.request("POST", "/b", &["Content-Length: 4"]);
    visitor.send(head + "once").expect("the relay reads");
    assert_eq!(visitor.head().expect("an answer").status(), 502);
    assert_eq!(posts.now(), 1);
    assert_eq!(text(tunnel.post("/c", b"again")), (200, "/c".to_owned()));
}

#[test]
fn a_connection_that_its_service_closed_while_it_waited_serves_nobody() {
    let door = Door::default();
    let count = Count::default();
    let (held, counted) = (door.clone(), count.clone());
    let origin = Origin::start(move |mut connection| {
        let mut head = connection.head()?;
        let is_first = counted.next() == 1;
        loop {
            connection.body(&head)?;
            connection.send(ok(head.target().as_bytes()))?;
            if is_first {
                held.pass();
                return Ok(());
            }
            head = connection.head()?;
        }
    });
    let mut tunnel = Tunnel::with(origin.port, &["-vv"], &[]);
    assert_eq!(text(tunnel.get("/a")), (200, "/a".to_owned()));
    door.open();
    tunnel.relay.program.says("a waiting connection was closed by its service");
    assert_eq!(text(tunnel.post("/b", b"body")), (200, "/b".to_owned()));
    assert_eq!(count.now(), 2);
}

#[test]
fn what_a_visitor_left_behind_reaches_nobody_else() {
    let (broken, breaking) = channel();
    let broken = Mutex::new(broken);
    let origin = Origin::start(move |mut connection| {
        let head = connection.head()?;
        if head.target() != "/endless" {
            return connection.send(ok(head.target().as_bytes()));
        }
        connection.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n")?;
        let end = loop {
            if let Err(error) = connection.send([b'x'; 4096]) {
                break error;
            }
        };
        broken.lock().expect("nobody panics here").send(()).expect("the test waits");
        Err(end)
    });
    let tunnel = Tunnel::to(origin.port);
    let mut leaver = tunnel.visit();
    leaver.send(tunnel.request("GET", "/endless", &[])).expect("the relay reads");
    leaver.head().expect("an answer");
    leaver.take(100_000).expect("some of it");
    // While it is there, and after it left, others get what they asked for.
    assert_eq!(text(tunnel.get("/during")), (200, "/during".to_owned()));
    drop(leaver);
    breaking.recv_timeout(PATIENCE).expect("the service sees that nobody listens");
    assert_eq!(text(tunnel.get("/after")), (200, "/after".to_owned()));
}

/// A service whose first connection answers after the head of its request, and then tells what came as body.
fn hasty() -> (Origin, Count, Receiver<Vec<u8>>) {
    let count = Count::default();
    let counted = count.clone();
    let (told, telling) = channel();
    let told = Mutex::new(told);
    let origin = Origin::start(move |mut connection| {
        let mut head = connection.head()?;
        counted.next();
        loop {
            connection.send(ok(head.target().as_bytes()))?;
            let body = connection.body(&head)?;
            if !body.is_empty() {
                told.lock().expect("nobody panics here").send(body).expect("the test waits");
            }
            head = connection.head()?;
        }
    });
    (origin, count, telling)
}

#[test]
fn a_request_that_goes_on_after_its_answer_keeps_its_connection_to_itself() {
    let (origin, count, telling) = hasty();
    let tunnel = Tunnel::to(origin.port);
    let mut slow = tunnel.visit();
    slow.send(tunnel.request("POST", "/slow", &["Content-Length: 10"]) + "first").expect("the relay reads");
    let head = slow.head().expect("an answer");
    assert_eq!(slow.body(&head).expect("a whole answer"), b"/slow");
    let mut other = tunnel.visit();
    for number in 0..3 {
        let target = format!("/{number}");
        assert_eq!(ask(&tunnel, &mut other, &target), target);
    }
    assert_eq!(count.now(), 2);
    slow.send("after").expect("the relay reads");
    assert_eq!(telling.recv_timeout(PATIENCE).expect("the service gets it whole"), b"firstafter");
    // The same visitor goes on where it was.
    slow.send(tunnel.request("GET", "/next", &[])).expect("the relay reads");
    let head = slow.head().expect("an answer");
    assert_eq!(slow.body(&head).expect("a whole answer"), b"/next");
}

#[test]
fn answers_without_a_body_leave_nothing_for_the_next_visitor() {
    let (origin, _) = counting(|head, _| match (head.method(), head.target()) {
        ("HEAD", _) => b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n".to_vec(),
        (_, "/204") => b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(),
        (_, "/304") => b"HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n".to_vec(),
        (_, target) => ok(target.as_bytes()),
    });
    let tunnel = Tunnel::to(origin.port);
    for (method, target, status) in [("HEAD", "/", 200), ("GET", "/204", 204), ("GET", "/304", 304)] {
        let mut visitor = tunnel.visit();
        visitor.send(tunnel.request(method, target, &[])).expect("the relay reads");
        assert_eq!(visitor.head().expect("an answer").status(), status);
        assert_eq!(text(tunnel.get("/next")), (200, "/next".to_owned()));
        assert_eq!(ask(&tunnel, &mut visitor, "/same"), "/same");
    }
}

#[test]
fn fifty_visitors_at_once_need_at_most_fifty_connections_and_get_their_own_answers() {
    const VISITORS: usize = 50;
    const REQUESTS: usize = 20;
    let (origin, count) = counting(|head, body| ok(&[head.target().as_bytes(), &body].concat()));
    let tunnel = Arc::new(Tunnel::to(origin.port));
    let start = Arc::new(Barrier::new(VISITORS));
    let visitors: Vec<_> = (0..VISITORS)
        .map(|visitor| {
            let (tunnel, start) = (Arc::clone(&tunnel), Arc::clone(&start));
            thread::spawn(move || {
                let mut connection = tunnel.visit();
                start.wait();
                for number in 0..REQUESTS {
                    let target = format!("/{visitor}/{number}");
                    assert_eq!(ask(&tunnel, &mut connection, &target), target);
                }
            })
        })
        .collect();
    visitors.into_iter().for_each(|visitor| visitor.join().expect("its own answers, in order"));
    assert!(count.now() <= VISITORS, "{} connections", count.now());
}

fn ask(tunnel: &Tunnel, connection: &mut Conversation, target: &str) -> String {
    connection.send(tunnel.request("GET", target, &[])).expect("the relay reads");
    let head = connection.head().expect("an answer");
    String::from_utf8(connection.body(&head).expect("a whole answer")).expect("text")
}

#[test]
fn a_request_under_way_moves_to_the_agent_that_takes_over() {
    let key = Key::from_seed([31; 32]);
    let door = Door::default();
    let (asked, asking) = channel();
    let (held, asked) = (door.clone(), Mutex::new(asked));
    let older = Origin::answering(move |head, _| {
        asked.lock().expect("nobody panics here").send(head.method().to_owned()).expect("the test waits");
        held.pass();
        ok(b"older")
    });
    let newer = Origin::saying(b"newer");
    let relay = Relay::start(&["-vv"]);
    let mut old = Agent::start_in(Home::of(&key), &relay, older.port, &[]);
    let visit = |method: &str, line: &str| {
        let mut visitor = relay.visit();
        let head = format!("{method} / HTTP/1.1\r\nHost: {}\r\n{line}\r\n", old.host());
        visitor.send(head).expect("the relay reads");
        visitor
    };
    let mut repeatable = visit("GET", "");
    let mut other = visit("POST", "Content-Length: 0\r\n");
    let methods = [(); 2].map(|()| asking.recv_timeout(PATIENCE).expect("the service is asked"));
    assert_eq!(BTreeSet::from(methods).len(), 2);
    let _new = Agent::start_in(Home::of(&key), &relay, newer.port, &[]);
    let head = repeatable.head().expect("an answer");
    assert_eq!((head.status(), repeatable.body(&head).expect("a whole answer")), (200, b"newer".to_vec()));
    assert_eq!(other.head().expect("an answer").status(), 503, "{relay:?}");
    assert_eq!(old.program.code(), 5);
    door.open();
}
