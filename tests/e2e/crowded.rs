//! A relay that strangers crowd before any login: what they can make it hold, and that agents still come in.
#![cfg(unix)]

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::{Duration, Instant};

use hvym_tunnel_tests::Key;
use hvym_tunnel_tests::http::Origin;
use hvym_tunnel_tests::program::{Home, PATIENCE, Program};
use hvym_tunnel_tests::tunnel::{Agent, Relay};

/// An upgrade at this relay, answered, after which nobody logs in.
fn upgraded(relay: &Relay) -> TcpStream {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, relay.port)).expect("the relay listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    let head = format!(
        "GET /connect HTTP/1.1\r\nHost: localhost:{}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        relay.port
    );
    stream.write_all(head.as_bytes()).expect("the relay reads");
    let mut status = [0; 12];
    stream.read_exact(&mut status).expect("an answer");
    assert_eq!(&status, b"HTTP/1.1 101", "{}", String::from_utf8_lossy(&status));
    stream
}

/// A masked frame with this first byte; its key is zero.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match u8::try_from(payload.len()) {
        Ok(length @ 0..=125) => frame.push(0x80 | length),
        _ => {
            frame.push(0x80 | 126);
            frame.extend(u16::try_from(payload.len()).expect("a short frame").to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

/// Writes until the relay takes no more, or has cut the connection, or `most` bytes are sent.
fn flood(stream: &mut TcpStream, piece: &[u8], most: usize) {
    stream.set_write_timeout(Some(Duration::from_millis(300))).expect("a socket");
    let mut sent = 0;
    while sent < most {
        match stream.write(piece) {
            Ok(n) => sent += n,
            Err(error) => {
                let kind = error.kind();
                let expected = [
                    ErrorKind::WouldBlock,
                    ErrorKind::TimedOut,
                    ErrorKind::BrokenPipe,
                    ErrorKind::ConnectionReset,
                ];
                assert!(expected.contains(&kind), "{error}");
                return;
            }
        }
    }
}

#[test]
fn strangers_who_send_and_read_nothing_cost_little() {
    const CONNECTIONS: u64 = 30;
    let relay = Relay::start(&[]);
    // What one costs may be needed once for all.
    let mut first = upgraded(&relay);
    flood(&mut first, &frame(0x89, &[b'x'; 125]).repeat(100), 1_000_000);
    for (what, piece) in [
        ("pings", frame(0x89, &[b'x'; 125]).repeat(500)),
        ("the beginning of a message", frame(0x01, &[b'x'; 4000])),
        ("pieces of a message", frame(0x00, &[b'x'; 4000])),
        ("binary messages", frame(0x82, &[b'x'; 4000])),
        ("the header of a huge message", [&[0x82, 0xff][..], &(1_u64 << 40).to_be_bytes(), &[0; 4]].concat()),
    ] {
        let before = relay.program.memory("VmRSS");
        let crowd: Vec<TcpStream> = (0..CONNECTIONS)
            .map(|_| {
                let mut stream = upgraded(&relay);
                flood(&mut stream, &piece, 2_000_000);
                stream
            })
            .collect();
        let each = relay.program.memory("VmRSS").saturating_sub(before) / CONNECTIONS;
        eprintln!("{what}: {} KiB each", each / 1024);
        assert!(each < 64 * 1024, "{what}: {each} bytes each");
        drop(crowd);
    }
}

/// Everything that the relay says until it ends the connection.
fn rest(stream: &mut TcpStream) -> String {
    let mut all = Vec::new();
    let mut piece = [0; 4096];
    loop {
        match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(n) => all.extend_from_slice(&piece[..n]),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
                break;
            }
        }
    }
    String::from_utf8_lossy(&all).into_owned()
}

#[test]
fn a_thousand_that_never_log_in_keep_no_agent_out() {
    let relay = Relay::start(&[]);
    let mut crowd: Vec<TcpStream> = (0..1000).map(|_| upgraded(&relay)).collect();
    let _served = Agent::start_in(Home::of(&Key::from_seed([95; 32])), &relay, Origin::echo().port, &[]);
    // Those that waited longest gave their places.
    let told = rest(&mut crowd[0]);
    assert!(told.contains("yours took longest"), "{told}");
}

#[test]
fn while_many_log_in_each_has_less_time() {
    let relay = Relay::start(&[]);
    let mut crowd: Vec<TcpStream> = (0..150).map(|_| upgraded(&relay)).collect();
    let told = rest(crowd.last_mut().expect("many"));
    assert!(told.contains("yours took too long"), "{told}");
    // The first came when there were few, and has its whole time.
    let told = rest(&mut crowd[0]);
    assert!(!told.contains("yours took"), "{told}");
}

#[test]
fn visitors_who_fill_the_relay_keep_no_agent_out() {
    let relay = Relay::start(&["--max-connections", "40"]);
    let half = |_| {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, relay.port)).expect("the relay listens");
        stream.write_all(b"GET / HTTP/1.1\r\nHost: ").expect("the relay reads");
        stream
    };
    // The reserve has 256 places.
    let crowd: Vec<TcpStream> = (0..400).map(half).collect();
    let agent =
        Agent::start_in(Home::of(&Key::from_seed([96; 32])), &relay, Origin::saying(b"inside").port, &[]);
    // One that is in is not cut for those who come later.
    let more: Vec<TcpStream> = (0..400).map(half).collect();
    drop((crowd, more));
    let deadline = Instant::now() + PATIENCE;
    let request = format!("GET / HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", agent.host());
    loop {
        let mut visitor = relay.visit();
        visitor.send(&request).expect("the relay reads");
        match visitor.head().expect("an answer").status() {
            200 => break,
            // The relay has not seen yet that others left.
            503 => assert!(Instant::now() < deadline, "{relay:?}"),
            other => panic!("{other}"),
        }
    }
    assert!(!agent.program.transcript().contains("disconnected"), "{:?}", agent.program);
}

#[test]
fn what_a_stranger_says_when_it_leaves_is_one_line_of_the_log() {
    let home = Home::new();
    let mut command = home.command(&["relay", "--json", "--listen", "0", "-vvv"]);
    command.env("NO_COLOR", "1");
    let mut relay = Relay::started(Program::start(command), home);
    let mut stream = upgraded(&relay);
    let reason = "gone\r\n\u{1b}[2Jaudit: banned\u{202e}";
    let payload = [&4555_u16.to_be_bytes()[..], reason.as_bytes()].concat();
    stream.write_all(&frame(0x88, &payload)).expect("the relay reads");
    rest(&mut stream);
    let line = relay.program.says("gone");
    assert!(line.contains(r"gone\r\n\u{1b}[2Jaudit: banned\u{202e}"), "{line}");
    assert!(!relay.program.transcript().contains(['\u{1b}', '\r', '\u{202e}']), "{relay:?}");
}
