//! A passive observer of one HTTP/1.1 connection: shown the bytes of both directions, it reports requests and their
//! responses.
//!
//! It never holds a byte back, changes one, or fails. When it cannot follow the bytes (another protocol, a malformed
//! message, an upgrade) it becomes opaque: from then on it counts bytes and nothing else. What it holds is bounded.

mod half_connection;
mod record;
mod sniff;

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::sync::Arc;
use core::mem;
use core::ops::Sub;
use core::time::Duration;

use self::half_connection::{HalfConnection, HalfState};
pub use self::record::{
    AccessRecord, MAX_RECORDED_CLIENT_BYTES, MAX_RECORDED_HOST_BYTES, MAX_RECORDED_METHOD_BYTES,
    MAX_RECORDED_TARGET_BYTES,
};
pub use self::sniff::Sniff;
use self::sniff::Sniffed;
use crate::body::Body;
use crate::error::HeadError;
use crate::framing::Framing;
use crate::head::RequestHead;
use crate::head_buffer::Taken;
use crate::view::{FieldTable, RequestView, ResponseError, ResponseView};

/// Maximum number of requests without a complete response, and of records that were not polled. Browsers do not pipeline
/// and tools stay below ten; past this limit the tap stops parsing requests.
pub const MAX_PENDING: usize = 32;

/// The field by which a proxy names its client.
const CLIENT: &str = "x-forwarded-for";

/// Observes one connection. Call it with each piece of bytes before forwarding the piece, so that a request is seen before
/// its response; drain [`poll_event`](Self::poll_event) after every call. How the bytes are split over calls does not
/// matter.
///
/// `T` is the caller's point in time, such as `std::time::Instant`; differences of two must not be negative.
#[derive(Debug)]
pub struct Tap<T, S: Sniff = ()> {
    requests: HalfConnection,
    responses: HalfConnection,
    /// Requests without a complete response, oldest first. The response in progress belongs to the first one.
    pending: VecDeque<AccessRecord<T, S::Finding>>,
    /// When the incomplete request head began.
    request_started: Option<T>,
    /// Whether the body of the last request is incomplete; if that request is still pending, it is the last of `pending`.
    request_open: bool,
    /// Whether the response in progress belongs to the first of `pending`; `false` for a response without a request.
    response_expected: bool,
    /// Whether [`Self::poll_long`] has given the first of `pending`.
    is_long_told: bool,
    sniff: S,
    sniffed: Option<Sniffed>,
    /// Of the head that is read.
    fields: FieldTable,
    last: LastFields,
    events: VecDeque<AccessRecord<T, S::Finding>>,
}

/// Fields of the last request: most requests of a connection have the same.
#[derive(Debug, Default)]
struct LastFields {
    host: Option<Arc<str>>,
    client: Option<Arc<str>>,
}

impl<T: Copy + Sub<Output = Duration>> Tap<T> {
    /// A tap at the start of a connection that inspects no response.
    pub fn new() -> Self {
        Self::with_sniff(())
    }
}

impl<T: Copy + Sub<Output = Duration>, S: Sniff> Tap<T, S> {
    /// A tap at the start of a connection that inspects responses with `sniff`.
    pub fn with_sniff(sniff: S) -> Self {
        Tap {
            requests: HalfConnection::new(),
            responses: HalfConnection::new(),
            pending: VecDeque::new(),
            request_started: None,
            request_open: false,
            response_expected: false,
            is_long_told: false,
            sniff,
            sniffed: None,
            fields: FieldTable::new(),
            last: LastFields::default(),
            events: VecDeque::new(),
        }
    }

    /// Observes the next bytes of the request direction.
    pub fn handle_request_bytes(&mut self, bytes: &[u8], now: T) {
        self.requests.total = self.requests.total.saturating_add(bytes.len() as u64);
        let mut rest = bytes;
        while !rest.is_empty() {
            let used = match self.requests.phase {
                HalfState::Head(_) => self.on_request_head(rest, now),
                HalfState::Body(_) => self.on_request_body(rest),
                HalfState::Opaque => rest.len(),
            };
            rest = &rest[used..];
        }
    }

    /// Observes the next bytes of the response direction.
    pub fn handle_response_bytes(&mut self, bytes: &[u8], now: T) {
        self.responses.total = self.responses.total.saturating_add(bytes.len() as u64);
        let mut rest = bytes;
        while !rest.is_empty() {
            let used = match self.responses.phase {
                HalfState::Head(_) => self.on_response_head(rest, now),
                HalfState::Body(_) => self.on_response_body(rest, now),
                HalfState::Opaque => rest.len(),
            };
            rest = &rest[used..];
        }
    }

    /// The request direction ended. Pending requests still wait for their responses.
    pub fn handle_request_end(&mut self, _now: T) {
        self.requests.phase = HalfState::Opaque;
    }

    /// The response direction ended, or the connection failed: all pending requests are reported as they are.
    pub fn handle_response_end(&mut self, now: T) {
        if let HalfState::Body(body) = &mut self.responses.phase
            && self.response_expected
        {
            let is_complete = body.handle_end().is_ok();
            self.finish(now, is_complete);
        }
        self.become_opaque();
        while !self.pending.is_empty() {
            self.finish(now, false);
        }
    }

    /// The next request whose response ended, or that will get none. At most [`MAX_PENDING`] records are kept; the oldest are
    /// dropped first.
    #[must_use]
    pub fn poll_event(&mut self) -> Option<AccessRecord<T, S::Finding>> {
        self.events.pop_front()
    }

    /// The oldest request without a complete response, once, if it began at least `age` ago. Its record follows when it ends.
    pub fn poll_long(&mut self, age: Duration, now: T) -> Option<&AccessRecord<T, S::Finding>> {
        let oldest = self.pending.front().filter(|record| now - record.started >= age)?;
        (!mem::replace(&mut self.is_long_told, true)).then_some(oldest)
    }

    /// Bytes of the request direction so far.
    pub const fn request_bytes(&self) -> u64 {
        self.requests.total
    }

    /// Bytes of the response direction so far.
    pub const fn response_bytes(&self) -> u64 {
        self.responses.total
    }

    /// Whether every request is complete, and the response to one is not.
    pub fn response_pending(&self) -> bool {
        !self.pending.is_empty() && !self.request_open && !self.requests.has_begun_a_head()
    }

    /// How many requests have begun and have no complete response.
    pub fn pending_requests(&self) -> usize {
        self.pending.len() + usize::from(self.requests.has_begun_a_head())
    }

    /// Whether no further request will be parsed: the connection was upgraded, has ended, or is not HTTP/1.1 that can be
    /// followed.
    pub const fn is_opaque(&self) -> bool {
        matches!(self.requests.phase, HalfState::Opaque)
    }

    /// Heap bytes held, at most about 300 KiB besides [`Sniff::PREFIX_BYTES`] and the findings: two incomplete heads, the
    /// fields of a response under inspection, a table of fields, and the records.
    pub fn held(&self) -> usize {
        let texts_of = |record: &AccessRecord<T, S::Finding>| {
            let host = record
                .host
                .as_ref()
                .filter(|host| !self.last.host.as_ref().is_some_and(|last| Arc::ptr_eq(host, last)));
            let client = record
                .client
                .as_ref()
                .filter(|client| !self.last.client.as_ref().is_some_and(|last| Arc::ptr_eq(client, last)));
            let [host, client] = [host, client].map(|text| text.map_or(0, |text| text.len()));
            record.method.len() + record.target.capacity() + host + client
        };
        let sniffed = self.sniffed.as_ref().map_or(0, Sniffed::held);
        let slots =
            (self.pending.capacity() + self.events.capacity()) * size_of::<AccessRecord<T, S::Finding>>();
        let texts: usize = self.pending.iter().chain(&self.events).map(texts_of).sum();
        let last: usize =
            [&self.last.host, &self.last.client].into_iter().flatten().map(|text| text.len()).sum();
        self.requests.held() + self.responses.held() + self.fields.held() + sniffed + slots + texts + last
    }

    fn on_request_head(&mut self, bytes: &[u8], now: T) -> usize {
        if !self.requests.has_begun_a_head() {
            self.request_started = Some(now);
            // Nearly every head comes in one piece.
            if let Some(used) = self.read_request(bytes, now) {
                return used;
            }
        }
        let Some(Taken { used, head }) = self.requests.take_head(bytes) else {
            self.requests.phase = HalfState::Opaque;
            return 0;
        };
        let Some(head) = head else { return used };
        if self.read_request(&head, now).is_some() {
            return used;
        }
        // What a proxy refuses, a service may take.
        let parsed = RequestHead::parse_complete(&head).ok();
        match parsed.and_then(|head| Framing::for_request(&head).ok().map(|framing| (head, framing))) {
            Some((head, framing)) => {
                let (host, client) = (head.headers.first("host"), head.headers.first(CLIENT));
                self.begin_request(&head.method, &head.target, host, client, framing, now);
            }
            None => self.requests.phase = HalfState::Opaque,
        }
        used
    }

    /// Reads a whole head at the beginning of `bytes`, and how long it is.
    fn read_request(&mut self, bytes: &[u8], now: T) -> Option<usize> {
        let mut fields = mem::take(&mut self.fields);
        let read = RequestView::parse_prefix(bytes, &mut fields).ok().flatten();
        let used = read.map(|(view, used)| {
            let (host, client) = (view.fields().first("host"), view.fields().first(CLIENT));
            self.begin_request(view.method(), view.target(), host, client, view.framing(), now);
            used
        });
        self.fields = fields;
        used
    }

    fn begin_request(
        &mut self,
        method: &str,
        target: &str,
        host: Option<&[u8]>,
        client: Option<&[u8]>,
        framing: Framing,
        now: T,
    ) {
        if self.pending.len() >= MAX_PENDING {
            // Pending requests keep waiting for their responses; no further request is parsed.
            self.requests.phase = HalfState::Opaque;
            return;
        }
        let started = self.request_started.take().unwrap_or(now);
        if host != self.last.host.as_deref().map(str::as_bytes) {
            self.last.host = host.map(|host| recorded(host, MAX_RECORDED_HOST_BYTES));
        }
        let client = client.map(|list| list.split(|byte| *byte == b',').next().unwrap_or(list).trim_ascii());
        if client != self.last.client.as_deref().map(str::as_bytes) {
            self.last.client = client.map(|client| recorded(client, MAX_RECORDED_CLIENT_BYTES));
        }
        let record =
            AccessRecord::new(method, target, self.last.host.clone(), self.last.client.clone(), started);
        self.pending.push_back(record);
        self.request_open = true;
        self.requests.phase = match framing {
            Framing::Tunnel => HalfState::Opaque,
            framing => HalfState::Body(Body::new(framing)),
        };
        self.next_request_if_finished();
    }

    fn on_request_body(&mut self, bytes: &[u8]) -> usize {
        let HalfState::Body(body) = &mut self.requests.phase else { return 0 };
        match body.decode(bytes) {
            Ok(decoded) => {
                self.count_request(decoded.payload.len() as u64);
                self.next_request_if_finished();
                decoded.used
            }
            Err(_) => {
                self.requests.phase = HalfState::Opaque;
                0
            }
        }
    }

    fn next_request_if_finished(&mut self) {
        if self.requests.begin_head_after_body() {
            self.request_open = false;
        }
    }

    fn on_response_head(&mut self, bytes: &[u8], now: T) -> usize {
        if !self.responses.has_begun_a_head()
            && let Ok(Some(used)) = self.read_response(bytes, now)
        {
            return used;
        }
        let taken = match self.responses.take_head(bytes) {
            Some(Taken { used, head: None }) => return used,
            Some(Taken { used, head: Some(head) }) => self.read_response(&head, now).map(|_| used),
            None => Err(HeadError::StatusLine.into()),
        };
        taken.unwrap_or_else(|error| {
            self.refuse_response(error, now);
            0
        })
    }

    /// Reads a whole head at the beginning of `bytes`, and how long it is.
    fn read_response(&mut self, bytes: &[u8], now: T) -> Result<Option<usize>, ResponseError> {
        let mut fields = mem::take(&mut self.fields);
        let method = self.pending.front().map_or("", |record| &record.method);
        let read = ResponseView::parse_prefix(bytes, &mut fields, method);
        let used = read.map(|read| {
            read.map(|(view, used)| {
                if view.is_interim() {
                    self.responses.phase = HalfState::head();
                } else {
                    self.on_final_response(&view, now);
                }
                used
            })
        });
        self.fields = fields;
        used
    }

    fn on_final_response(&mut self, response: &ResponseView<'_>, now: T) {
        self.response_expected = !self.pending.is_empty();
        let framing = response.framing();
        if let Some(record) = self.pending.front_mut() {
            record.status = Some(response.status());
            record.upgraded = framing == Framing::Tunnel;
            if self.sniff.wants(response) {
                self.sniffed = Some(Sniffed::new(response.fields().iter().collect()));
            }
        }
        if framing == Framing::Tunnel {
            // Bytes after the request that was granted were the new protocol, even if they parsed as requests.
            self.pending.truncate(1);
            if self.response_expected {
                self.finish(now, true);
            }
            self.become_opaque();
            return;
        }
        self.responses.phase = HalfState::Body(Body::new(framing));
        self.next_response_if_finished(now);
    }

    fn on_response_body(&mut self, bytes: &[u8], now: T) -> usize {
        let HalfState::Body(body) = &mut self.responses.phase else { return 0 };
        match body.decode(bytes) {
            Ok(decoded) => {
                if let Some(sniffed) = &mut self.sniffed {
                    sniffed.extend(decoded.payload, S::PREFIX_BYTES);
                }
                if self.response_expected {
                    self.count_response(decoded.payload.len() as u64);
                }
                self.next_response_if_finished(now);
                decoded.used
            }
            Err(_) => {
                self.become_opaque();
                0
            }
        }
    }

    fn next_response_if_finished(&mut self, now: T) {
        if self.responses.begin_head_after_body() && self.response_expected {
            self.finish(now, true);
        }
    }

    /// The bytes are not a response head, or one that no proxy passes on: no other response can be found behind it.
    fn refuse_response(&mut self, error: ResponseError, now: T) {
        if let Some(record) = self.pending.front_mut() {
            record.refused = Some(error);
            self.finish(now, false);
        }
        self.become_opaque();
    }

    fn become_opaque(&mut self) {
        self.requests.phase = HalfState::Opaque;
        self.responses.phase = HalfState::Opaque;
    }

    /// Reports the oldest pending request.
    fn finish(&mut self, now: T, complete: bool) {
        let sniffed = self.sniffed.take();
        self.response_expected = false;
        self.is_long_told = false;
        let Some(mut record) = self.pending.pop_front() else { return };
        record.duration = now - record.started;
        record.complete = complete;
        record.finding = record
            .status
            .zip(sniffed)
            .and_then(|(status, sniffed)| self.sniff.inspect(status, &sniffed.headers, &sniffed.prefix));
        if self.events.len() >= MAX_PENDING {
            self.events.pop_front();
        }
        self.events.push_back(record);
    }

    fn count_request(&mut self, bytes: u64) {
        if self.request_open
            && let Some(record) = self.pending.back_mut()
        {
            record.request_bytes = record.request_bytes.saturating_add(bytes);
        }
    }

    fn count_response(&mut self, bytes: u64) {
        if let Some(record) = self.pending.front_mut() {
            record.response_bytes = record.response_bytes.saturating_add(bytes);
        }
    }
}

/// A field's value as it is recorded.
fn recorded(value: &[u8], limit: usize) -> Arc<str> {
    record::truncated(&String::from_utf8_lossy(value), limit).into()
}

impl<T: Copy + Sub<Output = Duration>> Default for Tap<T> {
    fn default() -> Self {
        Self::new()
    }
}
