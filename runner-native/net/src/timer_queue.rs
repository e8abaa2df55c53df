//! The timers of a runtime, by the moment when they fire. Knows no clock.

use std::collections::BTreeMap;
use std::task::Waker;
use std::time::Duration;

use hvym_tunnel_core::time::Instant;

/// The wakers by time and number; the number distinguishes timers of the same time.
#[derive(Debug, Default)]
pub(crate) struct TimerQueue {
    waiting: BTreeMap<(Instant, u64), Waker>,
    next_number: u64,
}

impl TimerQueue {
    /// The earliest moment.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.waiting.first_key_value().map(|((at, _), _)| *at)
    }

    /// Takes out those whose moment has come.
    pub(crate) fn expired(&mut self, now: Instant) -> BTreeMap<(Instant, u64), Waker> {
        if self.next().is_none_or(|at| at > now) {
            return BTreeMap::new();
        }
        let later = self.waiting.split_off(&(now + Duration::from_micros(1), 0));
        std::mem::replace(&mut self.waiting, later)
    }

    /// The number of a new entry, and whether it is the earliest now.
    pub(crate) fn insert(&mut self, at: Instant, waker: Waker) -> (u64, bool) {
        let number = self.next_number;
        self.next_number += 1;
        self.waiting.insert((at, number), waker);
        let is_first = self.waiting.first_key_value().is_some_and(|(key, _)| *key == (at, number));
        (number, is_first)
    }

    /// Has `waker` woken for an entry; the waker before is returned, to be dropped outside the lock. `None`: it expired.
    pub(crate) fn replace(&mut self, at: Instant, number: u64, waker: &Waker) -> Option<Waker> {
        let known = self.waiting.get_mut(&(at, number))?;
        Some(std::mem::replace(known, waker.clone()))
    }

    /// Takes an entry out; its waker is to be dropped outside the lock.
    pub(crate) fn remove(&mut self, at: Instant, number: u64) -> Option<Waker> {
        self.waiting.remove(&(at, number))
    }

    #[cfg(test)]
    pub(crate) fn contains(&self, at: Instant, number: u64) -> bool {
        self.waiting.contains_key(&(at, number))
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }
}
