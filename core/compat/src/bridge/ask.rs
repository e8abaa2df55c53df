//! A stream that asks: the owner writes a request, the peer's messages become the response it reads.

use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;

use super::fields::{self, Sent, Unfit};
use super::slot::Role;
use super::{BridgeEvent, MessageBridge, pages};
use crate::dialect::{CallId, CallMessage, CompatFrame, Request, Response};
use hvym_http1::{Body, BodyError, Framing, HeadBuffer, LAST_CHUNK, RequestHead, ResponseHead, encode_chunk};
use hvym_tunnel_core::message::Message;
use hvym_tunnel_core::mux::{ResetReason, StreamId};
use hvym_tunnel_pages::{Format, Page};

#[derive(Debug, Default)]
enum State {
    #[default]
    Head,
    Body {
        head: RequestHead,
        body: Body,
        collected: Vec<u8>,
    },
    /// The request is on its way.
    Waiting,
    /// The answer comes in pieces, with or without bytes to show.
    Pieces {
        shown: bool,
    },
    /// Everything that can be read has been given; what is still written is dropped.
    Over,
}

/// One request and its answer.
#[derive(Debug, Default)]
pub(super) struct Ask {
    gathering: HeadBuffer,
    state: State,
    method: String,
    format: Format,
    /// The request went out sealed.
    sealed: bool,
}

impl Ask {
    pub(super) fn held(&self) -> usize {
        match &self.state {
            State::Body { collected, .. } => collected.len(),
            _ => 0,
        }
    }
}

/// Why a message cannot be sent.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Unsayable {
    /// It holds bytes that are no text.
    NotText,
    /// The peer could not take it.
    TooLarge,
}

impl MessageBridge {
    /// The message for `part`, sealed if that was agreed on, if the peer can take it.
    pub(super) fn spell(&mut self, part: CallMessage, answers: bool) -> Result<Message, Unsayable> {
        let mut message = self.config.dialect.encode(CompatFrame::Call(part)).ok_or(Unsayable::NotText)?;
        if self.seal.is_on() {
            let payload =
                self.seal.sealed(message.payload(), &mut self.rng).ok_or(Unsayable::NotText)?.into();
            let sealed = CallMessage::Sealed { answers, payload };
            message = self.config.dialect.encode(CompatFrame::Call(sealed)).ok_or(Unsayable::NotText)?;
        }
        if message.payload().len() > self.config.peer_limit {
            return Err(Unsayable::TooLarge);
        }
        Ok(message)
    }

    pub(super) fn send(&mut self, id: StreamId, message: Message) {
        self.held += message.payload().len();
        self.out.push_back((Some(id), message));
    }

    fn ask(&mut self, id: StreamId) -> Option<&mut Ask> {
        match self.slots.get_mut(&id).map(|slot| &mut slot.role) {
            Some(Role::Ask(ask)) => Some(ask),
            _ => None,
        }
    }

    pub(super) fn write_ask(&mut self, id: StreamId, data: &[u8]) {
        let mut rest = data;
        while !rest.is_empty() {
            let Some(ask) = self.ask(id) else { return };
            match &mut ask.state {
                State::Head => {
                    let Ok(taken) = ask.gathering.take(rest) else {
                        return self.refuse(id, &pages::malformed());
                    };
                    rest = &rest[taken.used..];
                    if let Some(head) = taken.head {
                        match RequestHead::parse_complete(&head) {
                            Ok(head) => self.begin_body(id, head),
                            Err(_) => return self.refuse(id, &pages::malformed()),
                        }
                    }
                }
                State::Body { body, collected, .. } => {
                    let before = collected.len();
                    let outcome = collect(body, rest, collected);
                    let (now, is_whole) = (collected.len(), body.is_finished());
                    // What came before the fault is held too, until the call is over.
                    self.held += now - before;
                    let Ok(used) = outcome else {
                        return self.refuse(id, &pages::malformed());
                    };
                    rest = &rest[used..];
                    if now > self.config.peer_limit {
                        return self.refuse(id, &pages::too_large(self.config.peer_limit));
                    }
                    if self.held > self.config.max_buffered {
                        return self.refuse(id, &pages::overloaded());
                    }
                    if is_whole {
                        self.send_request(id);
                    }
                }
                State::Waiting | State::Pieces { .. } | State::Over => return,
            }
        }
    }

    fn begin_body(&mut self, id: StreamId, head: RequestHead) {
        let framing = Framing::for_request(&head);
        let waits = head.headers.contains_token("expect", "100-continue");
        let Some(ask) = self.ask(id) else { return };
        ask.method.clone_from(&head.method);
        ask.format = Format::preferred(head.headers.first("accept"));
        let framing = match framing {
            Ok(Framing::Tunnel) => {
                return self.refuse(id, &pages::unfit(Unfit(501, "CONNECT cannot pass this tunnel.")));
            }
            Ok(framing) => framing,
            Err(_) => return self.refuse(id, &pages::malformed()),
        };
        let head = match fields::to_agent(head, self.config.dialect) {
            Ok(head) => head,
            Err(unfit) => return self.refuse(id, &pages::unfit(unfit)),
        };
        if !self.config.dialect.profile().allows_method(&head.method) {
            return self.refuse(id, &pages::unfit(Unfit(501, "This method cannot pass this tunnel.")));
        }
        let body = Body::new(framing);
        let is_whole = body.is_finished();
        if let Some(ask) = self.ask(id) {
            ask.state = State::Body { head, body, collected: Vec::new() };
        }
        if is_whole {
            self.send_request(id);
        } else if waits {
            self.give(id, Bytes::from_static(b"HTTP/1.1 100 Continue\r\n\r\n"));
        }
    }

    fn send_request(&mut self, id: StreamId) {
        let Some(slot) = self.slots.get_mut(&id) else { return };
        let name = slot.name.clone();
        let Role::Ask(ask) = &mut slot.role else { return };
        let State::Body { head, collected, .. } = core::mem::replace(&mut ask.state, State::Waiting) else {
            return;
        };
        self.held -= collected.len();
        let request = Request { head, body: collected.into() };
        let timeout = u32::try_from(self.config.answer_timeout.as_secs()).unwrap_or(u32::MAX);
        match self.spell(CallMessage::Request { id: name, request, timeout }, false) {
            Ok(message) => self.send(id, message),
            Err(Unsayable::NotText) => return self.refuse(id, &pages::not_text()),
            Err(Unsayable::TooLarge) => return self.refuse(id, &pages::too_large(self.config.peer_limit)),
        }
        let sealed = self.seal.is_on();
        if let Some(ask) = self.ask(id) {
            ask.sealed = sealed;
        }
        self.set_deadline(id, Some(self.now + self.config.answer_timeout));
    }

    pub(super) fn finish_ask(&mut self, id: StreamId) {
        if let Some(ask) = self.ask(id)
            && matches!(ask.state, State::Head | State::Body { .. })
        {
            self.refuse(id, &pages::malformed());
        }
    }

    /// Answers in place of the service, and is done with the call.
    pub(super) fn refuse(&mut self, id: StreamId, page: &Page) {
        let Some(ask) = self.ask(id) else { return };
        let response = page.response(ask.format, &ask.method);
        let held = ask.held();
        ask.state = State::Over;
        self.held -= held;
        self.conclude(id, [response]);
    }

    fn conclude(&mut self, id: StreamId, last: impl IntoIterator<Item = Bytes>) {
        if let Some(ask) = self.ask(id) {
            ask.state = State::Over;
        }
        self.set_deadline(id, None);
        self.forget_name(id);
        for data in last {
            self.give(id, data);
        }
        self.end(id);
    }

    /// Tears down what can no longer be explained to its reader.
    pub(super) fn tear(&mut self, id: StreamId, reason: ResetReason) {
        self.remove(id);
        self.events.push_back(BridgeEvent::Reset(id, reason));
    }

    pub(super) fn on_response(&mut self, name: &CallId, response: Response, sealed: bool) {
        let Some(id) = self.named(name) else { return };
        let room = self.config.max_buffered.saturating_sub(self.held);
        let Some(ask) = self.ask(id).filter(|ask| matches!(ask.state, State::Waiting)) else { return };
        if ask.sealed && !sealed {
            return self.refuse(
                id,
                &pages::failed(502, "it answered in clear text, although sealing was agreed on"),
            );
        }
        if response.body.len() > room {
            return self.refuse(id, &pages::overloaded());
        }
        let Response { mut head, body } = response;
        let Some(body) = fields::restored(&mut head, body) else {
            return self.refuse(id, &pages::lost_bytes());
        };
        let sent = Sent::of(&ask.method, head.status, Some(body.len()));
        match fields::to_visitor(head, sent) {
            Ok(head) if sent == Sent::Nothing => self.conclude(id, [head]),
            Ok(head) => self.conclude(id, [head, body]),
            Err(unfit) => self.refuse(id, &pages::unfit(unfit)),
        }
    }

    pub(super) fn on_failed(&mut self, name: &CallId, status: u16, error: &str) {
        let Some(id) = self.named(name) else { return };
        let Some(ask) = self.ask(id) else { return };
        match ask.state {
            State::Waiting => self.refuse(id, &pages::failed(status, error)),
            State::Pieces { .. } => self.tear(id, ResetReason::Peer(0)),
            _ => {}
        }
    }

    pub(super) fn on_started(&mut self, name: &CallId, head: ResponseHead) {
        let Some(id) = self.named(name) else { return };
        let Some(ask) = self.ask(id).filter(|ask| matches!(ask.state, State::Waiting)) else { return };
        let sent = Sent::of(&ask.method, head.status, None);
        match fields::to_visitor(head, sent) {
            Ok(head) => {
                ask.state = State::Pieces { shown: sent == Sent::Pieces };
                self.give(id, head);
                self.set_deadline(id, Some(self.now + self.config.answer_timeout));
            }
            Err(unfit) => self.refuse(id, &pages::unfit(unfit)),
        }
    }

    pub(super) fn on_chunk(&mut self, name: &CallId, data: &[u8]) {
        let Some(id) = self.named(name) else { return };
        let max_unread = self.config.max_unread;
        match self.slots.get(&id) {
            Some(slot) if slot.inbox.bytes.saturating_add(data.len()) > max_unread => {
                return self.tear(id, ResetReason::Budget);
            }
            _ => {}
        }
        let Some(State::Pieces { shown }) = self.ask(id).map(|ask| &ask.state) else { return };
        if *shown {
            let mut chunk = Vec::new();
            encode_chunk(data, &mut chunk);
            self.give(id, chunk.into());
        }
        self.set_deadline(id, Some(self.now + self.config.answer_timeout));
    }

    pub(super) fn on_ended(&mut self, name: &CallId, error: Option<&str>) {
        let Some(id) = self.named(name) else { return };
        match (self.ask(id).map(|ask| &ask.state), error) {
            (Some(State::Pieces { shown: true }), None) => {
                self.conclude(id, [Bytes::from_static(LAST_CHUNK)])
            }
            (Some(State::Pieces { shown: false }), None) => self.conclude(id, []),
            (Some(State::Pieces { .. }), Some(_)) => self.tear(id, ResetReason::Peer(0)),
            (Some(State::Waiting), error) => {
                let error = error.unwrap_or("the answer ended before it began");
                self.refuse(id, &pages::failed(502, error));
            }
            _ => {}
        }
    }

    pub(super) fn ask_timed_out(&mut self, id: StreamId) {
        match self.ask(id).map(|ask| &ask.state) {
            Some(State::Waiting) => {
                self.unsay(id);
                self.refuse(id, &pages::late());
            }
            Some(State::Pieces { .. }) => self.tear(id, ResetReason::Idle),
            _ => {}
        }
    }
}

/// Adds the payload among `bytes` to `collected`; how many of them belong to the body.
pub(super) fn collect(body: &mut Body, bytes: &[u8], collected: &mut Vec<u8>) -> Result<usize, BodyError> {
    let mut used = 0;
    while used < bytes.len() && !body.is_finished() {
        let step = body.decode(&bytes[used..])?;
        used += step.used;
        collected.extend_from_slice(step.payload);
    }
    Ok(used)
}
