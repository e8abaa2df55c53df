//! Who may reach a service: everybody, or the addresses that its owner named.
//!
//! It trusts the address it is given; whose word that is, the owner of the link decides.

use alloc::collections::BTreeSet;

use crate::stellar::Address;

/// Who may reach a service.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Access {
    /// Every visitor, and everybody who is logged in.
    #[default]
    Public,
    /// Only these, and no visitor who has no address.
    Private(BTreeSet<Address>),
}

impl Access {
    /// Whether visitors without an address may come.
    pub fn is_public(&self) -> bool {
        matches!(self, Access::Public)
    }

    /// Whether a stream of `from` may be served; `None` is a visitor of the public side.
    pub fn admits(&self, from: Option<Address>) -> bool {
        match self {
            Access::Public => true,
            Access::Private(allowed) => from.is_some_and(|from| allowed.contains(&from)),
        }
    }
}
