//! Where the agent puts its events: the observer, the channel of the handle, and inspectors of bytes.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hvym_tunnel_net::events::{EventSender, Events};
use hvym_tunnel_net::observer::{ObservedStream, Observer, Piece, StreamStart};

use crate::event::AgentEvent;

type SharedObserver = Arc<dyn Observer<AgentEvent>>;

/// Where events go. Clones are the same one.
#[derive(Clone)]
pub(crate) struct EventSink(Arc<Inner>);

struct Inner {
    observer: SharedObserver,
    sender: EventSender<AgentEvent>,
    /// Whether there is an inspector, so that bytes cost one load as long as there is none.
    is_inspected: AtomicBool,
    inspectors: Mutex<Vec<(u64, SharedObserver)>>,
    next: AtomicU64,
}

impl EventSink {
    /// Events go to `observer` first, then into the channel.
    pub(crate) fn new(observer: SharedObserver, sender: EventSender<AgentEvent>) -> Self {
        let (is_inspected, inspectors, next) = Default::default();
        Self(Arc::new(Inner { observer, sender, is_inspected, inspectors, next }))
    }

    /// Something happened. No lock may be held: the observer may look at the agent's status.
    pub(crate) fn emit(&self, event: AgentEvent) {
        self.0.observer.handle_event(&event);
        self.0.sender.send(event);
    }

    /// A stream begins.
    pub(crate) fn show_start(&self, stream: &StreamStart<'_>) {
        self.0.observer.handle_stream_start(stream);
    }

    /// Bytes are about to pass.
    pub(crate) fn show_bytes(&self, piece: &Piece<'_>) {
        if self.0.observer.wants_bytes() {
            self.0.observer.handle_bytes(piece);
        }
        if self.0.is_inspected.load(Ordering::Relaxed) {
            for (_, inspector) in self.inspectors().iter() {
                inspector.handle_bytes(piece);
            }
        }
    }

    /// A stream of which bytes were shown is over.
    pub(crate) fn show_end(&self, stream: &ObservedStream) {
        if self.0.observer.wants_bytes() {
            self.0.observer.handle_stream_end(stream);
        }
        if self.0.is_inspected.load(Ordering::Relaxed) {
            for (_, inspector) in self.inspectors().iter() {
                inspector.handle_stream_end(stream);
            }
        }
    }

    /// Shows all bytes to `inspector` until the result is dropped.
    pub(crate) fn inspect(&self, inspector: SharedObserver) -> Inspection {
        let id = self.0.next.fetch_add(1, Ordering::Relaxed);
        self.inspectors().push((id, inspector));
        self.0.is_inspected.store(true, Ordering::Relaxed);
        Inspection { sink: self.clone(), id }
    }

    /// The last event was emitted.
    pub(crate) fn close(&self) {
        self.0.sender.close();
    }

    fn inspectors(&self) -> MutexGuard<'_, Vec<(u64, SharedObserver)>> {
        self.0.inspectors.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An inspector that sees the bytes of all streams. Dropped, it sees no more.
#[must_use = "dropping it ends the inspection"]
pub struct Inspection {
    sink: EventSink,
    id: u64,
}

impl fmt::Debug for Inspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inspection").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Drop for Inspection {
    fn drop(&mut self) {
        let mut inspectors = self.sink.inspectors();
        inspectors.retain(|(id, _)| *id != self.id);
        self.sink.0.is_inspected.store(!inspectors.is_empty(), Ordering::Relaxed);
    }
}

/// The channel of a handle that gives out [`AgentEvent`]s.
pub type AgentEvents = Events<AgentEvent>;
