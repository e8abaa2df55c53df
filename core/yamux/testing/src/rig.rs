//! One mux, and its peer written by hand: raw Yamux frames in, raw Yamux frames out.
//!
//! Shares no code with the mux under test, so that a mistake cannot hide in both.

use std::time::Duration;

use bytes::Bytes;
use hvym_yamux::Instant;
use hvym_yamux::{Mux, MuxConfig, MuxError, MuxEvent, Read, Role, StreamError, StreamId};

/// Opens a stream.
pub const SYN: u16 = 1;
/// Acknowledges a stream, or answers a ping.
pub const ACK: u16 = 2;
/// Ends the sender's half.
pub const FIN: u16 = 4;
/// Tears the stream down.
pub const RST: u16 = 8;

/// What both sides may send before any update.
pub const WINDOW: usize = 262_144;

/// A frame as it was on the wire.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Frame {
    /// 0 data, 1 window update, 2 ping, 3 go away.
    pub kind: u8,
    /// See [`SYN`] and its neighbours.
    pub flags: u16,
    /// The stream, 0 for the session.
    pub id: u32,
    /// The length field.
    pub length: u32,
    /// The payload of a data frame.
    pub payload: Vec<u8>,
}

impl Frame {
    /// A frame without payload.
    pub fn bare(kind: u8, flags: u16, id: u32, length: u32) -> Self {
        Frame { kind, flags, id, length, payload: Vec::new() }
    }

    /// Whether it is stream data with at least one byte.
    pub fn is_data(&self) -> bool {
        self.kind == 0 && self.length > 0
    }
}

/// Twelve bytes of header.
pub fn header(version: u8, kind: u8, flags: u16, id: u32, length: u32) -> Vec<u8> {
    let mut raw = vec![version, kind];
    raw.extend_from_slice(&flags.to_be_bytes());
    raw.extend_from_slice(&id.to_be_bytes());
    raw.extend_from_slice(&length.to_be_bytes());
    raw
}

/// A data frame.
pub fn data(flags: u16, id: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("tests send less than 4 GiB");
    let mut raw = header(0, 0, flags, id, length);
    raw.extend_from_slice(payload);
    raw
}

/// A window update.
pub fn window(flags: u16, id: u32, delta: u32) -> Vec<u8> {
    header(0, 1, flags, id, delta)
}

/// A ping, or with [`ACK`] its answer.
pub fn ping(flags: u16, id: u32, value: u32) -> Vec<u8> {
    header(0, 2, flags, id, value)
}

/// A farewell.
pub fn go_away(code: u32) -> Vec<u8> {
    header(0, 3, 0, 0, code)
}

/// Every frame of `bytes`, which must end with a whole one.
pub fn parse(mut bytes: &[u8]) -> Vec<Frame> {
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let (head, rest) = bytes.split_at_checked(12).expect("output ends with a whole header");
        let word = |at: usize| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        assert_eq!(head[0], 0, "every frame is of version 0");
        let mut frame = Frame::bare(head[1], u16::from_be_bytes([head[2], head[3]]), word(4), word(8));
        let length = if frame.kind == 0 { frame.length as usize } else { 0 };
        let (payload, rest) = rest.split_at_checked(length).expect("output ends with a whole payload");
        frame.payload = payload.to_vec();
        frames.push(frame);
        bytes = rest;
    }
    frames
}

/// The next batch, and with it the large payload that follows its last header, if one does.
pub fn whole_batch(mux: &mut Mux) -> Option<Bytes> {
    let first = mux.poll_transmit()?;
    let mut rest = &first[..];
    loop {
        let Some((head, after)) = rest.split_at_checked(12) else { return Some(first) };
        let length = u32::from_be_bytes([head[8], head[9], head[10], head[11]]) as usize;
        match after.split_at_checked(if head[1] == 0 { length } else { 0 }) {
            Some((_, next)) => rest = next,
            None => break,
        }
    }
    let payload = mux.poll_transmit().expect("the payload follows its header");
    Some([first, payload].concat().into())
}

/// A mux whose peer is the test.
pub struct Rig {
    /// The mux under test.
    pub mux: Mux,
    /// The time it is told.
    pub now: Instant,
    /// The value of the ping that its session began with.
    pub first_ping: u32,
}

impl Rig {
    /// With this configuration; its own streams are odd as an agent and even as a relay.
    pub fn with(role: Role, config: MuxConfig) -> Self {
        let now = Instant::from_millis(1_000);
        let mut rig = Rig { mux: Mux::new(role, config, 1, [7; 32], now), now, first_ping: 0 };
        let [Frame { kind: 2, flags: SYN, id: 0, length, .. }] = rig.sent()[..] else {
            panic!("a session begins with a ping")
        };
        rig.first_ping = length;
        rig
    }

    /// An agent with the default limits: the peer's streams are even.
    pub fn agent() -> Self {
        Self::with(Role::Client, MuxConfig::default())
    }

    /// An agent whose default limits were changed.
    pub fn agent_but(change: impl FnOnce(&mut MuxConfig)) -> Self {
        let mut config = MuxConfig::default();
        change(&mut config);
        Self::with(Role::Client, config)
    }

    /// The peer sends these bytes.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), MuxError> {
        let outcome = self.mux.handle_data(Bytes::copy_from_slice(bytes), self.now);
        self.check();
        outcome
    }

    /// The peer sends these bytes, which are legal.
    pub fn take(&mut self, bytes: &[u8]) {
        self.feed(bytes).expect("the session lives on");
    }

    /// All frames that wait to be sent.
    pub fn sent(&mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        while let Some(batch) = whole_batch(&mut self.mux) {
            frames.extend(parse(&batch));
            self.check();
        }
        frames
    }

    /// The next batch alone, with a large payload that follows it.
    pub fn batch(&mut self) -> Vec<Frame> {
        whole_batch(&mut self.mux).map(|batch| parse(&batch)).unwrap_or_default()
    }

    /// All events that wait.
    pub fn events(&mut self) -> Vec<MuxEvent> {
        let events = std::iter::from_fn(|| self.mux.poll_event()).collect();
        self.check();
        events
    }

    /// Time passes.
    pub fn pass(&mut self, time: Duration) -> Result<(), MuxError> {
        self.now = self.now + time;
        let outcome = self.mux.handle_timeout(self.now);
        self.check();
        outcome
    }

    /// The peer opens stream `wire` with a bare window update, and this side accepts it and says so.
    pub fn accepted(&mut self, wire: u32) -> StreamId {
        self.take(&window(SYN, wire, 0));
        let id = self.incoming();
        assert_eq!(self.sent().last(), Some(&Frame::bare(1, ACK, wire, 0)));
        id
    }

    /// Accepts the one stream that came in.
    pub fn incoming(&mut self) -> StreamId {
        let events = self.events();
        let mut ids = events.iter().filter_map(|event| match event {
            MuxEvent::Incoming(id) => Some(*id),
            _ => None,
        });
        let (Some(id), None) = (ids.next(), ids.next()) else { panic!("expected one stream: {events:?}") };
        self.mux.accept(id, self.now).expect("it was just announced");
        id
    }

    /// Opens a stream, and lets its SYN leave and be acknowledged.
    pub fn opened(&mut self) -> (StreamId, u32) {
        self.sent();
        let id = self.open();
        let frames = self.sent();
        let [Frame { kind: 1, flags: SYN, id: wire, length: 0, .. }] = frames[..] else {
            panic!("expected an opening, got {frames:?}")
        };
        self.take(&window(ACK, wire, 0));
        (id, wire)
    }

    /// Opens a stream with data that is still queued.
    pub fn opened_with(&mut self, payload: &[u8]) -> StreamId {
        let id = self.open();
        self.write(id, payload);
        id
    }

    /// Opens a stream.
    pub fn open(&mut self) -> StreamId {
        self.mux.open(self.now).expect("there is room for another stream")
    }

    /// Writes all of `payload`.
    pub fn write(&mut self, id: StreamId, payload: &[u8]) {
        let taken = self.write_some(id, payload);
        assert_eq!(taken, payload.len(), "there is room for all of it");
    }

    /// Writes what there is room for.
    pub fn write_some(&mut self, id: StreamId, payload: &[u8]) -> usize {
        let mut rest = Bytes::copy_from_slice(payload);
        let taken = self.mux.stream(id).expect("a live stream").write(&mut rest, self.now);
        self.check();
        taken.expect("a writable stream")
    }

    /// Writes what there is room for if the stream is told that it may, as an application does that waits for it.
    pub fn write_when_told(&mut self, id: StreamId, payload: &[u8]) -> usize {
        let is_told = self.events().contains(&MuxEvent::Writable(id));
        if is_told { self.write_some(id, payload) } else { 0 }
    }

    /// One read.
    pub fn read(&mut self, id: StreamId) -> Result<Read, StreamError> {
        let read = self.mux.stream(id)?.read(usize::MAX, self.now);
        self.check();
        read
    }

    /// Everything that can be read, and whether it was followed by the end.
    pub fn read_all(&mut self, id: StreamId) -> (Vec<u8>, bool) {
        let mut all = Vec::new();
        loop {
            match self.read(id).expect("a readable stream") {
                Read::Data(data) => all.extend_from_slice(&data),
                Read::Empty => return (all, false),
                Read::Finished => return (all, true),
            }
        }
    }

    /// Ends this side's half.
    pub fn finish(&mut self, id: StreamId) {
        self.mux.stream(id).expect("a live stream").finish(self.now).expect("a live stream");
        self.check();
    }

    /// Gives up reading.
    pub fn stop(&mut self, id: StreamId) {
        self.mux.stream(id).expect("a live stream").stop(self.now);
        self.check();
    }

    /// Tears a stream down.
    pub fn reset(&mut self, id: StreamId) {
        self.mux.stream(id).expect("a live stream").reset(0, self.now);
        self.check();
    }

    /// Asserts that the session still works: it answers a ping.
    pub fn assert_alive(&mut self) {
        self.take(&ping(SYN, 0, 0xA11E));
        let answered = self.sent().contains(&Frame::bare(2, ACK, 0, 0xA11E));
        assert!(answered, "a living session answers a ping");
    }

    /// Asserts that these bytes end the session: with this error, one farewell of `code` as its last frame, and silence.
    pub fn assert_fatal(&mut self, bytes: &[u8], error: MuxError, code: u32) {
        assert_eq!(self.feed(bytes), Err(error));
        self.assert_ended(error, Some(code));
    }

    /// Asserts that the session has ended so.
    pub fn assert_ended(&mut self, error: MuxError, code: Option<u32>) {
        let farewell: Vec<Frame> = code.map(|code| Frame::bare(3, 0, 0, code)).into_iter().collect();
        assert_eq!(self.sent(), farewell, "a farewell is all that is left to send");
        let ended = MuxEvent::Ended(hvym_yamux::MuxEnd::Failed(error));
        assert_eq!(self.events().last(), Some(&ended));
        self.feed(&window(SYN, 2, 0)).expect("later input is ignored");
        self.feed(&ping(SYN, 0, 1)).expect("later input is ignored");
        assert_eq!((self.sent(), self.events()), (vec![], vec![]), "nothing follows the end");
        assert_eq!(self.mux.poll_timeout(), None);
    }

    fn check(&self) {
        if let Err(broken) = self.mux.check_invariants() {
            panic!("an invariant is broken: {broken}");
        }
    }
}
