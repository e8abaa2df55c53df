//! Why a delegation is refused.

use alloc::string::String;

use thiserror::Error;

use super::timestamp::Timestamp;
use crate::reason::DelegationFault;
use crate::stellar::address::Address;
use crate::stellar::scope::Scope;
use crate::time::UnixTime;

/// Why a delegation is not one, or does not allow what its key wants.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum DelegationError {
    /// Not a delegation in its canonical form; what is wrong.
    #[error("the delegation is malformed: {0}")]
    Malformed(&'static str),
    /// The signature is not by its owner.
    #[error("the delegation is not signed by its owner, {0}")]
    Forged(Address),
    /// It is for another key than the one that logs in.
    #[error("the delegation is for the key {0}, and another one logs in")]
    WrongKey(Address),
    /// It is by another owner than the login is for.
    #[error("the delegation is by {0}, and the login is for another account")]
    WrongOwner(Address),
    /// It does not allow this kind of login.
    #[error("the delegation does not allow a login of the scope {0}")]
    Scope(Scope),
    /// It names services, and not this one.
    #[error("the delegation does not name the service {0}")]
    Service(String),
    /// It is for another relay.
    #[error("the delegation is for the relay {0}")]
    Relay(String),
    /// Its time has not begun.
    #[error("the delegation is valid from {} on (current time: {})", Timestamp(*from), Timestamp(*now))]
    NotYet {
        /// When it begins.
        from: UnixTime,
        /// The verifier's clock.
        now: UnixTime,
    },
    /// Its time is over.
    #[error("the delegation ended at {} (current time: {})", Timestamp(*until), Timestamp(*now))]
    Expired {
        /// When it ended.
        until: UnixTime,
        /// The verifier's clock.
        now: UnixTime,
    },
}

impl DelegationError {
    /// The code that travels.
    pub fn fault(&self) -> DelegationFault {
        match self {
            Self::Malformed(_) => DelegationFault::Malformed,
            Self::Forged(_) => DelegationFault::Signature,
            Self::WrongKey(_) | Self::WrongOwner(_) => DelegationFault::Key,
            Self::Scope(_) => DelegationFault::Scope,
            Self::Service(_) => DelegationFault::Service,
            Self::Relay(_) => DelegationFault::Relay,
            Self::NotYet { .. } => DelegationFault::NotYet,
            Self::Expired { .. } => DelegationFault::Expired,
        }
    }
}
