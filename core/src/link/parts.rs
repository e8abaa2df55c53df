//! The lane of dialects without a mux: parts in, whole messages out.

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use core::time::Duration;

use super::plane::Plane;
use super::{Link, LinkEvent, StreamEvent};
use crate::dialect::{Dialect, Part};
use crate::exchange::{Exchange, ExchangeConfig, ExchangeEvent};
use crate::handshake::Endpoint;
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

impl Link {
    /// The data plane of what was agreed on.
    pub(super) fn begin_streams(&mut self, endpoint: &Endpoint, seals: bool, now: Instant) {
        let seed = self.rng.fork();
        let config = match self.dialect {
            Dialect::Native => {
                let mux = Mux::new(self.side, self.config.mux.clone(), self.epoch, seed, now);
                self.plane = Plane::Mux(mux);
                return;
            }
            Dialect::HvymJson => {
                let service = endpoint.services.first().map_or(HVYM_SERVICE, String::as_str);
                let key = self.key.take().filter(|_| seals);
                ExchangeConfig::hvym(self.side, service, key)
            }
        };
        self.keepalive.slow_down(PATIENCE);
        self.plane = Plane::Exchange(Box::new(Exchange::new(config, self.epoch, seed, now)));
    }

    pub(super) fn on_part(&mut self, part: Part, now: Instant) {
        let Some(exchange) = self.plane.exchange() else {
            return self.end(DownReason::Malformed(String::from(self.not_a_login())), now);
        };
        let outcome = exchange.handle_part(part, now);
        self.drain_exchange();
        if let Err(error) = outcome {
            self.end(DownReason::Overloaded(error.to_string()), now);
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

    /// Whether the peer answers a ping. Who does not is believed alive as long as anything comes.
    pub(super) fn is_answered(&self) -> bool {
        match self.dialect {
            Dialect::Native => true,
            Dialect::HvymJson => self.side == Side::Relay,
        }
    }
}
