//! Events on their way to JavaScript's thread.
//!
//! Nothing here waits for that thread. A program that keeps it busy loses the newest events once [`CAPACITY`] of them wait, and
//! never the last one.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hvym_tunnel_agent::AgentEvent;
use hvym_tunnel_net::observer::{Observer, StreamStart};
use hvym_tunnel_net::timer::Timer;
use napi::Status;
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use serde_json::Value;

use crate::event;

/// Events that wait for JavaScript: a second of visitors where streams are told, and half a megabyte.
const CAPACITY: usize = 1024;
/// How long the last event waits for room before it is tried again.
const RETRY: Duration = Duration::from_millis(20);

/// JavaScript's function for events, each as JSON. As long as it is there, the process goes on.
pub(crate) type OnEvent = ThreadsafeFunction<String, (), String, Status, false, false, CAPACITY>;

/// Where events go.
pub(crate) struct EventForwarder {
    /// `None` after the last event.
    on_event: Mutex<Option<OnEvent>>,
    tells_streams: AtomicBool,
}

impl EventForwarder {
    pub(crate) fn new(on_event: OnEvent) -> Self {
        Self { on_event: Mutex::new(Some(on_event)), tells_streams: AtomicBool::new(false) }
    }

    /// Whether each stream is told, which is off at first: it costs JavaScript's thread more than the stream costs this one.
    pub(crate) fn tell_streams(&self, is_wanted: bool) {
        self.tells_streams.store(is_wanted, Ordering::Relaxed);
    }

    /// Tells the last event, and lets go of the function.
    pub(crate) async fn end(&self, event: &Value) {
        while self.send(event) == Some(Status::QueueFull) {
            Timer::after(RETRY).await;
        }
        drop(self.on_event.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    fn send(&self, event: &Value) -> Option<Status> {
        let on_event = self.on_event.lock().unwrap_or_else(PoisonError::into_inner);
        let on_event = on_event.as_ref()?;
        Some(on_event.call(event.to_string(), ThreadsafeFunctionCallMode::NonBlocking))
    }
}

impl Observer<AgentEvent> for EventForwarder {
    fn handle_event(&self, event: &AgentEvent) {
        if let Some(event) = event::json(event) {
            let _full_or_closing = self.send(&event);
        }
    }

    fn handle_stream_start(&self, stream: &StreamStart<'_>) {
        if self.tells_streams.load(Ordering::Relaxed) {
            let _full_or_closing = self.send(&event::stream(stream));
        }
    }
}
