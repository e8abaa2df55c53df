//! What somebody who has not logged in can make a relay hold.
#![cfg(unix)]

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};

use hvym_tunnel_tests::http::Origin;
use hvym_tunnel_tests::program::PATIENCE;
use hvym_tunnel_tests::tunnel::{Relay, Tunnel};

const STRANGERS: usize = 20;
/// Pings of each, about 8 MB.
const PINGS: usize = 60_000;
/// What the relay may have grown by: 16 KiB for each stranger would be 320 KiB, and an allocator keeps more than it needs.
const MAX_GROWTH: u64 = 8 * 1024 * 1024;

/// A WebSocket to a relay as bytes, after the upgrade. The relay's first message is not read.
fn dial(relay: &Relay) -> TcpStream {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, relay.port)).expect("the relay listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a fresh connection can be tuned");
    stream.set_write_timeout(Some(PATIENCE)).expect("a fresh connection can be tuned");
    let head = "GET /connect HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    stream.write_all(head.as_bytes()).expect("the relay reads");
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("the relay answers");
        answer.push(byte[0]);
    }
    assert!(answer.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&answer));
    stream
}

#[test]
fn strangers_who_ping_and_read_nothing_cost_next_to_nothing() {
    let tunnel = Tunnel::to(Origin::saying(b"unhurt").port);
    let ping = [&[0x89, 0x80 | 125, 0, 0, 0, 0][..], &[b'p'; 125]].concat();
    let pings = ping.repeat(PINGS);
    let mut strangers: Vec<TcpStream> = (0..STRANGERS).map(|_| dial(&tunnel.relay)).collect();
    let before = tunnel.relay.program.memory("VmRSS");
    for stranger in &mut strangers {
        stranger.write_all(&pings).expect("input never waits for output");
    }
    assert_eq!(tunnel.get("/").expect("an answer").1, b"unhurt");
    let grown = tunnel.relay.program.memory("VmRSS").saturating_sub(before);
    assert!(grown < MAX_GROWTH, "{STRANGERS} strangers made the relay hold {grown} bytes");
}

#[test]
fn strangers_whose_messages_do_not_end_cost_next_to_nothing() {
    let tunnel = Tunnel::to(Origin::saying(b"unhurt").port);
    let before = tunnel.relay.program.memory("VmRSS");
    // The longest message but its last byte, in fragments, each of which is taken.
    let fragment = |first: u8, size: u16| {
        let [high, low] = size.to_be_bytes();
        [&[first, 0x80 | 126, high, low, 0, 0, 0, 0][..], &vec![b' '; usize::from(size)]].concat()
    };
    let message = [fragment(0x01, 6000), fragment(0x00, 12 * 1024 - 6001)].concat();
    let mut strangers: Vec<TcpStream> = (0..10 * STRANGERS).map(|_| dial(&tunnel.relay)).collect();
    for stranger in &mut strangers {
        stranger.write_all(&message).expect("the relay reads");
    }
    assert_eq!(tunnel.get("/").expect("an answer").1, b"unhurt");
    let grown = tunnel.relay.program.memory("VmRSS").saturating_sub(before);
    assert!(grown < 2 * MAX_GROWTH, "{} strangers made the relay hold {grown} bytes", strangers.len());
}
