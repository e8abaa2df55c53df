//! The latest exchanges, bounded in number and bytes.

use std::collections::{BTreeSet, VecDeque};

use super::exchange::{CapturedExchange, CapturedRequest, ExchangeSource, Moment, Progress};
use super::messages::MessageLog;

/// The most exchanges that are kept: more than a person looks through.
pub const MAX_EXCHANGES: usize = 100;
/// The most bytes that are held in all, by exchanges and by whatever follows open connections. A development machine has
/// them to spare.
pub const MAX_HELD_BYTES: usize = 64 * 1024 * 1024;

/// The latest exchanges, oldest first.
#[derive(Debug)]
pub(super) struct Ring {
    max_exchanges: usize,
    max_held: usize,
    kept: VecDeque<CapturedExchange>,
    held: usize,
    last: u64,
    dropped: u64,
    /// Kept exchanges that changed since they were last asked for.
    changed: BTreeSet<u64>,
}

impl Default for Ring {
    fn default() -> Self {
        Self::with_limits(MAX_EXCHANGES, MAX_HELD_BYTES)
    }
}

impl Ring {
    /// One with room for so many exchanges, and so many bytes.
    pub(super) fn with_limits(max_exchanges: usize, max_held: usize) -> Self {
        let (kept, changed) = (VecDeque::new(), BTreeSet::new());
        Self { max_exchanges, max_held, kept, held: 0, last: 0, dropped: 0, changed }
    }

    /// A request began.
    pub(super) fn begin(&mut self, source: ExchangeSource, request: CapturedRequest, started: Moment) -> u64 {
        self.last += 1;
        let exchange = CapturedExchange {
            id: self.last,
            source,
            started,
            request,
            response: None,
            messages: MessageLog::default(),
            progress: Progress::Open,
            duration: None,
        };
        self.held += exchange.held();
        self.kept.push_back(exchange);
        self.changed.insert(self.last);
        self.last
    }

    /// Changes an exchange, if it is still kept.
    pub(super) fn update<R>(
        &mut self,
        id: u64,
        change: impl FnOnce(&mut CapturedExchange) -> R,
    ) -> Option<R> {
        let at = self.position(id)?;
        let exchange = &mut self.kept[at];
        let before = exchange.held();
        let result = change(exchange);
        self.held = self.held - before + exchange.held();
        self.changed.insert(id);
        Some(result)
    }

    /// Drops the oldest exchanges until there are not too many, and all of them and `others` bytes hold no more than they may.
    pub(super) fn evict(&mut self, others: usize) {
        while self.kept.len() > self.max_exchanges || self.held + others > self.max_held {
            let Some(oldest) = self.kept.pop_front() else { break };
            self.held -= oldest.held();
            self.dropped += 1;
            self.changed.remove(&oldest.id);
        }
    }

    /// The exchanges that changed since the last call.
    pub(super) fn take_changed(&mut self) -> BTreeSet<u64> {
        std::mem::take(&mut self.changed)
    }

    /// Forgets all exchanges.
    pub(super) fn clear(&mut self) {
        (self.kept, self.held, self.dropped) = (VecDeque::new(), 0, 0);
        self.changed.clear();
    }

    /// An exchange, if it is still kept.
    pub(super) fn get(&self, id: u64) -> Option<&CapturedExchange> {
        self.position(id).map(|at| &self.kept[at])
    }

    /// All that are kept, oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &CapturedExchange> {
        self.kept.iter()
    }

    /// How many were dropped since the last [`Self::clear`], because there was no room for them.
    pub(super) const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// The number of the exchange that began last.
    pub(super) const fn last(&self) -> u64 {
        self.last
    }

    /// Bytes held.
    pub(super) const fn held(&self) -> usize {
        self.held
    }

    fn position(&self, id: u64) -> Option<usize> {
        self.kept.binary_search_by_key(&id, |exchange| exchange.id).ok()
    }
}
