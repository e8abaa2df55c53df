//! A local service that takes uploads: it reads every byte, and only then answers 204.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;

use anyhow::Result;

/// How much is read at once.
const BLOCK: usize = 256 * 1024;

/// Serves until this process ends, and returns the port.
pub(super) fn start() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let port = listener.local_addr()?.port();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            // A connection that breaks is seen by whoever measures.
            thread::spawn(move || drop(serve(stream)));
        }
    });
    Ok(port)
}

fn serve(mut stream: TcpStream) -> io::Result<()> {
    let mut reader = BufReader::with_capacity(BLOCK, stream.try_clone()?);
    while let Some(length) = head(&mut reader)? {
        let taken = io::copy(&mut reader.by_ref().take(length), &mut io::sink())?;
        if taken < length {
            return Ok(());
        }
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n")?;
    }
    Ok(())
}

/// The length of the body after the next head, `None` at the end of the connection.
fn head(reader: &mut impl BufRead) -> io::Result<Option<u64>> {
    let mut length = 0;
    let mut line = String::new();
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        if line.trim().is_empty() {
            return Ok(Some(length));
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().map_err(|_| io::ErrorKind::InvalidData)?;
        }
    }
}
