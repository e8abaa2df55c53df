//! A set of up to eight kinds of things, as the bits of one byte.

use core::marker::PhantomData;

/// Something that a [`BitSet`] may hold: a fieldless enum of at most eight variants.
pub(crate) trait Bit: Copy {
    /// One bit, a different one for each variant.
    fn mask(self) -> u8;
}

/// A set of `B`.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) struct BitSet<B> {
    bits: u8,
    of: PhantomData<B>,
}

impl<B: Bit> BitSet<B> {
    pub(crate) const EMPTY: Self = Self { bits: 0, of: PhantomData };

    #[inline]
    pub(crate) fn contains(self, bit: B) -> bool {
        self.bits & bit.mask() != 0
    }

    /// Whether it was not there before.
    #[inline]
    pub(crate) fn insert(&mut self, bit: B) -> bool {
        let is_new = !self.contains(bit);
        self.bits |= bit.mask();
        is_new
    }

    /// Whether it was there.
    #[inline]
    pub(crate) fn remove(&mut self, bit: B) -> bool {
        let was_there = self.contains(bit);
        self.bits &= !bit.mask();
        was_there
    }

    #[inline]
    pub(crate) fn is_empty(self) -> bool {
        self.bits == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Bit for u8 {
        fn mask(self) -> u8 {
            1 << self
        }
    }

    #[test]
    fn what_is_put_in_is_there_until_it_is_taken_out() {
        let mut set = BitSet::<u8>::EMPTY;
        assert!(set.is_empty() && set.insert(3) && !set.insert(3) && set.insert(0));
        assert!(set.contains(3) && set.contains(0) && !set.contains(1));
        assert!(set.remove(3) && !set.remove(3) && !set.is_empty());
        assert!(set.contains(0) && set.remove(0) && set.is_empty());
    }
}
