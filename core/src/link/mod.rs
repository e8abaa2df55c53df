//! One live connection: joins dialect, login, keepalive and streams, from the open socket to its end.
//!
//! The link is the only translator of inner errors: whatever fails inside becomes one close for the peer and
//! one [`LinkEvent::Down`] for the owner. It does not reconnect (that is the agent's) and admits nobody (the relay's).

mod control;
#[cfg(feature = "foreign")]
mod foreign;
mod lanes;
mod openings;
mod plane;

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::String;
use core::time::Duration;

use thiserror::Error;

use crate::dialect::{Dialect, Frame, Opening, OpeningError, Signal};
#[cfg(feature = "foreign")]
use crate::handshake::Knocked;
use crate::handshake::{
    AgentHandshake, AgentLogin, Credential, Endpoint, Handshake, RelayHandshake, RelayLogin, Step,
};
use crate::keepalive::{Keepalive, KeepaliveConfig};
use crate::machine::{Machine, Side};
use crate::message::{Close, Transmit};
use crate::mux::{ClosedStream, MuxConfig, OpenError, ResetReason, StreamId};
use crate::reason::DownReason;
use crate::rng::{Rng, Seed};
use crate::stellar::{Signature, SigningInput, Verified};
use crate::time::{Instant, Wall};
use control::Control;
use openings::Openings;
use plane::Plane;

#[cfg(not(feature = "foreign"))]
pub use crate::mux::Stream;
#[cfg(feature = "foreign")]
pub use foreign::{MAX_MESSAGE_BYTES, Stream};

/// Given to `reset` for a stream that was opened in vain; local knowledge only.
const RESET_NO_ROOM: u32 = 3;

/// What both sides of a link can tune.
#[derive(Clone, PartialEq, Debug)]
pub struct LinkConfig {
    /// When to ping, when to give up.
    pub keepalive: KeepaliveConfig,
    /// The limits of the streams.
    pub mux: MuxConfig,
}

/// A signal about one stream. Data is pulled through [`Streams::stream`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum StreamEvent {
    /// The peer opened a stream and said what for. Data may be waiting already.
    Opened {
        /// The stream.
        id: StreamId,
        /// What for.
        opening: Opening,
    },
    /// Reading gives something again: data, or the end.
    Readable(StreamId),
    /// Writing takes something again.
    Writable(StreamId),
    /// The stream was torn down; what was not read yet is gone.
    Reset(StreamId, ResetReason),
}

impl OpenStreamError {
    /// Whether waiting helps: the link is up and full, and [`LinkEvent::Room`] follows.
    pub fn is_for_want_of_room(&self) -> bool {
        matches!(self, OpenStreamError::Refused(OpenError::TooMany | OpenError::AckBacklog))
    }
}

impl StreamEvent {
    /// The stream it is about.
    pub fn id(&self) -> StreamId {
        match self {
            StreamEvent::Opened { id, .. }
            | StreamEvent::Readable(id)
            | StreamEvent::Writable(id)
            | StreamEvent::Reset(id, _) => *id,
        }
    }
}

/// What a link tells its owner.
#[derive(Clone, PartialEq, Debug)]
pub enum LinkEvent {
    /// Have this signed and call [`Link::handle_signature`].
    Sign(SigningInput),
    /// Somebody proved who they are: [`Link::admit`] or [`Link::end`].
    Admit(Verified),
    /// Somebody shows a token: [`Link::welcome`] or [`Link::end`].
    #[cfg(feature = "foreign")]
    Knock(Knocked),
    /// Streams may flow.
    Up(Endpoint),
    /// A control message that is the owner's business.
    Signal(Signal),
    /// Something happened to a stream.
    Stream(StreamEvent),
    /// Opening a stream, which was refused for want of room, may succeed again.
    Room,
    /// A fresh round trip time.
    Latency(Duration),
    /// The end; nothing follows.
    Down(DownReason),
}

/// Why a stream could not be opened.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum OpenStreamError {
    /// The link is not up.
    #[error("the link is not up")]
    NotUp,
    /// The session has no room, or takes no new streams.
    #[error(transparent)]
    Refused(#[from] OpenError),
    /// The peer reads too slowly: what waits to be sent leaves no room for an opening.
    #[error("too much waits to be sent on this link")]
    NoRoom,
    /// The opening does not fit.
    #[error(transparent)]
    Opening(#[from] OpeningError),
}

/// A [`Machine`] that carries byte streams, so that one driver serves the streams of either side.
pub trait Streams: Machine {
    /// The live stream `id`, for one operation.
    fn stream(&mut self, id: StreamId) -> Result<Stream<'_>, ClosedStream>;

    /// Splits an event: a signal about one stream, or something for the machine's owner.
    fn split_event(event: Self::Event) -> Result<StreamEvent, Self::Event>;

    /// As [`Link::takes_large_messages`]: to be asked before each message is read.
    #[cfg(feature = "foreign")]
    fn takes_large_messages(&self) -> bool;
}

#[derive(Debug)]
enum State {
    Login(Handshake),
    Up,
    Ended,
}

/// One live connection between an agent and a relay.
pub struct Link {
    dialect: Dialect,
    side: Side,
    config: LinkConfig,
    epoch: u32,
    rng: Rng,
    state: State,
    keepalive: Keepalive,
    plane: Plane,
    #[cfg(feature = "foreign")]
    foreign: foreign::Foreign,
    openings: Openings,
    control: Control,
    events: VecDeque<LinkEvent>,
    /// The latest time that came in, for events that a poll finds.
    now: Instant,
}

impl Link {
    /// The agent's end of a WebSocket that just opened. `epoch` tells its streams from those of the agent's other links.
    pub fn agent(
        config: LinkConfig,
        login: AgentLogin,
        wall: Wall,
        epoch: u32,
        seed: Seed,
        now: Instant,
    ) -> Self {
        let handshake = Handshake::Agent(Box::new(AgentHandshake::new(login, wall, now)));
        Self::new(Side::Agent, config, handshake, epoch, Rng::new(seed), now)
    }

    /// The relay's end of a WebSocket that was just accepted.
    pub fn relay(
        config: LinkConfig,
        login: RelayLogin,
        credential: &Credential,
        wall: Wall,
        seed: Seed,
        now: Instant,
    ) -> Self {
        let mut rng = Rng::new(seed);
        let (handshake, first) = RelayHandshake::new(login, credential, &mut rng, wall, now);
        let mut link = Self::new(Side::Relay, config, Handshake::Relay(Box::new(handshake)), 0, rng, now);
        link.on_step(first.map(Some), now);
        link
    }

    fn new(side: Side, config: LinkConfig, handshake: Handshake, epoch: u32, rng: Rng, now: Instant) -> Self {
        Self {
            dialect: Dialect::Native,
            side,
            keepalive: Keepalive::new(config.keepalive, now),
            config,
            epoch,
            rng,
            state: State::Login(handshake),
            plane: Plane::None,
            #[cfg(feature = "foreign")]
            foreign: foreign::Foreign::default(),
            openings: Openings::default(),
            control: Control::default(),
            events: VecDeque::new(),
            now,
        }
    }

    /// The signer answered the [`LinkEvent::Sign`] that carried `input`; `None` is a no.
    pub fn handle_signature(&mut self, input: &SigningInput, signature: Option<Signature>, now: Instant) {
        if let State::Login(Handshake::Agent(half)) = &mut self.state {
            let step = half.handle_signature(input, signature, now);
            self.on_step(step, now);
        }
    }

    /// Lets in who was announced by [`LinkEvent::Admit`].
    pub fn admit(&mut self, url: String, now: Instant) {
        if let State::Login(Handshake::Relay(half)) = &mut self.state
            && let Some((ok, endpoint)) = half.admit(url)
        {
            self.send(ok, now);
            self.on_step(Ok(Some(Step::Done(endpoint))), now);
        }
    }

    /// Sends a control message, if the dialect has a word for it.
    pub fn send(&mut self, signal: Signal, now: Instant) {
        if self.is_ended() {
            return;
        }
        let Some(message) = self.dialect.encode(Frame::Signal(signal)) else { return };
        if self.control.has_room_for(&message) {
            self.control.push(Transmit::Send(message));
        } else {
            self.end(DownReason::Overloaded(String::from("too many control messages wait to be read")), now);
        }
    }

    /// Opens a stream; `opening` goes ahead of what is written to it.
    pub fn open(&mut self, opening: &Opening, now: Instant) -> Result<StreamId, OpenStreamError> {
        #[cfg(feature = "foreign")]
        if let Some(exchange) = self.plane.exchange() {
            return Ok(exchange.open(opening, now)?);
        }
        let mut head = opening.encode()?;
        let mux = self.plane.mux().ok_or(OpenStreamError::NotUp)?;
        let id = mux.open(now)?;
        let Ok(mut stream) = mux.stream(id) else { return Err(OpenStreamError::NotUp) };
        // Half an opening would make the peer take the stream's first bytes for the rest of it.
        if stream.writable() < head.len() || stream.write(&mut head, now).is_err() {
            stream.reset(RESET_NO_ROOM, now);
            return Err(OpenStreamError::NoRoom);
        }
        Ok(id)
    }

    /// The live stream `id`, for one operation.
    pub fn stream(&mut self, id: StreamId) -> Result<Stream<'_>, ClosedStream> {
        if self.openings.contains(id) {
            return Err(ClosedStream);
        }
        self.plane.stream(id)
    }

    /// Asks the peer for a sign of life at once.
    pub fn probe(&mut self, now: Instant) {
        if self.is_up() {
            let due = self.keepalive.probe(now);
            self.on_due(due, now);
        }
    }

    /// Ends the link for `reason`: tells the peer, then the owner.
    pub fn end(&mut self, reason: DownReason, now: Instant) {
        self.now = now;
        if self.is_ended() {
            return;
        }
        #[cfg(feature = "foreign")]
        if self.dialect == Dialect::Tunely {
            self.say_refused(&reason);
        }
        if self.is_relay_login() && self.dialect == Dialect::Native && announced(&reason) {
            let failed = Signal::AuthFailed {
                code: Some(reason.auth_failed_code().into()),
                error: match &reason {
                    DownReason::Authentication(text) | DownReason::NotAllowed(text) => text.clone(),
                    other => alloc::format!("{other}"),
                },
            };
            self.control.extend(self.dialect.encode(Frame::Signal(failed)));
        }
        self.flush_mux();
        #[cfg(feature = "foreign")]
        if reason == DownReason::Finished {
            self.flush_exchange();
        }
        self.control.push(Transmit::Close(reason.close()));
        self.settle(reason);
    }

    /// Whether streams may flow.
    pub fn is_up(&self) -> bool {
        matches!(self.state, State::Up)
    }

    /// The latest time that came in.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Whether the link has ended.
    pub fn is_ended(&self) -> bool {
        matches!(self.state, State::Ended)
    }

    /// Whether this is a relay that has not let its agent in yet.
    fn is_relay_login(&self) -> bool {
        self.side == Side::Relay && matches!(self.state, State::Login(_))
    }

    fn settle(&mut self, reason: DownReason) {
        self.state = State::Ended;
        self.plane = Plane::None;
        self.openings.clear();
        self.events.push_back(LinkEvent::Down(reason));
    }

    #[cfg(not(feature = "foreign"))]
    fn reason_of(&self, close: &Close) -> DownReason {
        DownReason::from_close(close)
    }

    fn drop_transport(&mut self, close: &Close) {
        self.control.clear();
        if !self.is_ended() {
            self.settle(self.reason_of(close));
        }
    }
}

/// Whether a relay says why in an `auth_failed` before it closes. What was not even a login gets the close alone.
fn announced(reason: &DownReason) -> bool {
    matches!(
        reason,
        DownReason::Authentication(_)
            | DownReason::NotAllowed(_)
            | DownReason::RateLimited(_)
            | DownReason::Replaced
            | DownReason::Overloaded(_)
    )
}
