//! Visitors who ask for much and read nothing take neither room nor time from one who reads slowly.
#![cfg(target_os = "linux")]

use hvym_tunnel_tests::frames::{self, END_HEADERS, END_STREAM, Frames, HEADERS};
use hvym_tunnel_tests::http::{Conversation, Origin, ok};
use hvym_tunnel_tests::tunnel::Tunnel;

/// Visitors of an address each, with one answer each that they do not read.
const SILENT: usize = 200;
/// Connections of one visitor over HTTP/2, and answers on each that it does not read.
const GREEDY: (usize, u32) = (5, 128);
/// An answer, far more than all sockets and windows on its way hold.
const LARGE: usize = 16 * 1024 * 1024;
const BLOCK: usize = 64 * 1024;
/// Who may have as many requests as it likes: what is unread is all that stops it.
const LIMITS: [&str; 6] =
    ["--trusted-proxy", "127.0.0.0/8", "--service-requests", "2000", "--visitor-requests", "2000"];

fn asked(tunnel: &Tunnel, who: &str, target: &str) -> Conversation {
    let mut visitor = tunnel.visit();
    let from = format!("X-Forwarded-For: {who}");
    visitor.send(tunnel.request("GET", target, &[&from])).expect("the relay reads");
    visitor
}

/// Reads so many blocks of zeros.
fn read_blocks(visitor: &mut Conversation, count: usize) {
    let mut room = vec![1; BLOCK];
    for number in 0..count {
        visitor.fill(&mut room).unwrap_or_else(|error| panic!("cut at block {number} of {count}: {error}"));
        assert!(room.iter().all(|byte| *byte == 0), "not what the service sent");
    }
}

#[test]
fn who_reads_nothing_costs_a_slow_reader_nothing() {
    let origin = Origin::start(|mut connection| {
        loop {
            let head = connection.head()?;
            if head.target() == "/small" {
                connection.send(ok(b"here"))?;
                continue;
            }
            connection.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n"))?;
            for _ in 0..LARGE / BLOCK {
                connection.send([0; BLOCK])?;
            }
        }
    });
    let tunnel = Tunnel::with(origin.port, &LIMITS, &[]);
    let honest = |slow: &mut Conversation| {
        for _ in 0..10 {
            let mut visitor = asked(&tunnel, "198.51.100.7", "/small");
            let head = visitor.head().expect("an answer");
            assert_eq!(
                (head.status(), visitor.body(&head).expect("a whole answer")),
                (200, b"here".to_vec())
            );
        }
        read_blocks(slow, 4);
    };
    // The oldest of all, and the slowest of those who read.
    let mut slow = asked(&tunnel, "198.51.100.8", "/large");
    assert_eq!(slow.head().expect("an answer").status(), 200);
    honest(&mut slow);
    let silent: Vec<Conversation> =
        (0..SILENT).map(|number| asked(&tunnel, &format!("203.0.113.{number}"), "/large")).collect();
    honest(&mut slow);
    let block = frames::get(tunnel.agent.host(), "/large", &[("x-forwarded-for", "192.0.2.66")]);
    let greedy: Vec<Frames> = (0..GREEDY.0)
        .map(|_| {
            // A window of 0: not a byte of an answer is taken.
            let mut connection = Frames::dial(tunnel.relay.port, 0);
            for number in 0..GREEDY.1 {
                connection
                    .send(HEADERS, END_STREAM | END_HEADERS, 2 * number + 1, &block)
                    .expect("the relay reads");
            }
            for _ in 0..GREEDY.1 {
                connection.wait_for(HEADERS).expect("an answer, of whatever kind");
            }
            honest(&mut slow);
            connection
        })
        .collect();
    honest(&mut slow);
    let begun = 4 * (GREEDY.0 + 3);
    read_blocks(&mut slow, LARGE / BLOCK - begun);
    drop((silent, greedy));
    honest_after(&tunnel);
}

/// Everybody is served once the others have left.
fn honest_after(tunnel: &Tunnel) {
    let mut visitor = asked(tunnel, "198.51.100.8", "/large");
    assert_eq!(visitor.head().expect("an answer").status(), 200);
    read_blocks(&mut visitor, LARGE / BLOCK);
}
