//! Two sessions in one thread: the client sends 4 MiB over each of three streams, the server echoes them back.
//!
//! The "network" is a function call, and the clock a number. With a socket, `exchange` becomes a read and a write, and
//! `now` comes from the system.

use std::collections::BTreeMap;
use std::error::Error;

use bytes::Bytes;
use hvym_yamux::{Instant, Mux, MuxConfig, MuxEvent, Read, Role, StreamId};

const STREAMS: usize = 3;
/// Bytes of each stream: many windows of 256 KiB.
const AMOUNT: usize = 4 * 1024 * 1024;

/// Sends `AMOUNT` zeros over each of its streams, and counts what comes back.
struct Client {
    mux: Mux,
    /// Bytes that are not written, and bytes that were read.
    streams: BTreeMap<StreamId, (Bytes, usize)>,
    finished: usize,
}

/// Sends back what it reads.
struct Server {
    mux: Mux,
    /// What was read and could not be written yet.
    pending: BTreeMap<StreamId, Bytes>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let now = Instant::ZERO;
    // Take seeds from the operating system in a real program.
    let mut client = Client {
        mux: Mux::new(Role::Client, MuxConfig::default(), 1, [1; 32], now),
        streams: BTreeMap::new(),
        finished: 0,
    };
    let mut server = Server {
        mux: Mux::new(Role::Server, MuxConfig::default(), 2, [2; 32], now),
        pending: BTreeMap::new(),
    };
    for _ in 0..STREAMS {
        let id = client.mux.open(now)?;
        client.streams.insert(id, (Bytes::from(vec![0; AMOUNT]), 0));
        client.write(id, now)?;
    }
    while exchange(&mut client.mux, &mut server.mux, now)? {
        client.handle_events(now)?;
        server.handle_events(now)?;
    }
    println!("{} streams came back whole: {:?}", client.finished, client.mux.stats());
    assert_eq!(client.finished, STREAMS);
    Ok(())
}

/// Moves one batch each way. Whether there was one.
fn exchange(a: &mut Mux, b: &mut Mux, now: Instant) -> Result<bool, Box<dyn Error>> {
    let mut moved = false;
    if let Some(bytes) = a.poll_transmit() {
        b.handle_data(bytes, now)?;
        moved = true;
    }
    if let Some(bytes) = b.poll_transmit() {
        a.handle_data(bytes, now)?;
        moved = true;
    }
    Ok(moved)
}

impl Client {
    fn handle_events(&mut self, now: Instant) -> Result<(), Box<dyn Error>> {
        while let Some(event) = self.mux.poll_event() {
            match event {
                MuxEvent::Writable(id) => self.write(id, now)?,
                MuxEvent::Readable(id) => self.read(id, now)?,
                other => panic!("unexpected: {other:?}"),
            }
        }
        Ok(())
    }

    fn write(&mut self, id: StreamId, now: Instant) -> Result<(), Box<dyn Error>> {
        if let Some((unsent, _)) = self.streams.get_mut(&id) {
            let mut stream = self.mux.stream(id)?;
            stream.write(unsent, now)?;
            if unsent.is_empty() {
                stream.finish(now)?;
            }
        }
        Ok(())
    }

    fn read(&mut self, id: StreamId, now: Instant) -> Result<(), Box<dyn Error>> {
        loop {
            match self.mux.stream(id)?.read(usize::MAX, now)? {
                Read::Data(data) => {
                    if let Some((_, received)) = self.streams.get_mut(&id) {
                        *received += data.len();
                    }
                }
                Read::Empty => return Ok(()),
                Read::Finished => {
                    let received = self.streams.remove(&id).map(|(_, received)| received);
                    assert_eq!(received, Some(AMOUNT));
                    self.finished += 1;
                    return Ok(());
                }
            }
        }
    }
}

impl Server {
    fn handle_events(&mut self, now: Instant) -> Result<(), Box<dyn Error>> {
        while let Some(event) = self.mux.poll_event() {
            match event {
                MuxEvent::Incoming(id) => {
                    self.mux.accept(id, now)?;
                    self.pending.insert(id, Bytes::new());
                    self.echo(id, now)?;
                }
                MuxEvent::Readable(id) | MuxEvent::Writable(id) => self.echo(id, now)?,
                other => panic!("unexpected: {other:?}"),
            }
        }
        Ok(())
    }

    /// Reads only what it can write: that is the back-pressure.
    fn echo(&mut self, id: StreamId, now: Instant) -> Result<(), Box<dyn Error>> {
        let Some(pending) = self.pending.get_mut(&id) else { return Ok(()) };
        loop {
            let mut stream = self.mux.stream(id)?;
            stream.write(pending, now)?;
            if !pending.is_empty() {
                return Ok(());
            }
            match stream.read(usize::MAX, now)? {
                Read::Data(data) => *pending = data,
                Read::Empty => return Ok(()),
                Read::Finished => {
                    stream.finish(now)?;
                    self.pending.remove(&id);
                    return Ok(());
                }
            }
        }
    }
}
