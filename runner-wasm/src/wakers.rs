//! The JavaScript functions that are called when something happens to a stream. It calls none itself.

use std::collections::VecDeque;

use hvym_tunnel_core::mux::StreamId;
use js_sys::Function;

/// One function for each stream, and those that are due.
#[derive(Default)]
pub(crate) struct Wakers {
    /// Sorted by id. A page has some hundred streams.
    streams: Vec<(StreamId, Function)>,
    woken: VecDeque<StreamId>,
}

impl Wakers {
    /// Sets the function of a stream.
    pub(crate) fn insert(&mut self, id: StreamId, waker: Function) {
        match self.find(id) {
            Ok(at) => self.streams[at].1 = waker,
            Err(at) => self.streams.insert(at, (id, waker)),
        }
    }

    /// Forgets a stream, even if its function is due.
    pub(crate) fn remove(&mut self, id: StreamId) {
        if let Ok(at) = self.find(id) {
            self.streams.remove(at);
        }
    }

    /// Something happened to a stream.
    pub(crate) fn wake(&mut self, id: StreamId) {
        if self.find(id).is_ok() && !self.woken.contains(&id) {
            self.woken.push_back(id);
        }
    }

    /// The link is lost, and with it every stream.
    pub(crate) fn wake_all(&mut self) {
        self.woken = self.streams.iter().map(|(id, _)| *id).collect();
    }

    /// The next function that is due.
    pub(crate) fn poll_woken(&mut self) -> Option<Function> {
        loop {
            let id = self.woken.pop_front()?;
            if let Ok(at) = self.find(id) {
                return Some(self.streams[at].1.clone());
            }
        }
    }

    fn find(&self, id: StreamId) -> Result<usize, usize> {
        self.streams.binary_search_by(|(known, _)| known.cmp(&id))
    }
}
