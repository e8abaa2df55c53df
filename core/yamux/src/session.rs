//! The session: its parts, its construction, and the steps that its other files share.
//!
//! The behaviour is in the files above this one: [`commands`](crate::commands), [`input`](crate::input),
//! [`output`](crate::output), [`expiry`](crate::expiry) and those they use.

use alloc::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use crate::config::{MuxConfig, RESET_LIMIT_STREAMS, RateLimit};
use crate::control_frames::ControlFrames;
use crate::error::{FloodKind, MuxEnd, MuxError};
use crate::event::MuxEvent;
use crate::groups::Groups;
use crate::instant::Instant;
use crate::local_ids::LocalIds;
use crate::parser::Parser;
use crate::random::Random;
use crate::role::Role;
use crate::rtt::Rtt;
use crate::send::WriterWait;
use crate::stats::StreamCounts;
use crate::stream_id::StreamId;
use crate::stream_state::{List, PendingEvent, PendingFrame, StreamTimer};
use crate::stream_table::StreamTable;
use crate::timers::Timers;
use crate::token_bucket::TokenBucket;

/// Frames that change nothing: an honest peer sends few, whatever its users do.
const NOISE: RateLimit = RateLimit::new(1000, 100);
/// Pings: some applications ping in a loop.
const PINGS: RateLimit = RateLimit::new(1000, 200);

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

/// How far this end's `GoAway` with code 0 has got, which leaves room for streams that the peer opened before it knew.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum GoAwayState {
    /// Not sent.
    None,
    /// The peer may not know of it before it answers the ping of this value, which follows the `GoAway`.
    Probing(u32),
    /// The peer knows.
    Acknowledged,
}

/// What a peer may do in excess before it counts as flooding.
#[derive(Debug)]
pub(crate) struct FloodLimits {
    pub(crate) noise: TokenBucket,
    pub(crate) pings: TokenBucket,
    /// `None`: not limited.
    pub(crate) resets: Option<TokenBucket>,
    /// `None`: not limited.
    pub(crate) discarded: Option<TokenBucket>,
}

impl FloodLimits {
    fn new(config: &MuxConfig, now: Instant) -> Self {
        let bucket = |limit: RateLimit| TokenBucket::new(limit.burst, limit.per_second, now);
        // A peer that may open many streams may also reset all of them at once.
        let streams = config.max_inbound_streams as u64;
        let scaled = |n: u64| n.max(n.saturating_mul(streams) / RESET_LIMIT_STREAMS);
        let resets = |limit: RateLimit| RateLimit::new(scaled(limit.burst), scaled(limit.per_second));
        Self {
            noise: bucket(NOISE),
            pings: bucket(PINGS),
            resets: config.reset_limit.map(resets).map(bucket),
            discarded: config.discarded_limit.map(bucket),
        }
    }
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
    pub(crate) groups: Groups,
    pub(crate) limits: FloodLimits,
    pub(crate) parser: Parser,
    pub(crate) control: ControlFrames,
    pub(crate) rtt: Rtt,
    pub(crate) timers: Timers,
    pub(crate) go_away: GoAwayState,
    /// The round of the round robin. 0 is no round.
    pub(crate) round: u16,
    /// The most bytes of a batch.
    pub(crate) batch_limit: usize,
    /// The batch that is being written; empty between polls, but it keeps its memory.
    pub(crate) batch: BytesMut,
    /// The payload of the frame whose header was the end of the last batch.
    pub(crate) payload: Option<Bytes>,
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
        let streams = StreamTable::new(random.next_u64());
        // The round trip is measured before there is any data that an answer could wait behind.
        let mut control = ControlFrames::default();
        control.ping(random.next_u64() as u32);
        Self {
            role,
            number,
            now,
            phase: SessionPhase::Open,
            streams,
            local_ids: LocalIds::new(role),
            last_peer_id: 0,
            counts: StreamCounts::default(),
            groups: Groups::default(),
            limits: FloodLimits::new(&config, now),
            parser: Parser::default(),
            control,
            rtt: Rtt::default(),
            timers: Timers::new(&config, now),
            go_away: GoAwayState::None,
            round: 1,
            batch_limit: config.batch,
            batch: BytesMut::new(),
            payload: None,
            events: VecDeque::new(),
            remote_go_away: false,
            wants_open: false,
            config,
            random,
        }
    }

    pub(crate) fn advance(&mut self, now: Instant) {
        if now > self.now {
            self.now = now;
            self.timers.time_passed(now);
        }
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

    /// Gives a stream that has data a place among those that wait to send it. One that has not used up its quantum in this
    /// round goes before those that have: a small answer does not wait for a round of bulk, and no stream sends more than two
    /// quanta while another waits.
    pub(crate) fn schedule(&mut self, key: usize) {
        let stream = &self.streams[key];
        if stream.send.unsent() > 0 && !stream.is_scheduled() {
            let is_sparse = stream.send.quota(self.round) > 0;
            self.streams.push(if is_sparse { List::Sparse } else { List::Ready }, key);
            self.timers.output_pending(self.now);
        }
    }

    /// Notifies a writer that was cut short if a write would take enough now and at most `mark` bytes are queued.
    /// A window that is too small is used as it is after a delay, since the peer may wait for data to grant more.
    pub(crate) fn wake_writer(&mut self, key: usize, mark: usize) {
        let stream = &self.streams[key];
        if stream.reset.is_some() {
            return;
        }
        match stream.send.writer_wait(mark) {
            WriterWait::Ready => self.notify_writer(key),
            WriterWait::LargerWindow => self.arm(key, StreamTimer::SwsDelay),
            WriterWait::NoWriter | WriterWait::Queue | WriterWait::Window => {}
        }
    }

    /// Notifies a writer that was cut short, if there is one.
    pub(crate) fn notify_writer(&mut self, key: usize) {
        if self.streams[key].send.unblock() {
            self.notify(key, PendingEvent::Writable);
        }
    }

    /// The queued bytes of a stream down to which a full queue drains before its writer is notified: so few that the
    /// writer can fill most of it at once, so many that it does not run empty before.
    pub(crate) fn low_mark(&self) -> usize {
        self.config.max_stream_unsent / 4
    }

    /// Arms the idle timer of a stream that has just become half-closed.
    pub(crate) fn arm_if_half_closed(&mut self, key: usize) {
        let stream = &mut self.streams[key];
        if stream.is_half_closed() {
            stream.progress_at = self.now;
            self.arm(key, StreamTimer::HalfClosed);
        }
    }

    /// Arms the stall timer of a stream whose writer has just begun to wait for any window.
    pub(crate) fn arm_stall(&mut self, key: usize) {
        self.streams[key].send.set_stalled_at(self.now);
        self.arm(key, StreamTimer::Stall);
    }

    /// Counts a frame that changes nothing, which is an error only if there are too many.
    pub(crate) fn protocol_noise(&mut self) -> Result<(), MuxError> {
        match self.limits.noise.take(1, self.now) {
            true => Ok(()),
            false => Err(MuxError::Flood(FloodKind::Noise)),
        }
    }

    /// Counts a stream that was opened and reset for nothing, where that is limited.
    pub(crate) fn count_reset(&mut self) -> Result<(), MuxError> {
        match self.limits.resets.as_mut().is_none_or(|bucket| bucket.take(1, self.now)) {
            true => Ok(()),
            false => Err(MuxError::Flood(FloodKind::Resets)),
        }
    }
}
