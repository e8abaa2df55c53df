//! Services that carry bytes: relay and agent as two processes, and visitors at public ports.
#![cfg(unix)]

use std::io::{self, Write};
use std::net::{Ipv4Addr, Shutdown, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Instant;

use hvym_tunnel_tests::Door;
use hvym_tunnel_tests::http::{Conversation, Origin, nobody};
use hvym_tunnel_tests::installed::required_tool;
use hvym_tunnel_tests::program::{Home, PATIENCE};
use hvym_tunnel_tests::tunnel::{Agent, PORTS, Relay, port_of};
use rustix::process::Signal;

const MIB: usize = 1024 * 1024;

/// Reads to the end before it says how much came, and what.
fn listener() -> Origin {
    Origin::start(|mut connection| {
        let all = connection.rest()?;
        connection.send(format!("{} bytes: ", all.len()))?;
        connection.send(all)
    })
}

/// Says its name, then what its next connections do is the test's: each is handed over.
fn handed() -> (Origin, Receiver<Conversation>) {
    let (hand, hands) = channel();
    let hand = Mutex::new(hand);
    let origin = Origin::start(move |mut connection| {
        connection.send("hello")?;
        // A probe of the agent ends at once, and is nobody's visitor.
        hand.lock().expect("nobody panics here").send(connection).map_err(io::Error::other)
    });
    (origin, hands)
}

fn is_reset<T: std::fmt::Debug>(outcome: io::Result<T>) -> bool {
    outcome.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionReset)
}

/// The connection of the service that belongs to a visitor who says `word` first.
fn of_visitor(hands: &Receiver<Conversation>, word: &[u8]) -> Conversation {
    loop {
        let mut connection = hands.recv_timeout(PATIENCE).expect("a connection");
        if connection.take(word.len()).is_ok_and(|said| said == word) {
            return connection;
        }
    }
}

#[test]
fn the_first_line_is_where_bytes_go_both_ways() {
    let relay = Relay::with_ports(PORTS);
    let home = Home::new();
    let target = format!("tcp://localhost:{}", Origin::echo().port);
    let mut agent = home.start(&["expose", &target, "--relay", &relay.url()]);
    let port = port_of(&agent.line());
    agent.says(&format!("{target} is service web of "));
    let mut visitor = Conversation::dial(port);
    for word in [b"hello" as &[u8], b"\0\xff", b"again"] {
        visitor.send(word).expect("the relay reads");
        assert_eq!(visitor.take(word.len()).expect("an echo"), word);
    }
    visitor.finish().expect("still open");
    assert_eq!(visitor.rest().expect("an end"), b"");
    let line = agent.line();
    assert!(line.contains("  tcp  127.0.0.1:") && line.contains("12 B in  12 B out"), "{line}");
}

#[test]
fn each_direction_ends_by_itself() {
    let relay = Relay::with_ports(PORTS);
    let agent = Agent::carrying(&relay, listener().port, &[]);
    let mut visitor = Conversation::dial(agent.port());
    visitor.send("x").expect("the relay reads");
    visitor.finish().expect("still open");
    assert_eq!(visitor.rest().expect("an answer after the end of the question"), b"1 bytes: x");

    // The other way round: the service has ended, and still hears.
    let (heard, hearing) = channel();
    let heard = Mutex::new(heard);
    let first_to_end = Origin::start(move |mut connection| {
        connection.send("over")?;
        connection.finish()?;
        let _unheard = heard.lock().expect("nobody panics here").send(connection.rest()?);
        Ok(())
    });
    let agent = Agent::carrying(&relay, first_to_end.port, &[]);
    let mut visitor = Conversation::dial(agent.port());
    assert_eq!(visitor.rest().expect("an end"), b"over");
    visitor.send("I go on").expect("the relay reads");
    visitor.finish().expect("still open");
    let said = hearing.iter().find(|said| !said.is_empty());
    assert_eq!(said.as_deref(), Some(b"I go on" as &[u8]));
}

/// What a command prints that is given `x` and then an end.
fn asked(program: &Path, arguments: &[&str]) -> String {
    let child = Command::new(program).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut child = child.expect("it is installed");
    child.stdin.take().expect("it was piped").write_all(b"x").expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn other_programs_are_answered_after_the_end_of_their_question() {
    let relay = Relay::with_ports(PORTS);
    let agent = Agent::carrying(&relay, listener().port, &[]);
    let port = agent.port().to_string();
    let script = "import socket, sys\n\
                  s = socket.create_connection(('127.0.0.1', int(sys.argv[1])), 60)\n\
                  s.sendall(sys.stdin.buffer.read()); s.shutdown(socket.SHUT_WR)\n\
                  while part := s.recv(9): sys.stdout.write(part.decode())";
    for (program, arguments) in
        [("nc", &["-N", "127.0.0.1", &port] as &[&str]), ("python3", &["-c", script, &port])]
    {
        if let Some(path) = required_tool(program) {
            assert_eq!(asked(&path, arguments), "1 bytes: x", "{program}");
        }
    }
}

#[test]
fn a_mebibyte_each_way_at_once_arrives_byte_for_byte() {
    let noise = |mut state: u64| -> Vec<u8> {
        let words = std::iter::repeat_with(move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        });
        words.take(MIB / 8).flatten().collect()
    };
    let (to_service, to_visitor) = (noise(3), noise(5));
    let expected = to_service.clone();
    let answer = to_visitor.clone();
    let (verdict, verdicts) = channel();
    let verdict = Mutex::new(verdict);
    let service = Origin::start(move |mut connection| {
        let mut writer = connection.writer();
        let answer = answer.clone();
        let sending = thread::spawn(move || {
            writer.write_all(&answer)?;
            writer.shutdown(Shutdown::Write)
        });
        let all = connection.rest()?;
        let _sent = sending.join().expect("no panic");
        let _unheard = verdict.lock().expect("nobody panics here").send(all == expected);
        Ok(())
    });
    let relay = Relay::with_ports(PORTS);
    let agent = Agent::carrying(&relay, service.port, &[]);
    // The probe of the agent came first, and said nothing.
    let mut visitor = Conversation::dial(agent.port());
    let mut writer = visitor.writer();
    let sending =
        thread::spawn(move || writer.write_all(&to_service).and_then(|()| writer.shutdown(Shutdown::Write)));
    let all = visitor.rest().expect("a whole answer");
    assert!(all == to_visitor, "{} bytes arrived, and not those", all.len());
    sending.join().expect("no panic").expect("everything is taken");
    let mut verdicts = std::iter::from_fn(|| verdicts.recv_timeout(PATIENCE).ok());
    assert!(verdicts.any(|whole| whole), "the service got something else");
}

#[test]
fn a_service_is_told_who_the_visitor_is() {
    let (said, saying) = channel();
    let said = Mutex::new(said);
    let service = Origin::start(move |mut connection| {
        let all = connection.rest()?;
        said.lock().expect("nobody panics here").send(all).map_err(io::Error::other)
    });
    let relay = Relay::with_ports(PORTS);
    let agent = Agent::carrying(&relay, service.port, &["--proxy-protocol"]);
    let mut visitor = Conversation::dial(agent.port());
    let own = visitor.writer().local_addr().expect("it is connected").port();
    visitor.send("x").expect("the relay reads");
    visitor.finish().expect("still open");
    let mut expected = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x7f\0\0\x01\x7f\0\0\x01".to_vec();
    expected.extend_from_slice(&own.to_be_bytes());
    expected.extend_from_slice(&agent.port().to_be_bytes());
    expected.push(b'x');
    let mut all = std::iter::from_fn(|| saying.recv_timeout(PATIENCE).ok());
    assert_eq!(all.find(|all| !all.is_empty()), Some(expected));
}

#[test]
fn only_byte_services_can_be_told_so() {
    let home = Home::new();
    let mut agent = home.start(&["expose", "3000", "--proxy-protocol"]);
    agent.says("--proxy-protocol is for TCP services");
    assert_eq!(agent.code(), 3, "{agent:?}");
}

#[test]
fn a_reset_is_passed_on_as_a_reset_both_ways() {
    let (service, hands) = handed();
    let relay = Relay::with_ports(PORTS);
    let mut agent = Agent::carrying(&relay, service.port, &[]);

    let mut visitor = Conversation::dial(agent.port());
    visitor.send("one").expect("the relay reads");
    let mut inside = of_visitor(&hands, b"one");
    visitor.reset();
    assert!(is_reset(inside.take(1)), "the service sees that its visitor broke off");

    let mut visitor = Conversation::dial(agent.port());
    visitor.send("two").expect("the relay reads");
    assert_eq!(visitor.take(5).expect("a greeting"), b"hello");
    of_visitor(&hands, b"two").reset();
    assert!(is_reset(visitor.take(1)), "the visitor sees that the service broke off");
    let told = agent.program.event("connection");
    assert_eq!((&told["note"], &told["received"]), (&"cut off".into(), &3.into()), "{told}");

    // An agent that is killed had not finished either.
    let mut visitor = Conversation::dial(agent.port());
    visitor.send("three").expect("the relay reads");
    assert_eq!(visitor.take(5).expect("a greeting"), b"hello");
    agent.program.kill();
    assert!(is_reset(visitor.take(1)));
}

#[test]
fn where_nothing_listens_the_visitor_is_reset() {
    let relay = Relay::with_ports(PORTS);
    let mut agent = Agent::carrying(&relay, nobody(), &[]);
    let mut visitor = Conversation::dial(agent.port());
    assert!(is_reset(visitor.take(1)));
    let told = agent.program.event("connection");
    assert!(told["note"].as_str().is_some_and(|note| note.contains("nothing is listening")), "{told}");
}

#[test]
fn a_visitor_who_does_not_read_stops_the_service_and_nobody_else() {
    let (poured, pouring) = channel();
    let poured = Mutex::new(poured);
    let fountain = Origin::start(move |connection| {
        let (mut writer, block) = (connection.writer(), [7; 64 * 1024]);
        let poured = poured.lock().expect("nobody panics here").clone();
        loop {
            writer.write_all(&block)?;
            let _unheard = poured.send(block.len());
        }
    });
    let relay = Relay::with_ports(PORTS);
    let other = format!("echo=tcp://localhost:{}", Origin::echo().port);
    let mut agent = Agent::carrying(&relay, fountain.port, &["--bind", &other]);
    let quick = port_of(agent.program.event("bound")["url"].as_str().expect("a URL"));
    let stuck = TcpStream::connect((Ipv4Addr::LOCALHOST, agent.port())).expect("the relay listens");
    stuck.peek(&mut [0]).expect("the fountain runs");
    let (mut total, mut quiet) = (0, false);
    while !quiet {
        for _ in 0..100 {
            let mut visitor = Conversation::dial(quick);
            visitor.send("quick").expect("the relay reads");
            assert_eq!(visitor.take(5).expect("an echo"), b"quick");
        }
        let more: usize = pouring.try_iter().sum();
        total += more;
        quiet = more == 0;
        assert!(total < 64 * MIB, "{total} bytes were taken for a visitor who reads nothing");
    }
    drop(stuck);
}

#[test]
fn a_relay_that_drains_finishes_what_is_open_and_takes_nothing_new() {
    let door = Door::default();
    let held = door.clone();
    let service = Origin::start(move |mut connection| {
        connection.send("begun")?;
        held.pass();
        connection.send(" and done")
    });
    let mut relay = Relay::with_ports(PORTS);
    let agent = Agent::carrying(&relay, service.port, &[]);
    let mut visitor = Conversation::dial(agent.port());
    assert_eq!(visitor.take(5).expect("a beginning"), b"begun");
    relay.program.signal(Signal::TERM);
    relay.program.event("draining");
    // It says so before it does so; then nobody listens any more.
    let said = Instant::now();
    while TcpStream::connect((Ipv4Addr::LOCALHOST, agent.port())).is_ok() {
        assert!(said.elapsed() < PATIENCE, "new visitors are still taken");
    }
    door.open();
    assert_eq!(visitor.rest().expect("a whole answer"), b" and done");
    drop(visitor);
    assert_eq!(relay.program.code(), 0);
}

#[test]
fn what_is_still_open_when_a_relay_stops_at_once_is_reset() {
    let (service, hands) = handed();
    let mut relay = Relay::with_ports(PORTS);
    let agent = Agent::carrying(&relay, service.port, &[]);
    let mut visitor = Conversation::dial(agent.port());
    visitor.send("one").expect("the relay reads");
    assert_eq!(visitor.take(5).expect("a greeting"), b"hello");
    let mut inside = of_visitor(&hands, b"one");
    relay.program.signal(Signal::TERM);
    relay.program.event("draining");
    relay.program.signal(Signal::TERM);
    assert!(is_reset(visitor.take(1)), "half a connection must not look whole");
    assert!(is_reset(inside.take(1)), "on neither side");
    assert_eq!(relay.program.code(), 0);
}
