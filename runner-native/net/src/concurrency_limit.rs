//! A limit of how many of something there are at once. Nobody waits for a permit.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// So many of something at once.
#[derive(Debug)]
pub struct ConcurrencyLimit {
    taken: Arc<AtomicUsize>,
    limit: usize,
}

/// One of them, until it is dropped.
#[derive(Debug)]
pub struct ConcurrencyPermit(Arc<AtomicUsize>);

impl ConcurrencyLimit {
    /// All of them are free.
    pub fn new(limit: usize) -> Self {
        Self { taken: Arc::default(), limit }
    }

    /// One, if there is one left.
    pub fn take_one(&self) -> Option<ConcurrencyPermit> {
        let take = |taken: usize| (taken < self.limit).then_some(taken + 1);
        let taken = self.taken.fetch_update(Ordering::AcqRel, Ordering::Acquire, take);
        taken.is_ok().then(|| ConcurrencyPermit(Arc::clone(&self.taken)))
    }
}

impl Drop for ConcurrencyPermit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_as_many_places_as_the_limit_says() {
        let places = ConcurrencyLimit::new(2);
        let (first, second) = (places.take_one(), places.take_one());
        assert!(first.is_some() && second.is_some() && places.take_one().is_none());
        drop(first);
        assert!(places.take_one().is_some());
    }
}
