//! The lane of dialects without a mux: parts in, whole messages out. Logins by token are beside it.

mod guest;
mod stream;

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use super::plane::Plane;
use super::{Link, LinkEvent, State, StreamEvent};
use crate::dialect::{Dialect, Part, Proto};
use crate::exchange::{Exchange, ExchangeConfig, ExchangeEvent, Pipes};
use crate::handshake::{Abilities, Endpoint, Handshake};
use crate::keepalive::KeepaliveConfig;
use crate::machine::Side;
use crate::message::{Close, Transmit};
use crate::reason::DownReason;
use crate::stellar::{Address, seal::SealKey};
use crate::time::Instant;

pub use stream::Stream;

/// What requests are for when the login named no service: the only one that existing HVYM agents have.
const HVYM_SERVICE: &str = "pintheon";
/// Existing agents take one message after another, a request included, which may take them 30 s; and existing relays
/// ping every 30 s. Whoever is asked more often, or given up sooner, is alive all the same.
const PATIENCE: KeepaliveConfig =
    KeepaliveConfig { ping_interval: Duration::from_secs(30), ping_timeout: Duration::from_secs(45) };

/// The largest message of any link, bytes: see [`Link::takes_large_messages`].
pub const MAX_MESSAGE_BYTES: usize = Dialect::MAX_PART_BYTES;

/// Messages that may come before the login is over: an agent's first signs of life, or one existing relay's first
/// requests, which it can send ahead of its answer.
const MAX_EARLY: usize = 16;

/// How a link knows that its peer lives.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub(super) enum Liveness {
    /// It asks, and is answered.
    #[default]
    Asks,
    /// It is asked; the silence of who used to ask is the end.
    Listens,
    /// Neither: what the transport does not notice, nobody does.
    Trusts,
}

/// What a link has for such dialects alone.
#[derive(Default)]
pub(super) struct Foreign {
    /// The key that both sides share, until the streams begin.
    key: Option<SealKey>,
    /// What came before the login was over, where agents do not wait.
    early: Vec<Part>,
    /// What the connections carry that a relay opens, which does not say so.
    proto: Proto,
    pub(super) liveness: Liveness,
}

impl Link {
    /// Shares `key` with who is announced, or with the relay, so that an existing HVYM program can have its messages
    /// sealed. To be given before [`Link::admit`], or before the login.
    pub fn offer_seal(&mut self, key: SealKey) {
        if let State::Login(login) = &mut self.state {
            self.foreign.key = Some(key);
            if let Handshake::Relay(half) = login {
                half.offer_seal();
            }
        }
    }

    /// Whom [`Self::offer_seal`] is of use for: the relay that asks for the login, if it is an existing HVYM program.
    pub fn seals_for(&self) -> Option<Address> {
        match &self.state {
            State::Login(Handshake::Agent(half)) if half.dialect() == Dialect::HvymJson => half.relay(),
            _ => None,
        }
    }

    /// What is spoken, as far as that is known.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Whether the peer speaks a dialect of large messages, of up to [`MAX_MESSAGE_BYTES`]. Until this is true, the
    /// runner's usual limit is right, so that a stranger cannot make it hold more.
    pub fn takes_large_messages(&self) -> bool {
        matches!(self.plane, Plane::Exchange(_))
    }

    /// Whether messages are sealed.
    pub fn is_sealed(&self) -> bool {
        matches!(&self.plane, Plane::Exchange(exchange) if exchange.is_sealed())
    }

    /// Begins the exchange, if one was agreed on; if not, a mux is to carry the streams.
    pub(super) fn begin_exchange(&mut self, endpoint: &Endpoint, now: Instant) -> bool {
        let State::Login(handshake) = &self.state else { return false };
        self.dialect = handshake.dialect();
        let (seals, abilities) = match handshake {
            Handshake::Agent(half) => (half.seals(), Abilities::default()),
            Handshake::Relay(_) => (true, Abilities::default()),
            Handshake::Knock(half) => (false, half.abilities()),
        };
        let service = endpoint.services.first().map_or(HVYM_SERVICE, String::as_str);
        if self.dialect == Dialect::Native {
            return false;
        }
        let pipes = if abilities.pipes { Pipes::Always { packed: abilities.packed } } else { Pipes::Never };
        let key = self.foreign.key.take().filter(|_| seals);
        let config = ExchangeConfig::new(self.dialect, self.side, service);
        self.foreign.liveness = match self.side {
            Side::Relay => Liveness::Asks,
            Side::Agent if self.dialect.manners().relay_asks => Liveness::Listens,
            Side::Agent if abilities.pongs => Liveness::Asks,
            Side::Agent => Liveness::Trusts,
        };
        self.keepalive.slow_down(PATIENCE);
        let config = ExchangeConfig { pipes, key, carries: self.foreign.proto, ..config };
        let exchange = Exchange::new(config, self.epoch, self.rng.fork(), now);
        self.plane = Plane::Exchange(Box::new(exchange));
        true
    }

    /// What a close from the peer means.
    pub(super) fn reason_of(&self, close: &Close) -> DownReason {
        let refusal = self.dialect.manners().refusal.filter(|_| self.side == Side::Agent);
        if refusal == Some(close.code) {
            return DownReason::Authentication(close.reason.clone().into_owned());
        }
        DownReason::from_close(close)
    }

    pub(super) fn on_part(&mut self, part: Part, now: Instant) {
        let Some(exchange) = self.plane.exchange() else {
            if self.dialect.manners().is_hasty && !self.is_ended() && self.foreign.early.len() < MAX_EARLY {
                return self.foreign.early.push(part);
            }
            return self.end(DownReason::Malformed(String::from(self.not_a_login())), now);
        };
        let outcome = exchange.handle_part(part, now);
        self.drain_exchange();
        if let Err(error) = outcome {
            self.end(DownReason::Overloaded(error.to_string()), now);
        }
    }

    /// What came before the login was over.
    pub(super) fn hear_early(&mut self, now: Instant) {
        for part in core::mem::take(&mut self.foreign.early) {
            self.on_part(part, now);
        }
    }

    /// Moves answers that are whole ahead of the close: whoever wrote them has nothing more to wait for, and is gone.
    pub(super) fn flush_exchange(&mut self) {
        while let Some(message) = self.plane.exchange().and_then(Exchange::poll_transmit) {
            self.control.push(Transmit::Send(message));
        }
    }

    pub(super) fn drain_exchange(&mut self) {
        while let Some(event) = self.plane.exchange().and_then(Exchange::poll_event) {
            self.events.push_back(match event {
                ExchangeEvent::Opened(id, opening) => LinkEvent::Stream(StreamEvent::Opened { id, opening }),
                ExchangeEvent::Readable(id) => LinkEvent::Stream(StreamEvent::Readable(id)),
                ExchangeEvent::Writable(id) => LinkEvent::Stream(StreamEvent::Writable(id)),
                ExchangeEvent::Reset(id, reason) => LinkEvent::Stream(StreamEvent::Reset(id, reason)),
                ExchangeEvent::OpenReady => LinkEvent::Room,
            });
        }
    }
}
