//! The agent as a machine that owns sockets, and as an owner of streams.

use alloc::borrow::ToOwned;

use bytes::Bytes;

use super::states::AgentPhase;
use super::{Agent, AgentEvent, AttemptId};
use crate::link::{Stream, StreamEvent, Streams};
use crate::machine::Machine;
use crate::message::{Close, Message, Transmit};
use crate::mux::{ClosedStream, StreamId};
use crate::plane::MessageLimits;
use crate::reason::DownReason;
use crate::time::{Instant, earliest};

impl Agent {
    /// Whether `attempt` is the dial that is under way.
    fn is_dialing(&self, attempt: AttemptId) -> bool {
        self.dialer.phase == AgentPhase::Dialing && self.dialer.attempt == attempt
    }

    fn handle_dial_timer(&mut self, now: Instant) {
        if self.dialer.timer.is_none_or(|at| now < at) {
            return;
        }
        match self.dialer.phase {
            AgentPhase::SigningToken => {
                let reason = "the signer did not answer the login".to_owned();
                self.attempt_failed(DownReason::TimedOut(reason), now);
            }
            AgentPhase::Dialing => {
                self.attempt_failed(DownReason::Unreachable("no answer within 20 s".to_owned()), now);
            }
            AgentPhase::Waiting => self.dial(now),
            AgentPhase::Initial | AgentPhase::LoggingIn | AgentPhase::Settled | AgentPhase::Stopped => {}
        }
    }
}

impl Machine for Agent {
    type Event = AgentEvent;
    type Socket = AttemptId;

    fn is_current(&self, attempt: AttemptId) -> bool {
        let is_live = |id| self.bundle.get(id).is_some_and(|member| !member.link.is_ended());
        self.is_dialing(attempt) || is_live(attempt.0)
    }

    fn main_socket(&self) -> Option<AttemptId> {
        let member = self.bundle.main().map(|member| AttemptId(member.id));
        member.or((self.dialer.phase == AgentPhase::Dialing).then_some(self.dialer.attempt))
    }

    fn handle_message_from(&mut self, attempt: AttemptId, message: Message, now: Instant) {
        self.bundle.handle_message(attempt.0, message, now);
        self.drain_links(now);
    }

    fn handle_close_from(&mut self, attempt: AttemptId, close: Close, now: Instant) {
        if self.is_dialing(attempt) {
            let reason = match DownReason::from_close(&close) {
                // The upgrade itself was refused for what it brought.
                refused @ DownReason::Authentication(_) => refused,
                _ => DownReason::Unreachable(close.reason.into_owned()),
            };
            return self.attempt_failed(reason, now);
        }
        self.bundle.handle_close(attempt.0, close, now);
        self.drain_links(now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.bundle.handle_timeout(now);
        self.drain_links(now);
        self.handle_dial_timer(now);
    }

    fn poll_transmit_to(&mut self, attempt: AttemptId) -> Option<Transmit> {
        let transmit = self.bundle.poll_transmit(attempt.0);
        if matches!(transmit, Some(Transmit::Close(_))) {
            self.bundle.forget_spent();
        }
        transmit
    }

    fn poll_event(&mut self) -> Option<AgentEvent> {
        if self.events.is_empty()
            && let Some(member) = self.bundle.main()
        {
            // Between two inputs only streams have news: what writing and sending made of them.
            let now = member.link.now();
            self.drain_links(now);
        }
        self.events.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let is_timed =
            matches!(self.dialer.phase, AgentPhase::SigningToken | AgentPhase::Dialing | AgentPhase::Waiting);
        let dial = self.dialer.timer.filter(|_| is_timed);
        earliest(earliest(self.bundle.poll_timeout(), dial), self.growth.poll_timeout())
    }
}

impl Streams for Agent {
    fn stream(&mut self, id: StreamId) -> Result<Stream<'_>, ClosedStream> {
        self.bundle.stream(id)
    }

    fn has_output(&self) -> bool {
        self.bundle.has_output()
    }

    fn set_batch(&mut self, attempt: AttemptId, bytes: usize) {
        if let Some(member) = self.bundle.get_mut(attempt.0) {
            member.link.set_batch(bytes);
        }
    }

    fn split_event(event: AgentEvent) -> Result<StreamEvent, AgentEvent> {
        match event {
            AgentEvent::Stream(event) => Ok(event),
            other => Err(other),
        }
    }

    fn limits(&self, attempt: AttemptId) -> MessageLimits {
        self.bundle.get(attempt.0).map_or(MessageLimits::AGENT_LOGIN, |member| member.link.limits())
    }

    fn handle_oversized(&mut self, attempt: AttemptId, head: Bytes, now: Instant) {
        self.bundle.handle_oversized(attempt.0, head, now);
        self.drain_links(now);
    }
}
