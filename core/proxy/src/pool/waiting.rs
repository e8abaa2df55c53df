//! Requests that wait for a connection while their link is full, first come, first served.
//!
//! One of them at a time is told that a stream may have become free. Whether it could open one, it says; so a stream
//! that became free is never lost, and those who wait are not all woken for each one.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;

use hvym_yamux::Instant;

use super::{Returned, VisitorId};

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
    next: u64,
    granted: VecDeque<WaitId>,
    /// Who is told that a stream may be free, and has not answered.
    opener: Option<WaitId>,
    /// Another stream became free since.
    has_more_room: bool,
}

impl<C> Waiting<C> {
    pub(super) const fn new() -> Self {
        Self { waits: BTreeMap::new(), next: 1, granted: VecDeque::new(), opener: None, has_more_room: false }
    }

    pub(super) fn len(&self) -> usize {
        self.waits.len()
    }

    /// Whether somebody has got no connection yet.
    pub(super) fn is_contended(&self) -> bool {
        self.waits.values().any(|wait| matches!(wait.state, State::Queued | State::Opening { .. }))
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
        id
    }

    /// The first who may take a connection to `service` that `visitor` used.
    pub(super) fn taker(&self, service: &str, visitor: VisitorId, is_shared: bool) -> Option<WaitId> {
        let fits = |wait: &Wait<C>| {
            matches!(wait.state, State::Queued)
                && wait.service.as_deref() == Some(service)
                && (is_shared || wait.visitor == visitor)
        };
        self.waits.iter().find(|(_, wait)| fits(wait)).map(|(id, _)| *id)
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
        match self.waits.remove(&id)?.state {
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
        self.waits.values().find(|wait| matches!(wait.state, State::Queued)).map(|wait| wait.deadline)
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        let is_late = |wait: &Wait<C>| matches!(wait.state, State::Queued) && wait.deadline <= now;
        for (id, wait) in self.waits.iter_mut().filter(|(_, wait)| is_late(wait)) {
            wait.state = State::TimedOut;
            self.granted.push_back(*id);
        }
    }

    /// A stream may have become free.
    pub(super) fn handle_room(&mut self) {
        if self.opener.is_some() {
            self.has_more_room = true;
            return;
        }
        let first = self.waits.iter().find(|(_, wait)| matches!(wait.state, State::Queued));
        if let Some(id) = first.map(|(id, _)| *id) {
            self.opener = Some(id);
            self.set(id, State::Opening { is_told: false });
            self.granted.push_back(id);
        }
    }

    /// The one that was told of a stream could open none: it is the first in line again.
    pub(super) fn handle_full(&mut self, id: WaitId) {
        self.set(id, State::Queued);
        if self.opener == Some(id) {
            self.opener = None;
            if core::mem::take(&mut self.has_more_room) {
                self.handle_room();
            }
        }
    }

    /// It does not wait any more. Returns the connection that it was given and did not take.
    pub(super) fn cancel(&mut self, id: WaitId) -> Option<Returned<C>> {
        let wait = self.waits.remove(&id);
        self.pass_on(id);
        match wait?.state {
            State::Given(returned) => Some(returned),
            State::Queued | State::Opening { .. } | State::TimedOut => None,
        }
    }

    fn set(&mut self, id: WaitId, state: State<C>) {
        if let Some(wait) = self.waits.get_mut(&id) {
            wait.state = state;
        }
    }

    fn pass_on(&mut self, id: WaitId) {
        if self.opener == Some(id) {
            (self.opener, self.has_more_room) = (None, false);
            self.handle_room();
        }
    }
}
