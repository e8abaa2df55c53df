//! The lane of dialects without a mux: parts in, whole messages out.

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use core::time::Duration;

use super::plane::Plane;
use super::{Link, LinkEvent, Liveness, State, StreamEvent};
use crate::dialect::{Dialect, Part};
use crate::exchange::{Exchange, ExchangeConfig, ExchangeEvent, Pipes};
use crate::handshake::{Abilities, Endpoint, Handshake};
use crate::keepalive::KeepaliveConfig;
use crate::machine::Side;
use crate::mux::Mux;
use crate::reason::DownReason;
use crate::time::Instant;

/// What requests are for when the login named no service: the only one that existing HVYM agents have.
const HVYM_SERVICE: &str = "pintheon";
/// Existing agents take one message after another, a request included, which may take them 30 s; and existing relays
/// ping every 30 s. Whoever is asked more often, or given up sooner, is alive all the same.
const PATIENCE: KeepaliveConfig =
    KeepaliveConfig { ping_interval: Duration::from_secs(30), ping_timeout: Duration::from_secs(45) };

/// Messages that may come before the login is over: an agent's first signs of life, or one existing relay's first
/// requests, which it can send ahead of its answer.
const MAX_EARLY: usize = 16;

impl Link {
    /// The data plane of what was agreed on.
    pub(super) fn begin_streams(&mut self, endpoint: &Endpoint, now: Instant) {
        let State::Login(handshake) = &self.state else { return };
        self.dialect = handshake.dialect();
        let (seals, abilities) = match &**handshake {
            Handshake::Agent(half) => (half.seals(), Abilities::default()),
            Handshake::Relay(_) => (true, Abilities::default()),
            Handshake::Knock(half) => (false, half.abilities()),
        };
        let service = endpoint.services.first().map_or(HVYM_SERVICE, String::as_str);
        let config = match self.dialect {
            Dialect::Native => {
                let (config, seed) = (self.config.mux.clone(), self.rng.fork());
                self.plane = Plane::Mux(Mux::new(self.side, config, self.epoch, seed, now));
                return;
            }
            Dialect::HvymJson => ExchangeConfig::hvym(self.side, service, self.key.take().filter(|_| seals)),
            Dialect::Tunely if abilities.pipes => {
                ExchangeConfig::tunely(self.side, service, Pipes::Always { packed: abilities.packed })
            }
            Dialect::Tunely => ExchangeConfig::tunely(self.side, service, Pipes::Never),
            Dialect::CloudLlm => ExchangeConfig::cloud_llm(self.side, service),
        };
        self.liveness = match (self.side, self.dialect) {
            (Side::Relay, _) => Liveness::Asks,
            (Side::Agent, Dialect::Tunely) if abilities.pongs => Liveness::Asks,
            (Side::Agent, Dialect::Tunely) => Liveness::Trusts,
            (Side::Agent, _) => Liveness::Listens,
        };
        self.keepalive.slow_down(PATIENCE);
        let exchange = Exchange::new(config, self.epoch, self.rng.fork(), now);
        self.plane = Plane::Exchange(Box::new(exchange));
    }

    pub(super) fn on_part(&mut self, part: Part, now: Instant) {
        let Some(exchange) = self.plane.exchange() else {
            let waits = matches!(self.dialect, Dialect::CloudLlm | Dialect::Tunely);
            if waits && !self.is_ended() && self.early.len() < MAX_EARLY {
                return self.early.push(part);
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
        for part in core::mem::take(&mut self.early) {
            self.on_part(part, now);
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
