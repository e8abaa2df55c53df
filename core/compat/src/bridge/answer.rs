//! A stream that answers: the owner reads a request that came in a message, and writes the response to it.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;

use super::ask::{Unsayable, collect};
use super::fields;
use super::slot::Role;
use super::{BridgeEvent, MessageBridge};
use crate::dialect::{CallId, CallMessage, Request, Response};
use hvym_http1::{Body, Framing, HeadBuffer, ResponseHead};
use hvym_tunnel_core::dialect::{Proto, StreamHeader};
use hvym_tunnel_core::mux::{ResetReason, StreamId};

#[derive(Debug)]
enum State {
    Head,
    Body { head: ResponseHead, body: Body, collected: Vec<u8>, chunks: Option<u64> },
    Over,
}

/// One request of the peer and the answer that is being written.
#[derive(Debug)]
pub(super) struct Answer {
    gathering: HeadBuffer,
    state: State,
    method: String,
    /// The visitor takes events as they come.
    events: bool,
}

impl Answer {
    pub(super) fn held(&self) -> usize {
        match &self.state {
            State::Body { collected, .. } => collected.len(),
            _ => 0,
        }
    }
}

impl MessageBridge {
    pub(super) fn on_request(&mut self, name: CallId, request: Request, timeout: u32, sealed: bool) {
        if self.names.contains_key(&name) {
            // An answer could not be told from the other's.
            return;
        }
        if self.seal.is_on() && !sealed {
            return self.decline(name, 502, "a request in clear text, although sealing was agreed on".into());
        }
        let Request { head, body } = request;
        if self.slots.len() >= self.config.max_calls || self.held + body.len() > self.config.max_buffered {
            return self.decline(name, 503, "too many requests at once".into());
        }
        let host =
            head.headers.first("host").and_then(|host| core::str::from_utf8(host).ok()).map(String::from);
        let method = head.method.to_ascii_uppercase();
        let events = head.headers.contains_token("accept", "text/event-stream");
        let head = match fields::to_service(head, &body) {
            Ok(head) => head,
            Err(unfit) => return self.decline(name, unfit.0, unfit.1.into()),
        };
        let state = State::Head;
        let answer = Answer { gathering: HeadBuffer::default(), state, method, events };
        let id = self.insert(name, Role::Answer(answer.into()));
        self.give(id, head);
        self.give(id, body);
        let timeout = Duration::from_secs(timeout.into()).min(self.config.answer_timeout);
        self.set_deadline(id, Some(self.now + timeout));
        let service = self.config.service.clone();
        let opening = StreamHeader { service, proto: Proto::Http, host, ..StreamHeader::default() };
        self.events.push_back(BridgeEvent::Opened(id, opening));
    }

    /// Answers a request that nobody was shown.
    pub(super) fn decline(&mut self, name: CallId, status: u16, error: String) {
        if let Ok(message) = self.spell(CallMessage::Failed { id: name, status, error }, true) {
            self.held += message.payload().len();
            self.out.push_back((None, message));
        }
    }

    fn answer(&mut self, id: StreamId) -> Option<&mut Answer> {
        match self.slots.get_mut(&id).map(|slot| &mut slot.role) {
            Some(Role::Answer(answer)) => Some(answer),
            _ => None,
        }
    }

    pub(super) fn write_answer(&mut self, id: StreamId, data: &[u8]) {
        let mut rest = data;
        while !rest.is_empty() {
            let Some(answer) = self.answer(id) else { return };
            match &mut answer.state {
                State::Head => {
                    let taken = answer.gathering.take(rest);
                    let Ok(taken) = taken else {
                        return self.fail(id, 502, "the service does not speak HTTP");
                    };
                    rest = &rest[taken.used..];
                    let Some(head) = taken.head else { continue };
                    match ResponseHead::parse_complete(&head) {
                        Ok(head) if head.is_interim() => answer.gathering = HeadBuffer::default(),
                        Ok(head) => self.begin_answer(id, head),
                        Err(_) => return self.fail(id, 502, "the service's answer is malformed"),
                    }
                }
                State::Body { body, collected, .. } => {
                    let before = collected.len();
                    let outcome = collect(body, rest, collected);
                    let (now, is_whole) = (collected.len(), body.is_finished());
                    // What came before the fault is held too, until the call is over.
                    self.held += now - before;
                    let Ok(used) = outcome else {
                        return self.fail(id, 502, "the service's answer is malformed");
                    };
                    rest = &rest[used..];
                    self.after_body(id, now, is_whole);
                }
                State::Over => return,
            }
        }
    }

    fn begin_answer(&mut self, id: StreamId, head: ResponseHead) {
        let Some(answer) = self.answer(id) else { return };
        let framing = match Framing::for_response(&head, &answer.method) {
            Ok(Framing::Tunnel) => {
                return self.fail(id, 501, "the service wants to upgrade, which cannot pass");
            }
            Ok(framing) => framing,
            Err(_) => return self.fail(id, 502, "the service's answer is malformed"),
        };
        let body = Body::new(framing);
        let is_whole = body.is_finished();
        let is_events = head
            .headers
            .first("content-type")
            .is_some_and(|kind| kind.to_ascii_lowercase().starts_with(b"text/event-stream"));
        // The servers pass pieces to those visitors alone, and leave the others without any answer.
        let in_pieces = is_events && answer.events && !is_whole;
        answer.state = State::Body { head, body, collected: Vec::new(), chunks: None };
        if in_pieces && self.config.dialect.profile().streams_bodies {
            self.start_pieces(id);
        }
        self.after_body(id, 0, is_whole);
    }

    /// Sends the head alone; the body follows as it comes.
    fn start_pieces(&mut self, id: StreamId) {
        let Some(slot) = self.slots.get_mut(&id) else { return };
        let name = slot.name.clone();
        let Role::Answer(answer) = &mut slot.role else { return };
        let State::Body { head, chunks, .. } = &mut answer.state else { return };
        *chunks = Some(0);
        let head = fields::to_relay(head.clone(), &answer.method);
        if let Ok(message) = self.spell(CallMessage::Started { id: name, head }, true) {
            self.send(id, message);
        }
    }

    fn after_body(&mut self, id: StreamId, collected: usize, is_whole: bool) {
        let Some(answer) = self.answer(id) else { return };
        let in_pieces = matches!(answer.state, State::Body { chunks: Some(_), .. });
        if in_pieces {
            self.send_piece(id);
        } else if collected > self.config.peer_limit {
            return self.fail(id, 502, "the answer is too large for this relay");
        } else if self.held > self.config.max_buffered {
            return self.fail(id, 503, "too many large answers at once");
        }
        if is_whole {
            self.send_response(id);
        }
    }

    fn send_piece(&mut self, id: StreamId) {
        let Some(slot) = self.slots.get_mut(&id) else { return };
        let name = slot.name.clone();
        let Role::Answer(answer) = &mut slot.role else { return };
        let State::Body { collected, chunks: Some(chunks), .. } = &mut answer.state else { return };
        let before = collected.len();
        let data = whole_text(collected);
        self.held -= before - collected.len();
        if data.is_empty() {
            return;
        }
        let sequence = *chunks;
        *chunks += 1;
        if let Ok(message) = self.spell(CallMessage::Chunk { id: name, data, sequence }, true) {
            self.send(id, message);
        }
        self.set_deadline(id, Some(self.now + self.config.answer_timeout));
        if self.held > self.config.max_buffered {
            self.fail(id, 503, "the relay does not read");
        }
    }

    fn send_response(&mut self, id: StreamId) {
        let Some(slot) = self.slots.get_mut(&id) else { return };
        let name = slot.name.clone();
        let Role::Answer(answer) = &mut slot.role else { return };
        let state = core::mem::replace(&mut answer.state, State::Over);
        let State::Body { head, collected, chunks, .. } = state else { return };
        self.held -= collected.len();
        let mut head = fields::to_relay(head, &answer.method);
        let part = match chunks {
            Some(chunks) => CallMessage::Ended { id: name, error: None, chunks },
            None => {
                let body = fields::as_text(&mut head, collected.into());
                CallMessage::Response { id: name, response: Response { head, body } }
            }
        };
        match self.spell(part, true) {
            Ok(message) => {
                self.send(id, message);
                self.settle(id);
            }
            Err(Unsayable::NotText) => {
                self.fail(id, 502, "the answer is no text in UTF-8, and this relay carries nothing else");
            }
            Err(Unsayable::TooLarge) => self.fail(id, 502, "the answer is too large for this relay"),
        }
    }

    /// Says why there is no answer, and is done with the call.
    fn fail(&mut self, id: StreamId, status: u16, error: &str) {
        let Some(slot) = self.slots.get_mut(&id) else { return };
        let name = slot.name.clone();
        let Role::Answer(answer) = &mut slot.role else { return };
        let held = answer.held();
        let state = core::mem::replace(&mut answer.state, State::Over);
        self.held -= held;
        let error = String::from(error);
        let part = match state {
            State::Body { chunks: Some(chunks), .. } => {
                CallMessage::Ended { id: name, error: Some(error), chunks }
            }
            _ => CallMessage::Failed { id: name, status, error },
        };
        if let Ok(message) = self.spell(part, true) {
            self.send(id, message);
        }
        self.settle(id);
    }

    fn settle(&mut self, id: StreamId) {
        self.set_deadline(id, None);
        self.forget_name(id);
        self.end(id);
    }

    pub(super) fn finish_answer(&mut self, id: StreamId) {
        let Some(answer) = self.answer(id) else { return };
        match &mut answer.state {
            State::Over => {}
            State::Head => self.fail(id, 502, "the service ended without an answer"),
            State::Body { body, .. } => match body.handle_end() {
                Ok(()) => self.send_response(id),
                Err(_) => self.fail(id, 502, "the service ended in the middle of its answer"),
            },
        }
    }

    /// The owner gave up: it could not reach the service, or lost it.
    pub(super) fn abandon_answer(&mut self, id: StreamId) {
        if self.answer(id).is_some_and(|answer| !matches!(answer.state, State::Over)) {
            self.fail(id, 502, "the service cannot be reached");
        }
    }

    pub(super) fn answer_timed_out(&mut self, id: StreamId) {
        self.fail(id, 504, "the service did not answer in time");
        self.tear(id, ResetReason::Idle);
    }
}

/// Takes the text at the front of `bytes`, and leaves a character whose end is still to come. What is no text becomes
/// U+FFFD, since a piece must be text.
fn whole_text(bytes: &mut Vec<u8>) -> Bytes {
    match core::str::from_utf8(bytes) {
        Ok(_) => core::mem::take(bytes).into(),
        Err(error) if error.error_len().is_none() => {
            let rest = bytes.split_off(error.valid_up_to());
            core::mem::replace(bytes, rest).into()
        }
        Err(_) => {
            let text = String::from_utf8_lossy(bytes).into_owned();
            bytes.clear();
            text.into()
        }
    }
}
