//! What an agent logs in with, and the claims that it makes. It signs nothing.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use crate::stellar::delegation::SignedDelegation;
use crate::stellar::jwt::LIFETIME;
use crate::stellar::{Address, Claims, Scope};
use crate::time::{Instant, Wall};

/// How an agent shows who it is.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub enum AuthMode {
    /// The relay asks, the agent signs the answer: nothing that travels can be used twice.
    #[default]
    Challenge,
    /// A token in the upgrade request, one round trip sooner. Whoever reads it can log in until it expires.
    Bearer,
}

/// What an agent logs in with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AgentLogin {
    /// Who the agent is.
    pub identity: Address,
    /// Who the relay must be; `None` trusts whoever answers at the URL, and nobody else from then on.
    pub relay_address: Option<Address>,
    /// Whether that is who answered there before, and no person said so. Such a relay has proved its key, and must again.
    pub is_remembered: bool,
    /// What lets the key that signs act for `identity`, its owner; `None` where the identity's own key signs.
    pub delegation: Option<SignedDelegation>,
    /// What the token is good for: a login as an agent or as a caller.
    pub scope: Scope,
    /// The services the token asks for.
    pub services: Vec<String>,
    /// How long the token is valid.
    pub token_lifetime: Duration,
    /// Whether a token went ahead in the upgrade.
    pub mode: AuthMode,
}

impl AgentLogin {
    /// The login of `identity` by challenge, at any relay, with tokens of the usual lifetime.
    pub fn new(identity: Address) -> Self {
        Self {
            identity,
            relay_address: None,
            is_remembered: false,
            delegation: None,
            scope: Scope::Agent,
            services: Vec::new(),
            token_lifetime: LIFETIME,
            mode: AuthMode::Challenge,
        }
    }

    /// The login of the key that `delegation` names, for its owner.
    pub fn by_delegation(delegation: SignedDelegation) -> Self {
        Self { delegation: Some(delegation.clone()), ..Self::new(delegation.delegation.owner) }
    }

    /// The claims of a token for `relay`, dialled as `host`, issued now.
    pub fn claims(&self, relay: Address, host: &str, wall: Wall, now: Instant) -> Claims {
        Claims::new(self.identity, relay.to_string(), wall.unix_at(now))
            .with_services(self.services.iter().cloned())
            .with_lifetime(Some(self.token_lifetime))
            .with_delegation(self.delegation.clone())
            .with_host(host)
            .with_scope(self.scope)
    }
}
