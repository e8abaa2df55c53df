//! A stream of bytes both ways, where the dialect has connections.
//!
//! A connection ends in both directions at once, and no peer can be told to wait. So the end of this side's sending is
//! kept back until the peer has ended or the linger time is over, and unread bytes are limited. What an agent sends is
//! paced (`send_pacing`), because a server cuts a visitor off who reads slowly.
//!
//! | sending | receiving | input | next |
//! |---|---|---|---|
//! | `Open` | any but `Ended` | finish on a relay whose reader still reads | linger is armed |
//! | `Open` | any but `Ended` | any other finish, or the linger time is over | `Closing` |
//! | `Closing` | any but `Ended` | its turn, and the queue is empty | `Closed`: the close is sent |
//! | any | any but `Ended` | data | `Active`; a reset if too much is unread |
//! | any | any but `Ended` | close | `Ended`: what was queued is dropped |

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use bytes::{Bytes, BytesMut};
use hvym_tunnel_core::machine::Side;
use hvym_tunnel_core::mux::ResetReason;
use hvym_tunnel_core::time::Instant;
use hvym_tunnel_pages::Format;

use super::config::{BridgeLimits, RawStreams};
use super::pages;
use super::send_pacing::{MIN_DATA, SendPacing};
use super::transition::{CallContext, CallInput, CallOutput, Transition};
use crate::dialect::CallMessage;

/// The half that the owner writes.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Sending {
    Open,
    /// The close is sent after what is queued.
    Closing,
    Closed,
}

/// The half that the owner reads.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Receiving {
    /// Nothing has come.
    Silent,
    Active,
    Ended,
}

/// One connection.
#[derive(Debug)]
pub(super) struct RawStream {
    sending: Sending,
    receiving: Receiving,
    /// The peer has to be told of it first.
    is_unannounced: bool,
    /// Its reader expects HTTP, so that a failure can be explained by a page.
    is_http: bool,
    queue: VecDeque<Bytes>,
    queued: usize,
    /// Bytes are numbered in messages, for each side.
    sequence: u64,
    /// Of a connection that a server opened.
    pacing: Option<SendPacing>,
}

/// What a connection does with its turn to send.
#[derive(Debug)]
pub(super) enum Turn {
    /// It sends this, and what follows from it.
    Send(CallMessage, Vec<CallOutput>),
    /// It sends at this time.
    Wait(Instant),
    /// It has nothing to send.
    Pass,
}

impl RawStream {
    /// A connection that this side opens. Its first turn announces it.
    pub(super) fn opened(is_http: bool) -> Self {
        Self { is_unannounced: true, is_http, pacing: None, ..Self::accepted() }
    }

    /// A connection that the peer opened.
    pub(super) fn accepted() -> Self {
        Self {
            sending: Sending::Open,
            receiving: Receiving::Silent,
            is_unannounced: false,
            is_http: false,
            queue: VecDeque::new(),
            queued: 0,
            sequence: 0,
            pacing: Some(SendPacing::new()),
        }
    }

    /// Bytes held.
    pub(super) fn held(&self) -> usize {
        self.queued
    }

    /// Bytes that its writer may add. `room` is what may be held for all calls beside what is held for others. A long
    /// transfer holds a whole large message, and leaves most of what is left to others.
    pub(super) fn capacity(&self, limits: &BridgeLimits, room: usize, now: Instant) -> usize {
        let is_bulk = self.pacing.as_ref().is_some_and(|pacing| pacing.is_bulk(now));
        let bulk = if is_bulk { limits.max_bulk_unsent.min(room / 4) } else { 0 };
        limits.max_unsent.max(bulk).min(room).saturating_sub(self.queued)
    }

    /// Whether nothing more is sent.
    pub(super) fn is_settled(&self) -> bool {
        self.receiving == Receiving::Ended || self.sending == Sending::Closed
    }

    /// Queues from the front of `data` what there is capacity for; how much was taken.
    pub(super) fn write(&mut self, data: &mut Bytes, context: &CallContext<'_>) -> (usize, Transition) {
        if self.is_settled() {
            // No reader is left, and the writer still has a response to read.
            let dropped = core::mem::take(data).len();
            return (dropped, Transition::Ignored("bytes behind the end of a connection"));
        }
        let capacity = self.capacity(&context.config.limits, context.room, context.now);
        let taken = data.split_to(data.len().min(capacity));
        let n = taken.len();
        if n == 0 {
            return (0, Transition::NOTHING);
        }
        self.queued += n;
        self.queue.push_back(taken);
        (n, [CallOutput::Schedule].into())
    }

    /// Every transition but those of written bytes and of its turn to send.
    pub(super) fn handle(&mut self, input: CallInput, context: &CallContext<'_>) -> Transition {
        match (self.sending, self.receiving, input) {
            (Sending::Open, _, CallInput::Finish)
                if context.config.side == Side::Relay && !context.read_done =>
            {
                [CallOutput::ArmLinger].into()
            }
            (Sending::Open, _, CallInput::Finish | CallInput::Timeout) => {
                self.sending = Sending::Closing;
                [CallOutput::Schedule].into()
            }
            (Sending::Closing | Sending::Closed, _, CallInput::Finish | CallInput::Timeout) => {
                Transition::NOTHING
            }
            (_, Receiving::Silent | Receiving::Active, CallInput::Reset)
                if self.sending != Sending::Closed && !self.is_unannounced =>
            {
                let error = match context.config.side {
                    Side::Relay => None,
                    Side::Agent => Some("the service cannot be reached".into()),
                };
                [CallOutput::Send(CallMessage::Close { id: context.name.clone(), error })].into()
            }
            (_, _, CallInput::Reset) => Transition::NOTHING,
            (
                _,
                Receiving::Silent | Receiving::Active,
                CallInput::Peer(CallMessage::Data { data, .. }, _),
            ) => self.on_data(data, context),
            (
                _,
                Receiving::Silent | Receiving::Active,
                CallInput::Peer(CallMessage::Close { error, .. }, _),
            ) => self.on_close(error.as_deref()),
            (_, Receiving::Ended, CallInput::Peer(..)) => {
                Transition::Ignored("a message about a connection that the peer has ended")
            }
            (_, _, CallInput::Peer(..)) => Transition::Ignored("no message about a connection"),
            (_, _, CallInput::EncodeFailed(_) | CallInput::Overloaded) => {
                Transition::Ignored("messages of a connection always fit")
            }
        }
    }

    /// Its turn to send.
    pub(super) fn pull(&mut self, context: &CallContext<'_>) -> Turn {
        let id = context.name.clone();
        if core::mem::take(&mut self.is_unannounced) {
            return Turn::Send(CallMessage::Connect { id }, self.next_turn());
        }
        let max = if self.pacing.is_some() { context.max_data } else { MIN_DATA };
        if self.queued > 0 {
            if let Some(pacing) = &mut self.pacing {
                let is_complete = self.queued >= max || self.sending == Sending::Closing;
                let due = pacing.due(is_complete, context.now);
                if due > context.now {
                    return Turn::Wait(due);
                }
                pacing.handle_sent(self.queued.min(max), context.now);
            }
            let (data, sequence) = (self.take(max), self.sequence);
            let binary = context.config.raw_streams == RawStreams::On { binary: true };
            self.sequence += 1;
            let mut outputs = Vec::from([CallOutput::NotifyWritable]);
            outputs.extend(self.next_turn());
            return Turn::Send(CallMessage::Data { id, data, sequence, binary }, outputs);
        }
        if self.sending != Sending::Closing || self.receiving == Receiving::Ended {
            return Turn::Pass;
        }
        self.sending = Sending::Closed;
        let outputs = Vec::from([CallOutput::ForgetName, CallOutput::CloseRead]);
        Turn::Send(CallMessage::Close { id, error: None }, outputs)
    }

    fn next_turn(&self) -> Vec<CallOutput> {
        let has_more = !self.queue.is_empty() || self.sending == Sending::Closing;
        if has_more { Vec::from([CallOutput::Schedule]) } else { Vec::new() }
    }

    /// Takes up to `max` of what is queued.
    fn take(&mut self, max: usize) -> Bytes {
        let length = self.queued.min(max);
        self.queued -= length;
        let mut joined = BytesMut::new();
        while let Some(front) = self.queue.front_mut() {
            let left = length - joined.len();
            let piece = if front.len() > left { front.split_to(left) } else { core::mem::take(front) };
            if front.is_empty() {
                self.queue.pop_front();
            }
            if joined.is_empty() && piece.len() == length {
                return piece;
            }
            joined.extend_from_slice(&piece);
            if joined.len() == length {
                break;
            }
        }
        joined.freeze()
    }

    fn on_data(&mut self, data: Bytes, context: &CallContext<'_>) -> Transition {
        self.receiving = Receiving::Active;
        let unread = context.unread.saturating_add(data.len());
        let held = self.queued.saturating_add(data.len());
        if unread > context.config.limits.max_unread || held > context.room {
            let error = Some("its reader is too slow".into());
            let close = CallMessage::Close { id: context.name.clone(), error };
            return [CallOutput::Send(close), CallOutput::Reset(ResetReason::Budget)].into();
        }
        if context.is_armed {
            [CallOutput::Deliver(data), CallOutput::ArmLinger].into()
        } else {
            [CallOutput::Deliver(data)].into()
        }
    }

    fn on_close(&mut self, error: Option<&str>) -> Transition {
        let was_silent = self.receiving == Receiving::Silent;
        self.receiving = Receiving::Ended;
        self.queue.clear();
        self.queued = 0;
        let mut outputs = Vec::from([CallOutput::Disarm, CallOutput::ForgetName]);
        match error {
            Some(error) if was_silent && self.is_http => {
                outputs.push(CallOutput::Deliver(pages::failed(502, error).response(Format::Html, "GET")));
            }
            Some(_) => {
                outputs.push(CallOutput::Reset(ResetReason::Peer(0)));
                return Transition::Outputs(outputs);
            }
            None => {}
        }
        outputs.extend([CallOutput::CloseRead, CallOutput::NotifyWritable]);
        Transition::Outputs(outputs)
    }
}
