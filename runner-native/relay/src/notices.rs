//! What a webhook is to be told, in order, until there is too much of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use smol::channel::{Receiver, Sender, bounded};

/// Notices that wait at most: what all agents of a relay of usual size cause when they move. Each has some hundred bytes.
pub(crate) const MAX_QUEUED: usize = 4096;

/// An agent came or went.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Notice {
    /// Its name or address.
    pub(crate) domain: String,
    /// `connected` or `disconnected`.
    pub(crate) event: &'static str,
}

/// Notices that are to be sent.
#[derive(Clone)]
pub(crate) struct NoticeQueue {
    sender: Sender<Notice>,
    receiver: Receiver<Notice>,
    dropped: Arc<AtomicU64>,
}

impl Default for NoticeQueue {
    fn default() -> Self {
        let (sender, receiver) = bounded(MAX_QUEUED);
        Self { sender, receiver, dropped: Arc::default() }
    }
}

impl NoticeQueue {
    /// A notice that has no room is dropped and counted.
    pub(crate) fn push(&self, notice: Notice) {
        if self.sender.try_send(notice).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) async fn next(&self) -> Notice {
        match self.receiver.recv().await {
            Ok(notice) => notice,
            // It holds a sender itself, so the channel has not ended.
            Err(_) => std::future::pending().await,
        }
    }

    /// How many were dropped since the last call.
    pub(crate) fn take_dropped(&self) -> u64 {
        self.dropped.swap(0, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notices_beyond_the_queue_are_dropped_and_counted() {
        let queue = NoticeQueue::default();
        let notice = Notice { domain: "shop".to_owned(), event: "connected" };
        (0..MAX_QUEUED + 3).for_each(|_| queue.push(notice.clone()));
        assert_eq!((queue.receiver.len(), queue.take_dropped(), queue.take_dropped()), (MAX_QUEUED, 3, 0));
        assert_eq!(smol::block_on(queue.next()), notice);
    }
}
