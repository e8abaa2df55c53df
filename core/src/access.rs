//! Access control of a service: everybody, or a list of addresses.
//!
//! It trusts the address that it is given; the owner of the link has authenticated it.

use alloc::collections::BTreeSet;

use crate::stellar::Address;

/// Who may open a stream to a service.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Access {
    /// Visitors of the public side, and every logged-in address.
    #[default]
    Public,
    /// These addresses only; never a visitor of the public side.
    Private(BTreeSet<Address>),
}

impl Access {
    /// Whether visitors of the public side are admitted.
    pub fn is_public(&self) -> bool {
        matches!(self, Access::Public)
    }

    /// Whether a stream from this address is admitted; `None` is a visitor of the public side.
    pub fn admits(&self, from: Option<Address>) -> bool {
        match self {
            Access::Public => true,
            Access::Private(allowed) => from.is_some_and(|from| allowed.contains(&from)),
        }
    }
}
