//! A passive observer of one HTTP/1.1 connection: shown the bytes of both directions, it tells what was asked and answered.
//!
//! It never holds a byte back, changes one, or fails. What it cannot follow (another protocol, a malformed message, an
//! upgrade) makes it blind: from then on it counts bytes and nothing else. What it holds is bounded whatever it is shown.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::mem;

use super::body::{Body, Framing};
use super::exchange::Exchange;
use super::head::{RequestHead, ResponseHead};
use super::headers::Headers;
use super::host_check::{self, PREFIX_BYTES};
use super::scan::{HeadGathering, Taken};
use crate::time::Instant;

/// The most requests that may wait for their answers, and the most exchanges that may wait to be polled. Browsers do
/// not pipeline at all and tools stay below ten; past this the tap no longer looks at requests.
pub const MAX_WAITING: usize = 32;

/// What one direction of the connection is in.
#[derive(Debug)]
enum Phase {
    Head(HeadGathering),
    Body(Body),
    Blind,
}

impl Phase {
    fn head() -> Self {
        Phase::Head(HeadGathering::default())
    }
}

/// One direction of the connection.
#[derive(Debug)]
struct Direction {
    phase: Phase,
    /// Every byte ever seen.
    total: u64,
    /// Bytes of the head being gathered.
    head_bytes: u64,
}

impl Direction {
    fn new() -> Self {
        Direction { phase: Phase::head(), total: 0, head_bytes: 0 }
    }

    fn has_begun_a_head(&self) -> bool {
        matches!(&self.phase, Phase::Head(gathering) if gathering.has_begun())
    }

    fn held(&self) -> usize {
        match &self.phase {
            Phase::Head(gathering) => gathering.held(),
            Phase::Body(_) | Phase::Blind => 0,
        }
    }
}

/// The beginning of a response that may be a host check.
#[derive(Debug)]
struct Look {
    headers: Headers,
    prefix: Vec<u8>,
}

/// Observes one connection. Show it each piece before passing the piece on, requests before the service can answer
/// them; drain [`poll_event`](Self::poll_event) after every call.
///
/// How the bytes of a call are cut into calls changes nothing.
#[derive(Debug)]
pub struct Tap {
    requests: Direction,
    responses: Direction,
    /// Requests without a complete answer, oldest first. `waiting[0]` is the one being answered.
    waiting: VecDeque<Exchange>,
    /// When the head being gathered began.
    request_started: Instant,
    /// Whether a request was begun and not ended; if it still waits, it is the last of `waiting`.
    is_asking: bool,
    /// Whether the response being read answers `waiting[0]`; a response nobody asked for does not.
    is_answering: bool,
    look: Option<Look>,
    events: VecDeque<Exchange>,
}

impl Tap {
    /// A tap on a connection of which nothing was seen.
    pub fn new() -> Self {
        Tap {
            requests: Direction::new(),
            responses: Direction::new(),
            waiting: VecDeque::new(),
            request_started: Instant::ZERO,
            is_asking: false,
            is_answering: false,
            look: None,
            events: VecDeque::new(),
        }
    }

    /// The visitor sent these bytes.
    pub fn handle_request_bytes(&mut self, bytes: &[u8], now: Instant) {
        self.requests.total = self.requests.total.saturating_add(bytes.len() as u64);
        let mut rest = bytes;
        while !rest.is_empty() {
            let used = match self.requests.phase {
                Phase::Head(_) => self.on_request_head(rest, now),
                Phase::Body(_) => self.on_request_body(rest),
                Phase::Blind => {
                    self.count_request(rest.len() as u64);
                    rest.len()
                }
            };
            rest = &rest[used..];
        }
    }

    /// The service sent these bytes.
    pub fn handle_response_bytes(&mut self, bytes: &[u8], now: Instant) {
        self.responses.total = self.responses.total.saturating_add(bytes.len() as u64);
        let mut rest = bytes;
        while !rest.is_empty() {
            let used = match self.responses.phase {
                Phase::Head(_) => self.on_response_head(rest, now),
                Phase::Body(_) => self.on_response_body(rest, now),
                Phase::Blind => {
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
    pub fn handle_request_end(&mut self, _now: Instant) {
        self.requests.phase = Phase::Blind;
    }

    /// The service sends no more, or the connection broke: whatever still waits is reported as it stands.
    pub fn handle_response_end(&mut self, now: Instant) {
        if let Phase::Head(_) = self.responses.phase {
            self.count_response(self.responses.head_bytes);
        }
        if let Phase::Body(body) = &mut self.responses.phase
            && self.is_answering
        {
            let is_whole = body.handle_end().is_ok();
            self.finish(now, is_whole);
        }
        self.go_blind();
        while !self.waiting.is_empty() {
            self.finish(now, false);
        }
    }

    /// The next exchange that ended. At most [`MAX_WAITING`] are kept; the oldest go first.
    #[must_use]
    pub fn poll_event(&mut self) -> Option<Exchange> {
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
    pub fn is_owed_an_answer(&self) -> bool {
        !self.waiting.is_empty() && !self.is_asking && !self.requests.has_begun_a_head()
    }

    /// How many requests have begun and have no complete answer.
    pub fn waiting(&self) -> usize {
        self.waiting.len() + usize::from(self.requests.has_begun_a_head())
    }

    /// Whether no further exchange will begin: the connection was upgraded, has ended, or is not HTTP/1.1 the tap can
    /// follow.
    pub const fn is_blind(&self) -> bool {
        matches!(self.requests.phase, Phase::Blind)
    }

    /// Heap bytes held, at most about 270 KiB: two heads being gathered, the fields of a refusal, and the exchanges.
    pub fn held(&self) -> usize {
        let shown = |exchange: &Exchange| exchange.method.capacity() + exchange.target.capacity();
        let look = self.look.as_ref().map_or(0, |look| {
            let fields: usize = look.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
            fields + look.prefix.capacity()
        });
        let slots = (self.waiting.capacity() + self.events.capacity()) * size_of::<Exchange>();
        let texts: usize = self.waiting.iter().chain(&self.events).map(shown).sum();
        self.requests.held() + self.responses.held() + look + slots + texts
    }

    fn on_request_head(&mut self, bytes: &[u8], now: Instant) -> usize {
        if !self.requests.has_begun_a_head() {
            self.request_started = now;
        }
        let Some(Taken { used, head }) = gather(&mut self.requests, bytes) else {
            self.requests.phase = Phase::Blind;
            return 0;
        };
        let Some(head) = head else { return used };
        let request_bytes = mem::take(&mut self.requests.head_bytes);
        match read_request(&head) {
            Some((request, framing)) if self.waiting.len() < MAX_WAITING => {
                self.waiting.push_back(Exchange::asked(&request, self.request_started, request_bytes));
                self.is_asking = true;
                self.requests.phase = match framing {
                    Framing::Tunnel => Phase::Blind,
                    framing => Phase::Body(Body::new(framing)),
                };
                self.next_request_if_finished();
            }
            // Requests that were read already wait for their answers; no further one is looked at.
            _ => self.requests.phase = Phase::Blind,
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
                self.requests.phase = Phase::Blind;
                0
            }
        }
    }

    fn next_request_if_finished(&mut self) {
        if matches!(&self.requests.phase, Phase::Body(body) if body.is_finished()) {
            self.requests.phase = Phase::head();
            self.is_asking = false;
        }
    }

    fn on_response_head(&mut self, bytes: &[u8], now: Instant) -> usize {
        let Some(Taken { used, head }) = gather(&mut self.responses, bytes) else {
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

    fn on_final_response(&mut self, response: ResponseHead, framing: Framing, now: Instant) {
        self.is_answering = !self.waiting.is_empty();
        if let Some(exchange) = self.waiting.front_mut() {
            exchange.status = Some(response.status);
            exchange.upgraded = framing == Framing::Tunnel;
            if host_check::is_worth_a_look(response.status, &response.headers) {
                self.look = Some(Look { headers: response.headers, prefix: Vec::new() });
            }
        }
        if framing == Framing::Tunnel {
            // Whatever looked like requests after the one that was granted was the new protocol already.
            self.waiting.truncate(1);
            if self.is_answering {
                self.finish(now, true);
            }
            self.go_blind();
            return;
        }
        self.responses.phase = Phase::Body(Body::new(framing));
        self.next_response_if_finished(now);
    }

    fn on_response_body(&mut self, bytes: &[u8], now: Instant) -> usize {
        let Phase::Body(body) = &mut self.responses.phase else { return 0 };
        match body.decode(bytes) {
            Ok(step) => {
                if let Some(look) = &mut self.look {
                    let room = PREFIX_BYTES.saturating_sub(look.prefix.len());
                    look.prefix.extend(step.payload.iter().take(room));
                }
                if self.is_answering {
                    self.count_response(step.used as u64);
                }
                self.next_response_if_finished(now);
                step.used
            }
            Err(_) => {
                self.go_blind();
                0
            }
        }
    }

    fn next_response_if_finished(&mut self, now: Instant) {
        if matches!(&self.responses.phase, Phase::Body(body) if body.is_finished()) {
            self.responses.phase = Phase::head();
            if self.is_answering {
                self.finish(now, true);
            }
        }
    }

    /// What comes is no response head: it counts as the answer to the oldest request, which never ends properly.
    fn lose_the_answer(&mut self) {
        let head_bytes = mem::take(&mut self.responses.head_bytes);
        self.count_response(head_bytes);
        self.is_answering = !self.waiting.is_empty();
        self.go_blind();
    }

    fn go_blind(&mut self) {
        self.requests.phase = Phase::Blind;
        self.responses.phase = Phase::Blind;
    }

    /// Reports the oldest request that waits.
    fn finish(&mut self, now: Instant, complete: bool) {
        let look = self.look.take();
        self.is_answering = false;
        let Some(mut exchange) = self.waiting.pop_front() else { return };
        exchange.took = now - exchange.started;
        exchange.complete = complete;
        exchange.refused_by = exchange
            .status
            .zip(look)
            .and_then(|(status, look)| host_check::recognise(status, &look.headers, &look.prefix));
        if self.events.len() >= MAX_WAITING {
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

impl Default for Tap {
    fn default() -> Self {
        Self::new()
    }
}

/// Takes the next bytes of a head; `None` if this is no head.
fn gather<'a>(direction: &mut Direction, bytes: &'a [u8]) -> Option<Taken<'a>> {
    let Phase::Head(gathering) = &mut direction.phase else { return None };
    let taken = gathering.take(bytes).ok()?;
    direction.head_bytes = direction.head_bytes.saturating_add(taken.used as u64);
    Some(taken)
}

fn read_request(head: &[u8]) -> Option<(RequestHead, Framing)> {
    let request = RequestHead::from_whole(head).ok()?;
    let framing = Framing::of_request(&request).ok()?;
    Some((request, framing))
}

fn read_response(head: &[u8], method: &str) -> Option<(ResponseHead, Framing)> {
    let response = ResponseHead::from_whole(head).ok()?;
    let framing = Framing::of_response(&response, method).ok()?;
    Some((response, framing))
}
