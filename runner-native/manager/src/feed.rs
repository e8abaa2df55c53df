//! What happens, for whoever listens: each gets every update in order, or is dropped when it falls behind. Nobody waits for it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Map, Value};
use smol::channel::{Receiver, Sender, bounded};

use crate::shapes::RequestReport;
use crate::timestamp;

/// Listeners at once: pages and scripts of one person.
pub const MAX_LISTENERS: usize = 64;
/// Updates that wait for one listener: some seconds of requests.
const LISTENER_CAPACITY: usize = 256;
/// Requests that are remembered.
const MAX_REQUESTS: usize = 100;

/// What an update is about.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum UpdateKind {
    /// The status changed, or this is the first update.
    StatusUpdate,
    /// The models of a service changed.
    ModelUpdate,
    /// Metrics, now and then.
    MetricsUpdate,
    /// A visitor's request was answered.
    Request,
    /// An alert was raised, or is over.
    Alert,
    /// A link changed its state.
    State,
}

/// One update: a JSON object with `type`, `sequence` and `timestamp`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Update {
    /// What it is about.
    pub kind: UpdateKind,
    /// The object.
    pub text: Bytes,
}

/// Where updates come from.
#[derive(Debug, Default)]
pub struct Feed {
    listeners: Mutex<Vec<Sender<Update>>>,
    /// So that nothing is written as JSON for nobody.
    count: AtomicUsize,
    sequence: AtomicU64,
    requests: Mutex<VecDeque<RequestReport>>,
}

/// One listener. Its channel ends when it fell behind, or the feed is closed.
#[derive(Debug)]
pub struct Listener(Receiver<Update>);

impl Listener {
    /// The next update; `None` if some were lost, or none will come.
    pub async fn next(&self) -> Option<Update> {
        self.0.recv().await.ok()
    }
}

impl Feed {
    /// One more listener; `None` if there are too many.
    pub fn subscribe(&self) -> Option<Listener> {
        let mut listeners = self.listeners();
        listeners.retain(|listener| !listener.is_closed());
        if listeners.len() >= MAX_LISTENERS {
            self.count.store(listeners.len(), Ordering::Relaxed);
            return None;
        }
        let (sender, receiver) = bounded(LISTENER_CAPACITY);
        listeners.push(sender);
        self.count.store(listeners.len(), Ordering::Relaxed);
        Some(Listener(receiver))
    }

    /// Whether anybody listens.
    pub fn has_listeners(&self) -> bool {
        self.count.load(Ordering::Relaxed) > 0
    }

    /// An update for one listener, with the members of `content`.
    pub fn update(&self, kind: UpdateKind, content: Map<String, Value>) -> Update {
        let sequence = self.sequence.fetch_add(1, Ordering::Relaxed) + 1;
        let mut object = Map::new();
        object.insert("type".to_owned(), serde_json::to_value(kind).unwrap_or_default());
        object.insert("sequence".to_owned(), sequence.into());
        object.insert("timestamp".to_owned(), timestamp::now().into());
        object.extend(content);
        Update { kind, text: Value::Object(object).to_string().into() }
    }

    /// Tells all listeners.
    pub fn publish(&self, kind: UpdateKind, content: Map<String, Value>) {
        if !self.has_listeners() {
            return;
        }
        let mut listeners = self.listeners();
        let update = self.update(kind, content);
        listeners.retain(|listener| {
            let is_sent = listener.try_send(update.clone()).is_ok();
            if !is_sent {
                // So that it knows that it lost something.
                listener.close();
            }
            is_sent
        });
        self.count.store(listeners.len(), Ordering::Relaxed);
    }

    /// A visitor's request was answered.
    pub fn request(&self, report: RequestReport) {
        if self.has_listeners()
            && let Ok(Value::Object(content)) = serde_json::to_value(&report)
        {
            let mut members = Map::new();
            members.insert("request".to_owned(), Value::Object(content));
            self.publish(UpdateKind::Request, members);
        }
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        if requests.len() == MAX_REQUESTS {
            requests.pop_front();
        }
        requests.push_back(report);
    }

    /// What an earlier process remembered, the latest first.
    pub fn restore(&mut self, requests: Vec<RequestReport>) {
        let remembered = self.requests.get_mut().unwrap_or_else(PoisonError::into_inner);
        remembered.extend(requests.into_iter().take(MAX_REQUESTS).rev());
    }

    /// The last requests, the latest first.
    pub fn requests(&self) -> Vec<RequestReport> {
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        requests.iter().rev().cloned().collect()
    }

    /// Nothing happens any more.
    pub fn close(&self) {
        self.listeners().drain(..).for_each(|listener| {
            listener.close();
        });
        self.count.store(0, Ordering::Relaxed);
    }

    fn listeners(&self) -> MutexGuard<'_, Vec<Sender<Update>>> {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn next(listener: &Listener) -> Option<Option<Update>> {
        listener.next().now_or_never()
    }

    #[test]
    fn a_listener_that_falls_behind_is_dropped_and_the_others_stay() {
        let feed = Feed::default();
        assert!(!feed.has_listeners());
        let [slow, quick] = [(); 2].map(|()| feed.subscribe().expect("a place"));
        for _ in 0..LISTENER_CAPACITY {
            feed.publish(UpdateKind::State, Map::new());
            assert!(matches!(next(&quick), Some(Some(_))));
        }
        feed.publish(UpdateKind::State, Map::new());
        let last = next(&quick).flatten().expect("it listens");
        let text: Value = serde_json::from_slice(&last.text).expect("JSON");
        assert_eq!((&text["type"], &text["sequence"]), (&"state".into(), &(LISTENER_CAPACITY + 1).into()));
        for _ in 0..LISTENER_CAPACITY {
            assert!(matches!(next(&slow), Some(Some(_))));
        }
        assert_eq!(next(&slow), Some(None), "it must know that it lost something");
        assert_eq!(next(&quick), None);
        feed.close();
        assert_eq!(next(&quick), Some(None));
    }

    #[test]
    fn there_are_as_many_listeners_as_the_limit() {
        let feed = Feed::default();
        let mut listeners: Vec<_> = (0..MAX_LISTENERS).map(|_| feed.subscribe().expect("a place")).collect();
        assert!(feed.subscribe().is_none());
        listeners.pop();
        assert!(feed.subscribe().is_some());
    }

    #[test]
    fn the_last_hundred_requests_are_remembered() {
        let feed = Feed::default();
        for status in 0..=100 {
            feed.request(RequestReport {
                timestamp: String::new(),
                link: String::new(),
                service: String::new(),
                method: String::new(),
                path: String::new(),
                status,
                duration_ms: 0.0,
                bytes: None,
            });
        }
        let statuses: Vec<_> = feed.requests().iter().map(|request| request.status).collect();
        assert_eq!((statuses.len(), statuses[0], statuses[99]), (MAX_REQUESTS, 100, 1));
    }
}
