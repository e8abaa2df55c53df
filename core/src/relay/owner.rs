//! Whose a session, a service or a public name is.

use alloc::sync::Arc;
use core::fmt;

use crate::stellar::Address;

/// The owner of a public name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Owner {
    /// Whoever proves to be this identity.
    Identity(Address),
    /// An agent without an identity, known to the relay's operator by this name: one DNS label, lower case.
    Named(Arc<str>),
}

impl From<Address> for Owner {
    fn from(address: Address) -> Self {
        Owner::Identity(address)
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Owner::Identity(address) => address.fmt(f),
            Owner::Named(name) => f.write_str(name),
        }
    }
}
