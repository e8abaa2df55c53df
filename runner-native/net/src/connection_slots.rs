//! The open connections of a server, up to a limit. Beyond it a newcomer takes the place of the connection that has waited
//! longest for a request, so that nobody keeps others out by connections on which nothing is asked.
//!
//! Knows neither sockets nor HTTP: the server says when a request begins.

use std::collections::BTreeMap;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::shutdown::CancellationToken;

/// The places of a server.
#[derive(Debug)]
pub struct ConnectionSlots {
    limit: usize,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    /// The places that are taken.
    count: usize,
    /// Counts what began to wait.
    next: u64,
    /// What waits for a request, the oldest first.
    waiting: BTreeMap<u64, CancellationToken>,
}

/// The place of one connection, until it is dropped. Clones are the same place.
#[derive(Clone, Debug)]
pub struct ConnectionSlot(Arc<SlotState>);

#[derive(Debug)]
struct SlotState {
    slots: Arc<ConnectionSlots>,
    /// Cancelled when another connection takes the place. Only changed while [`ConnectionSlots::open`] is locked.
    lost: CancellationToken,
    activity: Mutex<Activity>,
}

/// What a connection does.
#[derive(Debug)]
enum Activity {
    /// It waits for a request, as this entry of [`Open::waiting`].
    Waiting(u64),
    /// So many requests are under way.
    Serving(usize),
}

/// A request that is under way, until it is dropped.
#[derive(Debug)]
pub struct RequestGuard(ConnectionSlot);

impl ConnectionSlots {
    /// All of them are free.
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, open: Mutex::default() })
    }

    /// A place for a new connection, which waits for a request. `None`: all are taken, and have requests under way.
    pub fn enter(self: &Arc<Self>) -> Option<ConnectionSlot> {
        let mut open = self.lock();
        if open.count < self.limit {
            open.count += 1;
        } else {
            // Its place passes on, so the count stays.
            open.waiting.pop_first()?.1.cancel();
        }
        let lost = CancellationToken::new();
        let activity = Mutex::new(Activity::Waiting(open.wait(&lost)));
        drop(open);
        Some(ConnectionSlot(Arc::new(SlotState { slots: Arc::clone(self), lost, activity })))
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    /// Something begins to wait.
    fn wait(&mut self, lost: &CancellationToken) -> u64 {
        let entry = self.next;
        self.next += 1;
        self.waiting.insert(entry, lost.clone());
        entry
    }
}

impl ConnectionSlot {
    /// Waits until another connection has taken the place: this one is to be closed.
    pub async fn lost(&self) {
        self.0.lost.cancelled().await;
    }

    /// A request has come: the place is kept until it is answered.
    #[must_use]
    pub fn begin_request(&self) -> RequestGuard {
        let mut activity = self.0.lock();
        match &mut *activity {
            Activity::Serving(requests) => *requests += 1,
            Activity::Waiting(entry) => {
                self.0.slots.lock().waiting.remove(entry);
                *activity = Activity::Serving(1);
            }
        }
        drop(activity);
        RequestGuard(self.clone())
    }
}

impl Drop for RequestGuard {
    fn drop(&mut self) {
        let place = &self.0.0;
        let mut activity = place.lock();
        match mem::replace(&mut *activity, Activity::Serving(0)) {
            Activity::Serving(1) => {
                let mut open = place.slots.lock();
                // Whoever lost the place while the request came has none to lose.
                if !place.lost.is_cancelled() {
                    *activity = Activity::Waiting(open.wait(&place.lost));
                }
            }
            Activity::Serving(requests) => *activity = Activity::Serving(requests.saturating_sub(1)),
            waiting @ Activity::Waiting(_) => *activity = waiting,
        }
    }
}

impl SlotState {
    fn lock(&self) -> MutexGuard<'_, Activity> {
        self.activity.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for SlotState {
    fn drop(&mut self) {
        let mut open = self.slots.lock();
        if let Activity::Waiting(entry) = self.activity.get_mut().unwrap_or_else(PoisonError::into_inner) {
            open.waiting.remove(entry);
        }
        if !self.lost.is_cancelled() {
            open.count -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_lost(slot: &ConnectionSlot) -> bool {
        slot.0.lost.is_cancelled()
    }

    /// How many places are taken, and how many of them wait.
    fn counts(slots: &ConnectionSlots) -> (usize, usize) {
        let open = slots.lock();
        (open.count, open.waiting.len())
    }

    #[test]
    fn below_and_at_the_limit_nobody_loses_a_place_and_above_it_the_one_that_waits_longest() {
        let slots = ConnectionSlots::new(3);
        let held: Vec<_> = (0..3).map(|_| slots.enter().expect("there is room")).collect();
        assert!(!held.iter().any(is_lost));
        let newcomer = slots.enter().expect("the place of the first one");
        assert_eq!(held.iter().map(is_lost).collect::<Vec<_>>(), [true, false, false]);
        let another = slots.enter().expect("the place of the second one");
        assert_eq!(held.iter().map(is_lost).collect::<Vec<_>>(), [true, true, false]);
        drop(held);
        assert_eq!(counts(&slots), (2, 2), "a lost place is not freed twice");
        assert!(!is_lost(&newcomer) && !is_lost(&another));
    }

    #[test]
    fn whoever_is_served_keeps_its_place_and_waits_anew_afterwards() {
        let slots = ConnectionSlots::new(2);
        let (first, second) = (slots.enter().expect("room"), slots.enter().expect("room"));
        let request = first.begin_request();
        let third = slots.enter().expect("the place of the second one");
        assert!(!is_lost(&first) && is_lost(&second));
        let other = third.begin_request();
        assert!(slots.enter().is_none(), "all are served");
        drop(request);
        let next = slots.enter().expect("the place of the first one, which waits again");
        assert!(is_lost(&first) && !is_lost(&third));
        drop((other, first));
        let last = slots.enter().expect("the place of the one that waits longest");
        assert!(is_lost(&next) && !is_lost(&third), "the wait begins with the end of a request");
        drop((last, third));
        assert_eq!(counts(&slots), (0, 0));
    }

    #[test]
    fn a_place_is_kept_until_the_last_of_its_requests_is_over() {
        let slots = ConnectionSlots::new(1);
        let slot = slots.enter().expect("room");
        let (one, two) = (slot.begin_request(), slot.begin_request());
        drop(one);
        assert!(slots.enter().is_none());
        drop(two);
        assert!(slots.enter().is_some() && is_lost(&slot));
    }

    #[test]
    fn a_request_that_came_while_its_place_was_lost_does_not_take_one() {
        let slots = ConnectionSlots::new(1);
        let slot = slots.enter().expect("room");
        let newcomer = slots.enter().expect("its place");
        drop(slot.begin_request());
        drop(slot);
        assert_eq!(counts(&slots), (1, 1));
        drop(newcomer);
        assert_eq!(counts(&slots), (0, 0));
    }
}
