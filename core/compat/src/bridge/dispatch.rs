//! Feeds one input to the machine of a call and carries out its outputs; keeps the books of names, deadlines and bytes.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;
use hvym_tunnel_core::machine::Side;
use hvym_tunnel_core::message::Message;
use hvym_tunnel_core::mux::StreamId;
use hvym_tunnel_core::time::Instant;

use super::call::{Call, CallKind};
use super::raw_stream::Turn;
use super::transition::{CallContext, CallInput, CallOutput, EncodeError, Transition, WriteStep};
use super::{BridgeEvent, MessageBridge};
use crate::dialect::{CallId, CallMessage, CompatFrame, Dialect, Oversized};

impl MessageBridge {
    /// The peer sent a message that was too large. Its call ends; the link and all others go on.
    pub fn handle_oversized(&mut self, about: Oversized, now: Instant) {
        self.tick(now);
        let limit = Dialect::MAX_CALL_BYTES / (1024 * 1024);
        let about = match about {
            Oversized::Sealed(start) => {
                self.sealing.peek(&start).and_then(|text| self.config.dialect.decode_oversized(&text))
            }
            about => Some(about),
        };
        let Some(about) = about else { return tracing::debug!("ignored what cannot be read") };
        let error = |what| format!("{what} is larger than a message can be, which is {limit} MiB");
        match (self.config.side, about) {
            (Side::Agent, Oversized::Request(id)) => self.decline(id, 413, error("the request")),
            (Side::Relay, Oversized::Response(id)) => {
                self.on_message(CallMessage::Broken { id, error: error("the answer") }, self.is_sealed());
            }
            (_, Oversized::Data(id)) => {
                self.on_message(CallMessage::Close { id, error: Some(error("a piece of it")) }, false);
            }
            (side, about) => tracing::debug!(?side, ?about, "ignored"),
        }
    }

    /// One input of the call `id`, and what follows from it.
    pub(super) fn handle_input(&mut self, id: StreamId, input: CallInput) {
        match self.with_call(id, |kind, context| kind.handle(input, context)) {
            Some(Transition::Outputs(outputs)) => self.carry_out(id, outputs),
            Some(Transition::Ignored(why)) => tracing::debug!(?id, why, "ignored"),
            None => {}
        }
        self.remove_if_over(id);
    }

    /// Bytes of a request or a response, in as many steps as they need.
    pub(super) fn write_http(&mut self, id: StreamId, data: &[u8]) {
        let mut rest = data;
        while !rest.is_empty() {
            let step = self.with_call(id, |kind, context| match kind {
                CallKind::Outgoing(request) => request.write(rest, context),
                CallKind::Incoming(request) => request.write(rest, context),
                CallKind::Raw(_) => {
                    WriteStep::new(rest.len(), Transition::Ignored("a raw stream is no request"))
                }
            });
            let Some(WriteStep { used, outputs, is_complete }) = step else { break };
            rest = &rest[used..];
            self.carry_out(id, outputs);
            if is_complete {
                self.complete(id);
            }
        }
    }

    /// Bytes of a raw stream; how many were taken.
    pub(super) fn write_raw(&mut self, id: StreamId, data: &mut Bytes) -> usize {
        let written = self.with_call(id, |kind, context| match kind {
            CallKind::Raw(stream) => Some((stream.write(data, context), stream.is_settled())),
            CallKind::Outgoing(_) | CallKind::Incoming(_) => None,
        });
        let Some(((n, outcome), is_settled)) = written.flatten() else { return 0 };
        if let Some(call) = self.calls.by_id.get_mut(&id)
            && !is_settled
        {
            call.wants_write = !data.is_empty();
        }
        if let Transition::Outputs(outputs) = outcome {
            self.carry_out(id, outputs);
        }
        n
    }

    /// The next message of the raw stream whose turn it is.
    pub(super) fn pull_raw(&mut self) -> Option<Message> {
        while let Some(id) = self.outbox.scheduled.pop_front() {
            if let Some(call) = self.calls.by_id.get_mut(&id) {
                call.is_scheduled = false;
            }
            let turn = self.with_call(id, |kind, context| match kind {
                CallKind::Raw(stream) => stream.pull(context),
                CallKind::Outgoing(_) | CallKind::Incoming(_) => Turn::Pass,
            });
            let (message, outputs) = match turn {
                Some(Turn::Send(message, outputs)) => (message, outputs),
                Some(Turn::Wait(at)) => {
                    self.postpone(id, Some(at));
                    continue;
                }
                Some(Turn::Pass) | None => continue,
            };
            self.carry_out(id, outputs);
            self.remove_if_over(id);
            if let Some(message) = self.config.dialect.encode(CompatFrame::Call(message)) {
                return Some(message);
            }
        }
        None
    }

    /// Answers a request that no owner was shown.
    pub(super) fn decline(&mut self, name: CallId, status: u16, error: String) {
        match self.encode(CallMessage::Failed { id: name, status, error }) {
            Ok(message) => self.enqueue(None, message),
            Err(why) => tracing::debug!(?why, "a refusal cannot be sent"),
        }
    }

    /// Queues a message that is never sealed, if the dialect has a form for it and the peer can take it.
    pub(super) fn enqueue_plain(&mut self, message: CallMessage) {
        let message = self.config.dialect.encode(CompatFrame::Call(message));
        if let Some(message) = message.filter(|message| message.payload().len() <= self.config.peer_limit) {
            self.enqueue(None, message);
        }
    }

    /// Hands bytes to the reader of `id`.
    pub(super) fn deliver(&mut self, id: StreamId, data: Bytes) {
        let Some(call) = self.calls.by_id.get_mut(&id) else { return };
        self.outbox.held += call.read.push(data);
        self.notify_reader(id);
    }

    pub(super) fn insert(&mut self, name: CallId, kind: CallKind) -> StreamId {
        let id = StreamId::external(self.epoch, self.calls.next);
        self.calls.next += 1;
        self.calls.by_name.insert(name.clone(), id);
        self.calls.by_id.insert(id, Call::new(name, kind));
        id
    }

    /// Puts a raw stream behind those that have something to send, unless it stands there already.
    pub(super) fn schedule(&mut self, id: StreamId) {
        if let Some(call) = self.calls.by_id.get_mut(&id)
            && !core::mem::replace(&mut call.is_scheduled, true)
        {
            self.outbox.scheduled.push_back(id);
        }
    }

    /// When the turn of a raw stream comes by itself, if it does.
    pub(super) fn postpone(&mut self, id: StreamId, until: Option<Instant>) {
        let Some(call) = self.calls.by_id.get_mut(&id) else { return };
        if let Some(old) = core::mem::replace(&mut call.postponed_until, until) {
            self.outbox.postponed.remove(&(old, id));
        }
        if let Some(at) = until {
            self.outbox.postponed.insert((at, id));
        }
    }

    pub(super) fn set_deadline(&mut self, id: StreamId, at: Option<Instant>) {
        let Some(call) = self.calls.by_id.get_mut(&id) else { return };
        if let Some(old) = core::mem::replace(&mut call.deadline, at) {
            self.calls.deadlines.remove(&(old, id));
        }
        if let Some(at) = at {
            self.calls.deadlines.insert((at, id));
        }
    }

    /// Removes a call with all it holds.
    pub(super) fn remove(&mut self, id: StreamId) {
        self.set_deadline(id, None);
        self.postpone(id, None);
        self.forget_name(id);
        if let Some(call) = self.calls.by_id.remove(&id) {
            self.outbox.held -= call.held();
        }
        if self.wants_open && self.len() < self.config.limits.max_calls {
            self.wants_open = false;
            self.events.push_back(BridgeEvent::OpenReady);
        }
    }

    /// Removes a call whose halves have both ended.
    pub(super) fn remove_if_over(&mut self, id: StreamId) {
        if self.calls.by_id.get(&id).is_some_and(Call::is_over) {
            self.remove(id);
        }
    }

    /// Runs the machine of a live call, and counts what it holds afterwards.
    fn with_call<T>(
        &mut self,
        id: StreamId,
        act: impl FnOnce(&mut CallKind, &CallContext<'_>) -> T,
    ) -> Option<T> {
        let Call { name, kind, read, deadline, .. } = self.calls.by_id.get_mut(&id)?;
        let before = kind.held();
        let others = self.outbox.held - before;
        let context = CallContext {
            config: &self.config,
            name,
            is_sealed: self.sealing.is_on(),
            room: self.config.limits.max_buffered.saturating_sub(others),
            unread: read.bytes(),
            read_done: read.is_done(),
            is_armed: deadline.is_some(),
            max_data: self.outbox.rate.max_data(),
            now: self.now,
        };
        let result = act(kind, &context);
        self.outbox.held = others + kind.held();
        Some(result)
    }

    /// The response of `id` is complete.
    fn complete(&mut self, id: StreamId) {
        let outcome = self.with_call(id, |kind, context| match kind {
            CallKind::Incoming(request) => request.complete(context),
            CallKind::Outgoing(_) | CallKind::Raw(_) => Transition::Ignored("no response is written here"),
        });
        match outcome {
            Some(Transition::Outputs(outputs)) => self.carry_out(id, outputs),
            Some(Transition::Ignored(why)) => tracing::debug!(?id, why, "ignored"),
            None => {}
        }
    }

    /// Carries out outputs in order. A message that cannot be sent becomes an input, and drops the outputs behind it.
    fn carry_out(&mut self, id: StreamId, outputs: Vec<CallOutput>) {
        for output in outputs {
            let fault = match output {
                CallOutput::Send(message) => self.send(id, message).err().map(CallInput::EncodeFailed),
                CallOutput::SendPiece(message) => match self.send(id, message) {
                    Err(error) => Some(CallInput::EncodeFailed(error)),
                    Ok(()) if self.outbox.held > self.config.limits.max_buffered => {
                        Some(CallInput::Overloaded)
                    }
                    Ok(()) => None,
                },
                output => {
                    self.carry_out_local(id, output);
                    None
                }
            };
            if let Some(fault) = fault {
                return self.handle_input(id, fault);
            }
        }
    }

    fn carry_out_local(&mut self, id: StreamId, output: CallOutput) {
        match output {
            CallOutput::Send(_) | CallOutput::SendPiece(_) => {}
            CallOutput::Schedule => self.schedule(id),
            CallOutput::CancelQueued => self.cancel_queued(id),
            CallOutput::Deliver(data) => self.deliver(id, data),
            CallOutput::CloseRead => {
                if let Some(call) = self.calls.by_id.get_mut(&id) {
                    call.read.close();
                }
                self.notify_reader(id);
            }
            CallOutput::NotifyWritable => {
                let call = self.calls.by_id.get_mut(&id);
                if call.is_some_and(|call| core::mem::take(&mut call.wants_write)) {
                    self.events.push_back(BridgeEvent::Writable(id));
                }
            }
            CallOutput::ArmResponseTimeout => {
                self.set_deadline(id, Some(self.now + self.config.answer_timeout));
            }
            CallOutput::ArmLinger => self.set_deadline(id, Some(self.now + self.config.linger)),
            CallOutput::Disarm => self.set_deadline(id, None),
            CallOutput::ForgetName => self.forget_name(id),
            CallOutput::Reset(reason) => {
                self.remove(id);
                self.events.push_back(BridgeEvent::Reset(id, reason));
            }
        }
    }

    fn send(&mut self, id: StreamId, message: CallMessage) -> Result<(), EncodeError> {
        let message = self.encode(message)?;
        self.enqueue(Some(id), message);
        Ok(())
    }

    /// The message on the wire, sealed if that was agreed on, if the peer can take it.
    fn encode(&mut self, message: CallMessage) -> Result<Message, EncodeError> {
        let dialect = self.config.dialect;
        let mut encoded = dialect.encode(CompatFrame::Call(message)).ok_or(EncodeError::NotText)?;
        if self.sealing.is_on() {
            let payload = self.sealing.seal(encoded.payload(), &mut self.rng).ok_or(EncodeError::NotText)?;
            let answers = self.config.side == Side::Agent;
            let sealed = CallMessage::Sealed { answers, payload: payload.into() };
            encoded = dialect.encode(CompatFrame::Call(sealed)).ok_or(EncodeError::NotText)?;
        }
        if encoded.payload().len() > self.config.peer_limit {
            return Err(EncodeError::TooLarge);
        }
        Ok(encoded)
    }

    fn enqueue(&mut self, whose: Option<StreamId>, message: Message) {
        self.outbox.held += message.payload().len();
        self.outbox.messages.push_back((whose, message));
    }

    /// Drops what was not sent yet of `id`.
    fn cancel_queued(&mut self, id: StreamId) {
        let outbox = &mut self.outbox;
        let held = &mut outbox.held;
        outbox.messages.retain(|(whose, message)| {
            let keep = *whose != Some(id);
            if !keep {
                *held -= message.payload().len();
            }
            keep
        });
    }

    fn notify_reader(&mut self, id: StreamId) {
        let call = self.calls.by_id.get_mut(&id);
        if call.is_some_and(|call| call.read.take_wants_read()) {
            self.events.push_back(BridgeEvent::Readable(id));
        }
    }

    fn forget_name(&mut self, id: StreamId) {
        if let Some(call) = self.calls.by_id.get(&id)
            && self.calls.by_name.get(&call.name) == Some(&id)
        {
            self.calls.by_name.remove(&call.name);
        }
    }
}
