//! Why a delegation does not allow what its key wants, as a code that travels. It knows no delegation.

/// What is wrong with a delegation, or with its use.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum DelegationFault {
    /// It is not a delegation, or not in its one canonical form.
    Malformed,
    /// The signature is not by its owner.
    Signature,
    /// It is for another key, or by another owner, than the login says.
    Key,
    /// It does not allow this kind of login.
    Scope,
    /// It does not name this service.
    Service,
    /// It is for another relay.
    Relay,
    /// Its time has not begun.
    NotYet,
    /// Its time is over.
    Expired,
    /// Its owner took it back.
    Revoked,
}

impl DelegationFault {
    const ALL: [Self; 9] = [
        Self::Malformed,
        Self::Signature,
        Self::Key,
        Self::Scope,
        Self::Service,
        Self::Relay,
        Self::NotYet,
        Self::Expired,
        Self::Revoked,
    ];

    /// The code on the wire.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Malformed => "delegation_malformed",
            Self::Signature => "delegation_signature",
            Self::Key => "delegation_key",
            Self::Scope => "delegation_scope",
            Self::Service => "delegation_service",
            Self::Relay => "delegation_relay",
            Self::NotYet => "delegation_not_yet",
            Self::Expired => "delegation_expired",
            Self::Revoked => "delegation_revoked",
        }
    }

    /// The fault of this code.
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|fault| fault.code() == code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_read_back_and_no_two_are_the_same() {
        for fault in DelegationFault::ALL {
            assert_eq!(DelegationFault::from_code(fault.code()), Some(fault));
        }
        assert_eq!(DelegationFault::from_code("delegation"), None);
    }
}
