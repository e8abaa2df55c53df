//! What is left on a connection to a service reaches nobody but the visitor who left it there.
#![cfg(unix)]

use std::io;
use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use hvym_tunnel_tests::Door;
use hvym_tunnel_tests::http::{Conversation, Origin, answer, ok};
use hvym_tunnel_tests::program::PATIENCE;
use hvym_tunnel_tests::tunnel::Tunnel;

/// A whole answer in what should be no answer.
const STOLEN: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nstolen";

/// A service that logs in connections, as those do that speak NTLM.
fn logging_in() -> Origin {
    Origin::start(|mut connection| {
        let mut who = "nobody";
        loop {
            let head = connection.head()?;
            if head.field("authorization").is_some_and(|value| value.starts_with("Negotiate ")) {
                who = "alice";
            }
            let body = format!("you are {who}");
            connection.send(match who {
                "nobody" => answer("401 Unauthorized", &[("WWW-Authenticate", "Negotiate")], body.as_bytes()),
                _ => ok(body.as_bytes()),
            })?;
        }
    })
}

fn ask(tunnel: &Tunnel, visitor: &mut Conversation, target: &str, fields: &[&str]) -> (u16, String) {
    visitor.send(tunnel.request("GET", target, fields)).expect("the relay reads");
    read(visitor)
}

fn read(visitor: &mut Conversation) -> (u16, String) {
    let head = visitor.head().expect("an answer");
    let body = visitor.body(&head).expect("a whole answer");
    (head.status(), String::from_utf8(body).expect("text"))
}

fn get(tunnel: &Tunnel, target: &str) -> (u16, String) {
    ask(tunnel, &mut tunnel.visit(), target, &[])
}

#[test]
fn a_login_of_a_connection_serves_its_visitor_and_nobody_else() {
    let tunnel = Tunnel::to(logging_in().port);
    let mut alice = tunnel.visit();
    assert_eq!(ask(&tunnel, &mut alice, "/", &[]).0, 401);
    let login = ["Authorization: Negotiate YIIalice"];
    assert_eq!(ask(&tunnel, &mut alice, "/", &login), (200, "you are alice".to_owned()));
    for _ in 0..20 {
        assert_eq!(get(&tunnel, "/"), (401, "you are nobody".to_owned()));
        assert_eq!(
            ask(&tunnel, &mut alice, "/", &[]),
            (200, "you are alice".to_owned()),
            "she stays logged in"
        );
    }
    drop(alice);
    for _ in 0..20 {
        assert_eq!(get(&tunnel, "/"), (401, "you are nobody".to_owned()));
    }
}

#[test]
fn a_login_serves_everybody_if_the_operator_shares_all_connections_and_few_if_none() {
    let tunnel = Tunnel::with(logging_in().port, &["--reuse", "always"], &[]);
    let login = ["Authorization: Negotiate YIIalice"];
    assert_eq!(ask(&tunnel, &mut tunnel.visit(), "/", &login).0, 200);
    assert_eq!(get(&tunnel, "/"), (200, "you are alice".to_owned()));

    let (counted, counting) = channel();
    let counted = Mutex::new(counted);
    let origin = Origin::start(move |mut connection| {
        let mut head = connection.head()?;
        counted.lock().expect("nobody panics here").send(()).expect("the test waits");
        loop {
            connection.send(ok(head.target().as_bytes()))?;
            head = connection.head()?;
        }
    });
    let tunnel = Tunnel::with(origin.port, &["--reuse", "never"], &[]);
    for _ in 0..5 {
        let mut visitor = tunnel.visit();
        for _ in 0..5 {
            assert_eq!(ask(&tunnel, &mut visitor, "/own", &[]), (200, "/own".to_owned()));
        }
    }
    assert_eq!(counting.try_iter().count(), 5, "one connection for each visitor");
}

#[test]
fn a_body_that_its_service_ignored_is_nobody_elses_request() {
    // As simple handlers do: the head is a request, and what follows it is the next one.
    let origin = Origin::start(|mut connection| {
        loop {
            let head = connection.head()?;
            connection.send(ok(head.target().as_bytes()))?;
        }
    });
    let tunnel = Tunnel::to(origin.port);
    // The head of a request that lacks its end: the next request over this connection would be a field of it.
    let smuggled = "GET /smuggled HTTP/1.1\r\nX: ";
    for method in ["POST", "PUT", "GET"] {
        let mut bad = tunnel.visit();
        let length = format!("Content-Length: {}", smuggled.len());
        bad.send(tunnel.request(method, "/bad", &[&length]) + smuggled).expect("the relay reads");
        let first = read(&mut bad);
        assert_eq!(first, (200, "/bad".to_owned()));
        for number in 0..10 {
            let target = format!("/{number}");
            assert_eq!(get(&tunnel, &target), (200, target));
        }
        drop(bad);
        // So many at once, and for so long, that whatever is free is used by somebody.
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(500) {
            let mut visitors: Vec<Conversation> = (0..20).map(|_| tunnel.visit()).collect();
            for (number, visitor) in visitors.iter_mut().enumerate() {
                let target = format!("/{number}");
                visitor.send(tunnel.request("GET", &target, &[])).expect("the relay reads");
            }
            for (number, visitor) in visitors.iter_mut().enumerate() {
                assert_eq!(read(visitor), (200, format!("/{number}")));
            }
        }
    }
}

#[test]
fn a_body_after_the_head_of_a_head_is_nobodys_answer() {
    for is_late in [false, true] {
        // Answers HEAD with a body, at once or in a packet of its own.
        let (late, lately) = channel::<Conversation>();
        let late = Mutex::new(late);
        let origin = Origin::start(move |mut connection| {
            loop {
                let head = connection.head()?;
                if head.method() != "HEAD" {
                    connection.send(ok(head.target().as_bytes()))?;
                    continue;
                }
                let announced = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", STOLEN.len());
                if is_late {
                    connection.send(announced)?;
                    let late = late.lock().expect("nobody panics here");
                    return late.send(connection).map_err(io::Error::other);
                }
                connection.send([announced.as_bytes(), STOLEN].concat())?;
            }
        });
        let tunnel = Tunnel::with(origin.port, &["-vv"], &[]);
        for number in 0..10 {
            let mut visitor = tunnel.visit();
            visitor.send(tunnel.request("HEAD", "/", &[])).expect("the relay reads");
            assert_eq!(visitor.head().expect("an answer").status(), 200);
            let target = format!("/{number}");
            assert_eq!(get(&tunnel, &target), (200, target.clone()));
            if is_late {
                let mut connection = lately.recv_timeout(PATIENCE).expect("the service got a HEAD");
                connection.send(STOLEN).expect("it is open");
            }
            assert_eq!(get(&tunnel, &target), (200, target));
        }
    }
}

#[test]
fn an_answer_that_nobody_asked_for_reaches_nobody() {
    let door = Door::default();
    let held = door.clone();
    let (closed, closing) = std::sync::mpsc::channel();
    let origin = Origin::start(move |mut connection| {
        loop {
            let head = connection.head()?;
            connection.send(ok(head.target().as_bytes()))?;
            match head.target() {
                "/twice" => connection.send(STOLEN)?,
                "/late" => {
                    held.pass();
                    connection.send(STOLEN)?;
                    let _told = closed.send(connection.head().is_err());
                    return Ok(());
                }
                _ => {}
            }
        }
    });
    let tunnel = Tunnel::with(origin.port, &[], &[]);
    for number in 0..50 {
        assert_eq!(get(&tunnel, "/twice"), (200, "/twice".to_owned()));
        let target = format!("/{number}");
        assert_eq!(get(&tunnel, &target), (200, target));
    }
    let mut visitor = tunnel.visit();
    assert_eq!(ask(&tunnel, &mut visitor, "/late", &[]), (200, "/late".to_owned()));
    door.open();
    assert_eq!(closing.recv_timeout(PATIENCE), Ok(true), "nothing more is asked there");
    assert_eq!(get(&tunnel, "/next"), (200, "/next".to_owned()));
    assert_eq!(ask(&tunnel, &mut visitor, "/next", &[]), (200, "/next".to_owned()));
}

#[test]
fn visitors_of_a_full_link_are_served_as_soon_as_a_connection_comes_back() {
    const VISITORS: usize = 20;
    let origin = Origin::answering(|head, _| ok(head.target().as_bytes()));
    // One stream: all others wait for the connection of the one who has it.
    let tunnel = Tunnel::with(origin.port, &["--link-streams", "1"], &[]);
    let mut visitors: Vec<Conversation> = (0..VISITORS).map(|_| tunnel.visit()).collect();
    for round in 0..3 {
        for (number, visitor) in visitors.iter_mut().enumerate() {
            let method = if number % 2 == 0 { "GET" } else { "POST" };
            let target = format!("/{round}/{number}");
            visitor.send(tunnel.request(method, &target, &["Content-Length: 0"])).expect("the relay reads");
        }
        for (number, visitor) in visitors.iter_mut().enumerate() {
            assert_eq!(read(visitor), (200, format!("/{round}/{number}")));
        }
    }
}
