//! The lanes of a link: login, control and keepalive, streams.

use alloc::format;
use alloc::string::{String, ToString};

#[cfg(feature = "foreign")]
use super::foreign::Liveness;
use super::plane::Plane;
use super::{Link, LinkEvent, State, StreamEvent};
use crate::dialect::{DecodeError, Frame, Signal};
use crate::handshake::Step;
use crate::keepalive::Due;
use crate::machine::{Machine, Side};
use crate::message::{Close, Message, Transmit};
use crate::mux::{Mux, MuxError, MuxEvent, StreamId};
use crate::reason::DownReason;
use crate::time::{Instant, sooner};

/// Given to `reset` when the peer's opening cannot be served; local knowledge only.
const RESET_BAD_OPENING: u32 = 1;
/// A fatal mux error leaves at most a `GoAway`, which fits one batch; the second look is for a batch that was begun before.
const MAX_LAST_BATCHES: usize = 2;

impl Machine for Link {
    type Event = LinkEvent;

    fn handle_message(&mut self, message: Message, now: Instant) {
        if self.is_ended() {
            return;
        }
        self.now = now;
        self.keepalive.handle_input(now);
        match self.dialect.decode(message) {
            Ok(Frame::Signal(signal)) => self.on_signal(signal, now),
            #[cfg(feature = "foreign")]
            Ok(Frame::Part(part)) => self.on_part(part, now),
            #[cfg(feature = "foreign")]
            Ok(Frame::Knock(knock)) => self.on_knock(knock, now),
            Ok(Frame::Mux(data)) => match self.plane.mux() {
                Some(mux) => {
                    let outcome = mux.handle_data(data, now);
                    self.after_mux(outcome, now);
                }
                None => self.end(DownReason::Malformed(String::from(self.not_a_login())), now),
            },
            Err(e @ DecodeError::TooLarge(_)) => self.end(DownReason::TooLarge(e.to_string()), now),
            Err(DecodeError::NotControl(_)) if self.is_relay_login() => {
                self.end(DownReason::Malformed(String::from(self.not_a_login())), now);
            }
            Err(e @ DecodeError::NotControl(_)) => self.end(DownReason::Malformed(e.to_string()), now),
        }
    }

    fn handle_close(&mut self, close: Close, _now: Instant) {
        self.drop_transport(&close);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.now = now;
        match &mut self.state {
            State::Login(handshake) => {
                let outcome = handshake.handle_timeout(now).map(|()| None);
                self.on_step(outcome, now);
            }
            State::Up => {
                if let Some(due) = self.keepalive.handle_timeout(now) {
                    self.on_due(due, now);
                }
                self.on_streams_timeout(now);
            }
            State::Ended => {}
        }
    }

    fn poll_transmit(&mut self) -> Option<Transmit> {
        if let Some(transmit) = self.control.pop() {
            return Some(transmit);
        }
        self.plane.poll_transmit(self.dialect).map(Transmit::Send)
    }

    fn poll_event(&mut self) -> Option<LinkEvent> {
        // Writing and sending cause events too, and neither is a `handle_*` of the link.
        if self.events.is_empty() {
            self.drain_mux(self.now);
            #[cfg(feature = "foreign")]
            self.drain_exchange();
        }
        self.events.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        match &self.state {
            State::Login(handshake) => handshake.poll_timeout(),
            State::Up => {
                let streams = sooner(self.plane.poll_timeout(), self.openings.poll_timeout());
                sooner(Some(self.keepalive.poll_timeout()), streams)
            }
            State::Ended => None,
        }
    }
}

impl Link {
    pub(super) fn on_step(&mut self, outcome: Result<Option<Step>, DownReason>, now: Instant) {
        match outcome {
            Ok(None) => {}
            Ok(Some(Step::Send(signal))) => self.send(signal, now),
            #[cfg(feature = "foreign")]
            Ok(Some(Step::Say(knock))) => self.say(knock),
            #[cfg(feature = "foreign")]
            Ok(Some(Step::Knock(knocked))) => self.events.push_back(LinkEvent::Knock(knocked)),
            Ok(Some(Step::Sign(input))) => self.events.push_back(LinkEvent::Sign(input)),
            Ok(Some(Step::Admit(verified))) => self.events.push_back(LinkEvent::Admit(verified)),
            Ok(Some(Step::Done(endpoint))) => {
                #[cfg(feature = "foreign")]
                let begun = self.begin_exchange(&endpoint, now);
                #[cfg(not(feature = "foreign"))]
                let begun = false;
                if !begun {
                    let (config, seed) = (self.config.mux.clone(), self.rng.fork());
                    self.plane = Plane::Mux(Mux::new(self.side.into(), config, self.epoch, seed, now));
                }
                self.keepalive.handle_input(now);
                self.state = State::Up;
                self.events.push_back(LinkEvent::Up(endpoint));
                #[cfg(feature = "foreign")]
                self.hear_early(now);
            }
            Err(reason) => self.end(reason, now),
        }
    }

    pub(super) fn on_due(&mut self, due: Due, now: Instant) {
        match due {
            #[cfg(feature = "foreign")]
            Due::Ping(_) if self.foreign.liveness == Liveness::Listens => {}
            Due::Ping(id) => self.send(Signal::Ping { id: Some(id) }, now),
            #[cfg(feature = "foreign")]
            Due::Dead if self.foreign.liveness == Liveness::Trusts => self.keepalive.handle_input(now),
            Due::Dead => self.end(DownReason::Silent, now),
        }
    }

    /// What to say of a message that cannot be part of a login. The relay's text is that of the system it replaces.
    pub(super) fn not_a_login(&self) -> &'static str {
        match self.side {
            Side::Agent => "stream data before the login",
            Side::Relay => "Invalid auth response",
        }
    }

    fn on_signal(&mut self, signal: Signal, now: Instant) {
        match (&mut self.state, signal) {
            (State::Login(handshake), signal) if !is_ping(&signal, self.side) => {
                let step = handshake.handle_signal(signal, now);
                self.on_step(step, now);
            }
            (_, Signal::Ping { id }) => self.send(Signal::Pong { id }, now),
            (_, Signal::Pong { id }) => {
                if let Some(rtt) = self.keepalive.handle_pong(id, now) {
                    self.events.push_back(LinkEvent::Latency(rtt));
                }
            }
            (_, Signal::Unknown) => {}
            (
                _,
                signal @ (Signal::AuthChallenge { .. }
                | Signal::AuthResponse { .. }
                | Signal::AuthOk { .. }
                | Signal::AuthFailed { .. }),
            ) => self.end(DownReason::OutOfOrder(format!("{signal:?} after the login")), now),
            (_, signal) => self.events.push_back(LinkEvent::Signal(signal)),
        }
    }

    fn on_streams_timeout(&mut self, now: Instant) {
        #[cfg(feature = "foreign")]
        if let Some(exchange) = self.plane.exchange() {
            exchange.handle_timeout(now);
            return self.drain_exchange();
        }
        let Some(mux) = self.plane.mux() else { return };
        while let Some(late) = self.openings.expire(now) {
            if let Ok(mut stream) = mux.stream(late) {
                stream.reset(RESET_BAD_OPENING, now);
            }
        }
        let outcome = mux.handle_timeout(now);
        self.after_mux(outcome, now);
    }

    fn after_mux(&mut self, outcome: Result<(), MuxError>, now: Instant) {
        self.drain_mux(now);
        if let Err(error) = outcome {
            self.end(down_reason(error), now);
        }
    }

    fn drain_mux(&mut self, now: Instant) {
        while let Some(event) = self.plane.mux().and_then(Mux::poll_event) {
            match event {
                MuxEvent::Incoming(id) => self.on_incoming(id, now),
                MuxEvent::Readable(id) if self.openings.contains(id) => self.on_opening(id, now),
                // Who is told of the stream will read it anyway.
                MuxEvent::Readable(id) if self.just_opened(id) => {}
                MuxEvent::Readable(id) => self.on_stream(StreamEvent::Readable(id)),
                MuxEvent::Writable(id) => self.on_stream(StreamEvent::Writable(id)),
                MuxEvent::Reset(id, _) if self.openings.contains(id) => self.openings.remove(id),
                MuxEvent::Reset(id, reason) => self.on_stream(StreamEvent::Reset(id, reason)),
                MuxEvent::OpenReady => self.events.push_back(LinkEvent::Room),
                _ => {}
            }
        }
    }

    fn on_incoming(&mut self, id: StreamId, now: Instant) {
        let accepted = self.plane.mux().is_some_and(|mux| mux.accept(id, now).is_ok());
        if accepted {
            self.openings.begin(id, now);
            self.on_opening(id, now);
        }
    }

    fn on_opening(&mut self, id: StreamId, now: Instant) {
        let Some(mux) = self.plane.mux() else { return };
        let opener = match self.side {
            Side::Agent => Side::Relay,
            Side::Relay => Side::Agent,
        };
        let opening = self.openings.advance(id, mux, now);
        match opening.map(|read| read.and_then(|opening| opening.check(opener).map(|()| opening))) {
            None => {}
            Some(Ok(opening)) => self.on_stream(StreamEvent::Opened { id, opening }),
            Some(Err(error)) => {
                tracing::debug!(%error, "refused a stream");
                if let Ok(mut stream) = mux.stream(id) {
                    stream.reset(RESET_BAD_OPENING, now);
                }
            }
        }
    }

    fn just_opened(&self, id: StreamId) -> bool {
        matches!(self.events.back(), Some(LinkEvent::Stream(StreamEvent::Opened { id: opened, .. })) if *opened == id)
    }

    fn on_stream(&mut self, event: StreamEvent) {
        self.events.push_back(LinkEvent::Stream(event));
    }

    /// Moves the session's last words, such as a `GoAway`, ahead of the close.
    pub(super) fn flush_mux(&mut self) {
        for _ in 0..MAX_LAST_BATCHES {
            let Some(batch) = self.plane.mux().and_then(Mux::poll_transmit) else { return };
            self.control.extend(self.dialect.encode(Frame::Mux(batch)));
        }
    }
}

/// During the login only an agent answers pings: existing relays may send one, and a relay expects `auth_response` alone.
fn is_ping(signal: &Signal, side: Side) -> bool {
    side == Side::Agent && matches!(signal, Signal::Ping { .. } | Signal::Pong { .. })
}

fn down_reason(error: MuxError) -> DownReason {
    match error {
        MuxError::WriteStall => DownReason::TimedOut(error.to_string()),
        MuxError::KeepAlive => DownReason::Silent,
        _ => DownReason::Protocol(error.to_string()),
    }
}
