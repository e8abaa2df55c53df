//! Follows the bytes of one HTTP/1.1 connection, and records its exchanges.
//!
//! It never fails. What it cannot follow (another protocol, a malformed message) is not recorded from then on.

use std::collections::VecDeque;

use bytes::Bytes;
use hvym_http1::{Body, Framing, HeadBuffer, Headers, MAX_PENDING, RequestHead, ResponseHead};

use super::event_stream::EventReader;
use super::exchange::{
    CapturedExchange, CapturedRequest, CapturedResponse, ExchangeSource, Moment, Progress, ResponseKind,
};
use super::messages::{MessageSender, NewMessage};
use super::ring::Ring;
use super::websocket::{FrameReader, compression};

/// What the next bytes of a direction are.
#[derive(Debug)]
enum Half {
    Head(HeadBuffer),
    Body(Body),
    Frames(Box<FrameReader>),
    /// Nothing that is followed.
    Opaque,
}

impl Half {
    fn head() -> Self {
        Half::Head(HeadBuffer::default())
    }

    fn held(&self) -> usize {
        match self {
            Half::Head(buffer) => buffer.held(),
            Half::Frames(reader) => reader.held() + size_of::<FrameReader>(),
            Half::Body(_) | Half::Opaque => 0,
        }
    }
}

/// A request that has no complete response.
#[derive(Debug)]
struct Pending {
    id: u64,
    method: String,
}

/// One connection.
#[derive(Debug)]
pub(super) struct Connection {
    source: ExchangeSource,
    requests: Half,
    responses: Half,
    /// Oldest first. The response in progress belongs to the first one.
    pending: VecDeque<Pending>,
    /// The request whose body is incomplete.
    open_request: Option<u64>,
    /// Set while the response in progress is an event stream.
    events: Option<EventReader>,
    /// The exchange that the connection was upgraded by.
    upgraded: Option<u64>,
}

impl Connection {
    /// At its start.
    pub(super) fn new(source: ExchangeSource) -> Self {
        Self {
            source,
            requests: Half::head(),
            responses: Half::head(),
            pending: VecDeque::new(),
            open_request: None,
            events: None,
            upgraded: None,
        }
    }

    /// The next bytes of requests.
    pub(super) fn handle_request_bytes(&mut self, bytes: &[u8], now: Moment, ring: &mut Ring) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let used = match &mut self.requests {
                Half::Head(_) => self.on_request_head(rest, now, ring),
                Half::Body(_) => self.on_request_body(rest, now, ring),
                Half::Frames(_) => self.on_frames(MessageSender::Visitor, rest, now, ring),
                Half::Opaque => return,
            };
            rest = &rest[used..];
        }
    }

    /// The next bytes of responses.
    pub(super) fn handle_response_bytes(&mut self, bytes: &[u8], now: Moment, ring: &mut Ring) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let used = match &mut self.responses {
                Half::Head(_) => self.on_response_head(rest, now, ring),
                Half::Body(_) => self.on_response_body(rest, now, ring),
                Half::Frames(_) => self.on_frames(MessageSender::Service, rest, now, ring),
                Half::Opaque => return,
            };
            rest = &rest[used..];
        }
    }

    /// The service ended its direction.
    pub(super) fn handle_response_end(&mut self, now: Moment, ring: &mut Ring) {
        if let Half::Body(body) = &mut self.responses {
            let progress = if body.handle_end().is_ok() { Progress::Complete } else { Progress::Broken };
            self.finish_response(progress, now, ring);
        }
        self.responses = Half::Opaque;
        self.handle_end(now, ring);
    }

    /// The connection is over.
    pub(super) fn handle_end(&mut self, now: Moment, ring: &mut Ring) {
        if let Some(id) = self.upgraded.take() {
            ring.update(id, |exchange| exchange.finish(Progress::Complete, now.at));
        }
        for Pending { id, .. } in self.pending.drain(..) {
            ring.update(id, |exchange| exchange.finish(Progress::Broken, now.at));
        }
    }

    /// Whether every request has its response.
    pub(super) fn is_idle(&self) -> bool {
        self.pending.is_empty()
    }

    /// Heap bytes held.
    pub(super) fn held(&self) -> usize {
        let events = self.events.as_ref().map_or(0, EventReader::held);
        let pending = self.pending.capacity() * size_of::<Pending>()
            + self.pending.iter().map(|pending| pending.method.capacity()).sum::<usize>();
        self.requests.held() + self.responses.held() + events + pending
    }

    fn on_request_head(&mut self, bytes: &[u8], now: Moment, ring: &mut Ring) -> usize {
        let Half::Head(buffer) = &mut self.requests else { return 0 };
        let Ok(taken) = buffer.take(bytes) else {
            self.requests = Half::Opaque;
            return 0;
        };
        let (used, Some(head)) = (taken.used, taken.head) else { return taken.used };
        let parsed = RequestHead::parse_complete(&head).ok();
        let framed = parsed.and_then(|head| Framing::for_request(&head).ok().map(|framing| (head, framing)));
        let Some((parsed, framing)) = framed.filter(|_| self.pending.len() < MAX_PENDING) else {
            self.requests = Half::Opaque;
            return used;
        };
        let RequestHead { method, target, .. } = parsed;
        let head = Bytes::copy_from_slice(&head);
        let request = CapturedRequest::new(head, method.clone(), target, framing);
        let id = ring.begin(self.source.clone(), request, now);
        self.pending.push_back(Pending { id, method });
        self.open_request = Some(id);
        self.requests = match framing {
            Framing::Tunnel => Half::Opaque,
            framing => Half::Body(Body::new(framing)),
        };
        self.end_request_body(now, ring);
        used
    }

    fn on_request_body(&mut self, bytes: &[u8], now: Moment, ring: &mut Ring) -> usize {
        let Half::Body(body) = &mut self.requests else { return 0 };
        let Ok(decoded) = body.decode(bytes) else {
            self.requests = Half::Opaque;
            return 0;
        };
        let wire = &bytes[..decoded.used];
        if let Some(id) = self.open_request {
            ring.update(id, |exchange| exchange.request.body.extend(wire, decoded.payload.len()));
        }
        self.end_request_body(now, ring);
        decoded.used
    }

    fn end_request_body(&mut self, now: Moment, ring: &mut Ring) {
        if !matches!(&self.requests, Half::Body(body) if body.is_finished()) {
            return;
        }
        self.requests = Half::head();
        if let Some(id) = self.open_request.take() {
            ring.update(id, |exchange| exchange.request.complete_after = Some(exchange.since(now.at)));
        }
    }

    fn on_response_head(&mut self, bytes: &[u8], now: Moment, ring: &mut Ring) -> usize {
        let Half::Head(buffer) = &mut self.responses else { return 0 };
        let Ok(taken) = buffer.take(bytes) else {
            self.responses = Half::Opaque;
            return 0;
        };
        let (used, Some(head)) = (taken.used, taken.head) else { return taken.used };
        let method = self.pending.front().map(|pending| pending.method.as_str());
        let parsed = ResponseHead::parse_complete(&head).ok();
        let parsed = parsed.filter(|head| !head.is_interim());
        let framed = parsed.zip(method).and_then(|(head, method)| {
            let framing = Framing::for_response(&head, method).ok()?;
            Some((head, framing))
        });
        match framed {
            Some((parsed, framing)) => {
                self.begin_response(&parsed, Bytes::copy_from_slice(&head), framing, now, ring);
            }
            // Interim responses are not recorded; what nobody asked for, or is malformed, is not followed.
            None if ResponseHead::parse_complete(&head).is_ok_and(|head| head.is_interim()) => {
                self.responses = Half::head();
            }
            None => self.responses = Half::Opaque,
        }
        used
    }

    fn begin_response(
        &mut self,
        parsed: &ResponseHead,
        head: Bytes,
        framing: Framing,
        now: Moment,
        ring: &mut Ring,
    ) {
        let Some(&Pending { id, .. }) = self.pending.front() else { return };
        let kind = kind(parsed, framing);
        ring.update(id, |exchange| {
            let begun_after = exchange.since(now.at);
            let (status, body) = (parsed.status, Default::default());
            exchange.response = Some(CapturedResponse { head, status, kind, body, begun_after });
        });
        self.events = (kind == ResponseKind::EventStream).then(EventReader::default);
        if framing == Framing::Tunnel {
            self.upgrade(id, kind, &parsed.headers);
            return;
        }
        self.responses = Half::Body(Body::new(framing));
        self.end_response_body(now, ring);
    }

    /// From here on another protocol is spoken.
    fn upgrade(&mut self, id: u64, kind: ResponseKind, headers: &Headers) {
        self.pending.pop_front();
        self.upgraded = Some(id);
        let (to_service, to_visitor) = if kind == ResponseKind::WebSocket {
            let agreed =
                headers.first("sec-websocket-extensions").and_then(|value| std::str::from_utf8(value).ok());
            let agreed = agreed.and_then(compression).unzip();
            let frames = |compression| Half::Frames(Box::new(FrameReader::new(compression)));
            (frames(agreed.0), frames(agreed.1))
        } else {
            (Half::Opaque, Half::Opaque)
        };
        (self.requests, self.responses) = (to_service, to_visitor);
    }

    fn on_response_body(&mut self, bytes: &[u8], now: Moment, ring: &mut Ring) -> usize {
        let Half::Body(body) = &mut self.responses else { return 0 };
        let Ok(decoded) = body.decode(bytes) else {
            self.responses = Half::Opaque;
            self.finish_response(Progress::Broken, now, ring);
            return 0;
        };
        let (used, payload) = (decoded.used, decoded.payload);
        if let (Some(pending), false) = (self.pending.front(), payload.is_empty()) {
            let events = &mut self.events;
            ring.update(pending.id, |exchange| match events {
                Some(events) => {
                    count_response(exchange, payload.len());
                    events.read(payload, |event| record(exchange, event, MessageSender::Service, now));
                }
                None => {
                    if let Some(response) = &mut exchange.response {
                        response.body.extend(payload, payload.len());
                    }
                }
            });
        }
        self.end_response_body(now, ring);
        used
    }

    fn end_response_body(&mut self, now: Moment, ring: &mut Ring) {
        if matches!(&self.responses, Half::Body(body) if body.is_finished()) {
            self.responses = Half::head();
            self.finish_response(Progress::Complete, now, ring);
        }
    }

    fn finish_response(&mut self, progress: Progress, now: Moment, ring: &mut Ring) {
        self.events = None;
        if let Some(Pending { id, .. }) = self.pending.pop_front() {
            ring.update(id, |exchange| exchange.finish(progress, now.at));
        }
    }

    fn on_frames(&mut self, sender: MessageSender, bytes: &[u8], now: Moment, ring: &mut Ring) -> usize {
        let half = match sender {
            MessageSender::Visitor => &mut self.requests,
            MessageSender::Service => &mut self.responses,
        };
        let (Half::Frames(reader), Some(id)) = (&mut *half, self.upgraded) else { return bytes.len() };
        let mut messages = Vec::new();
        let is_followed = reader.read(bytes, |message| messages.push(message)).is_ok();
        if !is_followed {
            *half = Half::Opaque;
        }
        ring.update(id, |exchange| {
            match sender {
                MessageSender::Visitor => exchange.request.body.count(bytes.len()),
                MessageSender::Service => count_response(exchange, bytes.len()),
            }
            messages.into_iter().for_each(|message| record(exchange, message, sender, now));
        });
        bytes.len()
    }
}

fn record(exchange: &mut CapturedExchange, message: NewMessage, sender: MessageSender, now: Moment) {
    let at = exchange.since(now.at);
    exchange.messages.push(message, sender, at);
}

fn count_response(exchange: &mut CapturedExchange, length: usize) {
    if let Some(response) = &mut exchange.response {
        response.body.count(length);
    }
}

fn kind(head: &ResponseHead, framing: Framing) -> ResponseKind {
    let is = |name: &str, wanted: &str| {
        head.headers.first(name).is_some_and(|value| {
            let value = value.split(|byte| *byte == b';').next().unwrap_or_default();
            value.trim_ascii().eq_ignore_ascii_case(wanted.as_bytes())
        })
    };
    let is_coded = head.headers.contains("content-encoding") && !is("content-encoding", "identity");
    match framing {
        Framing::Tunnel if is("upgrade", "websocket") => ResponseKind::WebSocket,
        Framing::Tunnel => ResponseKind::Upgraded,
        _ if is("content-type", "text/event-stream") && !is_coded => ResponseKind::EventStream,
        _ => ResponseKind::Plain,
    }
}
