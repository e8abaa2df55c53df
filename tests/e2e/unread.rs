//! Answers that visitors ask for and do not read, more than a relay may hold.
#![cfg(unix)]

use std::io::{Error, ErrorKind};
use std::sync::Mutex;
use std::sync::mpsc::channel;

use hvym_tunnel_tests::http::{Origin, ok};
use hvym_tunnel_tests::program::PATIENCE;
use hvym_tunnel_tests::tunnel::Tunnel;

/// An answer, far more than all sockets and windows on its way hold.
const LARGE: usize = 64 * 1024 * 1024;
const BLOCK: usize = 64 * 1024;
const SILENT: usize = 16;

#[test]
fn what_no_visitor_reads_is_limited_for_the_whole_relay() {
    let (cut, cuts) = channel();
    let cut = Mutex::new(cut);
    let origin = Origin::start(move |mut connection| {
        loop {
            let head = connection.head()?;
            if head.target() == "/small" {
                connection.send(ok(b"here"))?;
                continue;
            }
            connection.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n"))?;
            let broken = (0..LARGE / BLOCK).find_map(|_| connection.send([0; BLOCK]).err());
            let is_cut = |error: &Error| !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
            if broken.as_ref().is_some_and(is_cut) {
                // Nobody listens any more at the end of the test.
                let _told = cut.lock().expect("no panic").send(());
            }
            return Ok(());
        }
    });
    // Half of a first window, 128 KiB, is unread of each visitor at least: more is granted when half of it was read.
    let tunnel = Tunnel::with(origin.port, &["--max-unread", "1"], &[]);
    let silent = tunnel.visit_silently(SILENT, "/large");
    cuts.recv_timeout(PATIENCE).expect("a stream that stands still is reset");
    let (head, body) = tunnel.get("/small").expect("an answer");
    assert_eq!((head.status(), body.as_slice()), (200, &b"here"[..]));
    drop(silent);
}
