//! Events out: those of the session first, then those of streams, from their state.

use crate::bit_set::BitSet;
use crate::event::MuxEvent;
use crate::session::Mux;
use crate::stream_state::{List, PendingEvent};

impl Mux {
    /// The next event. Poll until `None` after every call of a `handle_*` method and of [`poll_transmit`](Self::poll_transmit).
    #[must_use]
    pub fn poll_event(&mut self) -> Option<MuxEvent> {
        if let Some(event) = self.events.pop_front() {
            return Some(event);
        }
        while let Some(key) = self.streams.front(List::Events) {
            let event = self.next_event_of(key);
            let stream = &self.streams[key];
            if stream.events.is_empty() || stream.is_free() {
                self.streams.pop(List::Events);
            }
            if event.is_some() {
                self.release_if_over(key);
                return event;
            }
        }
        None
    }

    fn next_event_of(&mut self, key: usize) -> Option<MuxEvent> {
        let id = self.id(key);
        let stream = &mut self.streams[key];
        if stream.is_free() {
            return None;
        }
        if let Some(reason) = stream.reset
            && stream.events.contains(PendingEvent::Reset)
        {
            // Whatever else was pending has no meaning for a stream that is reset.
            stream.events = BitSet::EMPTY;
            return Some(MuxEvent::Reset(id, reason));
        }
        if stream.events.remove(PendingEvent::Incoming) {
            Some(MuxEvent::Incoming(id))
        } else if stream.events.remove(PendingEvent::Readable) {
            Some(MuxEvent::Readable(id))
        } else if stream.events.remove(PendingEvent::Writable) {
            Some(MuxEvent::Writable(id))
        } else {
            None
        }
    }
}
