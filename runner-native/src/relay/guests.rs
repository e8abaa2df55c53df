//! Agents without an identity, which the operator knows by tokens: how they come to the door, and who they are.
//!
//! Knows no session. What strangers show is compared in constant time, and no answer tells which names exist.

use std::sync::Arc;

use http::Request;
use http::header::USER_AGENT;
use hvym_tunnel_core::handshake::Guest;
use hvym_tunnel_core::reason::DownReason;

use crate::config::{GuestOptions, TunelyOptions};
use crate::secret::Fingerprint;

/// How a guest came, which says who judges its token.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Door {
    /// Tunely: the token comes in the first message.
    Tunely,
}

/// The guests of a relay.
pub(super) struct Guests {
    tunely: Option<TunelyOptions>,
}

impl Guests {
    /// Those whom the operator named.
    pub(super) fn new(options: &GuestOptions) -> Self {
        Self { tunely: options.tunely.clone() }
    }

    /// Whether there is anybody to let in.
    pub(super) fn are_expected(&self) -> bool {
        self.tunely.is_some()
    }

    /// Every name that a guest can have.
    pub(super) fn names(&self) -> Vec<Arc<str>> {
        self.tunely.iter().flat_map(|tunely| tunely.tunnels.keys().cloned()).collect()
    }

    /// Who knocks, from what the upgrade brings.
    pub(super) fn at_the_door<B>(&self, request: &Request<B>) -> (Guest, Door) {
        let user_agent = request.headers().get(USER_AGENT).and_then(|value| value.to_str().ok());
        (Guest::Tunely { user_agent: user_agent.map(str::to_owned) }, Door::Tunely)
    }

    /// The name of whoever shows `token`.
    ///
    /// # Errors
    /// What its owner is told.
    pub(super) fn judge(&self, door: Door, token: &str) -> Result<Arc<str>, DownReason> {
        match door {
            Door::Tunely => self.tunnel(token),
        }
    }

    fn tunnel(&self, token: &str) -> Result<Arc<str>, DownReason> {
        let shown = Fingerprint::of(token.as_bytes());
        let mut found = None;
        // All of them, so that the time does not tell which.
        for (name, tunnel) in self.tunely.iter().flat_map(|tunely| &tunely.tunnels) {
            if tunnel.token.matches(&shown) && tunnel.enabled {
                found = Some(name);
            }
        }
        found.cloned().ok_or_else(|| DownReason::Authentication("Authentication failed".to_owned()))
    }
}
