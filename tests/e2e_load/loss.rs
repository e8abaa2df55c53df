//! An agent that is gone from one moment to the next, in the middle of fifty downloads.
#![cfg(unix)]

use std::io;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use hvym_tunnel_tests::http::{Conversation, Origin};
use hvym_tunnel_tests::program::PATIENCE;
use hvym_tunnel_tests::tunnel::{Agent, Tunnel};

const VISITORS: usize = 50;
const BLOCK: usize = 16 * 1024;
/// What every visitor has before the agent is killed, blocks.
const BEFORE: usize = 16;
/// Less than a keepalive takes to notice anything: what is seen so soon was told by the system, not guessed.
const AT_ONCE: Duration = Duration::from_secs(8);

/// A service that answers with chunks without end, or with a length nobody reaches, for as long as somebody listens.
fn fountain() -> Origin {
    Origin::start(|mut connection| {
        let head = connection.head()?;
        let (framing, before, after) = match head.target() {
            "/chunked" => ("Transfer-Encoding: chunked", format!("{BLOCK:x}\r\n"), "\r\n"),
            "/sized" => ("Content-Length: 1000000000000", String::new(), ""),
            _ => return connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
        };
        connection.send(format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n"))?;
        let piece = [before.as_bytes(), &[b'.'; BLOCK], after.as_bytes()].concat();
        loop {
            connection.send(&piece)?;
        }
    })
}

/// One more block of a download.
fn block(visitor: &mut Conversation, chunked: bool) -> io::Result<usize> {
    if chunked {
        visitor.chunk().map(|chunk| chunk.len())
    } else {
        visitor.take(BLOCK).map(|bytes| bytes.len())
    }
}

#[test]
fn fifty_downloads_of_a_killed_agent_all_break_off_and_its_return_serves_again() {
    let origin = fountain();
    let mut tunnel = Tunnel::to(origin.port);
    let (begun, beginning) = channel();
    let visitors: Vec<_> = (0..VISITORS)
        .map(|number| {
            let chunked = number % 2 == 0;
            let target = if chunked { "/chunked" } else { "/sized" };
            let (mut visitor, begun) = (tunnel.visit(), begun.clone());
            let request = tunnel.request("GET", target, &[]);
            thread::spawn(move || {
                visitor.send(request).expect("the relay reads");
                assert_eq!(visitor.head().expect("an answer").status(), 200);
                for _ in 0..BEFORE {
                    block(&mut visitor, chunked).expect("the download goes on");
                }
                begun.send(()).expect("the test waits");
                // A clean end would be a chunk of no bytes.
                loop {
                    match block(&mut visitor, chunked) {
                        Ok(0) => return Err("a clean end of half an answer".to_owned()),
                        Ok(_) => {}
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                            return Err("nobody told it".to_owned());
                        }
                        Err(_) => return Ok(Instant::now()),
                    }
                }
            })
        })
        .collect();
    for _ in 0..VISITORS {
        beginning.recv_timeout(PATIENCE).expect("every download begins");
    }
    tunnel.agent.program.kill();
    let killed = Instant::now();
    let ends: Vec<_> =
        visitors.into_iter().map(|visitor| visitor.join().expect("no visitor panics")).collect();
    for end in &ends {
        let end = end.as_ref().unwrap_or_else(|fault| panic!("{fault}"));
        assert!(end.saturating_duration_since(killed) < AT_ONCE, "{:?}", end.duration_since(killed));
    }
    let (head, _) = tunnel.get("/").expect("an answer");
    assert_eq!((head.status(), head.field("retry-after").is_some()), (503, true), "{head:?}");
    assert!(killed.elapsed() < AT_ONCE, "{:?}", killed.elapsed());

    let url = tunnel.agent.url().to_owned();
    tunnel.agent = Agent::start_in(tunnel.agent.home, &tunnel.relay, origin.port, &[]);
    assert_eq!(tunnel.agent.url(), url, "the address is the name");
    let (head, body) = tunnel.get("/").expect("an answer");
    assert_eq!((head.status(), body.as_slice()), (200, b"ok".as_slice()));
}
