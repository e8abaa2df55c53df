//! Negotiates whether messages are sealed, and seals and opens them.

use alloc::vec::Vec;

use crate::dialect::Sealing;
use crate::sealed_box::{NONCE_BYTES, SealKey};
use hvym_tunnel_core::machine::Side;
use hvym_tunnel_core::rng::Rng;

/// The state of sealing on one link.
#[derive(Debug)]
pub(super) struct MessageSealing {
    side: Side,
    key: Option<SealKey>,
    on: bool,
}

impl MessageSealing {
    pub(super) fn new(side: Side, key: Option<SealKey>) -> Self {
        Self { side, key, on: false }
    }

    /// The first message of an agent with a key.
    pub(super) fn request(&self) -> Option<Sealing> {
        (self.side == Side::Agent && self.key.is_some()).then_some(Sealing::Enable)
    }

    /// The answer to a message about sealing, if it has one.
    pub(super) fn handle(&mut self, message: Sealing) -> Option<Sealing> {
        match (self.side, message) {
            (Side::Relay, Sealing::Enable) => {
                self.on = self.key.is_some();
                Some(if self.on { Sealing::Enabled } else { Sealing::Unavailable })
            }
            (Side::Relay, Sealing::Disable) => {
                self.on = false;
                Some(Sealing::Disabled)
            }
            (Side::Agent, Sealing::Enabled) => {
                self.on = self.key.is_some();
                None
            }
            // An agent never sends `Disable`, so a `Disabled` message is forged.
            _ => None,
        }
    }

    /// Whether messages are sealed.
    pub(super) fn is_on(&self) -> bool {
        self.on
    }

    pub(super) fn seal(&self, text: &[u8], rng: &mut Rng) -> Option<Vec<u8>> {
        let mut nonce = [0; NONCE_BYTES];
        let fresh = rng.fork();
        nonce.copy_from_slice(fresh.get(..NONCE_BYTES)?);
        Some(self.key.as_ref()?.seal(text, nonce))
    }

    /// The beginning of what is sealed, of which only the `start` is there.
    pub(super) fn peek(&self, start: &[u8]) -> Option<Vec<u8>> {
        self.key.as_ref().map(|key| key.peek(start))
    }

    pub(super) fn open(&self, payload: &[u8]) -> Option<Vec<u8>> {
        let opened = self.key.as_ref()?.open(payload);
        opened.inspect_err(|error| tracing::debug!(%error, "dropped a sealed message")).ok()
    }
}
