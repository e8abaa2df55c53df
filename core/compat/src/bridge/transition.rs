//! What goes into and comes out of the machine of one call. The bridge feeds inputs and carries out outputs.

use alloc::vec::Vec;

use bytes::Bytes;
use hvym_http1::{Body, BodyError};
use hvym_tunnel_core::mux::ResetReason;
use hvym_tunnel_core::time::Instant;

use super::config::BridgeConfig;
use crate::dialect::{CallId, CallMessage};

/// Something that happened to a call. Bytes of the owner are written separately, since machines take them in pieces.
#[derive(Debug)]
pub(super) enum CallInput {
    /// The peer sent a message about this call; `true` if it was sealed.
    Peer(CallMessage, bool),
    /// The owner has ended its half.
    Finish,
    /// The owner gives the call up.
    Reset,
    /// The deadline that was armed has passed.
    Timeout,
    /// The message of the last [`CallOutput::Send`] was not sent. The outputs after it were dropped.
    EncodeFailed(EncodeError),
    /// After an [`CallOutput::SendPiece`]: more bytes are held than allowed, because the peer does not read.
    Overloaded,
}

/// What the bridge has to do, in this order.
#[derive(Debug)]
pub(super) enum CallOutput {
    /// Queue a message to the peer.
    Send(CallMessage),
    /// The same for a piece of a body; answered by [`CallInput::Overloaded`] if too much is held then.
    SendPiece(CallMessage),
    /// Take the turn of a raw stream to send.
    Schedule,
    /// Drop what is queued for this call.
    CancelQueued,
    /// Hand bytes to the owner's reader.
    Deliver(Bytes),
    /// Nothing follows for the owner's reader.
    CloseRead,
    /// Tell the owner, if it waits, that writing takes something again.
    NotifyWritable,
    /// Set the deadline to the response timeout from now.
    ArmResponseTimeout,
    /// Set the deadline to the linger time from now.
    ArmLinger,
    /// No deadline.
    Disarm,
    /// Drop what the peer still says of this call.
    ForgetName,
    /// Remove the call, and tell the owner.
    Reset(ResetReason),
}

/// What a transition leads to.
#[derive(Debug)]
pub(super) enum Transition {
    /// The input was legal.
    Outputs(Vec<CallOutput>),
    /// The input is not legal in this state, and nothing changed: the reason, for logs.
    Ignored(&'static str),
}

impl Transition {
    /// A legal input that asks nothing of the bridge.
    pub(super) const NOTHING: Transition = Transition::Outputs(Vec::new());
}

impl<const N: usize> From<[CallOutput; N]> for Transition {
    fn from(outputs: [CallOutput; N]) -> Self {
        Transition::Outputs(Vec::from(outputs))
    }
}

/// What one step of writing led to.
#[derive(Debug)]
pub(super) struct WriteStep {
    /// How many of the owner's bytes were taken.
    pub(super) used: usize,
    /// What to do now.
    pub(super) outputs: Vec<CallOutput>,
    /// The body is complete: [`IncomingRequest::complete`](super::incoming_request::IncomingRequest::complete) follows.
    pub(super) is_complete: bool,
}

impl WriteStep {
    pub(super) fn new(used: usize, outcome: Transition) -> Self {
        match outcome {
            Transition::Outputs(outputs) => Self { used, outputs, is_complete: false },
            Transition::Ignored(_) => Self { used, outputs: Vec::new(), is_complete: false },
        }
    }
}

/// What a machine may know of the bridge during one transition.
pub(super) struct CallContext<'a> {
    pub(super) config: &'a BridgeConfig,
    /// The call's name on the wire.
    pub(super) name: &'a CallId,
    /// Messages are sealed now.
    pub(super) is_sealed: bool,
    /// Bytes that may be held more, for all calls together, not counting what this machine holds itself.
    pub(super) room: usize,
    /// Bytes that wait for the owner's reader.
    pub(super) unread: usize,
    /// The owner has read the end, or stopped reading.
    pub(super) read_done: bool,
    /// A deadline is armed.
    pub(super) is_armed: bool,
    /// The most bytes of one message of a connection.
    pub(super) max_data: usize,
    /// The latest time that came in.
    pub(super) now: Instant,
}

/// Why a message cannot be sent.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum EncodeError {
    /// It holds bytes that are no text.
    NotText,
    /// The peer could not take it.
    TooLarge,
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
