//! A passive observer of one HTTP/1.1 connection: shown the bytes of both directions, it reports requests and their
//! responses.
//!
//! It never holds a byte back, changes one, or fails. When it cannot follow the bytes (another protocol, a malformed
//! message, an upgrade) it becomes opaque: from then on it counts bytes and nothing else. What it holds is bounded.

mod direction;
mod record;
mod sniff;

use alloc::collections::VecDeque;
use alloc::string::String;
use core::mem;
use core::ops::Sub;
use core::time::Duration;

use self::direction::{Direction, Phase, read_request, read_response};
pub use self::record::{
    AccessRecord, MAX_RECORDED_HOST_BYTES, MAX_RECORDED_METHOD_BYTES, MAX_RECORDED_TARGET_BYTES,
};
pub use self::sniff::Sniff;
use self::sniff::Sniffed;
use crate::body::{Body, Framing};
use crate::head::ResponseHead;
use crate::scan::Taken;

/// The most requests that may wait for their answers, and the most exchanges that may wait to be polled. Browsers do
/// not pipeline at all and tools stay below ten; past this the tap no longer looks at requests.
pub const MAX_PENDING: usize = 32;

/// Observes one connection. Show it each piece before passing the piece on, requests before the service can answer
/// them; drain [`poll_event`](Self::poll_event) after every call.
///
/// How the bytes of a call are cut into calls changes nothing.
///
/// `T` is the caller's point in time, such as `std::time::Instant`; differences of two must not be negative.
#[derive(Debug)]
pub struct Tap<T, S: Sniff = ()> {
    requests: Direction,
    responses: Direction,
    /// Requests without a complete answer, oldest first. `waiting[0]` is the one being answered.
    waiting: VecDeque<AccessRecord<T, S::Finding>>,
    /// When the incomplete request head began.
    request_started: Option<T>,
    /// Whether a request was begun and not ended; if it still waits, it is the last of `waiting`.
    is_asking: bool,
    /// Whether the response being read answers `waiting[0]`; a response nobody asked for does not.
    is_answering: bool,
    sniff: S,
    sniffed: Option<Sniffed>,
    events: VecDeque<AccessRecord<T, S::Finding>>,
}

impl<T: Copy + Sub<Output = Duration>> Tap<T> {
    /// A tap on a connection of which nothing was seen, which inspects no response.
    pub fn new() -> Self {
        Self::with_sniff(())
    }
}

impl<T: Copy + Sub<Output = Duration>, S: Sniff> Tap<T, S> {
    /// A tap on a connection of which nothing was seen. Responses are inspected by `sniff`.
    pub fn with_sniff(sniff: S) -> Self {
        Tap {
            requests: Direction::new(),
            responses: Direction::new(),
            waiting: VecDeque::new(),
            request_started: None,
            is_asking: false,
            is_answering: false,
            sniff,
            sniffed: None,
            events: VecDeque::new(),
        }
    }

    /// The visitor sent these bytes.
    pub fn handle_request_bytes(&mut self, bytes: &[u8], now: T) {
        self.requests.total = self.requests.total.saturating_add(bytes.len() as u64);
        let mut rest = bytes;
        while !rest.is_empty() {
            let used = match self.requests.phase {
                Phase::Head(_) => self.on_request_head(rest, now),
                Phase::Body(_) => self.on_request_body(rest),
                Phase::Opaque => {
                    self.count_request(rest.len() as u64);
                    rest.len()
                }
            };
            rest = &rest[used..];
        }
    }

    /// The service sent these bytes.
    pub fn handle_response_bytes(&mut self, bytes: &[u8], now: T) {
        self.responses.total = self.responses.total.saturating_add(bytes.len() as u64);
        let mut rest = bytes;
        while !rest.is_empty() {
            let used = match self.responses.phase {
                Phase::Head(_) => self.on_response_head(rest, now),
                Phase::Body(_) => self.on_response_body(rest, now),
                Phase::Opaque => {
                    if self.is_answering {
                        self.count_response(rest.len() as u64);
                    }
                    rest.len()
                }
            };
            rest = &rest[used..];
        }
    }

    /// The visitor sends no more. Requests still wait for their answers.
    pub fn handle_request_end(&mut self, _now: T) {
        self.requests.phase = Phase::Opaque;
    }

    /// The service sends no more, or the connection broke: whatever still waits is reported as it stands.
    pub fn handle_response_end(&mut self, now: T) {
        if let Phase::Head(_) = self.responses.phase {
            self.count_response(self.responses.head_bytes);
        }
        if let Phase::Body(body) = &mut self.responses.phase
            && self.is_answering
        {
            let is_whole = body.handle_end().is_ok();
            self.finish(now, is_whole);
        }
        self.become_opaque();
        while !self.waiting.is_empty() {
            self.finish(now, false);
        }
    }

    /// The next exchange that ended. At most [`MAX_PENDING`] are kept; the oldest go first.
    #[must_use]
    pub fn poll_event(&mut self) -> Option<AccessRecord<T, S::Finding>> {
        self.events.pop_front()
    }

    /// Every byte of the visitor seen so far.
    pub const fn request_bytes(&self) -> u64 {
        self.requests.total
    }

    /// Every byte of the service seen so far.
    pub const fn response_bytes(&self) -> u64 {
        self.responses.total
    }

    /// Whether every request was seen whole, and the answer to one was not.
    pub fn response_pending(&self) -> bool {
        !self.waiting.is_empty() && !self.is_asking && !self.requests.has_begun_a_head()
    }

    /// How many requests have begun and have no complete answer.
    pub fn pending_requests(&self) -> usize {
        self.waiting.len() + usize::from(self.requests.has_begun_a_head())
    }

    /// Whether no further exchange will begin: the connection was upgraded, has ended, or is not HTTP/1.1 the tap can
    /// follow.
    pub const fn is_opaque(&self) -> bool {
        matches!(self.requests.phase, Phase::Opaque)
    }

    /// Heap bytes held, at most about 270 KiB besides [`Sniff::PREFIX_BYTES`] and the findings: two incomplete heads, the
    /// fields of a response under inspection, and the records.
    pub fn held(&self) -> usize {
        let shown = |exchange: &AccessRecord<T, S::Finding>| {
            let host = exchange.host.as_ref().map_or(0, String::capacity);
            exchange.method.capacity() + exchange.target.capacity() + host
        };
        let sniffed = self.sniffed.as_ref().map_or(0, Sniffed::held);
        let slots =
            (self.waiting.capacity() + self.events.capacity()) * size_of::<AccessRecord<T, S::Finding>>();
        let texts: usize = self.waiting.iter().chain(&self.events).map(shown).sum();
        self.requests.held() + self.responses.held() + sniffed + slots + texts
    }

    fn on_request_head(&mut self, bytes: &[u8], now: T) -> usize {
        if !self.requests.has_begun_a_head() {
            self.request_started = Some(now);
        }
        let Some(Taken { used, head }) = self.requests.gather(bytes) else {
            self.requests.phase = Phase::Opaque;
            return 0;
        };
        let Some(head) = head else { return used };
        let request_bytes = mem::take(&mut self.requests.head_bytes);
        match read_request(&head) {
            Some((request, framing)) if self.waiting.len() < MAX_PENDING => {
                let started = self.request_started.take().unwrap_or(now);
                self.waiting.push_back(AccessRecord::new(&request, started, request_bytes));
                self.is_asking = true;
                self.requests.phase = match framing {
                    Framing::Tunnel => Phase::Opaque,
                    framing => Phase::Body(Body::new(framing)),
                };
                self.next_request_if_finished();
            }
            // Requests that were read already wait for their answers; no further one is looked at.
            _ => self.requests.phase = Phase::Opaque,
        }
        used
    }

    fn on_request_body(&mut self, bytes: &[u8]) -> usize {
        let Phase::Body(body) = &mut self.requests.phase else { return 0 };
        match body.decode(bytes) {
            Ok(step) => {
                self.count_request(step.used as u64);
                self.next_request_if_finished();
                step.used
            }
            Err(_) => {
                // What follows still counts as part of the request whose body it is.
                self.requests.phase = Phase::Opaque;
                0
            }
        }
    }

    fn next_request_if_finished(&mut self) {
        if self.requests.begin_head_after_body() {
            self.is_asking = false;
        }
    }

    fn on_response_head(&mut self, bytes: &[u8], now: T) -> usize {
        let Some(Taken { used, head }) = self.responses.gather(bytes) else {
            self.lose_the_answer();
            return 0;
        };
        let Some(head) = head else { return used };
        let method = self.waiting.front().map_or("", |exchange| exchange.method.as_str());
        let Some((response, framing)) = read_response(&head, method) else {
            self.lose_the_answer();
            return used;
        };
        let head_bytes = mem::take(&mut self.responses.head_bytes);
        self.count_response(head_bytes);
        if response.is_interim() {
            self.responses.phase = Phase::head();
        } else {
            self.on_final_response(response, framing, now);
        }
        used
    }

    fn on_final_response(&mut self, response: ResponseHead, framing: Framing, now: T) {
        self.is_answering = !self.waiting.is_empty();
        if let Some(exchange) = self.waiting.front_mut() {
            exchange.status = Some(response.status);
            exchange.upgraded = framing == Framing::Tunnel;
            if self.sniff.wants(response.status, &response.headers) {
                self.sniffed = Some(Sniffed::new(response.headers));
            }
        }
        if framing == Framing::Tunnel {
            // Whatever looked like requests after the one that was granted was the new protocol already.
            self.waiting.truncate(1);
            if self.is_answering {
                self.finish(now, true);
            }
            self.become_opaque();
            return;
        }
        self.responses.phase = Phase::Body(Body::new(framing));
        self.next_response_if_finished(now);
    }

    fn on_response_body(&mut self, bytes: &[u8], now: T) -> usize {
        let Phase::Body(body) = &mut self.responses.phase else { return 0 };
        match body.decode(bytes) {
            Ok(step) => {
                if let Some(sniffed) = &mut self.sniffed {
                    sniffed.extend(step.payload, S::PREFIX_BYTES);
                }
                if self.is_answering {
                    self.count_response(step.used as u64);
                }
                self.next_response_if_finished(now);
                step.used
            }
            Err(_) => {
                self.become_opaque();
                0
            }
        }
    }

    fn next_response_if_finished(&mut self, now: T) {
        if self.responses.begin_head_after_body() && self.is_answering {
            self.finish(now, true);
        }
    }

    /// What comes is no response head: it counts as the answer to the oldest request, which never ends properly.
    fn lose_the_answer(&mut self) {
        let head_bytes = mem::take(&mut self.responses.head_bytes);
        self.count_response(head_bytes);
        self.is_answering = !self.waiting.is_empty();
        self.become_opaque();
    }

    fn become_opaque(&mut self) {
        self.requests.phase = Phase::Opaque;
        self.responses.phase = Phase::Opaque;
    }

    /// Reports the oldest request that waits.
    fn finish(&mut self, now: T, complete: bool) {
        let sniffed = self.sniffed.take();
        self.is_answering = false;
        let Some(mut exchange) = self.waiting.pop_front() else { return };
        exchange.duration = now - exchange.started;
        exchange.complete = complete;
        exchange.finding = exchange
            .status
            .zip(sniffed)
            .and_then(|(status, sniffed)| self.sniff.inspect(status, &sniffed.headers, &sniffed.prefix));
        if self.events.len() >= MAX_PENDING {
            self.events.pop_front();
        }
        self.events.push_back(exchange);
    }

    fn count_request(&mut self, bytes: u64) {
        if self.is_asking
            && let Some(exchange) = self.waiting.back_mut()
        {
            exchange.request_bytes = exchange.request_bytes.saturating_add(bytes);
        }
    }

    fn count_response(&mut self, bytes: u64) {
        if let Some(exchange) = self.waiting.front_mut() {
            exchange.response_bytes = exchange.response_bytes.saturating_add(bytes);
        }
    }
}

impl<T: Copy + Sub<Output = Duration>> Default for Tap<T> {
    fn default() -> Self {
        Self::new()
    }
}
