//! A conversation of a visitor over an upgraded or TCP connection: what it says comes back.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hvym_tunnel_core::rng::Rng;
use hvym_tunnel_core::time::Instant;

use crate::service::body;

/// Between two messages; shorter than the idle limit of the relay.
const PAUSE_MS: u64 = 15_000;
/// Bytes of a message at most.
const MESSAGE_BYTES: u64 = 20_000;

/// What became of something that was heard.
pub(crate) enum Heard {
    /// There is more to come.
    Part,
    /// All that was said has come back.
    All,
    /// It is no conversation: the status of the answer.
    Refused(u16),
}

/// A conversation.
pub(crate) struct Talk {
    pub(crate) tag: String,
    is_open: bool,
    said: u64,
    heard: u64,
    /// Messages that are left.
    left: u64,
    /// Since when an answer is waited for.
    pub(crate) since: Option<Instant>,
}

impl Talk {
    pub(crate) fn new(tag: String, is_open: bool, rng: &mut Rng, now: Instant) -> Self {
        let left = 2 + rng.next_u64() % 6;
        Self { tag, is_open, said: 0, heard: 0, left, since: Some(now) }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.is_open
    }

    /// Whether it is over and all was heard, so that the visitor ends its half.
    pub(crate) fn is_over(&self) -> bool {
        self.is_open && self.left == 0 && self.heard == self.said
    }

    /// The next thing to say.
    pub(crate) fn say(&mut self, rng: &mut Rng, now: Instant) -> Bytes {
        if !self.is_open || self.left == 0 || self.heard < self.said {
            return Bytes::new();
        }
        let size = 1 + rng.next_u64() % MESSAGE_BYTES;
        let data = body(&self.tag, self.said, size as usize);
        (self.said, self.left, self.since) = (self.said + size, self.left - 1, Some(now));
        data.into()
    }

    /// How long it pauses.
    pub(crate) fn pause(rng: &mut Rng) -> Duration {
        Duration::from_millis(rng.next_u64() % PAUSE_MS)
    }

    /// Something has come.
    ///
    /// # Panics
    /// It is not what was said.
    pub(crate) fn hear(&mut self, input: &mut BytesMut) -> Heard {
        if !self.is_open {
            let Some(end) = input.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
                return Heard::Part;
            };
            let head = input.split_to(end + 4);
            let status: u16 = String::from_utf8_lossy(&head[9..12]).parse().expect("an answer has a status");
            if status != 101 {
                return Heard::Refused(status);
            }
            (self.is_open, self.since) = (true, None);
        }
        let data = input.split();
        assert!(self.heard + data.len() as u64 <= self.said, "{}: more than was said", self.tag);
        assert!(
            data[..] == body(&self.tag, self.heard, data.len())[..],
            "{}: the bytes of another",
            self.tag
        );
        self.heard += data.len() as u64;
        if self.heard < self.said {
            return Heard::Part;
        }
        self.since = None;
        Heard::All
    }
}
