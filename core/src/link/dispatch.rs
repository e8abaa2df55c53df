//! What comes in and out of a link, dispatched to login, keepalive and data plane.

use alloc::format;

use super::ending::EndingAction;
use super::{Link, LinkEvent, State};
use crate::dialect::Signal;
use crate::handshake::{Endpoint, Step};
use crate::keepalive::KeepaliveAction;
use crate::machine::Machine;
use crate::message::{Close, Message, Transmit};
use crate::mux::StreamId;
use crate::plane::{PlaneEvent, PlaneStart, StreamEvent};
use crate::reason::DownReason;
use crate::time::{Instant, earliest};

impl Machine for Link {
    type Event = LinkEvent;
    type Socket = ();

    fn is_current(&self, (): ()) -> bool {
        true
    }

    fn main_socket(&self) -> Option<()> {
        Some(())
    }

    fn handle_message_from(&mut self, (): (), message: Message, now: Instant) {
        if self.is_ended() {
            return;
        }
        self.now = now;
        self.keepalive.handle_input(now);
        match &mut self.state {
            State::Login(login) => {
                let step = login.handle_message(message, now);
                self.on_step(step, now);
            }
            State::Up(plane) => {
                let outcome = plane.handle_message(message, now);
                self.after_plane(outcome, now);
                self.settle_ending(now);
            }
            State::Ended => {}
        }
    }

    fn handle_close_from(&mut self, (): (), close: Close, _now: Instant) {
        self.drop_transport(&close);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.now = now;
        match &mut self.state {
            State::Login(login) => {
                let outcome = login.handle_timeout(now).map(|()| None);
                self.on_step(outcome, now);
            }
            State::Up(_) => {
                let due = self.keepalive.handle_timeout(now);
                self.on_due(due, now);
                if let State::Up(plane) = &mut self.state {
                    let outcome = plane.handle_timeout(now).map(|()| None);
                    self.after_plane(outcome, now);
                }
                self.settle_ending(now);
            }
            State::Ended => {}
        }
    }

    fn poll_transmit_to(&mut self, (): ()) -> Option<Transmit> {
        if let Some(transmit) = self.control.pop() {
            return Some(transmit);
        }
        match &mut self.state {
            State::Up(plane) => {
                let message = plane.poll_transmit();
                match &message {
                    Some(message) => self.keepalive.handle_data_taken(message.payload().len(), self.now),
                    None => self.keepalive.handle_output_done(),
                }
                message.map(Transmit::Send)
            }
            State::Login(_) | State::Ended => None,
        }
    }

    fn poll_event(&mut self) -> Option<LinkEvent> {
        // Stream operations and `poll_transmit` cause events as well.
        if self.events.is_empty() {
            self.drain_plane();
            self.settle_ending(self.now);
        }
        self.events.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        match &self.state {
            State::Login(login) => login.poll_timeout(),
            State::Up(plane) => {
                let shutdown = self.ending.begun.as_ref().map(|(_, deadline)| *deadline);
                let own = earliest(Some(self.keepalive.poll_timeout()), shutdown);
                earliest(own, plane.poll_timeout())
            }
            State::Ended => None,
        }
    }
}

impl Link {
    pub(super) fn on_step(&mut self, outcome: Result<Option<Step>, DownReason>, now: Instant) {
        match outcome {
            Ok(None) => {}
            Ok(Some(Step::Send(message))) => self.send_message(message, now),
            Ok(Some(Step::Sign(input))) => self.events.push_back(LinkEvent::Sign(input)),
            Ok(Some(Step::Admit(verified))) => self.events.push_back(LinkEvent::Admit(verified)),
            Ok(Some(Step::Join(verified, session))) => {
                self.events.push_back(LinkEvent::Join(verified, session));
            }
            Ok(Some(Step::Authenticate(request))) => self.events.push_back(LinkEvent::Authenticate(request)),
            Ok(Some(Step::Done(endpoint))) => self.establish(endpoint, now),
            Err(reason) => self.end(reason, now),
        }
    }

    /// The login is over: the data plane that was agreed on takes its place.
    pub(super) fn establish(&mut self, endpoint: Endpoint, now: Instant) {
        let State::Login(login) = core::mem::replace(&mut self.state, State::Ended) else { return };
        let (mux, seed) = (self.mux.clone(), self.rng.fork());
        let start = PlaneStart { side: self.side, mux, epoch: self.epoch, seed, now };
        let plane = login.finish(&endpoint, start);
        let info = plane.info();
        self.keepalive.adapt(info.keepalive, info.min_keepalive);
        self.keepalive.handle_input(now);
        self.state = State::Up(plane);
        self.events.push_back(LinkEvent::Up(endpoint));
        if let State::Up(plane) = &mut self.state {
            let outcome = plane.start(now).map(|()| None);
            self.after_plane(outcome, now);
        }
    }

    pub(super) fn on_due(&mut self, due: Option<KeepaliveAction>, now: Instant) {
        match due {
            None => {}
            Some(KeepaliveAction::Ping(id)) => self.send(Signal::Ping { id: Some(id) }, now),
            Some(KeepaliveAction::Dead) => self.end(DownReason::Silent, now),
        }
    }

    fn on_signal(&mut self, signal: Signal, now: Instant) {
        match signal {
            Signal::Ping { id } => self.send(Signal::Pong { id }, now),
            Signal::Pong { id } => {
                if let Some(rtt) = self.keepalive.handle_pong(id, now) {
                    self.events.push_back(LinkEvent::Latency(rtt));
                }
            }
            Signal::Unknown => {}
            Signal::Drained => self.ending.is_peer_drained = true,
            Signal::AuthChallenge { .. }
            | Signal::AuthResponse { .. }
            | Signal::AuthOk { .. }
            | Signal::AuthFailed { .. } => {
                self.end(DownReason::OutOfOrder(format!("{} after the login", signal.kind())), now);
            }
            signal => self.events.push_back(LinkEvent::Signal(signal)),
        }
    }

    /// What the streams that are left, and the clock, mean for an end in good order.
    pub(super) fn settle_ending(&mut self, now: Instant) {
        while let State::Up(plane) = &self.state
            && !self.ending.is_open()
        {
            let counts = plane.stream_counts();
            let step = self.ending.settle(counts.opened + counts.accepted > 0);
            let due = self.ending.begun.as_ref().filter(|(_, deadline)| now >= *deadline);
            match (step, due, &self.ending.begun) {
                (Some(EndingAction::SendDrained), None, _) => self.send(Signal::Drained, now),
                (_, Some((reason, _)), _) | (Some(EndingAction::End), None, Some((reason, _))) => {
                    self.end(reason.clone(), now);
                }
                _ => return,
            }
        }
    }

    fn after_plane(&mut self, outcome: Result<Option<Signal>, DownReason>, now: Instant) {
        self.drain_plane();
        match outcome {
            Ok(None) => {}
            Ok(Some(signal)) => self.on_signal(signal, now),
            Err(reason) => self.end(reason, now),
        }
    }

    pub(super) fn drain_plane(&mut self) {
        let State::Up(plane) = &mut self.state else { return };
        while let Some(event) = plane.poll_event() {
            match event {
                // The owner has not polled `Opened` yet, and reads the stream when it does.
                PlaneEvent::Stream(StreamEvent::Readable(id)) if was_just_opened(self.events.back(), id) => {}
                PlaneEvent::Stream(event) => self.events.push_back(LinkEvent::Stream(event)),
                PlaneEvent::OpenReady => self.events.push_back(LinkEvent::OpenReady),
                PlaneEvent::GoingAway => {
                    self.ending.is_left = true;
                    self.events.push_back(LinkEvent::GoingAway);
                }
                PlaneEvent::IdsLow => self.events.push_back(LinkEvent::IdsLow),
                PlaneEvent::ShutDown => self.ending.is_shut_down = true,
            }
        }
    }
}

fn was_just_opened(last: Option<&LinkEvent>, id: StreamId) -> bool {
    matches!(last, Some(LinkEvent::Stream(StreamEvent::Opened { id: opened, .. })) if *opened == id)
}
