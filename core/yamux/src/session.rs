//! The session: its parts, its construction, and the steps that its other files share.
//!
//! The behaviour is in the files above this one: [`commands`](crate::commands), [`input`](crate::input),
//! [`output`](crate::output), [`expiry`](crate::expiry) and those they use.

use alloc::collections::VecDeque;

use bytes::BytesMut;

use crate::config::MuxConfig;
use crate::control_frames::ControlFrames;
use crate::error::{FloodKind, MuxEnd, MuxError};
use crate::event::MuxEvent;
use crate::instant::Instant;
use crate::local_ids::LocalIds;
use crate::parser::Parser;
use crate::random::Random;
use crate::role::Role;
use crate::rtt::Rtt;
use crate::send::Sendable;
use crate::stats::StreamCounts;
use crate::stream_id::StreamId;
use crate::stream_state::{List, PendingEvent, PendingFrame, StreamTimer};
use crate::stream_table::StreamTable;
use crate::timers::Timers;
use crate::token_bucket::TokenBucket;

/// Frames that change nothing: a burst of 1000, and 100 a second.
const NOISE: (u64, u64) = (1000, 100);
/// Pings. Some applications ping in a loop, so a burst of 1000, and 200 a second.
const PINGS: (u64, u64) = (1000, 200);
/// Streams reset within a second of their opening, where 256 may be open: a burst of 512, and 100 a second.
const RESETS: (u64, u64) = (512, 100);
/// Bytes for unknown streams: an honest peer may have this much in flight when this end resets many streams.
const DISCARDED: (u64, u64) = (64 * 1024 * 1024, 4 * 1024 * 1024);

/// The lifecycle of a session.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum SessionPhase {
    Open,
    /// After `go_away`: new streams are refused.
    GoingAway,
    /// After `shutdown`: ends with the last stream, or at this time.
    ShuttingDown(Instant),
    /// Over. The last frames may still have to be pulled.
    Ended(MuxEnd),
}

/// What a peer may do in excess before it counts as flooding.
#[derive(Debug)]
pub(crate) struct FloodLimits {
    pub(crate) noise: TokenBucket,
    pub(crate) pings: TokenBucket,
    pub(crate) resets: TokenBucket,
    pub(crate) discarded: TokenBucket,
}

/// One Yamux session. See the [crate documentation](crate) for how to run it.
// Fields: each part with rules of its own is a type of its own; the session only connects them.
#[derive(Debug)]
pub struct Mux {
    pub(crate) role: Role,
    pub(crate) config: MuxConfig,
    /// Goes into every `StreamId`.
    pub(crate) number: u32,
    /// The latest time that was passed in. It never goes back.
    pub(crate) now: Instant,
    pub(crate) phase: SessionPhase,
    pub(crate) random: Random,
    pub(crate) streams: StreamTable,
    pub(crate) local_ids: LocalIds,
    /// The highest id that the peer has used.
    pub(crate) last_peer_id: u32,
    pub(crate) counts: StreamCounts,
    pub(crate) limits: FloodLimits,
    pub(crate) parser: Parser,
    pub(crate) control: ControlFrames,
    pub(crate) rtt: Rtt,
    pub(crate) timers: Timers,
    /// The batch that is being written; empty between polls, but it keeps its memory.
    pub(crate) batch: BytesMut,
    /// Events of the session. Those of streams are kept as state of the streams.
    pub(crate) events: VecDeque<MuxEvent>,
    /// The peer has sent `GoAway` with code 0.
    pub(crate) remote_go_away: bool,
    /// An `open` failed for want of room, so that room is an event.
    pub(crate) wants_open: bool,
}

impl Mux {
    /// A session over a byte stream that has carried nothing yet.
    ///
    /// `number` goes into every [`StreamId`]: give sessions whose ids meet in one application different ones. `seed`
    /// keys the id map and the values of pings, and must not be known to the peer. A config that fails
    /// [`MuxConfig::check`] still gives a working session, with the nearest values that work.
    pub fn new(role: Role, mut config: MuxConfig, number: u32, seed: [u8; 32], now: Instant) -> Self {
        config.clamp();
        let mut random = Random::new(seed);
        let bucket = |(capacity, rate)| TokenBucket::new(capacity, rate, now);
        // A peer that may open many streams may also reset all of them at once.
        let scaled = |n: u64| n.max(n.saturating_mul(config.max_inbound_streams as u64) / 256);
        Self {
            role,
            number,
            now,
            phase: SessionPhase::Open,
            streams: StreamTable::new(random.next_u64()),
            local_ids: LocalIds::new(role),
            last_peer_id: 0,
            counts: StreamCounts::default(),
            limits: FloodLimits {
                noise: bucket(NOISE),
                pings: bucket(PINGS),
                resets: bucket((scaled(RESETS.0), scaled(RESETS.1))),
                discarded: bucket(DISCARDED),
            },
            parser: Parser::default(),
            control: ControlFrames::default(),
            rtt: Rtt::default(),
            timers: Timers::new(&config, now),
            batch: BytesMut::new(),
            events: VecDeque::new(),
            remote_go_away: false,
            wants_open: false,
            config,
            random,
        }
    }

    pub(crate) fn advance(&mut self, now: Instant) {
        self.now = self.now.max(now);
    }

    pub(crate) fn is_ended(&self) -> bool {
        matches!(self.phase, SessionPhase::Ended(_))
    }

    pub(crate) fn id(&self, key: usize) -> StreamId {
        StreamId { session: self.number, slot: key as u32, generation: self.streams[key].generation }
    }

    /// The key of a live stream.
    pub(crate) fn find(&self, id: StreamId) -> Option<usize> {
        let key = id.slot as usize;
        let stream = self.streams.get(key)?;
        let is_live = id.session == self.number && stream.generation == id.generation && !stream.is_free();
        is_live.then_some(key)
    }

    /// Whether an id on the wire is the peer's to open: odd from a client, even from a server.
    pub(crate) fn is_peer_id(&self, id: u32) -> bool {
        id.is_multiple_of(2) == (self.role == Role::Client)
    }

    /// Queues a frame other than data.
    pub(crate) fn queue_frame(&mut self, key: usize, frame: PendingFrame) {
        self.streams[key].frames.insert(frame);
        self.streams.push(List::Frames, key);
        self.timers.output_pending(self.now);
    }

    /// Queues an event.
    pub(crate) fn notify(&mut self, key: usize, event: PendingEvent) {
        self.streams[key].events.insert(event);
        self.streams.push(List::Events, key);
    }

    /// Arms a timer.
    pub(crate) fn arm(&mut self, key: usize, timer: StreamTimer) {
        self.timers.arm(&mut self.streams[key], key, timer, self.now);
    }

    /// Puts a stream into the round robin if it has data and a window that is worth a frame.
    pub(crate) fn schedule(&mut self, key: usize) {
        let stream = &mut self.streams[key];
        if stream.lists.contains(List::Ready) || stream.reset.is_some() {
            return;
        }
        match stream.send.sendable() {
            Sendable::Nothing | Sendable::Delayed => {}
            Sendable::DelayStarts => self.arm(key, StreamTimer::SwsDelay),
            Sendable::Data => {
                self.streams.push(List::Ready, key);
                self.timers.output_pending(self.now);
            }
        }
    }

    /// Arms the idle timer of a stream that has just become half-closed.
    pub(crate) fn arm_if_half_closed(&mut self, key: usize) {
        let stream = &mut self.streams[key];
        if stream.is_half_closed() {
            stream.progress_at = self.now;
            self.arm(key, StreamTimer::Closing);
        }
    }

    /// Arms the idle timer of a stream that its application has just abandoned. If the other end has abandoned it too,
    /// neither window opens any more and neither FIN can leave.
    pub(crate) fn arm_if_abandoned(&mut self, key: usize) {
        let stream = &mut self.streams[key];
        if stream.is_abandoned() {
            stream.progress_at = self.now;
            self.arm(key, StreamTimer::Closing);
        }
    }

    /// Arms the stall timer of a stream whose data has just begun to wait for any window.
    pub(crate) fn arm_stall(&mut self, key: usize) {
        self.streams[key].send.set_flow_blocked_at(self.now);
        self.arm(key, StreamTimer::Stall);
    }

    /// StreamCounts a frame that changes nothing, which is an error only if there are too many.
    pub(crate) fn protocol_noise(&mut self) -> Result<(), MuxError> {
        match self.limits.noise.take(1, self.now) {
            true => Ok(()),
            false => Err(MuxError::Flood(FloodKind::Noise)),
        }
    }

    /// StreamCounts a stream that was opened and reset for nothing.
    pub(crate) fn count_reset(&mut self) -> Result<(), MuxError> {
        match self.limits.resets.take(1, self.now) {
            true => Ok(()),
            false => Err(MuxError::Flood(FloodKind::Resets)),
        }
    }
}
