//! The tasks that wait for streams, for runners whose streams are polled. It knows no executor.

use alloc::vec::Vec;
use core::task::Waker;

use super::StreamEvent;
use crate::mux::StreamId;

/// What a task waits for.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum StreamInterest {
    /// Data, or the end.
    Read,
    /// Capacity for writing.
    Write,
    /// The reset of the stream, or the loss of its link.
    Reset,
}

/// One waker for each interest in each stream. A later waker replaces an earlier one of the same interest, as
/// [`Future::poll`] demands.
#[derive(Default, Debug)]
pub struct StreamWakers {
    /// Sorted by id. Ids grow, so new ones go to the end, and the list costs less code than a tree.
    streams: Vec<(StreamId, [Option<Waker>; 3])>,
}

impl StreamWakers {
    /// Nobody waits.
    pub const fn new() -> Self {
        Self { streams: Vec::new() }
    }

    /// Wakes `waker` at the next event of `id` that concerns `interest`. Call it under the same lock as the read or write
    /// that could not go on, so that no event comes between the two.
    pub fn register(&mut self, id: StreamId, interest: StreamInterest, waker: &Waker) {
        let at = match self.find(id) {
            Ok(at) => at,
            Err(at) => {
                self.streams.insert(at, (id, [const { None }; 3]));
                at
            }
        };
        match &mut self.streams[at].1[interest as usize] {
            Some(known) if known.will_wake(waker) => {}
            known => *known = Some(waker.clone()),
        }
    }

    /// Wakes those whom `event` concerns.
    pub fn wake(&mut self, event: &StreamEvent) {
        let Ok(at) = self.find(event.id()) else { return };
        let wakers = &mut self.streams[at].1;
        match event {
            StreamEvent::Readable(_) => wake(&mut wakers[StreamInterest::Read as usize]),
            StreamEvent::Writable(_) => wake(&mut wakers[StreamInterest::Write as usize]),
            StreamEvent::Reset(..) => wakers.iter_mut().for_each(wake),
            StreamEvent::Opened { .. } => {}
        }
    }

    /// Wakes all who wait for `id`: its owner reset it.
    pub fn wake_stream(&mut self, id: StreamId) {
        if let Ok(at) = self.find(id) {
            self.streams[at].1.iter_mut().for_each(wake);
        }
    }

    /// Wakes everybody: the link is lost, and with it every stream.
    pub fn wake_all(&mut self) {
        self.streams.iter_mut().flat_map(|(_, wakers)| wakers).for_each(wake);
    }

    /// Drops the wakers of a stream whose handle is gone.
    pub fn remove(&mut self, id: StreamId) {
        if let Ok(at) = self.find(id) {
            self.streams.remove(at);
        }
    }

    /// Whether no stream has ever been waited for, or all were removed.
    pub fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    fn find(&self, id: StreamId) -> Result<usize, usize> {
        self.streams.binary_search_by(|(known, _)| known.cmp(&id))
    }
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}
