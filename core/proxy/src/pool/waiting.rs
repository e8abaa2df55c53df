//! Requests that wait for a connection while their link is full, first come, first served.
//!
//! The first of them is told that a stream may have become free. Whether it could open one, it says; so a stream that became
//! free is never lost, and those who wait are not all woken for each one. As long as streams can be opened, twice as many are
//! told each time: a link takes hundreds at once, and one turn after the other would take long.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::sync::Arc;

use hvym_yamux::Instant;

use super::{Returned, VisitorId};

/// Requests that are told of a stream at once, at most: so many are woken for nothing where there was but one.
const MAX_OPENERS: usize = 64;

/// A waiting request; a later one came later.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct WaitId(u64);

/// What a waiting request gets.
#[derive(Debug, PartialEq, Eq)]
pub enum Grant<C> {
    /// A connection that another request has put back.
    Conn(C),
    /// It may try to open a stream, and says what came of it.
    Stream,
    /// Nothing became free in time.
    TimedOut,
}

enum State<C> {
    Queued,
    Given(Returned<C>),
    /// Is told of a stream, and has not said what came of it.
    Opening {
        is_told: bool,
    },
    TimedOut,
}

struct Wait<C> {
    /// The service whose connections it takes too; `None` wants a new stream.
    service: Option<Arc<str>>,
    visitor: VisitorId,
    deadline: Instant,
    state: State<C>,
}

/// The queue of one link.
pub(super) struct Waiting<C> {
    waits: BTreeMap<WaitId, Wait<C>>,
    /// Those in [`State::Queued`], also by their visitors: thousands may wait.
    queued: BTreeSet<WaitId>,
    visitors: BTreeSet<(VisitorId, WaitId)>,
    next: u64,
    granted: VecDeque<WaitId>,
    /// Who is told that a stream may be free, and has not answered.
    openers: BTreeSet<WaitId>,
    /// How many may be.
    max_openers: usize,
    /// Another stream became free since.
    has_more_room: bool,
}

impl<C> Waiting<C> {
    pub(super) const fn new() -> Self {
        Self {
            waits: BTreeMap::new(),
            queued: BTreeSet::new(),
            visitors: BTreeSet::new(),
            next: 1,
            granted: VecDeque::new(),
            openers: BTreeSet::new(),
            max_openers: 1,
            has_more_room: false,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.waits.len()
    }

    /// Whether somebody has got no connection yet.
    pub(super) fn is_contended(&self) -> bool {
        !self.queued.is_empty() || !self.openers.is_empty()
    }

    pub(super) fn push(
        &mut self,
        service: Option<Arc<str>>,
        visitor: VisitorId,
        deadline: Instant,
    ) -> WaitId {
        let id = WaitId(self.next);
        self.next += 1;
        self.waits.insert(id, Wait { service, visitor, deadline, state: State::Queued });
        self.queued.insert(id);
        self.visitors.insert((visitor, id));
        id
    }

    /// The first who may take a connection to `service` that `visitor` used.
    pub(super) fn taker(&self, service: &str, visitor: VisitorId, is_shared: bool) -> Option<WaitId> {
        let fits =
            |id: &WaitId| self.waits.get(id).is_some_and(|wait| wait.service.as_deref() == Some(service));
        if is_shared {
            return self.queued.iter().copied().find(fits);
        }
        let own = self.visitors.range((visitor, WaitId(0))..=(visitor, WaitId(u64::MAX)));
        own.map(|(_, id)| *id).find(fits)
    }

    /// Gives a connection to one of those who wait.
    pub(super) fn give(&mut self, id: WaitId, conn: Returned<C>) {
        self.set(id, State::Given(conn));
        self.granted.push_back(id);
    }

    /// What `id` has got; `None`: nothing yet.
    pub(super) fn take(&mut self, id: WaitId) -> Option<Grant<C>> {
        let wait = self.waits.get_mut(&id)?;
        match &mut wait.state {
            State::Opening { is_told } => {
                return (!core::mem::replace(is_told, true)).then_some(Grant::Stream);
            }
            State::Queued => return None,
            State::Given(_) | State::TimedOut => {}
        }
        match self.remove(id)?.state {
            State::Given(returned) => Some(Grant::Conn(returned.conn)),
            State::TimedOut | State::Queued | State::Opening { .. } => Some(Grant::TimedOut),
        }
    }

    /// Who has got something.
    pub(super) fn poll_granted(&mut self) -> Option<WaitId> {
        self.granted.pop_front()
    }

    /// When the next one gives up. All wait equally long.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.waits.get(self.queued.first()?).map(|wait| wait.deadline)
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        while self.poll_timeout().is_some_and(|deadline| deadline <= now)
            && let Some(id) = self.queued.first().copied()
        {
            self.set(id, State::TimedOut);
            self.granted.push_back(id);
        }
    }

    /// A stream may have become free.
    pub(super) fn handle_room(&mut self) {
        self.has_more_room = true;
        self.tell();
    }

    /// Tells those who are first of a stream.
    fn tell(&mut self) {
        while self.openers.len() < self.max_openers
            && let Some(id) = self.queued.first().copied()
        {
            self.has_more_room = false;
            self.openers.insert(id);
            self.set(id, State::Opening { is_told: false });
            self.granted.push_back(id);
        }
    }

    /// The one that was told of a stream could open none: it is the first in line again.
    pub(super) fn requeue(&mut self, id: WaitId) {
        self.set(id, State::Queued);
        if self.openers.remove(&id) {
            self.max_openers = 1;
            if self.has_more_room {
                self.tell();
            }
        }
    }

    /// It does not wait any more. Returns the connection that it was given and did not take.
    pub(super) fn cancel(&mut self, id: WaitId) -> Option<Returned<C>> {
        let wait = self.remove(id);
        self.pass_on(id);
        match wait?.state {
            State::Given(returned) => Some(returned),
            State::Queued | State::Opening { .. } | State::TimedOut => None,
        }
    }

    fn set(&mut self, id: WaitId, state: State<C>) {
        let Some(wait) = self.waits.get_mut(&id) else { return };
        if matches!(state, State::Queued) {
            self.queued.insert(id);
            self.visitors.insert((wait.visitor, id));
        } else {
            self.queued.remove(&id);
            self.visitors.remove(&(wait.visitor, id));
        }
        wait.state = state;
    }

    fn remove(&mut self, id: WaitId) -> Option<Wait<C>> {
        let wait = self.waits.remove(&id)?;
        self.queued.remove(&id);
        self.visitors.remove(&(wait.visitor, id));
        Some(wait)
    }

    fn pass_on(&mut self, id: WaitId) {
        if self.openers.remove(&id) {
            self.max_openers = (2 * self.max_openers).min(MAX_OPENERS);
            self.tell();
        }
    }
}
