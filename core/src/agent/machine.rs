//! The agent as a machine that owns sockets, and as an owner of streams.

use alloc::string::String;

use super::states::AgentPhase;
use super::{Agent, AgentEvent, AttemptId};
use crate::link::{Stream, StreamEvent, Streams};
use crate::machine::Machine;
use crate::message::{Close, Message, Transmit};
use crate::mux::{ClosedStream, StreamId};
use crate::plane::MessageLimits;
use crate::reason::DownReason;
use crate::time::Instant;

impl Machine for Agent {
    type Event = AgentEvent;
    type Socket = AttemptId;

    fn is_current(&self, attempt: AttemptId) -> bool {
        self.attempt() == Some(attempt)
    }

    fn handle_message(&mut self, message: Message, now: Instant) {
        self.with_link(now, |link| link.handle_message(message, now));
    }

    fn handle_close(&mut self, close: Close, now: Instant) {
        self.pending.clear();
        if self.phase == AgentPhase::Dialing {
            let reason = match DownReason::from_close(&close) {
                // The upgrade itself was refused for what it brought.
                refused @ DownReason::Authentication(_) => refused,
                _ => DownReason::Unreachable(close.reason.into_owned()),
            };
            self.fail(reason, now);
        } else {
            self.with_link(now, |link| link.handle_close(close, now));
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        if self.connection.is_some() {
            return self.with_link(now, |link| link.handle_timeout(now));
        }
        if self.timer.is_none_or(|at| now < at) {
            return;
        }
        match self.phase {
            AgentPhase::SigningToken => {
                let reason = String::from("the signer did not answer the login");
                self.fail(DownReason::TimedOut(reason), now);
            }
            AgentPhase::Dialing => {
                self.fail(DownReason::Unreachable(String::from("no answer within 20 s")), now);
            }
            AgentPhase::Waiting => self.dial(now),
            AgentPhase::Initial | AgentPhase::Linked | AgentPhase::Stopped => {}
        }
    }

    fn poll_transmit(&mut self) -> Option<Transmit> {
        if let Some(transmit) = self.pending.pop_front() {
            return Some(transmit);
        }
        self.connection.as_mut().and_then(|connection| connection.link.poll_transmit())
    }

    fn poll_event(&mut self) -> Option<AgentEvent> {
        if self.events.is_empty()
            && let Some(connection) = &self.connection
        {
            // Between two inputs only streams have news: what writing and sending made of them.
            let now = connection.link.now();
            self.drain_link(now);
        }
        self.events.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        match &self.connection {
            Some(connection) => connection.link.poll_timeout(),
            None => self.timer,
        }
    }
}

impl Streams for Agent {
    fn stream(&mut self, id: StreamId) -> Result<Stream<'_>, ClosedStream> {
        match &mut self.connection {
            Some(connection) => connection.link.stream(id),
            None => Err(ClosedStream),
        }
    }

    fn has_output(&self) -> bool {
        self.connection.as_ref().is_some_and(|connection| connection.link.has_output())
    }

    fn set_batch(&mut self, bytes: usize) {
        if let Some(connection) = &mut self.connection {
            connection.link.set_batch(bytes);
        }
    }

    fn split_event(event: AgentEvent) -> Result<StreamEvent, AgentEvent> {
        match event {
            AgentEvent::Stream(event) => Ok(event),
            other => Err(other),
        }
    }

    fn limits(&self) -> MessageLimits {
        self.plane().map_or(MessageLimits::AGENT_LOGIN, |info| info.limits)
    }
}
