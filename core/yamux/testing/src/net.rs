//! Two sessions, the wires between them, and applications that write and read, in simulated time.
//!
//! End 0 opens the streams, as a relay does for its visitors, and end 1 accepts them, as an agent does.

use core::time::Duration;
use std::collections::BTreeMap;

use bytes::Bytes;
use hvym_yamux::{Instant, Mux, MuxConfig, MuxEnd, MuxError, MuxEvent, OpenError, Read, Role, StreamId};

use crate::wire::{Path, Wire};

/// The most bytes of one write: what a copy loop reads at once.
const PIECE: usize = 64 * 1024;
static ZEROS: [u8; PIECE] = [0; PIECE];
/// How often a slow reader reads.
const TICK: Duration = Duration::from_millis(50);

/// How an end reads a stream.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Reader {
    /// All at once.
    Fast,
    /// So many bytes a second.
    Slow(u64),
    /// Not at all.
    Stopped,
}

/// What one end does with a stream, and what has become of it.
#[derive(Copy, Clone, Debug)]
pub struct Half {
    id: Option<StreamId>,
    reader: Reader,
    /// Bytes that it still writes.
    pub left: u64,
    /// Bytes that it writes when the first byte has arrived.
    pub answer: u64,
    /// Bytes that were read.
    pub read: u64,
    /// When it last read.
    pub read_at: Instant,
    /// The stream was reset.
    pub was_reset: bool,
}

impl Half {
    fn new(now: Instant) -> Self {
        Self { id: None, reader: Reader::Fast, left: 0, answer: 0, read: 0, read_at: now, was_reset: false }
    }
}

/// Two sessions and their streams.
#[derive(Debug)]
pub struct Net {
    /// The sessions: the opener and the acceptor.
    pub ends: [Mux; 2],
    /// What the ends send.
    pub wires: [Wire; 2],
    /// The time.
    pub now: Instant,
    /// Of each stream what either end does, in the order of their opening.
    pub streams: Vec<[Half; 2]>,
    /// Whether the drivers say how much the sockets take.
    pub has_budget: bool,
    /// How a session ended.
    pub ended: [Option<MuxEnd>; 2],
    by_id: [BTreeMap<StreamId, usize>; 2],
    by_wire_id: BTreeMap<u32, usize>,
    next_tick: Instant,
    /// The streams that are read slowly.
    slow: Vec<usize>,
}

impl Net {
    /// Two fresh sessions.
    pub fn new(opener: MuxConfig, acceptor: MuxConfig, path: Path) -> Self {
        let now = Instant::from_millis(1);
        Self {
            ends: [
                Mux::new(Role::Server, opener, 1, [1; 32], now),
                Mux::new(Role::Client, acceptor, 2, [2; 32], now),
            ],
            wires: [Wire::new(path), Wire::new(path)],
            now,
            streams: Vec::new(),
            has_budget: true,
            ended: [None; 2],
            by_id: Default::default(),
            by_wire_id: BTreeMap::new(),
            next_tick: now,
            slow: Vec::new(),
        }
    }

    /// Opens a stream; its number in `streams`.
    ///
    /// # Errors
    /// The session takes none.
    pub fn open(&mut self) -> Result<usize, OpenError> {
        let id = self.ends[0].open(self.now)?;
        let number = self.streams.len();
        self.by_id[0].insert(id, number);
        self.by_wire_id.extend(self.ends[0].wire_id(id).map(|wire| (wire, number)));
        let mut halves = [Half::new(self.now); 2];
        halves[0].id = Some(id);
        self.streams.push(halves);
        Ok(number)
    }

    /// A stream on which the acceptor sends `bytes`, once it knows of the stream.
    ///
    /// # Errors
    /// The session takes none.
    pub fn download(&mut self, bytes: u64, reader: Reader) -> Result<usize, OpenError> {
        let number = self.open()?;
        self.streams[number][0].reader = reader;
        if matches!(reader, Reader::Slow(_)) {
            self.slow.push(number);
        }
        self.streams[number][1].left = bytes;
        Ok(number)
    }

    /// Counts the stream together with others of this group, at the opener.
    pub fn set_group(&mut self, number: usize, group: u64) {
        if let Some(id) = self.streams[number][0].id
            && let Ok(mut stream) = self.ends[0].stream(id)
        {
            stream.set_group(group);
        }
    }

    /// An end resets a stream.
    pub fn reset(&mut self, end: usize, number: usize) {
        if let Some(id) = self.streams[number][end].id
            && let Ok(mut stream) = self.ends[end].stream(id)
        {
            stream.reset(0, self.now);
        }
    }

    /// Both wires carry nothing any more.
    pub fn cut(&mut self) {
        self.wires.iter_mut().for_each(Wire::cut);
    }

    /// Runs for so long.
    pub fn run(&mut self, time: Duration) {
        let until = self.now + time;
        self.run_until(until, |_| false);
        self.now = until;
    }

    /// Runs until `done`, at the latest to `until`; whether it was done.
    pub fn run_until(&mut self, until: Instant, mut done: impl FnMut(&Net) -> bool) -> bool {
        loop {
            self.turn();
            if done(self) {
                return true;
            }
            match self.next() {
                Some(at) if at <= until => self.now = at.max(self.now),
                _ => return false,
            }
        }
    }

    /// When something happens next.
    fn next(&mut self) -> Option<Instant> {
        let mut next = (!self.slow.is_empty()).then_some(self.next_tick);
        for end in 0..2 {
            let blocked = self.ends[end].has_output();
            let room = self.wires[end].next_room().filter(|_| blocked);
            let at = [self.wires[end].next_arrival(), room, self.ends[end].poll_timeout()];
            next = at.into_iter().chain([next]).flatten().min();
        }
        next
    }

    /// Everything that happens without the clock moving.
    fn turn(&mut self) {
        for end in 0..2 {
            while let Some(bytes) = self.wires[1 - end].receive(self.now) {
                self.outcome(end, |mux, now| mux.handle_data(bytes, now));
            }
            if self.ends[end].poll_timeout().is_some_and(|at| at <= self.now) {
                self.outcome(end, Mux::handle_timeout);
            }
        }
        if self.now >= self.next_tick {
            self.next_tick = self.now + TICK;
            for at in 0..self.slow.len() {
                self.read_slowly(0, self.slow[at]);
            }
        }
        for end in 0..2 {
            self.events(end);
            self.send(end);
        }
    }

    fn outcome(&mut self, end: usize, act: impl FnOnce(&mut Mux, Instant) -> Result<(), MuxError>) {
        if let Err(error) = act(&mut self.ends[end], self.now) {
            self.ended[end].get_or_insert(MuxEnd::Failed(error));
        }
    }

    fn send(&mut self, end: usize) {
        loop {
            let room = self.wires[end].room(self.now);
            if room == 0 {
                return;
            }
            self.ends[end].set_batch(if self.has_budget { room } else { usize::MAX });
            let Some(batch) = self.ends[end].poll_transmit() else { return };
            self.wires[end].send(batch, self.now);
            // Output that has left may be what a writer waits for.
            self.events(end);
        }
    }

    fn events(&mut self, end: usize) {
        while let Some(event) = self.ends[end].poll_event() {
            match event {
                MuxEvent::Incoming(id) => self.incoming(end, id),
                MuxEvent::Readable(id) => self.at(end, id, Self::read),
                MuxEvent::Writable(id) => self.at(end, id, Self::write),
                MuxEvent::Reset(id, _) => self.at(end, id, |net, end, number| {
                    net.streams[number][end].was_reset = true;
                }),
                MuxEvent::Ended(how) => self.ended[end] = Some(how),
                _ => {}
            }
        }
    }

    fn at(&mut self, end: usize, id: StreamId, act: impl FnOnce(&mut Self, usize, usize)) {
        if let Some(number) = self.by_id[end].get(&id) {
            act(self, end, *number);
        }
    }

    fn incoming(&mut self, end: usize, id: StreamId) {
        let Some(number) = self.ends[end].wire_id(id).and_then(|wire| self.by_wire_id.get(&wire)) else {
            return;
        };
        let number = *number;
        // It may be gone already.
        if self.ends[end].accept(id, self.now).is_ok() {
            self.by_id[end].insert(id, number);
            self.streams[number][end].id = Some(id);
            self.read(end, number);
            self.write(end, number);
        }
    }

    /// Writes what the stream takes of what is left.
    pub fn write(&mut self, end: usize, number: usize) {
        let half = &mut self.streams[number][end];
        let Some(Ok(mut stream)) = half.id.map(|id| self.ends[end].stream(id)) else { return };
        while half.left > 0 {
            let length = half.left.min(PIECE as u64) as usize;
            let mut piece = Bytes::from_static(&ZEROS[..length]);
            let Ok(taken) = stream.write(&mut piece, self.now) else { return };
            half.left -= taken as u64;
            if taken < length {
                return;
            }
        }
    }

    fn read(&mut self, end: usize, number: usize) {
        if self.streams[number][end].reader == Reader::Fast {
            self.read_up_to(end, number, u64::MAX);
        }
    }

    fn read_slowly(&mut self, end: usize, number: usize) {
        if let Reader::Slow(rate) = self.streams[number][end].reader {
            self.read_up_to(end, number, (rate * TICK.as_millis() as u64 / 1000).max(1));
        }
    }

    fn read_up_to(&mut self, end: usize, number: usize, most: u64) {
        let half = &mut self.streams[number][end];
        let Some(Ok(mut stream)) = half.id.map(|id| self.ends[end].stream(id)) else { return };
        let mut left = most;
        while left > 0
            && let Ok(Read::Data(data)) = stream.read(left.min(1 << 20) as usize, self.now)
        {
            left -= data.len() as u64;
            half.read += data.len() as u64;
            half.read_at = self.now;
            half.left += core::mem::take(&mut half.answer);
        }
        if half.left > 0 {
            self.write(end, number);
        }
    }
}
