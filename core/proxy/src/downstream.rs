//! A visitor's connection: requests in, one under way at a time, and what it is answered.
//!
//! It validates every head, and limits the time of a head, between requests, and of an answer that is not read. It knows no
//! service.

use alloc::sync::Arc;
use core::time::Duration;

use bytes::{Bytes, BytesMut};
use hvym_http1::{
    BodyError, FieldTable, Framing, HeadError, LineEndings, MessageKind, RequestError, RequestView, Version,
};
use hvym_yamux::Instant;

use crate::body_reader::{BodyMode, BodyPiece, BodyReader};
use crate::config::ProxyConfig;
use crate::facts::RequestFacts;
use crate::min_rate::RateMeter;
use crate::read_buffer::ReadBuffer;
use crate::send_queue::SendQueue;

/// The interim response that makes a visitor send its body (RFC 9110 section 15.2.1).
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Why a request is refused before anybody is asked for it.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum HeadRefusal {
    /// The head is malformed, or asks for what no proxy does.
    Head(RequestError),
    /// The head was incomplete after the timeout.
    Late,
}

/// What a visitor asks.
#[derive(Debug)]
pub(crate) enum DownstreamEvent<'a> {
    /// A request. [`Downstream::set_body_mode`] says how its body is handed on.
    Request(RequestView<'a>),
    /// A request that must be answered with an error; the connection ends after that.
    Refused {
        /// Why.
        reason: HeadRefusal,
        /// What came of its head.
        head: &'a [u8],
    },
}

/// A piece of a request's body.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RequestBody {
    /// Bytes, never empty.
    Data(Bytes),
    /// The trailer section. Only with [`BodyMode::Payload`].
    Trailers(Bytes),
    /// The request is complete.
    End,
    /// It will not be: it is malformed, or the visitor ended its half.
    Failed(BodyError),
}

/// How a connection ends.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Closing {
    /// In order: what was sent is complete, or its framing tells that it is not. What still comes is to be read for a while,
    /// because a reset could overtake the answer (RFC 9112 section 9.6).
    Orderly,
    /// By a reset: an orderly end would make an incomplete answer look complete.
    Reset,
}

#[derive(Debug)]
enum Reading {
    /// Before or inside a head.
    Head,
    Body(BodyReader),
    /// The request is complete, its response is not.
    Complete,
    /// What comes is discarded.
    Over,
}

#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Writing {
    /// No response is owed.
    Idle,
    /// The head of a response is owed.
    Head,
    /// Its body, which has this framing.
    Body(Framing),
    /// It is complete.
    Complete,
}

/// A visitor's connection.
#[derive(Debug)]
pub(crate) struct Downstream {
    // Fields: the state of both halves, what passes through them, and the times that limit them.
    config: Arc<ProxyConfig>,
    input: ReadBuffer,
    head: Bytes,
    /// Why what is in `head` is none.
    head_error: Option<HeadError>,
    fields: FieldTable,
    request: RequestFacts,
    reading: Reading,
    writing: Writing,
    out: SendQueue,
    /// Whether another request may follow.
    persists: bool,
    /// The next response whose head is to be sent is the last. Without a request for so long, the connection ends.
    draining: Option<Duration>,
    has_ended: bool,
    closing: Option<Closing>,
    /// When the head began, or the last exchange ended.
    since: Instant,
    /// How fast the visitor takes what it is sent.
    taking: RateMeter,
    is_rate_enforced: bool,
}

impl Downstream {
    /// A connection that was just accepted.
    pub(crate) fn new(config: Arc<ProxyConfig>, now: Instant) -> Self {
        let taking = RateMeter::new(config.send_rate());
        Downstream {
            config,
            input: ReadBuffer::new(LineEndings::Strict),
            head: Bytes::new(),
            head_error: None,
            fields: FieldTable::new(),
            request: RequestFacts::NONE,
            reading: Reading::Head,
            writing: Writing::Idle,
            out: SendQueue::new(),
            persists: true,
            draining: None,
            has_ended: false,
            closing: None,
            since: now,
            taking,
            is_rate_enforced: false,
        }
    }

    /// The visitor sent `data`.
    pub(crate) fn handle_data(&mut self, data: Bytes, now: Instant) {
        if matches!(self.reading, Reading::Over) {
            return;
        }
        if matches!(self.reading, Reading::Head) && self.input.is_empty() {
            self.since = now;
        }
        self.input.push(data);
    }

    /// The visitor ended its half. What it asked for is still answered (RFC 9112 section 9.6).
    pub(crate) fn handle_end(&mut self) {
        self.has_ended = true;
        self.persists = false;
    }

    /// The next response is the last, or that under way if its head can still say so: a visitor that was not told may have
    /// sent another request already (RFC 9112 section 9.6). Without a request for `linger`, the connection ends.
    pub(crate) fn drain(&mut self, linger: Duration, now: Instant) {
        self.draining = Some(linger);
        if self.owes_head() {
            self.persists = false;
        } else if self.is_idle() && !self.input.has_begun_head() {
            self.since = now;
        }
    }

    /// `count` bytes of the output were sent.
    pub(crate) fn handle_sent(&mut self, count: usize, now: Instant) {
        self.out.advance(count);
        self.taking.handle_bytes(count, self.is_rate_enforced, now);
        if self.out.is_empty() {
            self.taking.stop(now);
        }
    }

    /// What waits to be sent to the visitor.
    pub(crate) const fn output(&self) -> &SendQueue {
        &self.out
    }

    /// Whether more should be read from the visitor. While a response is owed this finds out whether it is still there, and
    /// holds no more than one read or [`ProxyConfig::max_early`].
    pub(crate) fn wants_data(&self) -> bool {
        let room = match self.reading {
            Reading::Complete if self.request.wants_upgrade => self.config.max_early,
            _ => 1,
        };
        self.closing.is_none() && !self.has_ended && self.input.data.len() < room
    }

    /// Looks for the next head, if no request is under way. It may find that there will be none.
    pub(crate) fn find_head(&mut self, now: Instant) -> bool {
        if !self.is_idle() || self.closing.is_some() {
            return false;
        }
        match self.input.take_head() {
            Ok(Some(head)) => {
                (self.head, self.head_error) = (head, None);
                true
            }
            Ok(None) => {
                if self.has_ended || self.idle_until().is_some_and(|until| until <= now) {
                    self.closing = Some(Closing::Orderly);
                }
                false
            }
            Err(error) => {
                (self.head, self.head_error) = (self.input.take_all(), Some(error));
                true
            }
        }
    }

    /// Reads the head that was found.
    pub(crate) fn read_head(&mut self, now: Instant) -> DownstreamEvent<'_> {
        match self.head_error {
            Some(error) => self.refuse(HeadRefusal::Head(error.into()), now),
            None => self.on_head(now),
        }
    }

    fn on_head(&mut self, now: Instant) -> DownstreamEvent<'_> {
        self.begin_response(now);
        match RequestView::parse(&self.head, &mut self.fields) {
            Ok(view) => {
                self.request = RequestFacts::new(&view);
                self.persists = self.request.keeps_alive && self.draining.is_none() && !self.has_ended;
                self.reading = if self.request.has_body() {
                    let framing = self.request.framing;
                    Reading::Body(BodyReader::new(framing, BodyMode::Framed(framing), MessageKind::Request))
                } else {
                    Reading::Complete
                };
                DownstreamEvent::Request(view)
            }
            Err(error) => {
                (self.reading, self.persists) = (Reading::Over, false);
                self.request = RequestFacts::refused(&self.head);
                self.input.take_all();
                DownstreamEvent::Refused { reason: HeadRefusal::Head(error), head: &self.head }
            }
        }
    }

    /// A response is owed: its visitor has the whole time to take it.
    fn begin_response(&mut self, now: Instant) {
        (self.writing, self.is_rate_enforced) = (Writing::Head, false);
        self.taking = RateMeter::new(self.config.send_rate());
        if !self.out.is_empty() {
            self.taking.start(now);
        }
    }

    /// Whether the request under way has to come, and its response to be taken, at the minimum rate.
    pub(crate) const fn is_rate_enforced(&self) -> bool {
        self.is_rate_enforced
    }

    /// See [`Exchange::set_rate_enforced`](crate::Exchange::set_rate_enforced).
    pub(crate) const fn set_rate_enforced(&mut self, is_enforced: bool) {
        self.is_rate_enforced = is_enforced;
    }

    fn refuse(&mut self, reason: HeadRefusal, now: Instant) -> DownstreamEvent<'_> {
        self.begin_response(now);
        (self.reading, self.persists) = (Reading::Over, false);
        self.request = RequestFacts::refused(&self.head);
        DownstreamEvent::Refused { reason, head: &self.head }
    }

    /// How the body of the request under way is handed on, before any of it was: framed as it came, unless it is told.
    pub(crate) fn set_body_mode(&mut self, mode: BodyMode) {
        if let Reading::Body(reader) = &mut self.reading {
            *reader = BodyReader::new(self.request.framing, mode, MessageKind::Request);
        }
    }

    /// The next piece of the body of the request under way.
    pub(crate) fn poll_body(&mut self, now: Instant) -> Option<RequestBody> {
        let Reading::Body(reader) = &mut self.reading else { return None };
        let failure = match reader.read(&mut self.input.data) {
            Ok(Some(BodyPiece::Data(data))) => return Some(RequestBody::Data(data)),
            Ok(Some(BodyPiece::Trailers(section))) => return Some(RequestBody::Trailers(section)),
            Ok(Some(BodyPiece::End)) => {
                self.reading = Reading::Complete;
                self.settle(now);
                return Some(RequestBody::End);
            }
            Ok(None) if self.has_ended => BodyError::Truncated,
            Ok(None) => return None,
            Err(error) => error,
        };
        self.stop_reading();
        Some(RequestBody::Failed(failure))
    }

    /// Discards the rest of the request under way, and everything behind it: the connection ends after the response.
    pub(crate) fn stop_reading(&mut self) {
        if !matches!(self.reading, Reading::Complete) {
            (self.reading, self.persists) = (Reading::Over, false);
            self.input.take_all();
            if self.writing == Writing::Complete {
                self.closing = self.closing.or(Some(Closing::Orderly));
            }
        }
    }

    /// The request under way.
    pub(crate) const fn request(&self) -> &RequestFacts {
        &self.request
    }

    /// What there is of its head.
    pub(crate) fn request_head(&self) -> &[u8] {
        &self.head
    }

    /// Whether the request under way was read to its end.
    pub(crate) const fn is_request_complete(&self) -> bool {
        !matches!(self.reading, Reading::Body(_))
    }

    /// Whether the head of a response is owed.
    pub(crate) fn owes_head(&self) -> bool {
        self.writing == Writing::Head
    }

    /// Whether another request may follow the one under way. The head of a response says so.
    pub(crate) const fn persists(&self) -> bool {
        self.persists
    }

    /// The connection ends after the response that is owed.
    pub(crate) fn close_after_response(&mut self) {
        self.persists = false;
    }

    /// Whether the visitor ended its half.
    pub(crate) const fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Sends an interim response. Only to visitors that speak HTTP/1.1, and before the final one.
    pub(crate) fn send_interim(&mut self, head: Bytes, now: Instant) {
        if self.request.version == Version::Http11 && self.owes_head() {
            self.send(head, now);
        }
    }

    /// Tells the visitor to send its body.
    pub(crate) fn send_continue(&mut self, now: Instant) {
        self.send_interim(Bytes::from_static(CONTINUE), now);
    }

    /// Sends the head of the response that is owed; its body will have this framing.
    pub(crate) fn send_head(&mut self, head: Bytes, framing: Framing, now: Instant) {
        self.writing = Writing::Body(framing);
        self.persists &= framing != Framing::UntilClose;
        self.send(head, now);
    }

    /// Sends a piece of the response's body, framed already.
    pub(crate) fn send_body(&mut self, piece: Bytes, now: Instant) {
        self.send(piece, now);
    }

    /// Sends a piece of payload as one chunk, whose size line is written into `buffer`.
    pub(crate) fn send_chunk(&mut self, payload: Bytes, buffer: &mut BytesMut, now: Instant) {
        use core::fmt::Write as _;
        // Writing to `BytesMut` cannot fail.
        let _ = write!(buffer, "{:x}\r\n", payload.len());
        self.send(buffer.split().freeze(), now);
        self.send(payload, now);
        self.send(Bytes::from_static(b"\r\n"), now);
    }

    fn send(&mut self, data: Bytes, now: Instant) {
        self.out.push(data);
        if !self.out.is_empty() {
            self.taking.start(now);
        }
    }

    /// The response is complete.
    pub(crate) fn end_response(&mut self, now: Instant) {
        self.writing = Writing::Complete;
        self.settle(now);
    }

    /// The response will not be completed: the connection ends in a way that shows it.
    pub(crate) fn abort_response(&mut self) {
        let is_until_close = self.writing == Writing::Body(Framing::UntilClose);
        self.closing = Some(if is_until_close { Closing::Reset } else { Closing::Orderly });
        (self.reading, self.persists) = (Reading::Over, false);
        self.input.take_all();
    }

    /// Nobody is there to be answered: nothing more is sent.
    pub(crate) fn discard(&mut self) {
        self.out.clear();
        self.input.take_all();
        (self.reading, self.persists, self.closing) = (Reading::Over, false, Some(Closing::Reset));
    }

    /// Takes the next request, or ends, once request and response are complete.
    fn settle(&mut self, now: Instant) {
        if self.writing != Writing::Complete || matches!(self.reading, Reading::Body(_)) {
            return;
        }
        if self.persists {
            (self.reading, self.writing, self.since) = (Reading::Head, Writing::Idle, now);
            self.head = Bytes::new();
        } else {
            self.closing = self.closing.or(Some(Closing::Orderly));
        }
    }

    /// How the connection ends, once what was queued has been sent.
    pub(crate) fn closing(&self) -> Option<Closing> {
        self.closing.filter(|_| self.out.is_empty())
    }

    /// What was queued for the visitor, and what it sent behind its request: the connection speaks another protocol now.
    pub(crate) fn into_tunnel(mut self) -> (SendQueue, Bytes) {
        (self.out, self.input.take_all())
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        if !self.out.is_empty() {
            return self.taking.poll_timeout();
        }
        if self.closing.is_some() || !self.is_idle() {
            return None;
        }
        let limit = if self.is_in_head() { self.config.head_timeout } else { self.config.idle_timeout };
        let at = self.since + limit;
        Some(self.idle_until().map_or(at, |until| at.min(until)))
    }

    /// When a connection that is to end does so, as long as no request has begun.
    fn idle_until(&self) -> Option<Instant> {
        self.draining.filter(|_| !self.input.has_begun_head()).map(|linger| self.since + linger)
    }

    /// Whether no request is under way.
    fn is_idle(&self) -> bool {
        matches!((&self.reading, self.writing), (Reading::Head, Writing::Idle))
    }

    fn is_in_head(&self) -> bool {
        !self.input.is_empty()
    }

    /// The clock has reached `now`. A head that is late is refused.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Option<DownstreamEvent<'_>> {
        if self.poll_timeout().is_none_or(|at| now < at) {
            return None;
        }
        if !self.out.is_empty() {
            self.out.clear();
            self.closing = Some(Closing::Reset);
            return None;
        }
        if !self.is_in_head() || self.idle_until().is_some_and(|until| until <= now) {
            self.closing = Some(Closing::Orderly);
            return None;
        }
        self.head = self.input.take_all();
        Some(self.refuse(HeadRefusal::Late, now))
    }
}
