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
use core::mem;
use core::ops::Sub;
use core::time::Duration;

use self::half_connection::{HalfConnection, HalfState, read_request, read_response};
pub use self::record::{
    AccessRecord, MAX_RECORDED_HOST_BYTES, MAX_RECORDED_METHOD_BYTES, MAX_RECORDED_TARGET_BYTES,
};
pub use self::sniff::Sniff;
use self::sniff::Sniffed;
use crate::body::Body;
use crate::framing::Framing;
use crate::head::ResponseHead;
use crate::head_buffer::Taken;

/// Maximum number of requests without a complete response, and of records that were not polled. Browsers do not pipeline
/// and tools stay below ten; past this limit the tap stops parsing requests.
pub const MAX_PENDING: usize = 32;

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
    sniff: S,
    sniffed: Option<Sniffed>,
    events: VecDeque<AccessRecord<T, S::Finding>>,
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
            sniff,
            sniffed: None,
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
                HalfState::Opaque => {
                    self.count_request(rest.len() as u64);
                    rest.len()
                }
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
                HalfState::Opaque => {
                    if self.response_expected {
                        self.count_response(rest.len() as u64);
                    }
                    rest.len()
                }
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
        if let HalfState::Head(_) = self.responses.phase {
            self.count_response(self.responses.head_bytes);
        }
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

    /// Heap bytes held, at most about 270 KiB besides [`Sniff::PREFIX_BYTES`] and the findings: two incomplete heads, the
    /// fields of a response under inspection, and the records.
    pub fn held(&self) -> usize {
        let texts_of = |record: &AccessRecord<T, S::Finding>| {
            let host = record.host.as_ref().map_or(0, String::capacity);
            record.method.capacity() + record.target.capacity() + host
        };
        let sniffed = self.sniffed.as_ref().map_or(0, Sniffed::held);
        let slots =
            (self.pending.capacity() + self.events.capacity()) * size_of::<AccessRecord<T, S::Finding>>();
        let texts: usize = self.pending.iter().chain(&self.events).map(texts_of).sum();
        self.requests.held() + self.responses.held() + sniffed + slots + texts
    }

    fn on_request_head(&mut self, bytes: &[u8], now: T) -> usize {
        if !self.requests.has_begun_a_head() {
            self.request_started = Some(now);
        }
        let Some(Taken { used, head }) = self.requests.take_head(bytes) else {
            self.requests.phase = HalfState::Opaque;
            return 0;
        };
        let Some(head) = head else { return used };
        let request_bytes = mem::take(&mut self.requests.head_bytes);
        match read_request(&head) {
            Some((request, framing)) if self.pending.len() < MAX_PENDING => {
                let started = self.request_started.take().unwrap_or(now);
                self.pending.push_back(AccessRecord::new(&request, started, request_bytes));
                self.request_open = true;
                self.requests.phase = match framing {
                    Framing::Tunnel => HalfState::Opaque,
                    framing => HalfState::Body(Body::new(framing)),
                };
                self.next_request_if_finished();
            }
            // Pending requests keep waiting for their responses; no further request is parsed.
            _ => self.requests.phase = HalfState::Opaque,
        }
        used
    }

    fn on_request_body(&mut self, bytes: &[u8]) -> usize {
        let HalfState::Body(body) = &mut self.requests.phase else { return 0 };
        match body.decode(bytes) {
            Ok(decoded) => {
                self.count_request(decoded.used as u64);
                self.next_request_if_finished();
                decoded.used
            }
            Err(_) => {
                // The following bytes are still counted as part of this request.
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
        let Some(Taken { used, head }) = self.responses.take_head(bytes) else {
            self.fail_response();
            return 0;
        };
        let Some(head) = head else { return used };
        let method = self.pending.front().map_or("", |record| record.method.as_str());
        let Some((response, framing)) = read_response(&head, method) else {
            self.fail_response();
            return used;
        };
        let head_bytes = mem::take(&mut self.responses.head_bytes);
        self.count_response(head_bytes);
        if response.is_interim() {
            self.responses.phase = HalfState::head();
        } else {
            self.on_final_response(response, framing, now);
        }
        used
    }

    fn on_final_response(&mut self, response: ResponseHead, framing: Framing, now: T) {
        self.response_expected = !self.pending.is_empty();
        if let Some(record) = self.pending.front_mut() {
            record.status = Some(response.status);
            record.upgraded = framing == Framing::Tunnel;
            if self.sniff.wants(response.status, &response.headers) {
                self.sniffed = Some(Sniffed::new(response.headers));
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
                    self.count_response(decoded.used as u64);
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

    /// The bytes are not a response head: they are counted for the oldest request, whose response stays incomplete.
    fn fail_response(&mut self) {
        let head_bytes = mem::take(&mut self.responses.head_bytes);
        self.count_response(head_bytes);
        self.response_expected = !self.pending.is_empty();
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

impl<T: Copy + Sub<Output = Duration>> Default for Tap<T> {
    fn default() -> Self {
        Self::new()
    }
}
