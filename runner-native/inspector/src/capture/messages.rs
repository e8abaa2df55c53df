//! The newest messages of one WebSocket or event stream.

use std::collections::VecDeque;
use std::time::Duration;

/// The most messages that are kept of one stream; older ones go first.
pub const MAX_MESSAGES: usize = 1000;
/// The most bytes of messages that are kept of one stream.
pub const MAX_MESSAGES_BYTES: usize = 1024 * 1024;
/// The most that is kept of one message. A person reads no more of it in a list.
pub const MAX_MESSAGE_BYTES: usize = 64 * 1024;

/// What a message is.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum CapturedKind {
    /// Text of a WebSocket.
    Text,
    /// Bytes of a WebSocket.
    Binary,
    /// A sign of life.
    Ping,
    /// The answer to one.
    Pong,
    /// The end of a WebSocket: a code, and a reason.
    Close,
    /// An event of an event stream.
    Event,
}

/// Who sent a message.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum MessageSender {
    /// Whoever opened the connection.
    Visitor,
    /// The service.
    Service,
}

/// What is known of a message before it is kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct NewMessage {
    pub(super) kind: CapturedKind,
    /// The name of an event, if it has one.
    pub(super) name: Option<String>,
    /// How long it is.
    pub(super) length: u64,
    /// Its beginning.
    pub(super) data: Vec<u8>,
}

/// One message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct CapturedMessage {
    /// Counts the messages of the stream from 0.
    pub number: u64,
    /// Since the request began.
    pub at: Duration,
    /// Who sent it.
    pub sender: MessageSender,
    /// What it is.
    pub kind: CapturedKind,
    /// The name of an event, if it has one.
    pub name: Option<String>,
    /// How long it is.
    pub length: u64,
    /// Its beginning, at most [`MAX_MESSAGE_BYTES`].
    pub data: Vec<u8>,
}

impl CapturedMessage {
    fn held(&self) -> usize {
        size_of::<Self>() + self.data.capacity() + self.name.as_ref().map_or(0, String::capacity)
    }
}

/// The newest messages, in their order.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct MessageLog {
    kept: VecDeque<CapturedMessage>,
    held: usize,
    next: u64,
}

impl MessageLog {
    /// Keeps a message, and drops as many of the oldest as there is no room for.
    pub(super) fn push(&mut self, message: NewMessage, sender: MessageSender, at: Duration) {
        let NewMessage { kind, name, length, mut data } = message;
        data.truncate(MAX_MESSAGE_BYTES);
        data.shrink_to_fit();
        let message = CapturedMessage { number: self.next, at, sender, kind, name, length, data };
        self.next += 1;
        self.held += message.held();
        self.kept.push_back(message);
        while self.kept.len() > MAX_MESSAGES || self.held > MAX_MESSAGES_BYTES {
            let Some(oldest) = self.kept.pop_front() else { break };
            self.held -= oldest.held();
        }
    }

    /// The messages that are kept, oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &CapturedMessage> {
        self.kept.iter()
    }

    /// How many there were.
    pub(crate) const fn total(&self) -> u64 {
        self.next
    }

    /// Heap bytes held.
    pub(super) const fn held(&self) -> usize {
        self.held
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(bytes: usize) -> NewMessage {
        NewMessage { kind: CapturedKind::Binary, name: None, length: bytes as u64, data: vec![0; bytes] }
    }

    #[test]
    fn the_oldest_messages_go_first() {
        let mut log = MessageLog::default();
        for _ in 0..=MAX_MESSAGES {
            log.push(message(1), MessageSender::Service, Duration::ZERO);
        }
        assert_eq!(log.iter().count(), MAX_MESSAGES);
        assert_eq!((log.iter().next().map(|first| first.number), log.total()), (Some(1), 1001));
    }

    #[test]
    fn large_messages_are_cut_and_hold_no_more_than_all_may() {
        let mut log = MessageLog::default();
        for _ in 0..100 {
            log.push(message(MAX_MESSAGE_BYTES + 1), MessageSender::Visitor, Duration::ZERO);
            assert!(log.held() <= MAX_MESSAGES_BYTES);
        }
        let newest = log.iter().last().expect("a message");
        assert_eq!((newest.data.len(), newest.length), (MAX_MESSAGE_BYTES, MAX_MESSAGE_BYTES as u64 + 1));
        assert_eq!((newest.number, log.total()), (99, 100));
    }
}
