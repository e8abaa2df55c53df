//! Whole requests and responses shown as streams: for each request its owner sees a stream of HTTP/1.1 in bytes.
//!
//! A relay's owner opens a stream and writes a request to it, which becomes one message; the answer's messages become
//! the bytes of a response. On an agent it is the other way round. So whoever splices streams need not know that
//! there are none on the wire. Requests never wait for each other here. It knows no socket, no login and no JSON; a
//! [`Dialect`](crate::dialect::Dialect) spells its [`CallMessage`]s.

mod answer;
mod ask;
mod config;
mod fields;
mod pages;
mod pipe;
mod seal;
mod slot;
mod stream;

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};

use thiserror::Error;

use crate::dialect::{CallId, CallMessage, CompatFrame};
use crate::uuid;
use hvym_tunnel_core::dialect::{Proto, StreamHeader};
use hvym_tunnel_core::machine::Side;
use hvym_tunnel_core::message::Message;
use hvym_tunnel_core::mux::{OpenError, ResetReason, StreamId};
use hvym_tunnel_core::rng::{Rng, Seed};
use hvym_tunnel_core::time::Instant;
use seal::Seal;
use slot::{Role, Slot};

pub use config::{BridgeConfig, RawStreams};
pub use stream::Stream;

/// Messages that may wait for the socket, for each call that may live. An honest call causes a few, or many small pieces.
const MESSAGES_PER_CALL: usize = 64;

/// What an exchange tells its owner. Reading and writing say by themselves when there is nothing more to tell.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum BridgeEvent {
    /// The peer wants something of a service.
    Opened(StreamId, StreamHeader),
    /// Reading gives something again.
    Readable(StreamId),
    /// Writing takes something again.
    Writable(StreamId),
    /// The stream was torn down, not by its owner.
    Reset(StreamId, ResetReason),
    /// Opening may succeed again.
    OpenReady,
}

/// Why the link cannot go on.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Error)]
pub enum BridgeError {
    /// More answers wait to be taken than may be held.
    #[error("the other side asks and does not read the answers")]
    Unread,
}

/// All requests and connections of one link.
#[derive(Debug)]
pub struct MessageBridge {
    config: BridgeConfig,
    epoch: u32,
    /// The latest time that came in.
    now: Instant,
    rng: Rng,
    /// Numbers streams, and requests where the dialect counts them.
    next: u64,
    slots: BTreeMap<StreamId, Slot>,
    /// Calls that the peer may still speak of.
    names: BTreeMap<CallId, StreamId>,
    deadlines: BTreeSet<(Instant, StreamId)>,
    /// Whole messages for the socket, and whose they are as long as that can be taken back.
    out: VecDeque<(Option<StreamId>, Message)>,
    /// Connections with something to send, in turn.
    ready: VecDeque<StreamId>,
    /// Bytes held: bodies, what is unread, what is unsent.
    held: usize,
    seal: Seal,
    events: VecDeque<BridgeEvent>,
    wants_open: bool,
}

impl MessageBridge {
    /// The exchange of a link that came up at `now`. `epoch` tells its streams from those of other links.
    pub fn new(mut config: BridgeConfig, epoch: u32, seed: Seed, now: Instant) -> Self {
        let seal = Seal::new(config.side, config.key.take());
        let mut exchange = Self {
            config,
            epoch,
            now,
            rng: Rng::new(seed),
            next: 1,
            slots: BTreeMap::new(),
            names: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            out: VecDeque::new(),
            ready: VecDeque::new(),
            held: 0,
            seal,
            events: VecDeque::new(),
            wants_open: false,
        };
        if let Some(wish) = exchange.seal.wish() {
            exchange.say(None, CallMessage::Sealing(wish));
        }
        exchange
    }

    /// The peer said something.
    ///
    /// # Errors
    /// [`BridgeError`] if the link has to end for it.
    pub fn handle_call(&mut self, part: CallMessage, now: Instant) -> Result<(), BridgeError> {
        self.tick(now);
        match part {
            CallMessage::Sealed { answers, payload } if answers == (self.config.side == Side::Relay) => {
                let Some(text) = self.seal.opened(&payload) else { return Ok(()) };
                let inner = self.config.dialect.decode(Message::Text(text.into()));
                if let Ok(CompatFrame::Call(part)) = inner {
                    self.on_part(part, true);
                }
            }
            CallMessage::Sealed { .. } => {}
            CallMessage::Sealing(word) => {
                if let Some(answer) = self.seal.handle(word) {
                    self.say(None, CallMessage::Sealing(answer));
                }
            }
            CallMessage::Echo(name) => {
                self.say(None, CallMessage::Echoed(name));
            }
            part => self.on_part(part, false),
        }
        let messages = self.config.max_calls.saturating_mul(MESSAGES_PER_CALL);
        if self.held > self.config.max_buffered.saturating_mul(2) || self.out.len() > messages {
            return Err(BridgeError::Unread);
        }
        Ok(())
    }

    /// Opens a stream for a visitor.
    ///
    /// # Errors
    /// [`OpenError`]; after [`OpenError::TooMany`], an [`BridgeEvent::OpenReady`] follows.
    pub fn open(&mut self, opening: &StreamHeader, now: Instant) -> Result<StreamId, OpenError> {
        self.tick(now);
        let pipe = match (self.config.side, self.config.raw_streams, opening.proto) {
            // Whole messages have no word for bytes, and none of these dialects has one for who calls.
            (Side::Agent, ..) | (_, RawStreams::Off, Proto::Tcp | Proto::H2) => {
                return Err(OpenError::Draining);
            }
            _ if opening.from.is_some() => return Err(OpenError::Draining),
            (_, RawStreams::Off, Proto::Http) => false,
            (_, RawStreams::On { .. }, _) => true,
        };
        if self.slots.len() >= self.config.max_calls || self.held >= self.config.max_buffered {
            self.wants_open = true;
            return Err(OpenError::TooMany);
        }
        let name = self.fresh_name();
        let role = if pipe { Role::pipe(true) } else { Role::ask() };
        let id = self.insert(name, role);
        if pipe {
            self.expects_http(id, opening.proto == Proto::Http);
            self.make_ready(id);
        }
        Ok(id)
    }

    /// Whether messages are sealed.
    pub fn is_sealed(&self) -> bool {
        self.seal.is_on()
    }

    /// The live stream `id`, for one operation.
    pub fn stream(&mut self, id: StreamId) -> Option<Stream<'_>> {
        self.slots.contains_key(&id).then(|| Stream::new(self, id))
    }

    /// Whether `id` is a live stream.
    pub fn contains(&self, id: StreamId) -> bool {
        self.slots.contains_key(&id)
    }

    /// How many bytes a write to `id` would take now; 0 if it is not live.
    pub fn writable(&self, id: StreamId) -> usize {
        match self.slots.get(&id) {
            Some(slot) if !slot.finished => match &slot.role {
                Role::Pipe(pipe) => pipe.room(self.config.send_mark),
                Role::Ask(_) | Role::Answer(_) => self.config.peer_limit,
            },
            _ => 0,
        }
    }

    /// The clock may have passed [`Self::poll_timeout`].
    pub fn handle_timeout(&mut self, now: Instant) {
        self.tick(now);
        while let Some((at, id)) = self.deadlines.first().copied()
            && at <= self.now
        {
            self.deadlines.remove(&(at, id));
            let Some(slot) = self.slots.get_mut(&id) else { continue };
            slot.deadline = None;
            match slot.role {
                Role::Ask(_) => self.ask_timed_out(id),
                Role::Answer(_) => self.answer_timed_out(id),
                Role::Pipe(_) => self.pipe_timed_out(id),
            }
        }
    }

    /// When [`Self::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// The next message for the socket.
    pub fn poll_transmit(&mut self) -> Option<Message> {
        if let Some((_, message)) = self.out.pop_front() {
            self.held -= message.payload().len();
            return Some(message);
        }
        self.pull_pipe()
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<BridgeEvent> {
        self.events.pop_front()
    }

    /// Live streams.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Bytes held for all streams and for the socket.
    pub fn held(&self) -> usize {
        self.held
    }

    fn on_part(&mut self, part: CallMessage, sealed: bool) {
        let relay = self.config.side == Side::Relay;
        match part {
            CallMessage::Request { id, request, timeout } if !relay => {
                self.on_request(id, request, timeout, sealed)
            }
            CallMessage::Broken { id, error } if !relay => self.decline(id, 400, error),
            CallMessage::Response { id, response } => self.on_response(&id, response, sealed),
            CallMessage::Failed { id, status, error } => self.on_failed(&id, status, &error),
            CallMessage::Broken { id, error } => self.on_failed(&id, 502, &error),
            CallMessage::Started { id, head } => self.on_started(&id, head),
            CallMessage::Chunk { id, data, .. } => self.on_chunk(&id, &data),
            CallMessage::Ended { id, error, .. } => self.on_ended(&id, error.as_deref()),
            CallMessage::Connect { id } if !relay => self.on_connect(id),
            CallMessage::Data { id, data, .. } => self.on_data(&id, data),
            CallMessage::Close { id, error } => self.on_close(&id, error.as_deref()),
            // What only the other side may say, and what was dealt with before.
            _ => {}
        }
    }

    fn tick(&mut self, now: Instant) {
        self.now = self.now.max(now);
    }

    fn fresh_name(&mut self) -> CallId {
        match self.config.dialect.profile().numeric_ids {
            true => CallId::Number(i64::try_from(self.next).unwrap_or(i64::MAX)),
            false => CallId::Text(uuid::random(&mut self.rng)),
        }
    }

    fn insert(&mut self, name: CallId, role: Role) -> StreamId {
        let id = StreamId::external(self.epoch, self.next);
        self.next += 1;
        self.names.insert(name.clone(), id);
        self.slots.insert(id, Slot::new(name, role));
        id
    }

    /// The slot of the live call `name`.
    fn named(&self, name: &CallId) -> Option<StreamId> {
        self.names.get(name).copied()
    }

    fn set_deadline(&mut self, id: StreamId, at: Option<Instant>) {
        let Some(slot) = self.slots.get_mut(&id) else { return };
        if let Some(old) = core::mem::replace(&mut slot.deadline, at) {
            self.deadlines.remove(&(old, id));
        }
        if let Some(at) = at {
            self.deadlines.insert((at, id));
        }
    }

    /// Puts a message behind those that wait. `false` if the dialect cannot say it, or the peer could not take it.
    fn say(&mut self, whose: Option<StreamId>, part: CallMessage) -> bool {
        let Some(message) = self.config.dialect.encode(CompatFrame::Call(part)) else { return false };
        if message.payload().len() > self.config.peer_limit {
            return false;
        }
        self.held += message.payload().len();
        self.out.push_back((whose, message));
        true
    }

    /// Forgets the call's name: what the peer still says of it is dropped.
    fn forget_name(&mut self, id: StreamId) {
        if let Some(slot) = self.slots.get(&id)
            && self.names.get(&slot.name) == Some(&id)
        {
            self.names.remove(&slot.name);
        }
    }

    /// Takes back what was not sent yet.
    fn unsay(&mut self, id: StreamId) {
        let held = &mut self.held;
        self.out.retain(|(whose, message)| {
            let keep = *whose != Some(id);
            if !keep {
                *held -= message.payload().len();
            }
            keep
        });
    }

    /// Removes a stream with all it holds.
    fn remove(&mut self, id: StreamId) {
        self.set_deadline(id, None);
        self.forget_name(id);
        if let Some(slot) = self.slots.remove(&id) {
            self.held -= slot.held();
        }
        if self.wants_open && self.slots.len() < self.config.max_calls {
            self.wants_open = false;
            self.events.push_back(BridgeEvent::OpenReady);
        }
    }

    /// Removes a stream whose halves have both ended.
    fn remove_if_over(&mut self, id: StreamId) {
        if self.slots.get(&id).is_some_and(Slot::is_over) {
            self.remove(id);
        }
    }
}
