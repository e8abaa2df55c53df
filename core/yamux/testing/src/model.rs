//! What two sessions may do: every stream as a pair of counters, and every frame held to the rules of the wire.
//!
//! The bytes of a stream follow from its id and the offset, so that nothing is stored to be compared.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use bytes::Bytes;
use hvym_yamux::{MuxConfig, MuxEnd, ResetReason, StreamId};

use crate::lens::{ACK, DATA, FIN, Frame, GO_AWAY, GRANT, PING, Piece, RST, SYN, WINDOW};
use crate::ops::End;

/// A prime, so that a shift by any power of two is noticed.
const PERIOD: usize = 65_521;
/// The most bytes of one [`pattern`].
const MOST: usize = 5 * PERIOD;

static TABLE: LazyLock<Bytes> = LazyLock::new(|| {
    let mut x = 0x9E37_79B9u32;
    let once: Vec<u8> = std::iter::repeat_with(|| {
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        (x >> 11) as u8
    })
    .take(PERIOD)
    .collect();
    Bytes::from(once.repeat(MOST / PERIOD + 1))
});

/// What `end` writes on stream `id` from `offset` on, at most 327605 bytes.
pub fn pattern(end: End, id: u32, offset: u64, len: usize) -> Bytes {
    let start = (offset as usize + id as usize * 7919 + end * 31_337) % PERIOD;
    TABLE.slice(start..start + len.min(MOST))
}

/// The frames of one stream in one direction.
#[derive(Clone, Debug, Default)]
pub struct Trail {
    /// Opened.
    pub syn: bool,
    /// Frames with ACK.
    pub acks: u32,
    /// Ended.
    pub fin: bool,
    /// Torn down.
    pub rst: bool,
    /// Payload that headers announced.
    pub announced: u64,
    /// Payload.
    pub payload: u64,
    /// Window that was granted.
    pub grants: u64,
}

impl Trail {
    fn note(&mut self, frame: Frame) {
        self.syn |= frame.has(SYN);
        self.acks += u32::from(frame.has(ACK));
        self.fin |= frame.has(FIN);
        self.rst |= frame.has(RST);
        match frame.kind {
            DATA => self.announced += u64::from(frame.length),
            _ => self.grants += u64::from(frame.length),
        }
    }
}

// Fields: one for each thing that the model compares.
/// One stream as one end knows it.
// Fields: independent observations that are compared with what the session says.
#[derive(Clone, Debug, Default)]
pub struct Half {
    /// Its name there, once there is one.
    pub key: Option<StreamId>,
    /// The name is stale.
    pub closed: bool,
    /// Came in, and was accepted.
    pub accepted: bool,
    /// Bytes that a write took.
    pub written: u64,
    /// `finish` was called.
    pub finished: bool,
    /// `reset` was called.
    pub reset: bool,
    /// The peer ended its half, and then tore the other one down: what it said stays readable.
    pub refused: bool,
    /// `stop` was called.
    pub stopped: bool,
    /// Bytes that were read.
    pub read: u64,
    /// The end was read.
    pub ended: bool,
    /// `Readable` was told, and no read has found nothing since.
    pub readable: bool,
    /// A write was cut short, so that `Writable` is owed.
    pub owed: bool,
    /// Why it was torn down, as an event or a call said.
    pub torn: Option<ResetReason>,
    /// What this end sent.
    pub sent: Trail,
    /// What has arrived here.
    pub heard: Trail,
}

impl Half {
    /// The application may still use it.
    pub fn is_usable(&self) -> bool {
        self.key.is_some() && !self.closed && !self.reset && self.torn.is_none()
    }
}

/// Both sessions.
#[derive(Debug)]
pub struct Model {
    /// Every stream there ever was.
    pub streams: BTreeMap<u32, [Half; 2]>,
    /// How many streams each end opened.
    pub opened: [u32; 2],
    /// How each session ended.
    pub ended: [Option<MuxEnd>; 2],
    /// The code of the last `GoAway` each end sent.
    pub goodbye: [Option<u32>; 2],
    pings: [Vec<u32>; 2],
    config: MuxConfig,
}

/// Fails the run with a sentence unless the condition holds.
#[macro_export]
macro_rules! ensure {
    ($holds:expr, $($why:tt)+) => {
        if !$holds {
            return Err(format!($($why)+));
        }
    };
}
pub use ensure;

/// Which end opens streams of this number.
pub fn opener(id: u32) -> End {
    (id % 2) as End
}

impl Model {
    /// Nothing has happened.
    pub fn new(config: MuxConfig) -> Self {
        Model {
            streams: BTreeMap::new(),
            opened: [0; 2],
            ended: [None; 2],
            goodbye: [None; 2],
            pings: [Vec::new(), Vec::new()],
            config,
        }
    }

    /// `end` opened a stream; its number follows.
    pub fn opens(&mut self, end: End, key: StreamId) -> u32 {
        let id = [2, 1][end] + 2 * self.opened[end];
        self.opened[end] += 1;
        self.half(end, id).key = Some(key);
        id
    }

    /// Stream `id` at `end`.
    pub fn half(&mut self, end: End, id: u32) -> &mut Half {
        &mut self.streams.entry(id).or_default()[end]
    }

    /// `end` sent this.
    pub fn sent(&mut self, end: End, piece: Piece<'_>) -> Result<(), String> {
        let frame = match piece {
            Piece::Header(frame) => frame,
            Piece::Payload(id, bytes) => return self.sent_payload(end, id, bytes),
        };
        ensure!(frame.version == 0, "version {}", frame.version);
        // invariant 21: an error's GoAway is the last frame
        let last_word = self.goodbye[end].is_some_and(|code| code != 0);
        ensure!(!last_word, "{frame:?} after a GoAway");
        match frame.kind {
            PING => self.sent_ping(end, frame),
            GO_AWAY => {
                ensure!(frame.id == 0 && frame.flags == 0 && frame.length <= 2, "{frame:?}");
                self.goodbye[end] = Some(frame.length);
                Ok(())
            }
            DATA | GRANT => self.sent_stream(end, frame),
            kind => Err(format!("frame type {kind}")),
        }
    }

    fn sent_ping(&mut self, end: End, frame: Frame) -> Result<(), String> {
        ensure!(frame.id == 0 && (frame.flags == SYN || frame.flags == ACK), "{frame:?}");
        if frame.flags == ACK {
            let asked = self.pings[end].iter().position(|value| *value == frame.length);
            ensure!(asked.is_some(), "{frame:?} answers nothing");
            asked.map(|at| self.pings[end].remove(at));
        }
        Ok(())
    }

    fn sent_stream(&mut self, end: End, frame: Frame) -> Result<(), String> {
        let (config, id) = (self.config.clone(), frame.id);
        // invariant 6
        ensure!(id != 0 && id <= 2 * self.opened[opener(id)], "{frame:?}: never opened");
        let half = self.half(end, id);
        let (own, peer) = (&half.sent, &half.heard);
        // invariant 5
        ensure!(!own.rst, "{frame:?} after RST");
        ensure!(!peer.rst || frame.has(RST), "{frame:?} after the peer's RST");
        match opener(id) == end {
            true => {
                ensure!(frame.has(SYN) != own.syn, "{frame:?}: exactly the first frame carries SYN");
                ensure!(!frame.has(ACK), "{frame:?}: the opener acknowledges");
            }
            false => {
                ensure!(peer.syn, "{frame:?} before the SYN arrived");
                ensure!(!frame.has(SYN), "{frame:?}: SYN from the acceptor");
                ensure!(!frame.has(ACK) || own.acks == 0, "{frame:?}: a second ACK");
            }
        }
        ensure!(!(frame.has(FIN) && own.fin), "{frame:?}: a second FIN");
        ensure!(!frame.has(FIN) || (frame.kind == GRANT && frame.length == 0), "{frame:?}: FIN is not alone");
        ensure!(!frame.has(RST) || (frame.kind == GRANT && frame.length == 0), "{frame:?}: RST is not alone");
        ensure!(!frame.has(FIN) || half.finished, "{frame:?}: nobody finished");
        // invariant 7
        ensure!(frame.flags != 0 || frame.length != 0, "{frame:?} means nothing");
        if frame.kind == DATA {
            ensure!((1..=65_536).contains(&frame.length), "{frame:?}: length of data");
            ensure!(!own.fin, "{frame:?}: data after FIN");
            // invariant 3
            let total = own.announced + u64::from(frame.length);
            ensure!(total <= WINDOW + peer.grants, "{frame:?}: {total} bytes exceed the window");
            ensure!(total <= half.written, "{frame:?}: more than was written");
            ensure!(half.written <= WINDOW + peer.grants, "{frame:?}: more is queued than was granted");
        } else if frame.length > 0 {
            ensure!(!peer.fin, "{frame:?}: a grant after the peer's end");
            // invariant 4
            let beyond = (own.grants + u64::from(frame.length)).saturating_sub(half.read);
            let most = u64::from(config.max_stream_window.max(WINDOW as u32)) - WINDOW;
            ensure!(
                beyond <= most.min(config.window_growth_budget as u64),
                "{frame:?}: {beyond} bytes too many"
            );
        }
        self.half(end, id).sent.note(frame);
        Ok(())
    }

    fn sent_payload(&mut self, end: End, id: u32, bytes: &[u8]) -> Result<(), String> {
        let half = self.half(end, id);
        ensure!(
            pattern(end, id, half.sent.payload, bytes.len()) == bytes,
            "stream {id}: other bytes were sent than written, at {}",
            half.sent.payload
        );
        half.sent.payload += bytes.len() as u64;
        Ok(())
    }

    /// This has arrived at `end`.
    pub fn heard(&mut self, end: End, piece: Piece<'_>) {
        match piece {
            Piece::Payload(id, bytes) => self.half(end, id).heard.payload += bytes.len() as u64,
            Piece::Header(frame) if frame.kind == PING && frame.has(SYN) => {
                self.pings[end].push(frame.length);
            }
            Piece::Header(frame) if frame.kind == DATA || frame.kind == GRANT => {
                let half = self.half(end, frame.id);
                half.refused |=
                    frame.has(RST) && half.heard.fin && (half.accepted || opener(frame.id) == end);
                half.heard.note(frame);
            }
            Piece::Header(_) => {}
        }
    }

    /// `end` read these bytes of stream `id`.
    pub fn read(&mut self, end: End, id: u32, bytes: &[u8]) -> Result<(), String> {
        let half = self.half(end, id);
        // invariant 1
        let good = pattern(1 - end, id, half.read, bytes.len()) == bytes;
        ensure!(good, "stream {id}: other bytes were read than written, at {}", half.read);
        ensure!(!bytes.is_empty(), "stream {id}: an empty read");
        half.read += bytes.len() as u64;
        ensure!(half.read <= half.heard.payload, "stream {id}: read what has not arrived");
        Ok(())
    }

    /// `end` read the end of stream `id`.
    pub fn read_end(&mut self, end: End, id: u32) -> Result<(), String> {
        let peer = self.half(1 - end, id).clone();
        let half = self.half(end, id);
        half.ended = true;
        // invariants 1 and 2
        ensure!(half.stopped || (peer.finished && half.heard.fin), "stream {id}: an end that nobody made");
        ensure!(
            half.stopped || half.read == peer.written,
            "stream {id}: ended {} bytes early",
            peer.written - half.read
        );
        Ok(())
    }

    /// `end` was told, by event or error, that stream `id` was torn down.
    pub fn torn(
        &mut self,
        end: End,
        id: u32,
        reason: ResetReason,
        sheds: bool,
        calm: bool,
    ) -> Result<(), String> {
        let half = self.half(end, id);
        half.torn = Some(reason);
        let just = match reason {
            ResetReason::Peer(_) => half.heard.rst,
            ResetReason::Local(_) => half.reset,
            ResetReason::Unwanted => half.stopped,
            ResetReason::Budget => sheds,
            _ => !calm,
        };
        ensure!(just, "stream {id} was torn down without a cause: {reason:?}");
        Ok(())
    }

    /// Whether the name of stream `id` may be stale at `end`.
    pub fn may_be_closed(&mut self, end: End, id: u32) -> bool {
        let half = self.half(end, id);
        let over = (half.sent.fin || half.refused) && half.heard.fin && (half.ended || half.stopped);
        half.reset || half.torn.is_some() || over
    }
}
