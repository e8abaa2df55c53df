//! The multiplexer of this project at work.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use bytes::{Buf, Bytes};
use hvym_tunnel_core::mux::{Mux, MuxConfig, MuxEvent, Read, Role, StreamId};
use hvym_tunnel_core::time::Instant;
use rustix::buffer::spare_capacity;
use rustix::io::Errno;

use crate::sockets::sockets;
use crate::work::{CHUNK_BYTES, MESSAGE_BYTES, Transport, Work, cpu_time};

/// What one read from a socket takes at most.
const READ_BYTES: usize = 64 * 1024;

/// Batches that are sent before the other end gets its turn. What lies in the sockets beyond that leaves the caches.
const BATCHES: usize = 2;

/// Does the work, and says how much CPU time that took.
pub fn measure(work: Work, transport: Transport) -> Duration {
    let clock = std::time::Instant::now();
    let start = cpu_time();
    run(work, transport, || {
        Instant::from_micros(u64::try_from(clock.elapsed().as_micros()).expect("less than an aeon"))
    });
    cpu_time() - start
}

/// Does the work by this clock.
pub fn run(work: Work, transport: Transport, mut clock: impl FnMut() -> Instant) {
    let (a, b) = match transport {
        Transport::Memory => (None, None),
        Transport::Tcp => {
            let (a, b) = sockets().expect("loopback works");
            (Some(a), Some(b))
        }
    };
    let (mut opener, mut acceptor) = (Opener::new(work, session(Role::Client)), session(Role::Server));
    let (mut a, mut b) = (Line::new(a), Line::new(b));
    opener.start(clock());
    let echoes = !matches!(work, Work::Bulk { .. });
    let mut arrived = 0;
    while !opener.is_done(arrived) {
        let now = clock();
        a.push(&mut opener.mux);
        a.pass(&mut b);
        b.pull(&mut acceptor, now);
        arrived += serve(&mut acceptor, echoes, now);
        b.push(&mut acceptor);
        b.pass(&mut a);
        a.pull(&mut opener.mux, now);
        opener.settle(now);
    }
}

/// Two sessions with open idle streams, for as long as this lives.
pub struct Idle(Mux, Mux);

/// Opens `streams` streams, says one message on each both ways, and leaves them.
pub fn idle(streams: usize) -> Idle {
    let work = Work::Echo { streams, messages: streams };
    let (mut opener, mut acceptor) = (Opener::new(work, session(Role::Client)), session(Role::Server));
    let now = Instant::ZERO;
    let mut opened = 0;
    while opened < streams {
        opener.begin(now);
        opened += 1;
        while opener.done < opened {
            while let Some(batch) = opener.mux.poll_transmit() {
                acceptor.handle_data(batch, now).expect("an honest peer");
            }
            serve(&mut acceptor, true, now);
            while let Some(batch) = acceptor.poll_transmit() {
                opener.mux.handle_data(batch, now).expect("an honest peer");
            }
            opener.settle(now);
        }
    }
    Idle(opener.mux, acceptor)
}

impl Idle {
    /// How many streams are open.
    pub fn streams(&self) -> usize {
        self.0.stats().outbound.min(self.1.stats().inbound)
    }
}

fn session(role: Role) -> Mux {
    let many = 1 << 20;
    let config = MuxConfig::default().with(|config| {
        config.max_inbound_streams = many;
        config.max_outbound_streams = many;
        config.max_stream_window = 1 << 24;
        config.window_growth_budget = 1 << 28;
    });
    Mux::new(role, config, 1, [7; 32], Instant::ZERO)
}

/// Takes every stream, sends back or counts what comes, and ends with the other side.
fn serve(mux: &mut Mux, echoes: bool, now: Instant) -> usize {
    let mut arrived = 0;
    while let Some(event) = mux.poll_event() {
        let id = match event {
            MuxEvent::Incoming(id) => {
                mux.accept(id, now).expect("it has just come in");
                id
            }
            MuxEvent::Readable(id) | MuxEvent::Writable(id) => id,
            other => panic!("{other:?}"),
        };
        let Ok(mut stream) = mux.stream(id) else { continue };
        loop {
            match stream.read(usize::MAX, now).expect("it lives") {
                Read::Data(mut data) if echoes => {
                    stream.write(&mut data, now).expect("it lives");
                }
                Read::Data(data) => arrived += data.len(),
                Read::Empty => break,
                Read::Finished => {
                    stream.finish(now).expect("it lives");
                    break;
                }
            }
        }
    }
    arrived
}

/// The end that asks.
struct Opener {
    mux: Mux,
    work: Work,
    /// Of each stream: what is still to be sent and what is still to come back, both in bytes.
    left: BTreeMap<StreamId, (usize, usize)>,
    chunk: Bytes,
    started: usize,
    done: usize,
}

impl Opener {
    fn new(work: Work, mux: Mux) -> Self {
        let size = if matches!(work, Work::Bulk { .. }) { CHUNK_BYTES } else { MESSAGE_BYTES };
        Opener { mux, work, left: BTreeMap::new(), chunk: Bytes::from(vec![7; size]), started: 0, done: 0 }
    }

    fn is_done(&self, arrived: usize) -> bool {
        match self.work {
            Work::Bulk { chunks, .. } => arrived == chunks * CHUNK_BYTES,
            Work::Echo { messages: n, .. } | Work::Cycle { cycles: n, .. } => self.done == n,
        }
    }

    fn start(&mut self, now: Instant) {
        for _ in 0..self.work.streams() {
            self.begin(now);
        }
    }

    /// Opens a stream with its share of the work.
    fn begin(&mut self, now: Instant) {
        let id = self.mux.open(now).expect("the limits are wide");
        let (amount, streams) = (self.work.amount(), self.work.streams());
        let share = amount / streams + usize::from(self.started < amount % streams);
        self.started += 1;
        match self.work {
            Work::Bulk { .. } => {
                self.left.insert(id, (share * CHUNK_BYTES, 0));
                self.fill(id, now);
            }
            Work::Echo { .. } => {
                self.left.insert(id, (share * MESSAGE_BYTES, MESSAGE_BYTES));
                self.say(id, now);
            }
            Work::Cycle { .. } => self.say(id, now),
        }
    }

    fn say(&mut self, id: StreamId, now: Instant) {
        let mut stream = self.mux.stream(id).expect("it lives");
        stream.write(&mut self.chunk.clone(), now).expect("it lives");
        if matches!(self.work, Work::Cycle { .. }) {
            stream.finish(now).expect("it lives");
        }
    }

    /// Writes chunks until the stream takes no more.
    fn fill(&mut self, id: StreamId, now: Instant) {
        let left = &mut self.left.get_mut(&id).expect("it was opened here").0;
        let mut stream = self.mux.stream(id).expect("it lives");
        while *left > 0 {
            let mut chunk = self.chunk.slice(..(*left).min(CHUNK_BYTES));
            *left -= stream.write(&mut chunk, now).expect("it lives");
            if !chunk.is_empty() {
                return;
            }
        }
        stream.finish(now).expect("it lives");
    }

    fn settle(&mut self, now: Instant) {
        while let Some(event) = self.mux.poll_event() {
            match event {
                MuxEvent::Writable(id) => self.fill(id, now),
                MuxEvent::Readable(id) => self.read(id, now),
                other => panic!("{other:?}"),
            }
        }
    }

    fn read(&mut self, id: StreamId, now: Instant) {
        loop {
            let mut stream = self.mux.stream(id).expect("it lives");
            match (stream.read(usize::MAX, now).expect("it lives"), self.work) {
                (Read::Data(data), Work::Echo { .. }) => {
                    let (left, awaited) = self.left.get_mut(&id).expect("it was opened here");
                    *left -= data.len();
                    *awaited -= data.len();
                    if *awaited == 0 {
                        *awaited = MESSAGE_BYTES;
                        self.done += 1;
                        if *left > 0 {
                            self.say(id, now);
                        } else {
                            self.left.remove(&id);
                        }
                    }
                }
                (Read::Data(_), _) => {}
                (Read::Empty, _) => return,
                (Read::Finished, work) => {
                    if let Work::Cycle { cycles, .. } = work {
                        self.done += 1;
                        if self.started < cycles {
                            self.begin(now);
                        }
                    }
                    return;
                }
            }
        }
    }
}

/// One end of the transport: a socket, or what was handed over.
struct Line {
    socket: Option<TcpStream>,
    unsent: Bytes,
    handed: Option<Bytes>,
    arrived: Option<Bytes>,
    buf: Vec<u8>,
}

impl Line {
    fn new(socket: Option<TcpStream>) -> Self {
        Line { socket, unsent: Bytes::new(), handed: None, arrived: None, buf: Vec::new() }
    }

    /// Sends until the socket takes no more or it is the other end's turn, or hands one batch over.
    fn push(&mut self, mux: &mut Mux) {
        let Some(socket) = &mut self.socket else {
            self.handed = mux.poll_transmit();
            return;
        };
        for _ in 0..BATCHES {
            if self.unsent.is_empty() {
                match mux.poll_transmit() {
                    Some(batch) => self.unsent = batch,
                    None => return,
                }
            }
            match socket.write(&self.unsent) {
                Ok(n) => self.unsent.advance(n),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn pass(&mut self, other: &mut Line) {
        other.arrived = self.handed.take();
    }

    /// Takes what has arrived.
    fn pull(&mut self, mux: &mut Mux, now: Instant) {
        let Some(socket) = &mut self.socket else {
            if let Some(batch) = self.arrived.take() {
                mux.handle_data(batch, now).expect("an honest peer");
            }
            return;
        };
        for _ in 0..=BATCHES {
            self.buf.reserve_exact(READ_BYTES);
            match rustix::io::read(&*socket, spare_capacity(&mut self.buf)) {
                Ok(_) => {}
                Err(Errno::WOULDBLOCK) => return,
                Err(error) => panic!("{error}"),
            }
            // Little is copied, so that its buffer serves again.
            let (data, drained) = if self.buf.len() < READ_BYTES / 4 {
                let data = Bytes::copy_from_slice(&self.buf);
                self.buf.clear();
                (data, true)
            } else {
                (Bytes::from(std::mem::take(&mut self.buf)), false)
            };
            mux.handle_data(data, now).expect("an honest peer");
            if drained {
                return;
            }
        }
    }
}
