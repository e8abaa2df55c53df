//! Access control of a service: everybody, or a list of addresses.
//!
//! It trusts the address that it is given; the owner of the link has authenticated it.

use alloc::vec::Vec;

use crate::stellar::Address;

/// Who may open a stream to a service.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Access {
    /// Visitors of the public side, and every logged-in address.
    #[default]
    Public,
    /// These addresses only; never a visitor of the public side.
    Private(AddressSet),
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
            Access::Private(allowed) => from.is_some_and(|from| allowed.contains(from)),
        }
    }
}

/// A set of addresses. Sorted in a vector: lists are short, and a tree is 6 KB of the browser package.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AddressSet(Vec<Address>);

impl AddressSet {
    /// Adds an address. Adding it again has no effect.
    pub fn insert(&mut self, address: Address) {
        if let Err(position) = self.0.binary_search(&address) {
            self.0.insert(position, address);
        }
    }

    /// Whether the set has this address.
    pub fn contains(&self, address: Address) -> bool {
        self.0.binary_search(&address).is_ok()
    }

    /// The addresses, in their order.
    pub fn iter(&self) -> impl Iterator<Item = Address> {
        self.0.iter().copied()
    }

    /// Whether the set has no address.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<Address> for AddressSet {
    fn from_iter<I: IntoIterator<Item = Address>>(addresses: I) -> Self {
        let mut set = AddressSet::default();
        addresses.into_iter().for_each(|address| set.insert(address));
        set
    }
}

impl<const N: usize> From<[Address; N]> for AddressSet {
    fn from(addresses: [Address; N]) -> Self {
        addresses.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_what_was_added_in_any_order_and_nothing_else() {
        let address = |byte| Address::from_public_key([byte; 32]);
        let set = AddressSet::from([address(3), address(1), address(2), address(1)]);
        assert_eq!(set, [1, 2, 3].map(address).into());
        assert!(set.iter().eq([1, 2, 3].map(address)));
        assert!([1, 2, 3].map(address).into_iter().all(|address| set.contains(address)));
        assert!(![0, 4].map(address).into_iter().any(|address| set.contains(address)));
        assert!(!set.is_empty() && AddressSet::default().is_empty());
    }
}
