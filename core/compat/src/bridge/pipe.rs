//! A stream of bytes both ways, where the dialect has connections.
//!
//! Those end in both directions at once, and nobody can be told to wait. So an end of this side's writing is kept
//! back until the other side has nothing more to say, and what nobody reads has a limit.

use alloc::collections::VecDeque;

use bytes::Bytes;

use super::slot::Role;
use super::{BridgeEvent, MessageBridge, RawStreams, pages};
use crate::dialect::{CallId, CallMessage, CompatFrame};
use hvym_tunnel_core::dialect::StreamHeader;
use hvym_tunnel_core::machine::Side;
use hvym_tunnel_core::message::Message;
use hvym_tunnel_core::mux::{ResetReason, StreamId};
use hvym_tunnel_pages::Format;

/// The most bytes of one message: small enough for every peer even as base64, and fair to the other connections.
const MAX_DATA: usize = 32 * 1024;

/// How far this side's end has come.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum End {
    None,
    /// To be said after what is queued.
    Wanted,
    Said,
}

/// One connection.
#[derive(Debug)]
pub(super) struct Pipe {
    /// The peer does not know of it yet.
    unannounced: bool,
    /// Nothing has come from the peer.
    silent: bool,
    /// Its reader expects HTTP, so a failure can be explained.
    http: bool,
    queue: VecDeque<Bytes>,
    queued: usize,
    is_ready: bool,
    sequence: u64,
    end: End,
    peer_ended: bool,
}

impl Pipe {
    pub(super) fn new(unannounced: bool) -> Self {
        Self {
            unannounced,
            silent: true,
            http: false,
            queue: VecDeque::new(),
            queued: 0,
            is_ready: false,
            sequence: 0,
            end: End::None,
            peer_ended: false,
        }
    }

    pub(super) fn held(&self) -> usize {
        self.queued
    }

    pub(super) fn room(&self, mark: usize) -> usize {
        mark.saturating_sub(self.queued)
    }

    pub(super) fn is_settled(&self) -> bool {
        self.peer_ended || self.end == End::Said
    }

    fn take(&mut self) -> Option<Bytes> {
        let front = self.queue.front_mut()?;
        let data = if front.len() > MAX_DATA { front.split_to(MAX_DATA) } else { self.queue.pop_front()? };
        self.queued -= data.len();
        Some(data)
    }
}

impl MessageBridge {
    pub(super) fn pipe(&mut self, id: StreamId) -> Option<&mut Pipe> {
        match self.slots.get_mut(&id).map(|slot| &mut slot.role) {
            Some(Role::Pipe(pipe)) => Some(pipe),
            _ => None,
        }
    }

    /// The reader of this connection understands a page in HTTP.
    pub(super) fn expects_http(&mut self, id: StreamId, yes: bool) {
        if let Some(pipe) = self.pipe(id) {
            pipe.http = yes;
        }
    }

    pub(super) fn make_ready(&mut self, id: StreamId) {
        if let Some(pipe) = self.pipe(id)
            && !core::mem::replace(&mut pipe.is_ready, true)
        {
            self.ready.push_back(id);
        }
    }

    pub(super) fn write_pipe(&mut self, id: StreamId, data: &mut Bytes) -> usize {
        let (mark, shared) = (self.config.send_mark, self.config.max_buffered.saturating_sub(self.held));
        let Some(slot) = self.slots.get_mut(&id) else { return 0 };
        let Role::Pipe(pipe) = &mut slot.role else { return 0 };
        if pipe.is_settled() {
            // Nobody will read it, and its writer still has an answer to read.
            let n = data.len();
            data.clear();
            return n;
        }
        let taken = data.split_to(data.len().min(pipe.room(mark)).min(shared));
        let n = taken.len();
        slot.wants_write = !data.is_empty();
        if n > 0 {
            pipe.queued += n;
            pipe.queue.push_back(taken);
            self.held += n;
            self.make_ready(id);
        }
        n
    }

    pub(super) fn finish_pipe(&mut self, id: StreamId) {
        if self.config.side == Side::Relay && self.slots.get(&id).is_some_and(|slot| !slot.inbox.done) {
            return self.set_deadline(id, Some(self.now + self.config.linger));
        }
        self.want_end(id);
    }

    fn want_end(&mut self, id: StreamId) {
        if let Some(pipe) = self.pipe(id).filter(|pipe| pipe.end == End::None) {
            pipe.end = End::Wanted;
            self.make_ready(id);
        }
    }

    pub(super) fn abandon_pipe(&mut self, id: StreamId) {
        let Some(slot) = self.slots.get(&id) else { return };
        let Role::Pipe(pipe) = &slot.role else { return };
        if !pipe.is_settled() && !pipe.unannounced {
            let error = match self.config.side {
                Side::Relay => None,
                Side::Agent => Some("the service cannot be reached".into()),
            };
            let part = CallMessage::Close { id: slot.name.clone(), error };
            self.say(None, part);
        }
    }

    /// The next message of the connection whose turn it is.
    pub(super) fn pull_pipe(&mut self) -> Option<Message> {
        while let Some(id) = self.ready.pop_front() {
            let binary = self.config.raw_streams == RawStreams::On { binary: true };
            let Some(slot) = self.slots.get_mut(&id) else { continue };
            let name = slot.name.clone();
            let Role::Pipe(pipe) = &mut slot.role else { continue };
            pipe.is_ready = false;
            let part = if core::mem::take(&mut pipe.unannounced) {
                CallMessage::Connect { id: name }
            } else if let Some(data) = pipe.take() {
                let sequence = pipe.sequence;
                pipe.sequence += 1;
                self.held -= data.len();
                if core::mem::take(&mut slot.wants_write) {
                    self.events.push_back(BridgeEvent::Writable(id));
                }
                CallMessage::Data { id: name, data, sequence, binary }
            } else if pipe.end == End::Wanted && !pipe.peer_ended {
                pipe.end = End::Said;
                CallMessage::Close { id: name, error: None }
            } else {
                continue;
            };
            if !pipe.queue.is_empty() || pipe.end == End::Wanted {
                self.make_ready(id);
            }
            if matches!(part, CallMessage::Close { .. }) {
                self.forget_name(id);
                self.end(id);
                self.remove_if_over(id);
            }
            if let Some(message) = self.config.dialect.encode(CompatFrame::Call(part)) {
                return Some(message);
            }
        }
        None
    }

    pub(super) fn on_connect(&mut self, name: CallId) {
        if self.names.contains_key(&name) {
            return;
        }
        if self.slots.len() >= self.config.max_calls {
            let error = Some("too many connections at once".into());
            self.say(None, CallMessage::Close { id: name, error });
            return;
        }
        let id = self.insert(name, Role::pipe(false));
        let (service, proto) = (self.config.service.clone(), self.config.raw_proto);
        let opening = StreamHeader { service, proto, ..StreamHeader::default() };
        self.events.push_back(BridgeEvent::Opened(id, opening));
    }

    pub(super) fn on_data(&mut self, name: &CallId, data: Bytes) {
        let Some(id) = self.named(name) else { return };
        let Some(slot) = self.slots.get_mut(&id) else { return };
        let Role::Pipe(pipe) = &mut slot.role else { return };
        pipe.silent = false;
        let lingers = slot.deadline.is_some();
        let unread = slot.inbox.bytes.saturating_add(data.len());
        if unread > self.config.max_unread || self.held.saturating_add(data.len()) > self.config.max_buffered
        {
            let error = Some("its reader is too slow".into());
            self.say(None, CallMessage::Close { id: name.clone(), error });
            return self.tear(id, ResetReason::Budget);
        }
        self.give(id, data);
        if lingers {
            self.set_deadline(id, Some(self.now + self.config.linger));
        }
    }

    pub(super) fn on_close(&mut self, name: &CallId, error: Option<&str>) {
        let Some(id) = self.named(name) else { return };
        let Some(pipe) = self.pipe(id) else { return };
        pipe.peer_ended = true;
        pipe.queue.clear();
        let (dropped, silent, http) = (core::mem::take(&mut pipe.queued), pipe.silent, pipe.http);
        self.held -= dropped;
        self.set_deadline(id, None);
        self.forget_name(id);
        match error {
            Some(error) if silent && http => {
                let page = pages::failed(502, error).response(Format::Html, "GET");
                self.give(id, page);
            }
            Some(_) => return self.tear(id, ResetReason::Peer(0)),
            None => {}
        }
        self.end(id);
        if self.slots.get_mut(&id).is_some_and(|slot| core::mem::take(&mut slot.wants_write)) {
            self.events.push_back(BridgeEvent::Writable(id));
        }
        self.remove_if_over(id);
    }

    /// Nothing has come for too long since this side's end.
    pub(super) fn pipe_timed_out(&mut self, id: StreamId) {
        self.want_end(id);
    }
}
