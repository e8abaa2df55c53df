//! Whole requests and responses shown as streams: for each request its owner sees a stream of HTTP/1.1 in bytes.
//!
//! A relay's owner opens a stream and writes a request to it, which becomes one message; the response's messages become
//! the bytes of a response. On an agent it is the other way round. So who copies streams does not know that there are
//! none on the wire. Requests do not wait for each other here. It knows no socket, no login and no JSON: a
//! [`Dialect`](crate::dialect::Dialect) encodes its [`CallMessage`]s.
//!
//! Each call has a machine that owns its transitions (`outgoing_request`, `incoming_request`, `raw_stream`). The
//! bridge finds the call, feeds it one input, and carries out the outputs.

mod call;
mod config;
mod dispatch;
mod fields;
mod incoming_request;
mod outgoing_request;
mod pages;
mod raw_stream;
mod read_buffer;
mod sealing;
mod send_pacing;
mod transition;
#[cfg(test)]
mod transition_tests;

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::string::String;
use core::time::Duration;

use bytes::Bytes;
use hvym_tunnel_core::dialect::{Proto, StreamHeader};
use hvym_tunnel_core::machine::Side;
use hvym_tunnel_core::message::Message;
use hvym_tunnel_core::mux::{OpenError, Read, ResetReason, StreamError, StreamId};
use hvym_tunnel_core::rng::{Rng, Seed};
use hvym_tunnel_core::time::{Instant, earliest};
use thiserror::Error;

use crate::dialect::{CallId, CallMessage, CompatFrame, Request};
use crate::uuid;
use call::{Call, CallKind};
use incoming_request::IncomingRequest;
use outgoing_request::OutgoingRequest;
use raw_stream::RawStream;
use sealing::MessageSealing;
use send_pacing::SentRate;
use transition::CallInput;

pub use config::{BridgeConfig, BridgeLimits, RawStreams};

/// Messages that may wait for the socket, for each call that may live. An honest call causes a few, or many small pieces.
const MESSAGES_PER_CALL: usize = 64;

/// What a bridge tells its owner. Reading and writing say by themselves when there is nothing more to tell.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum BridgeEvent {
    /// The peer wants something of a service.
    Opened(StreamId, Box<StreamHeader>),
    /// Reading gives something again.
    Readable(StreamId),
    /// Writing takes something again.
    Writable(StreamId),
    /// The stream was reset, not by its owner.
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
    calls: Calls,
    outbox: Outbox,
    sealing: MessageSealing,
    events: VecDeque<BridgeEvent>,
    /// An open was refused for lack of capacity.
    wants_open: bool,
}

/// The live calls, and the ways to find one.
#[derive(Debug)]
struct Calls {
    /// Numbers streams, and requests where the dialect does.
    next: u64,
    by_id: BTreeMap<StreamId, Call>,
    /// Calls that the peer may still name.
    by_name: BTreeMap<CallId, StreamId>,
    deadlines: BTreeSet<(Instant, StreamId)>,
}

/// What waits for the socket.
#[derive(Debug, Default)]
struct Outbox {
    /// Whole messages, and whose they are as long as they can be cancelled.
    messages: VecDeque<(Option<StreamId>, Message)>,
    /// Raw streams with something to send, in turn.
    scheduled: VecDeque<StreamId>,
    /// Raw streams that wait for more to send, and until when.
    postponed: BTreeSet<(Instant, StreamId)>,
    rate: SentRate,
    /// Bytes held by the whole bridge: bodies, what is unread, what is unsent.
    held: usize,
}

impl MessageBridge {
    /// The bridge of a link that came up at `now`. `epoch` tells its streams from those of other links.
    pub fn new(mut config: BridgeConfig, epoch: u32, seed: Seed, now: Instant) -> Self {
        let sealing = MessageSealing::new(config.side, config.key.take());
        let calls =
            Calls { next: 1, by_id: BTreeMap::new(), by_name: BTreeMap::new(), deadlines: BTreeSet::new() };
        let mut bridge = Self {
            config,
            epoch,
            now,
            rng: Rng::new(seed),
            calls,
            outbox: Outbox::default(),
            sealing,
            events: VecDeque::new(),
            wants_open: false,
        };
        if let Some(request) = bridge.sealing.request() {
            bridge.enqueue_plain(CallMessage::Sealing(request));
        }
        bridge
    }

    /// The peer sent a message.
    ///
    /// # Errors
    /// [`BridgeError`] if the link has to end for it.
    pub fn handle_call(&mut self, message: CallMessage, now: Instant) -> Result<(), BridgeError> {
        self.tick(now);
        match message {
            CallMessage::Sealed { answers, payload } if answers == (self.config.side == Side::Relay) => {
                let opened = self.sealing.open(&payload);
                let inner = opened.map(|text| self.config.dialect.decode(Message::Text(text.into())));
                if let Some(Ok(CompatFrame::Call(message))) = inner {
                    self.on_message(message, true);
                }
            }
            CallMessage::Sealed { .. } => tracing::debug!("ignored a sealed message of the wrong side"),
            CallMessage::Sealing(message) => {
                if let Some(answer) = self.sealing.handle(message) {
                    self.enqueue_plain(CallMessage::Sealing(answer));
                }
            }
            CallMessage::Echo(name) => self.enqueue_plain(CallMessage::Echoed(name)),
            message => self.on_message(message, false),
        }
        let max_messages = self.config.limits.max_calls.saturating_mul(MESSAGES_PER_CALL);
        let max_held = self.config.limits.max_buffered.saturating_mul(2);
        if self.outbox.held > max_held || self.outbox.messages.len() > max_messages {
            return Err(BridgeError::Unread);
        }
        Ok(())
    }

    /// Opens a stream for a visitor.
    ///
    /// # Errors
    /// [`OpenError`]; after [`OpenError::TooMany`], a [`BridgeEvent::OpenReady`] follows.
    pub fn open(&mut self, header: &StreamHeader, now: Instant) -> Result<StreamId, OpenError> {
        self.tick(now);
        let kind = match (self.config.side, self.config.raw_streams, header.proto) {
            // Whole messages cannot carry bytes, and none of these dialects can name a caller.
            (Side::Agent, ..) | (_, RawStreams::Off, Proto::Tcp | Proto::H2) => {
                return Err(OpenError::Draining);
            }
            _ if header.from.is_some() => return Err(OpenError::Draining),
            (_, RawStreams::Off, Proto::Http) => CallKind::Outgoing(Box::<OutgoingRequest>::default()),
            (_, RawStreams::On { .. }, proto) => CallKind::Raw(RawStream::opened(proto == Proto::Http)),
        };
        if self.len() >= self.config.limits.max_calls || self.outbox.held >= self.config.limits.max_buffered {
            self.wants_open = true;
            return Err(OpenError::TooMany);
        }
        let is_raw = matches!(kind, CallKind::Raw(_));
        let name = match self.config.dialect.profile().numeric_ids {
            true => CallId::Number(i64::try_from(self.calls.next).unwrap_or(i64::MAX)),
            false => CallId::Text(uuid::random(&mut self.rng)),
        };
        let id = self.insert(name, kind);
        if is_raw {
            self.schedule(id);
        }
        Ok(id)
    }

    /// Takes up to `max` bytes that have arrived on `id`.
    ///
    /// # Errors
    /// [`StreamError::Lost`] if it is not live.
    pub fn read(&mut self, id: StreamId, max: usize, now: Instant) -> Result<Read, StreamError> {
        self.tick(now);
        let call = self.calls.by_id.get_mut(&id).ok_or(StreamError::Lost)?;
        let read = call.read.read(max);
        if let Read::Data(data) = &read {
            self.outbox.held -= data.len();
        }
        self.remove_if_over(id);
        Ok(read)
    }

    /// Takes from the front of `data` what there is capacity for, and returns how much.
    ///
    /// # Errors
    /// [`StreamError::Finished`] after the owner's own end, [`StreamError::Lost`] if it is not live.
    pub fn write(&mut self, id: StreamId, data: &mut Bytes, now: Instant) -> Result<usize, StreamError> {
        self.tick(now);
        let call = self.calls.by_id.get(&id).ok_or(StreamError::Lost)?;
        if call.finished {
            return Err(StreamError::Finished);
        }
        if matches!(call.kind, CallKind::Raw(_)) {
            return Ok(self.write_raw(id, data));
        }
        let data = core::mem::take(data);
        self.write_http(id, &data);
        Ok(data.len())
    }

    /// How many bytes a write to `id` would take now; 0 if it is not live.
    pub fn writable(&self, id: StreamId) -> usize {
        match self.calls.by_id.get(&id) {
            Some(call) if !call.finished => match &call.kind {
                CallKind::Raw(stream) => {
                    let others = self.outbox.held - stream.held();
                    let room = self.config.limits.max_buffered.saturating_sub(others);
                    stream.capacity(&self.config.limits, room, self.now)
                }
                CallKind::Outgoing(_) | CallKind::Incoming(_) => self.config.peer_limit,
            },
            _ => 0,
        }
    }

    /// Ends the owner's half of `id`, after what was written. A second time does nothing.
    ///
    /// # Errors
    /// [`StreamError::Lost`] if it is not live.
    pub fn finish(&mut self, id: StreamId, now: Instant) -> Result<(), StreamError> {
        self.tick(now);
        let call = self.calls.by_id.get_mut(&id).ok_or(StreamError::Lost)?;
        if !core::mem::replace(&mut call.finished, true) {
            self.handle_input(id, CallInput::Finish);
        }
        Ok(())
    }

    /// Gives `id` up. A request that was not sent yet never will be.
    pub fn reset(&mut self, id: StreamId, now: Instant) {
        self.tick(now);
        if self.contains(id) {
            self.handle_input(id, CallInput::Reset);
            self.remove(id);
        }
    }

    /// Stops reading `id`.
    pub fn stop(&mut self, id: StreamId, now: Instant) {
        self.tick(now);
        if let Some(call) = self.calls.by_id.get_mut(&id) {
            self.outbox.held -= call.read.stop();
            self.remove_if_over(id);
        }
    }

    /// The clock may have passed [`Self::poll_timeout`].
    pub fn handle_timeout(&mut self, now: Instant) {
        self.tick(now);
        while let Some((at, id)) = self.calls.deadlines.first().copied()
            && at <= self.now
        {
            self.set_deadline(id, None);
            self.calls.deadlines.remove(&(at, id));
            self.handle_input(id, CallInput::Timeout);
        }
        while let Some((at, id)) = self.outbox.postponed.first().copied()
            && at <= self.now
        {
            self.postpone(id, None);
            self.outbox.postponed.remove(&(at, id));
            self.schedule(id);
        }
    }

    /// When [`Self::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let first = |times: &BTreeSet<(Instant, StreamId)>| times.first().map(|(at, _)| *at);
        earliest(first(&self.calls.deadlines), first(&self.outbox.postponed))
    }

    /// The next message for the socket.
    pub fn poll_transmit(&mut self) -> Option<Message> {
        let message = match self.outbox.messages.pop_front() {
            Some((_, message)) => {
                self.outbox.held -= message.payload().len();
                message
            }
            None => self.pull_raw()?,
        };
        self.outbox.rate.handle_sent(message.payload().len(), self.now);
        Some(message)
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<BridgeEvent> {
        self.events.pop_front()
    }

    /// Whether `id` is a live stream.
    pub fn contains(&self, id: StreamId) -> bool {
        self.calls.by_id.contains_key(&id)
    }

    /// Whether messages are sealed.
    pub fn is_sealed(&self) -> bool {
        self.sealing.is_on()
    }

    /// Live streams.
    pub fn len(&self) -> usize {
        self.calls.by_id.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.calls.by_id.is_empty()
    }

    /// Bytes held for all streams and for the socket.
    pub fn held(&self) -> usize {
        self.outbox.held
    }

    fn tick(&mut self, now: Instant) {
        self.now = self.now.max(now);
    }

    /// A message about a call: begins one, or is an input of one.
    fn on_message(&mut self, message: CallMessage, sealed: bool) {
        match (self.config.side, message) {
            (Side::Agent, CallMessage::Request { id, request, timeout }) => {
                self.on_request(id, request, timeout, sealed);
            }
            (Side::Agent, CallMessage::Broken { id, error }) => self.decline(id, 400, error),
            (Side::Agent, CallMessage::Connect { id }) => self.on_connect(id),
            (side, message) => match message.call_id().and_then(|id| self.calls.by_name.get(id)).copied() {
                Some(id) => self.handle_input(id, CallInput::Peer(message, sealed)),
                None => tracing::trace!(?side, "ignored a message about no live call"),
            },
        }
    }

    fn on_request(&mut self, name: CallId, request: Request, timeout: u32, sealed: bool) {
        if self.calls.by_name.contains_key(&name) {
            return tracing::debug!(
                "ignored a request whose name is in use: two answers could not be told apart"
            );
        }
        if self.sealing.is_on() && !sealed {
            return self.decline(name, 502, "a request in clear text, although sealing was agreed on".into());
        }
        let Request { head, body } = request;
        if self.len() >= self.config.limits.max_calls
            || self.outbox.held + body.len() > self.config.limits.max_buffered
        {
            return self.decline(name, 503, "too many requests at once".into());
        }
        let host = head.headers.first("host").and_then(|host| core::str::from_utf8(host).ok());
        let host = host.map(String::from);
        let method = head.method.to_ascii_uppercase();
        let accepts_events = head.headers.contains_token("accept", "text/event-stream");
        let head = match fields::to_service(head, &body) {
            Ok(head) => head,
            Err(rejected) => return self.decline(name, rejected.0, rejected.1.into()),
        };
        let request = IncomingRequest::new(method, accepts_events);
        let id = self.insert(name, CallKind::Incoming(Box::new(request)));
        self.deliver(id, head);
        self.deliver(id, body);
        let timeout = Duration::from_secs(timeout.into()).min(self.config.answer_timeout);
        self.set_deadline(id, Some(self.now + timeout));
        let service = self.config.service.clone();
        let header = StreamHeader { service, proto: Proto::Http, host, ..StreamHeader::default() };
        self.events.push_back(BridgeEvent::Opened(id, Box::new(header)));
    }

    fn on_connect(&mut self, name: CallId) {
        if self.calls.by_name.contains_key(&name) {
            return tracing::debug!("ignored a connection whose name is in use");
        }
        if self.len() >= self.config.limits.max_calls {
            let error = Some("too many connections at once".into());
            return self.enqueue_plain(CallMessage::Close { id: name, error });
        }
        let id = self.insert(name, CallKind::Raw(RawStream::accepted()));
        let (service, proto) = (self.config.service.clone(), self.config.raw_proto);
        let header = StreamHeader { service, proto, ..StreamHeader::default() };
        self.events.push_back(BridgeEvent::Opened(id, Box::new(header)));
    }
}
