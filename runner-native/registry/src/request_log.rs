//! Requests of visitors for the log: what is kept of one, and the bounded queue before the database.
//!
//! Credentials are left out before a request gets here.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use smol::channel::{Receiver, Sender, bounded};

use crate::EpochMillis;
use crate::log_rate::LogRate;

/// Requests that wait to be written: two seconds of a busy relay. Further ones are dropped and counted.
pub const MAX_QUEUED_REQUESTS: usize = 4096;
/// Bytes of them.
pub const MAX_QUEUED_BYTES: usize = 16 * 1024 * 1024;
/// Characters of a body that are kept.
pub const MAX_BODY_CHARACTERS: usize = 10_000;
/// Characters of a body in a list.
pub const MAX_LISTED_BODY_CHARACTERS: usize = 500;
/// Characters of a path that are kept, as Tunely's table has it.
const MAX_PATH_CHARACTERS: usize = 1000;
/// Characters of a method. Those in use have a dozen at most.
const MAX_METHOD_CHARACTERS: usize = 32;
/// Characters of an error.
const MAX_ERROR_CHARACTERS: usize = 2000;
/// Bytes of the fields of a head as JSON. Further fields are left out.
const MAX_FIELDS_BYTES: usize = 16 * 1024;
/// What stands in place of a credential.
const REDACTED: &str = "[REDACTED]";

/// One request of a visitor.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LoggedRequest {
    /// When it began.
    pub at: EpochMillis,
    /// The tunnel.
    pub domain: Arc<str>,
    /// The method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// The fields of the request as JSON, made by [`Self::fields`].
    pub request_headers: Option<String>,
    /// The body, if it is text.
    pub request_body: Option<String>,
    /// The status of the answer, if there was one.
    pub status_code: Option<u16>,
    /// The fields of the answer as JSON.
    pub response_headers: Option<String>,
    /// The body of the answer, if it is text.
    pub response_body: Option<String>,
    /// Why there was no answer.
    pub error: Option<String>,
    /// Milliseconds until the head of the answer.
    pub duration_ms: i64,
}

/// One request in the database.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredLog {
    /// The number of its row.
    pub id: i64,
    /// The request.
    pub request: LoggedRequest,
}

/// A part of the log of one tunnel, newest first.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LogPage {
    /// How many there are.
    pub total: i64,
    /// Those asked for.
    pub logs: Vec<StoredLog>,
}

/// Whether the value of this field, in lower case, is a credential.
pub fn is_redacted(name: &str) -> bool {
    matches!(
        name,
        "authorization" | "cookie" | "set-cookie" | "proxy-authorization" | "x-api-key" | "x-tunnel-token"
    )
}

impl LoggedRequest {
    /// Fields of a head as a JSON object, without credentials. Of several of one name the last is kept.
    pub fn fields<'a>(fields: impl Iterator<Item = (&'a str, &'a [u8])>) -> String {
        let mut object = serde_json::Map::new();
        let mut bytes = 0;
        for (name, value) in fields {
            let value = if is_redacted(name) { REDACTED.into() } else { String::from_utf8_lossy(value) };
            bytes += name.len() + value.len();
            if bytes > MAX_FIELDS_BYTES {
                break;
            }
            object.insert(name.to_owned(), value.into_owned().into());
        }
        serde_json::Value::Object(object).to_string()
    }

    /// The request, with each text as long as it may be.
    fn bounded(mut self) -> Self {
        cut(&mut self.method, MAX_METHOD_CHARACTERS);
        cut(&mut self.path, MAX_PATH_CHARACTERS);
        for body in [&mut self.request_body, &mut self.response_body].into_iter().flatten() {
            cut(body, MAX_BODY_CHARACTERS);
        }
        if let Some(error) = &mut self.error {
            cut(error, MAX_ERROR_CHARACTERS);
        }
        self
    }

    fn bytes(&self) -> usize {
        let texts = [
            &self.request_headers,
            &self.request_body,
            &self.response_headers,
            &self.response_body,
            &self.error,
        ];
        let optional: usize = texts.into_iter().flatten().map(String::len).sum();
        size_of::<Self>() + self.method.len() + self.path.len() + optional
    }
}

/// Cuts a text at `limit` characters, and leaves out what PostgreSQL keeps in no text.
fn cut(text: &mut String, limit: usize) {
    if let Some((end, _)) = text.char_indices().nth(limit) {
        text.truncate(end);
    }
    text.retain(|character| character != '\0');
}

/// Requests on their way to the database.
#[derive(Debug)]
pub(crate) struct LogQueue {
    sender: Sender<LoggedRequest>,
    receiver: Receiver<LoggedRequest>,
    bytes: AtomicUsize,
    dropped: AtomicU64,
    pub(crate) rate: LogRate,
}

impl Default for LogQueue {
    fn default() -> Self {
        let (sender, receiver) = bounded(MAX_QUEUED_REQUESTS);
        Self {
            sender,
            receiver,
            bytes: AtomicUsize::new(0),
            dropped: AtomicU64::new(0),
            rate: LogRate::default(),
        }
    }
}

impl LogQueue {
    /// Adds a request, or counts it as dropped. Never waits.
    pub(crate) fn push(&self, request: LoggedRequest) {
        let request = request.bounded();
        let bytes = request.bytes();
        if self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes > MAX_QUEUED_BYTES
            || self.sender.try_send(request).is_err()
        {
            self.bytes.fetch_sub(bytes, Ordering::Relaxed);
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The oldest requests, at most `limit`.
    pub(crate) fn take(&self, limit: usize) -> Vec<LoggedRequest> {
        let taken: Vec<LoggedRequest> =
            std::iter::from_fn(|| self.receiver.try_recv().ok()).take(limit).collect();
        let bytes = taken.iter().map(LoggedRequest::bytes).sum();
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        taken
    }

    /// Counts requests that could not be written.
    pub(crate) fn drop_all(&self, count: usize) {
        self.dropped.fetch_add(u64::try_from(count).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// How many wait, and how many were dropped.
    pub(crate) fn counts(&self) -> (usize, u64) {
        (self.receiver.len(), self.dropped.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_body(characters: usize) -> LoggedRequest {
        LoggedRequest { request_body: Some("é".repeat(characters)), ..LoggedRequest::default() }
    }

    #[test]
    fn a_full_queue_drops_and_counts_and_never_waits() {
        let queue = LogQueue::default();
        for _ in 0..MAX_QUEUED_REQUESTS {
            queue.push(LoggedRequest::default());
        }
        assert_eq!(queue.counts(), (MAX_QUEUED_REQUESTS, 0));
        queue.push(LoggedRequest::default());
        assert_eq!(queue.counts(), (MAX_QUEUED_REQUESTS, 1));
        assert_eq!(queue.take(10).len(), 10);
        queue.push(LoggedRequest::default());
        assert_eq!(queue.counts(), (MAX_QUEUED_REQUESTS - 9, 1));
    }

    #[test]
    fn the_bytes_of_the_queue_are_bounded_too() {
        let queue = LogQueue::default();
        let bytes = with_body(MAX_BODY_CHARACTERS).bytes();
        let fitting = MAX_QUEUED_BYTES / bytes;
        for _ in 0..=fitting {
            queue.push(with_body(MAX_BODY_CHARACTERS));
        }
        assert_eq!(queue.counts(), (fitting, 1));
        while !queue.take(100).is_empty() {}
        for _ in 0..fitting {
            queue.push(with_body(MAX_BODY_CHARACTERS));
        }
        assert_eq!(queue.counts(), (fitting, 1), "what was taken makes room");
    }

    #[test]
    fn texts_are_cut_between_characters() {
        for (characters, kept) in [(9_999, 9_999), (10_000, 10_000), (10_001, 10_000)] {
            let body = with_body(characters).bounded().request_body.expect("a body");
            assert_eq!(body.chars().count(), kept);
        }
        let request = LoggedRequest {
            path: "/a\0".repeat(600),
            error: Some("e".repeat(2001)),
            ..LoggedRequest::default()
        };
        let bounded = request.bounded();
        assert!(!bounded.path.contains('\0') && bounded.path.len() <= MAX_PATH_CHARACTERS);
        assert_eq!(bounded.error.map(|error| error.len()), Some(MAX_ERROR_CHARACTERS));
    }

    #[test]
    fn credentials_are_not_among_the_fields() {
        let fields: [(&str, &[u8]); 5] = [
            ("accept", b"*/*"),
            ("authorization", b"Bearer hush"),
            ("cookie", b"hush"),
            ("set-cookie", b"hush"),
            ("x-api-key", b"hush"),
        ];
        let text = LoggedRequest::fields(fields.into_iter());
        assert!(!text.contains("hush") && text.contains("\"accept\":\"*/*\""), "{text}");
        assert_eq!(text.matches(REDACTED).count(), 4);
        let long = vec![b'a'; MAX_FIELDS_BYTES];
        let text = LoggedRequest::fields([("a", &*long), ("b", b"x")].into_iter());
        assert_eq!(text, "{}");
    }
}
