//! One live connection: joins login, keepalive and data plane, from the open socket to its end.
//!
//! The link is the only translator of inner errors: whatever fails inside becomes one close for the peer and
//! one [`LinkEvent::Down`] for the owner. It does not reconnect (that is the agent's) and admits nobody (the relay's).

mod control;
mod dispatch;
mod ending;
mod wakers;

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::String;
use core::time::Duration;

use bytes::Bytes;

use crate::dialect::{Process, SessionTerms, Signal, StreamHeader};
use crate::handshake::{
    AgentHandshake, AgentLogin, Endpoint, LinkRequest, Login, RelayHandshake, RelayLogin, SharedFallback,
    TokenAuthRequest, Upgrade,
};
use crate::keepalive::{Keepalive, KeepaliveConfig};
use crate::machine::{Machine, Side};
use crate::message::{Close, Message, Transmit};
use crate::mux::{ClosedStream, MuxConfig, StreamId};
use crate::plane::{DataPlane, MessageLimits, PlaneInfo, StreamCounts};
use crate::reason::DownReason;
use crate::rng::{Rng, Seed};
use crate::stellar::{Signature, SigningInput, Verified};
use crate::time::{Instant, Wall};
use control::ControlQueue;
use ending::Ending;

pub use crate::plane::{OpenStreamError, Stream, StreamEvent};
pub use wakers::{StreamInterest, StreamWakers};

/// The settings of a link, for either side.
#[derive(Clone, PartialEq, Debug)]
pub struct LinkConfig {
    /// When to ping, when to give up.
    pub keepalive: KeepaliveConfig,
    /// The limits of the streams.
    pub mux: MuxConfig,
    /// The data plane of peers that name none; `None` refuses them.
    pub fallback: Option<SharedFallback>,
}

impl LinkConfig {
    /// The usual limits of an agent, whose streams are opened by the relay.
    pub fn agent() -> Self {
        Self { keepalive: KeepaliveConfig::default(), mux: MuxConfig::acceptor(), fallback: None }
    }

    /// The usual limits of a relay, which opens the streams.
    pub fn relay() -> Self {
        Self { mux: MuxConfig::opener(), ..Self::agent() }
    }
}

/// What a link tells its owner.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum LinkEvent {
    /// Have this signed and call [`Link::handle_signature`].
    Sign(SigningInput),
    /// Somebody proved who they are: [`Link::admit`] or [`Link::end`].
    Admit(Verified),
    /// The same, for a further link of the session of this name.
    Join(Verified, String),
    /// Somebody shows a token: [`Link::admit`] or [`Link::end`].
    Authenticate(TokenAuthRequest),
    /// Streams may flow.
    Up(Endpoint),
    /// A control message for the owner.
    Signal(Signal),
    /// Something happened to a stream.
    Stream(StreamEvent),
    /// Opening a stream, which was refused for lack of capacity, may succeed again.
    OpenReady,
    /// The peer opens and takes no new streams; open ones go on until it ends the link. Use another link for new ones.
    GoingAway,
    /// 2^20 stream ids are left for this side, of 2^31: at 1000 streams a second a quarter of an hour's worth. Have another
    /// link made, and then [`Link::shutdown`] this one. Told once.
    IdsLow,
    /// A fresh round trip time.
    Latency(Duration),
    /// The end; nothing follows.
    Down(DownReason),
}

/// A [`Machine`] that carries byte streams, so that one driver serves the streams of either side.
pub trait Streams: Machine {
    /// The live stream `id`, for one operation.
    fn stream(&mut self, id: StreamId) -> Result<Stream<'_>, ClosedStream>;

    /// Whether its streams have something to send, or may have.
    fn has_output(&self) -> bool;

    /// Splits an event: a signal about one stream, or something for the machine's owner.
    fn split_event(event: Self::Event) -> Result<StreamEvent, Self::Event>;

    /// As [`Link::set_batch`].
    fn set_batch(&mut self, socket: Self::Socket, bytes: usize);

    /// As [`Link::limits`]: to be asked before each message of `socket` is read.
    fn limits(&self, socket: Self::Socket) -> MessageLimits;

    /// A text message arrived on `socket` that was larger than its limit, and begins with `head`. Only where
    /// [`MessageLimits::oversized_head`] asks for it.
    fn handle_oversized(&mut self, socket: Self::Socket, head: Bytes, now: Instant);
}

enum State {
    Login(Box<dyn Login>),
    Up(Box<dyn DataPlane>),
    Ended,
}

/// One live connection between an agent and a relay.
pub struct Link {
    side: Side,
    mux: MuxConfig,
    epoch: u32,
    rng: Rng,
    state: State,
    keepalive: Keepalive,
    control: ControlQueue,
    events: VecDeque<LinkEvent>,
    ending: Ending,
    /// The latest time that came in, for events that a poll finds.
    now: Instant,
}

impl Link {
    /// The agent's end of a WebSocket that just opened. The streams of `request` are set here. `epoch` tells its streams from
    /// those of the agent's other links.
    pub fn agent(
        config: LinkConfig,
        login: AgentLogin,
        request: LinkRequest,
        wall: Wall,
        epoch: u32,
        seed: Seed,
        now: Instant,
    ) -> Self {
        let request = LinkRequest { streams: Some(streams(&config.mux)), ..request };
        let login = AgentHandshake::new(login, request, config.fallback.clone(), wall, now);
        Self::with_login(Side::Agent, config, Box::new(login), epoch, seed, now)
    }

    /// The relay's end of a WebSocket that was just accepted.
    pub fn relay(
        config: LinkConfig,
        login: RelayLogin,
        upgrade: Upgrade,
        wall: Wall,
        seed: Seed,
        now: Instant,
    ) -> Self {
        let (mut rng, fallback) = (Rng::new(seed), config.fallback.clone());
        let login = RelayHandshake::new(login, fallback, upgrade, &mut rng, wall, now);
        Self::begin(Side::Relay, config, Box::new(login), 0, rng, now)
    }

    /// Either end of a WebSocket that just opened, with a login of another protocol.
    pub fn with_login(
        side: Side,
        config: LinkConfig,
        login: Box<dyn Login>,
        epoch: u32,
        seed: Seed,
        now: Instant,
    ) -> Self {
        Self::begin(side, config, login, epoch, Rng::new(seed), now)
    }

    fn begin(
        side: Side,
        config: LinkConfig,
        mut login: Box<dyn Login>,
        epoch: u32,
        rng: Rng,
        now: Instant,
    ) -> Self {
        let first = login.start(now);
        let mut link = Self {
            side,
            keepalive: Keepalive::new(config.keepalive, now),
            mux: config.mux,
            epoch,
            rng,
            state: State::Login(login),
            control: ControlQueue::default(),
            events: VecDeque::new(),
            ending: Ending::default(),
            now,
        };
        link.on_step(first, now);
        link
    }

    /// The signer answered the [`LinkEvent::Sign`] that carried `input`, as it was or reissued; `None` is a no.
    pub fn handle_signature(&mut self, input: &SigningInput, signature: Option<Signature>, now: Instant) {
        if let State::Login(login) = &mut self.state {
            let step = login.handle_signature(input, signature, now);
            self.on_step(step, now);
        }
    }

    /// Admits who was announced by [`LinkEvent::Admit`], [`LinkEvent::Join`] or [`LinkEvent::Authenticate`]; `url` is where
    /// its service is reachable. Nothing happens unless somebody waits for the decision.
    pub fn admit(&mut self, url: String, terms: SessionTerms, now: Instant) {
        let terms = SessionTerms { streams: Some(streams(&self.mux)), ..terms };
        if let State::Login(login) = &mut self.state
            && let Some((message, endpoint)) = login.admit(url, terms)
        {
            // Existing agents take the first message for the answer, whatever it is: no other may be sent before.
            if let Some(message) = message {
                self.send_message(message, now);
            }
            self.establish(endpoint, now);
        }
    }

    /// What the peer said of its program, once, while somebody waits for [`Link::admit`].
    pub fn take_process(&mut self) -> Option<Process> {
        match &mut self.state {
            State::Login(login) => login.take_process(),
            State::Up(_) | State::Ended => None,
        }
    }

    /// Whether an agent that waits to be admitted is a program of an older system.
    pub fn falls_back(&self) -> bool {
        matches!(&self.state, State::Login(login) if login.falls_back())
    }

    /// Sends a control message, if the protocol has one for it.
    pub fn send(&mut self, signal: Signal, now: Instant) {
        let message = match &self.state {
            State::Login(login) => login.encode(signal),
            State::Up(plane) => plane.encode(signal),
            State::Ended => None,
        };
        if let Some(message) = message {
            self.send_message(message, now);
        }
    }

    fn send_message(&mut self, message: Message, now: Instant) {
        if self.control.has_room_for(&message) {
            self.control.push(Transmit::Send(message));
        } else {
            self.end(DownReason::Overloaded(String::from("too many control messages wait to be read")), now);
        }
    }

    /// Opens a stream; `header` is sent ahead of what is written to it.
    pub fn open(&mut self, header: &StreamHeader, now: Instant) -> Result<StreamId, OpenStreamError> {
        match &mut self.state {
            State::Up(plane) => plane.open(header, now),
            State::Login(_) | State::Ended => Err(OpenStreamError::NotUp),
        }
    }

    /// The live stream `id`, for one operation.
    pub fn stream(&mut self, id: StreamId) -> Result<Stream<'_>, ClosedStream> {
        match &mut self.state {
            State::Up(plane) => Stream::find(&mut **plane, id).ok_or(ClosedStream),
            State::Login(_) | State::Ended => Err(ClosedStream),
        }
    }

    /// Whether its streams have something to send, or may have.
    pub fn has_output(&self) -> bool {
        matches!(&self.state, State::Up(plane) if plane.has_output())
    }

    /// The most bytes of a message of stream data from now on; larger than the multiplexer's own limit is that limit. A
    /// driver whose socket did not take a message whole asks for what it will take next, so that small answers go ahead
    /// of bulk: what the socket holds nothing overtakes. It asks for much again when the socket takes all.
    pub fn set_batch(&mut self, bytes: usize) {
        if let State::Up(plane) = &mut self.state {
            plane.set_batch(bytes);
        }
    }

    /// Ends the link for `reason` without breaking a stream: the peer is told to open no more ([`LinkEvent::GoingAway`]),
    /// those that it opened before it knew are served, and the link ends when the last stream is over at both ends, or at
    /// `deadline`.
    /// Opening a stream fails with [`OpenError::Draining`](crate::mux::OpenError::Draining) from now on, at either end.
    ///
    /// Whoever replaces a link first makes the new one and has new streams opened there, and then calls this; the relay,
    /// which does not dial, has the agent do so by the message `drain`. A link that is not up
    /// ends at once. A second call moves nothing.
    pub fn shutdown(&mut self, reason: DownReason, deadline: Instant, now: Instant) {
        let State::Up(plane) = &mut self.state else { return self.end(reason, now) };
        if self.ending.begun.is_none() {
            plane.shutdown(deadline, now);
            self.ending.begun = Some((reason, deadline));
            self.drain_plane();
            self.settle_ending(now);
        }
    }

    /// Sends a ping at once.
    pub fn probe(&mut self, now: Instant) {
        if self.is_up() {
            let due = self.keepalive.probe(now);
            self.on_due(due, now);
        }
    }

    /// Whether one of the two ends takes no new streams on this link.
    pub fn is_going_away(&self) -> bool {
        self.ending.is_left || self.ending.begun.is_some()
    }

    /// The streams that are open, and what they have to send.
    pub fn stream_counts(&self) -> StreamCounts {
        match &self.state {
            State::Up(plane) => plane.stream_counts(),
            State::Login(_) | State::Ended => StreamCounts::default(),
        }
    }

    /// As [`hvym_yamux::Mux::shed_unread`].
    pub(crate) fn shed_unread(&mut self, bytes: usize, now: Instant) {
        if let State::Up(plane) = &mut self.state {
            plane.shed_unread(bytes, now);
        }
    }

    /// What one stream may have queued, bytes.
    pub(crate) fn max_stream_unsent(&self) -> usize {
        self.mux.max_stream_unsent
    }

    /// Whether the link has ended and its last message was polled.
    pub(crate) fn is_spent(&self) -> bool {
        self.is_ended() && self.control.is_empty()
    }

    /// Gives its streams another session number, before it is up.
    pub(crate) fn set_epoch(&mut self, epoch: u32) {
        self.epoch = epoch;
    }

    /// Ends the link for `reason`: tells the peer, then the owner.
    pub fn end(&mut self, reason: DownReason, now: Instant) {
        self.now = now;
        match &mut self.state {
            State::Login(login) => {
                if let Some(message) = login.close(&reason) {
                    self.control.push(Transmit::Send(message));
                }
            }
            State::Up(plane) => {
                while let Some(message) = plane.poll_last(&reason) {
                    self.control.push(Transmit::Send(message));
                }
            }
            State::Ended => return,
        }
        self.control.push(Transmit::Close(reason.close()));
        self.set_ended(reason);
    }

    /// Facts about the data plane, once the link is up.
    pub fn plane(&self) -> Option<PlaneInfo> {
        match &self.state {
            State::Up(plane) => Some(plane.info()),
            State::Login(_) | State::Ended => None,
        }
    }

    /// What the peer may send at once, which is little until the login is over.
    pub fn limits(&self) -> MessageLimits {
        let login = match self.side {
            Side::Agent => MessageLimits::AGENT_LOGIN,
            Side::Relay => MessageLimits::LOGIN,
        };
        self.plane().map_or(login, |info| info.limits)
    }

    /// As [`Streams::handle_oversized`].
    pub fn handle_oversized(&mut self, head: Bytes, now: Instant) {
        if let State::Up(plane) = &mut self.state {
            self.now = now;
            self.keepalive.handle_input(now);
            plane.handle_oversized(head, now);
            self.drain_plane();
        }
    }

    /// As [`DataPlane::is_sealed`].
    pub fn is_sealed(&self) -> bool {
        matches!(&self.state, State::Up(plane) if plane.is_sealed())
    }

    /// Whether streams may flow.
    pub fn is_up(&self) -> bool {
        matches!(self.state, State::Up(_))
    }

    /// When something arrived from the peer last.
    pub fn last_received(&self) -> Instant {
        self.keepalive.last_received()
    }

    /// The latest time that came in.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Whether the link has ended.
    pub fn is_ended(&self) -> bool {
        matches!(self.state, State::Ended)
    }

    fn set_ended(&mut self, reason: DownReason) {
        self.state = State::Ended;
        self.events.push_back(LinkEvent::Down(reason));
    }

    fn drop_transport(&mut self, close: &Close) {
        self.control.clear();
        let reason = match &self.state {
            State::Login(_) => DownReason::from_close(close),
            State::Up(plane) => plane.down_reason(close),
            State::Ended => return,
        };
        self.set_ended(reason);
    }
}

/// The streams that a peer may have open by these limits, as the login says it.
fn streams(mux: &MuxConfig) -> u32 {
    u32::try_from(mux.max_inbound_streams).unwrap_or(u32::MAX)
}
