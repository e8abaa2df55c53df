//! The bounded channel of a handle's events. A reader that falls behind loses the newest; their number is counted.
//!
//! Sending never waits, so a reader that stops does not block a link.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use smol::channel::{Receiver, Sender, TrySendError, bounded};

/// How many events wait for their reader: some seconds of requests for a person who watches, and at most a few hundred
/// kilobytes for each agent and relay of a process.
pub const EVENT_CAPACITY: usize = 1024;

/// The sending side. Clones are the same one.
#[derive(Debug)]
pub struct EventSender<E> {
    sender: Sender<E>,
    lagged: Arc<AtomicU64>,
}

impl<E> Clone for EventSender<E> {
    fn clone(&self) -> Self {
        Self { sender: self.sender.clone(), lagged: Arc::clone(&self.lagged) }
    }
}

/// The reading side. Clones share the events: each event goes to one of them.
#[derive(Debug)]
pub struct Events<E> {
    receiver: Receiver<E>,
    lagged: Arc<AtomicU64>,
}

impl<E> Clone for Events<E> {
    fn clone(&self) -> Self {
        Self { receiver: self.receiver.clone(), lagged: Arc::clone(&self.lagged) }
    }
}

/// A channel that holds at most `capacity` events.
///
/// # Panics
/// If `capacity` is 0.
pub fn event_channel<E>(capacity: usize) -> (EventSender<E>, Events<E>) {
    let (sender, receiver) = bounded(capacity);
    let lagged = Arc::new(AtomicU64::new(0));
    (EventSender { sender, lagged: Arc::clone(&lagged) }, Events { receiver, lagged })
}

impl<E> EventSender<E> {
    /// Sends `event`. It is dropped and counted if the channel is full, and dropped if no reader is left.
    pub fn send(&self, event: E) {
        if let Err(TrySendError::Full(_)) = self.sender.try_send(event) {
            self.lagged.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Sends no more: after the events that wait, readers see the end.
    pub fn close(&self) {
        self.sender.close();
    }
}

impl<E> Events<E> {
    /// The next event; `None` after the last one. Dropping the future loses nothing.
    pub async fn next(&self) -> Option<E> {
        self.receiver.recv().await.ok()
    }

    /// The next event, if it is there already.
    pub fn try_next(&self) -> Option<E> {
        self.receiver.try_recv().ok()
    }

    /// How many events were dropped so far because the channel was full.
    pub fn lagged(&self) -> u64 {
        self.lagged.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_beyond_the_capacity_are_counted_and_the_oldest_stay() {
        let (sender, events) = event_channel(2);
        (0..5).for_each(|n| sender.send(n));
        assert_eq!((events.try_next(), events.try_next(), events.try_next()), (Some(0), Some(1), None));
        assert_eq!(events.lagged(), 3);
        sender.close();
        assert_eq!(smol::block_on(events.next()), None);
    }
}
