//! What a relay's runner knows of a login before its first message: the upgrade request, and the relay's answer to its nonce.

use alloc::string::String;
use core::fmt;

use super::proof::RelayProof;

/// The token of an upgrade request.
#[derive(Clone, PartialEq, Eq, Default)]
pub enum Credential {
    /// There is none: the agent will be challenged.
    #[default]
    None,
    /// The token of `Authorization: Bearer`, in an upgrade that asks for the Yamux data plane.
    Bearer(String),
    /// The token of `Authorization: Bearer`, in an upgrade that names no data plane.
    BearerWithoutMux(String),
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Credential::None => "None",
            Credential::Bearer(_) => "Bearer(..)",
            Credential::BearerWithoutMux(_) => "BearerWithoutMux(..)",
        })
    }
}

/// An accepted upgrade request.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Upgrade {
    /// The name by which the relay was dialled, in the form of [`dialled_authority`](super::dialled_authority). The runner has found
    /// it to be one of the relay's own; a token that was made for another one is refused.
    pub host: String,
    /// Its token.
    pub credential: Credential,
    /// The relay's proof over its nonce and `host`; `None` where it had no nonce, as those of older programs. The challenge of the
    /// login is then the proof's.
    pub proof: Option<RelayProof>,
    /// Many logins from its network failed lately: if this one does too, the agent is told to wait longer than otherwise.
    pub is_rate_limited: bool,
}

impl Upgrade {
    /// An upgrade request addressed to `host`, without a token and without a nonce.
    pub fn new(host: impl Into<String>) -> Self {
        Self { host: host.into(), credential: Credential::None, proof: None, is_rate_limited: false }
    }

    /// With this token.
    #[must_use]
    pub fn with_credential(mut self, credential: Credential) -> Self {
        self.credential = credential;
        self
    }

    /// From a network of which logins failed too often lately, or not.
    #[must_use]
    pub fn with_rate_limit(mut self, is_rate_limited: bool) -> Self {
        self.is_rate_limited = is_rate_limited;
        self
    }

    /// Answered by this proof.
    #[must_use]
    pub fn with_proof(mut self, proof: RelayProof) -> Self {
        self.proof = Some(proof);
        self
    }
}
