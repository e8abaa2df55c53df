//! Yamux without I/O: streams over one byte stream, as deterministic transitions.
//!
//! It speaks the wire of hashicorp/yamux and libp2p (`/yamux/1.0.0`), survives what is known to break them, and
//! knows no dialect, no JSON and no socket. Bytes come in by [`Mux::handle_data`] and are pulled out by
//! [`Mux::poll_transmit`], many frames of many streams in one batch. Stream data is pulled too: events say only that
//! there is some. Nothing is output until it is pulled; until then it is state, so that replies to a peer that does
//! not read cannot pile up.

#![no_std]
#![forbid(unsafe_code)]
#![deny(clippy::unwrap_used)]

extern crate alloc;

mod bucket;
mod config;
mod error;
mod frame;
mod ids;
mod input;
mod instant;
mod invariants;
mod life;
mod output;
mod queue;
mod random;
mod slot;
mod strays;
mod stream;
mod timers;
mod window;

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

use bytes::BytesMut;

use self::bucket::Bucket;
use self::frame::INITIAL_WINDOW;
use self::ids::{Ids, OwnIds};
use self::input::Parser;
use self::random::Random;
use self::slot::{News, Slot, Todo};
use self::timers::{Clock, Timers};
use self::window::Rtt;

pub use config::{MuxConfig, MuxConfigError};
pub use error::{ClosedStream, FloodKind, MuxEnd, MuxError, OpenError, ResetReason, StreamError};
pub use instant::Instant;
pub use stream::{Read, Stream};

/// Which end of the byte stream a session is; it decides the parity of the stream ids it opens.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Role {
    /// The end that dialled: odd stream ids.
    Client,
    /// The end that was dialled: even stream ids.
    Server,
}

/// Names a stream. An id of another link, or of a stream that is gone, is never mistaken for a live one.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct StreamId {
    epoch: u32,
    slot: u32,
    generation: u32,
}

impl StreamId {
    /// An id for a stream that belongs to no Yamux session: the `number`th stream of a transport that is shown to an
    /// application beside sessions, by the same type. Such a transport needs an `epoch` of its own, since two ids of
    /// the same epoch are only distinct if the same party gave them out.
    pub const fn external(epoch: u32, number: u64) -> Self {
        Self { epoch, slot: number as u32, generation: (number >> 32) as u32 }
    }
}

/// What a session tells its owner. At most one of each kind waits for each stream.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum MuxEvent {
    /// The peer opened a stream: [`Mux::accept`] it.
    Incoming(StreamId),
    /// Reading gives something again: data, or the end.
    Readable(StreamId),
    /// Writing takes something again.
    Writable(StreamId),
    /// The stream was torn down, not by this side's application; its id is closed from now on.
    Reset(StreamId, ResetReason),
    /// Opening may succeed again.
    OpenReady,
    /// The peer takes no new streams (code 0).
    RemoteGoAway(u32),
    /// Few stream ids are left; a new link is wanted soon.
    IdsLow,
    /// The end; every stream is lost.
    Ended(MuxEnd),
}

/// A look inside, for logs and tests.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct MuxStats {
    /// Live streams that the peer opened.
    pub inbound: usize,
    /// Live streams that this side opened.
    pub outbound: usize,
    /// Streams of this side that the peer has not acknowledged.
    pub unacked: usize,
    /// Received bytes that nobody has read.
    pub unread: usize,
    /// Written bytes that have not been pulled.
    pub unsent: usize,
    /// What streams have grown beyond their first window, bytes.
    pub grown: usize,
    /// The least of the last round trips measured by Yamux pings.
    pub rtt: Option<Duration>,
}

/// Where a session stands.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Phase {
    Open,
    /// Refuses new streams since `go_away`.
    Leaving,
    /// Waits for the streams to end, at the latest until then.
    ShuttingDown(Instant),
    /// Over, but the last frame may still have to be pulled.
    Ended(MuxEnd),
}

/// Bursts and rates of what costs nothing and means nothing: 1000 at once, 100 a second.
const GLITCHES: (u64, u64) = (1000, 100);
/// Pings: some applications call ping in a loop, so 1000 at once and 200 a second.
const PINGS: (u64, u64) = (1000, 200);
/// Streams reset within a second of their opening, where 256 may be open: 512 at once, 100 a second.
const RESETS: (u64, u64) = (512, 100);
/// Data for streams that nobody remembers: an honest peer may have this much on its way when we reset many.
const DISCARDED: (u64, u64) = (64 * 1024 * 1024, 4 * 1024 * 1024);

/// One Yamux session.
#[derive(Debug)]
pub struct Mux {
    role: Role,
    config: MuxConfig,
    epoch: u32,
    /// The latest time that came in; it never goes back.
    now: Instant,
    phase: Phase,
    random: Random,
    slots: Slots,
    own_ids: OwnIds,
    /// The highest id the peer has used.
    peer_id: u32,
    counts: Counts,
    limits: Limits,
    parser: Parser,
    replies: output::Replies,
    rtt: Rtt,
    timers: Timers,
    batch: BytesMut,
    events: VecDeque<MuxEvent>,
    remote_left: bool,
    wants_open: bool,
}

/// The slab, its free places, and the lists that point into it.
#[derive(Debug)]
struct Slots {
    all: Vec<Slot>,
    free: Vec<usize>,
    ids: Ids,
    /// Places with something to send beside data, each at most once.
    todo: VecDeque<usize>,
    /// Places with data and window, each at most once: the round robin.
    ready: VecDeque<usize>,
    /// Places with news for the application, each at most once.
    news: VecDeque<usize>,
    /// Places whose writers wait for room in the session, each at most once.
    crowded: VecDeque<usize>,
}

#[derive(Debug, Default)]
struct Counts {
    inbound: usize,
    outbound: usize,
    unacked: usize,
    unaccepted: usize,
    unread: usize,
    unsent: usize,
    grown: usize,
}

#[derive(Debug)]
struct Limits {
    glitches: Bucket,
    pings: Bucket,
    resets: Bucket,
    discarded: Bucket,
}

impl Mux {
    /// A session over a byte stream that has carried nothing yet. `epoch` goes into every [`StreamId`]; the seed
    /// keys the id table and the ping values. A config that fails [`MuxConfig::check`] still gives a working session,
    /// with the least values that work.
    pub fn new(role: Role, mut config: MuxConfig, epoch: u32, seed: [u8; 32], now: Instant) -> Self {
        config.batch = config.batch.max(4096);
        config.max_stream_window = config.max_stream_window.max(INITIAL_WINDOW);
        config.send_mark = config.send_mark.max(1024);
        config.max_send = config.max_send.max(config.send_mark);
        let mut random = Random::new(seed);
        let bucket = |(capacity, rate)| Bucket::new(capacity, rate, now);
        // A peer that may open many streams may also lose its interest in all of them at once.
        let share = |n: u64| n.max(n.saturating_mul(config.max_inbound_streams as u64) / 256);
        Self {
            role,
            epoch,
            now,
            phase: Phase::Open,
            slots: Slots {
                all: Vec::new(),
                free: Vec::new(),
                ids: Ids::new(random.next_u64()),
                todo: VecDeque::new(),
                ready: VecDeque::new(),
                news: VecDeque::new(),
                crowded: VecDeque::new(),
            },
            own_ids: OwnIds::new(role),
            peer_id: 0,
            counts: Counts::default(),
            limits: Limits {
                glitches: bucket(GLITCHES),
                pings: bucket(PINGS),
                resets: bucket((share(RESETS.0), share(RESETS.1))),
                discarded: bucket(DISCARDED),
            },
            parser: Parser::default(),
            replies: output::Replies::default(),
            rtt: Rtt::default(),
            timers: Timers::new(&config, now),
            batch: BytesMut::new(),
            events: VecDeque::new(),
            remote_left: false,
            wants_open: false,
            config,
            random,
        }
    }

    /// Opens a stream. Its SYN leaves with its first data, or with the next batch.
    pub fn open(&mut self, now: Instant) -> Result<StreamId, OpenError> {
        self.tick(now);
        match self.phase {
            Phase::Ended(_) => return Err(OpenError::Closed),
            Phase::Leaving | Phase::ShuttingDown(_) => return Err(OpenError::Draining),
            Phase::Open if self.remote_left => return Err(OpenError::Draining),
            Phase::Open => {}
        }
        if self.own_ids.is_exhausted() {
            return Err(OpenError::IdsExhausted);
        }
        let refusal = if self.counts.outbound >= self.config.max_outbound_streams {
            Some(OpenError::TooMany)
        } else if self.counts.unacked >= self.config.ack_backlog {
            Some(OpenError::AckBacklog)
        } else {
            None
        };
        if let Some(refusal) = refusal {
            self.wants_open = true;
            return Err(refusal);
        }
        let id = self.own_ids.take();
        if self.own_ids.just_became_few() {
            self.events.push_back(MuxEvent::IdsLow);
        }
        let at = self.begin(id, true);
        self.counts.outbound += 1;
        self.counts.unacked += 1;
        self.plan(at, Todo::SYN);
        self.watch(at, Clock::Open);
        Ok(self.id(at))
    }

    /// Takes a stream that the peer opened, and acknowledges it.
    pub fn accept(&mut self, id: StreamId, now: Instant) -> Result<(), ClosedStream> {
        self.tick(now);
        let at = self.find(id).filter(|_| !self.is_ended()).ok_or(ClosedStream)?;
        if self.leave_backlog(at) && self.slots.all[at].reset.is_none() {
            self.plan(at, Todo::ACK);
        }
        Ok(())
    }

    /// The live stream `id`, for one operation.
    pub fn stream(&mut self, id: StreamId) -> Result<Stream<'_>, ClosedStream> {
        let at = self.find(id).ok_or(ClosedStream)?;
        Ok(Stream::new(self, at))
    }

    /// Whether `id` is a live stream.
    pub fn contains(&self, id: StreamId) -> bool {
        self.find(id).is_some()
    }

    /// How many bytes a write to `id` would take now; 0 if it is not live.
    pub fn writable(&self, id: StreamId) -> usize {
        self.find(id).map_or(0, |at| self.writable_at(at))
    }

    /// Tells the peer to open no more streams; what is open goes on.
    pub fn go_away(&mut self, now: Instant) {
        self.tick(now);
        if self.phase == Phase::Open {
            self.phase = Phase::Leaving;
            self.replies.farewell();
            self.timers.output_waits(self.now);
        }
    }

    /// Refuses new streams, lets those that are open end until `deadline`, then says goodbye. `Ended(Normal)` follows.
    pub fn shutdown(&mut self, deadline: Instant, now: Instant) {
        self.tick(now);
        if matches!(self.phase, Phase::Open | Phase::Leaving) {
            self.phase = Phase::ShuttingDown(deadline);
            self.settle_shutdown();
        }
    }

    /// Ends the session at once. Every stream is lost.
    pub fn abort(&mut self, error: MuxError, now: Instant) {
        self.tick(now);
        self.fail(error);
    }

    /// A look inside.
    pub fn stats(&self) -> MuxStats {
        MuxStats {
            inbound: self.counts.inbound,
            outbound: self.counts.outbound,
            unacked: self.counts.unacked,
            unread: self.counts.unread,
            unsent: self.counts.unsent,
            grown: self.counts.grown,
            rtt: self.rtt.least(),
        }
    }

    /// The next event, if any.
    #[must_use]
    pub fn poll_event(&mut self) -> Option<MuxEvent> {
        if let Some(event) = self.events.pop_front() {
            return Some(event);
        }
        while let Some(&at) = self.slots.news.front() {
            let event = self.next_news(at);
            let slot = &mut self.slots.all[at];
            if slot.news.is_empty() || slot.is_free() {
                slot.in_news = false;
                self.slots.news.pop_front();
            }
            if let Some(event) = event {
                self.release_if_over(at);
                return Some(event);
            }
        }
        None
    }

    fn next_news(&mut self, at: usize) -> Option<MuxEvent> {
        let id = self.id(at);
        let slot = &mut self.slots.all[at];
        if slot.is_free() {
            return None;
        }
        if let Some(reason) = slot.reset
            && slot.news.has(News::RESET)
        {
            slot.news = News::default();
            return Some(MuxEvent::Reset(id, reason));
        }
        if slot.news.take(News::INCOMING) {
            Some(MuxEvent::Incoming(id))
        } else if slot.news.take(News::READABLE) {
            Some(MuxEvent::Readable(id))
        } else if slot.news.take(News::WRITABLE) {
            Some(MuxEvent::Writable(id))
        } else {
            slot.news = News::default();
            None
        }
    }

    fn tick(&mut self, now: Instant) {
        self.now = self.now.max(now);
    }

    fn id(&self, at: usize) -> StreamId {
        StreamId { epoch: self.epoch, slot: at as u32, generation: self.slots.all[at].generation }
    }

    fn find(&self, id: StreamId) -> Option<usize> {
        let at = id.slot as usize;
        let slot = self.slots.all.get(at)?;
        (id.epoch == self.epoch && slot.generation == id.generation && !slot.is_free()).then_some(at)
    }

    /// Whether an id is the peer's to open: odd from a client, even from a server.
    fn is_theirs(&self, id: u32) -> bool {
        id.is_multiple_of(2) == (self.role == Role::Client)
    }

    fn is_ended(&self) -> bool {
        matches!(self.phase, Phase::Ended(_))
    }

    /// Puts something on a slot's list of things to send.
    fn plan(&mut self, at: usize, todo: Todo) {
        let slot = &mut self.slots.all[at];
        slot.todo.set(todo);
        if !slot.in_todo {
            slot.in_todo = true;
            self.slots.todo.push_back(at);
        }
        self.timers.output_waits(self.now);
    }

    fn tell(&mut self, at: usize, news: News) {
        let slot = &mut self.slots.all[at];
        slot.news.set(news);
        if !slot.in_news {
            slot.in_news = true;
            self.slots.news.push_back(at);
        }
    }

    /// Queues `at` for sending if it has data and window for it.
    fn ready_if_sendable(&mut self, at: usize) {
        let slot = &mut self.slots.all[at];
        if slot.in_ready || slot.send_len == 0 || slot.send_window == 0 || slot.reset.is_some() {
            return;
        }
        let small = slot.send_window < output::SMALL_WINDOW && (slot.send_window as usize) < slot.send_len;
        if small && !slot.hold_over {
            if !slot.holding {
                slot.holding = true;
                self.watch(at, Clock::Hold);
            }
            return;
        }
        slot.in_ready = true;
        self.slots.ready.push_back(at);
        self.timers.output_waits(self.now);
    }
}
