//! Visitors who mean harm. Each has an address of its own, and none ends before it is told to.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use socket2::SockRef;

use super::http2;
use crate::bench::load::Door;

/// Readers of each kind.
const READERS: u32 = 200;
/// What a slow reader reads each second.
const SLOW_BYTES: usize = 16 * 1024;
/// Visits a second that are broken off.
const ABORTS: u32 = 1000;
/// Threads that break them off.
const ABORTERS: u32 = 4;
/// Connections of HTTP/2.
const CONNECTIONS: u32 = 5;
/// How often a reader looks whether it is over.
const GLANCE: Duration = Duration::from_millis(100);
/// A small receive buffer, so that what is not read waits at the relay.
const RECEIVE_BUFFER: usize = 4096;

/// The threads of an attack, each of which returns how much of it succeeded.
pub(super) type Attackers = Vec<JoinHandle<usize>>;
/// Begins at a door, and ends when it is told to.
pub(super) type Attack = fn(&Door, &Arc<AtomicBool>) -> Attackers;

/// All of them.
pub(super) const ATTACKS: [(&str, Attack); 4] = [
    ("200 readers that read nothing", silent),
    ("200 readers that read 16 KiB/s", slow),
    ("1000 visits broken off a second", abort),
    ("5 HTTP/2 connections with 128 dribbling streams each", dribble),
];

/// The address that the attacker of this number says it has, from 2001:db8::/32: each a network of its own.
pub(super) fn address(number: u32) -> String {
    format!("2001:db8:{:x}:{:x}::1", number >> 16, number & 0xffff)
}

fn dial(door: &Door) -> Option<TcpStream> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, door.port)).ok()?;
    SockRef::from(&stream).set_recv_buffer_size(RECEIVE_BUFFER).ok()?;
    Some(stream)
}

fn ask(door: &Door, number: u32) -> Option<TcpStream> {
    let mut stream = dial(door)?;
    let host = door.host.as_deref().unwrap_or("localhost");
    let from = address(number);
    write!(stream, "GET /large HTTP/1.1\r\nHost: {host}\r\nX-Forwarded-For: {from}\r\n\r\n").ok()?;
    Some(stream)
}

/// Some connections, read at `bytes` a second each; how many are open at the end.
fn readers(door: &Door, is_over: &Arc<AtomicBool>, bytes: usize) -> Attackers {
    let (door, is_over) = (door.clone(), Arc::clone(is_over));
    vec![thread::spawn(move || {
        let mut streams: Vec<TcpStream> = (0..READERS).filter_map(|number| ask(&door, number)).collect();
        for stream in &streams {
            let _nonblocking = stream.set_nonblocking(true);
        }
        let mut room = vec![0; bytes * GLANCE.as_millis() as usize / 1000];
        while !is_over.load(Ordering::Relaxed) {
            thread::sleep(GLANCE);
            if !room.is_empty() {
                streams.retain_mut(|stream| match stream.read(&mut room) {
                    Ok(read) => read > 0,
                    Err(error) => error.kind() == std::io::ErrorKind::WouldBlock,
                });
            }
        }
        streams.len()
    })]
}

fn silent(door: &Door, is_over: &Arc<AtomicBool>) -> Attackers {
    readers(door, is_over, 0)
}

fn slow(door: &Door, is_over: &Arc<AtomicBool>) -> Attackers {
    readers(door, is_over, SLOW_BYTES)
}

/// Visits that end by a reset as soon as they have asked; how many there were.
fn abort(door: &Door, is_over: &Arc<AtomicBool>) -> Attackers {
    let aborter = |first: u32| {
        let (door, is_over) = (door.clone(), Arc::clone(is_over));
        thread::spawn(move || {
            let begun = Instant::now();
            let mut done: u32 = 0;
            while !is_over.load(Ordering::Relaxed) {
                let due = begun.elapsed().as_millis() as u32 * (ABORTS / ABORTERS) / 1000;
                if done >= due {
                    thread::sleep(Duration::from_millis(1));
                    continue;
                }
                if let Some(stream) = ask(&door, first + done * ABORTERS) {
                    let _reset = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
                }
                done += 1;
            }
            done as usize
        })
    };
    (0..ABORTERS).map(aborter).collect()
}

/// Connections of HTTP/2 whose streams are read a little at a time; how many live at the end.
fn dribble(door: &Door, is_over: &Arc<AtomicBool>) -> Attackers {
    let dribbler = |number| {
        let (door, is_over) = (door.clone(), Arc::clone(is_over));
        thread::spawn(move || {
            let host = door.host.clone().unwrap_or_default();
            let dribbled =
                dial(&door).map(|stream| http2::dribble(stream, &host, &address(number), &is_over));
            usize::from(matches!(dribbled, Some(Ok(()))))
        })
    };
    (0..CONNECTIONS).map(dribbler).collect()
}
