//! A request of the peer: the owner reads it, and what the owner writes becomes the response messages.
//!
//! | state | input | next |
//! |---|---|---|
//! | `Head` | bytes | `Head`, or `Body` when the response's head is complete |
//! | `Body` | bytes | `Body`; pieces are sent at once if the response streams |
//! | `Body` | the body is complete, or a legal end | `Done`: the response, or its end, is sent |
//! | `Head`, `Body` | malformed bytes, an early end, timeout, too much held | `Done`: a failure is sent |

use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;
use hvym_http1::{Body, Framing, HeadBuffer, ResponseHead};
use hvym_tunnel_core::mux::ResetReason;

use super::fields;
use super::transition::{CallContext, CallInput, CallOutput, EncodeError, Transition, WriteStep, collect};
use crate::dialect::{CallMessage, Response};

const MALFORMED: &str = "the service's answer is malformed";
const TOO_LARGE: &str = "the answer is too large for this relay";

#[derive(Debug)]
enum State {
    Head,
    Body(ResponseBody),
    /// Everything was sent; `failed` if it was a failure.
    Done {
        failed: bool,
    },
}

#[derive(Debug)]
struct ResponseBody {
    head: ResponseHead,
    body: Body,
    collected: Vec<u8>,
    /// How many pieces were sent; `None` if the response is sent as a whole.
    pieces: Option<u64>,
}

/// One request of the peer and the response that is being written.
#[derive(Debug)]
pub(super) struct IncomingRequest {
    head: HeadBuffer,
    state: State,
    method: String,
    /// The visitor accepts `text/event-stream`.
    accepts_events: bool,
}

impl IncomingRequest {
    /// A request of this method, in upper case.
    pub(super) fn new(method: String, accepts_events: bool) -> Self {
        Self { head: HeadBuffer::default(), state: State::Head, method, accepts_events }
    }

    /// Bytes held.
    pub(super) fn held(&self) -> usize {
        match &self.state {
            State::Body(response) => response.collected.len(),
            State::Head | State::Done { .. } => 0,
        }
    }

    /// Takes bytes of the response.
    pub(super) fn write(&mut self, data: &[u8], context: &CallContext<'_>) -> WriteStep {
        match &mut self.state {
            State::Head => match self.head.take(data) {
                Err(_) => {
                    let failure = self.fail(502, "the service does not speak HTTP", context);
                    WriteStep::new(data.len(), failure)
                }
                Ok(taken) => match taken.head.map(|head| ResponseHead::parse_complete(&head)) {
                    None => WriteStep::new(taken.used, Transition::NOTHING),
                    Some(Ok(head)) if head.is_interim() => {
                        self.head = HeadBuffer::default();
                        WriteStep::new(taken.used, Transition::NOTHING)
                    }
                    Some(Ok(head)) => self.on_head(taken.used, head, context),
                    Some(Err(_)) => WriteStep::new(taken.used, self.fail(502, MALFORMED, context)),
                },
            },
            State::Body(response) => match collect(&mut response.body, data, &mut response.collected) {
                Ok(used) => self.on_body(used, context),
                Err(_) => WriteStep::new(data.len(), self.fail(502, MALFORMED, context)),
            },
            State::Done { .. } => {
                WriteStep::new(data.len(), Transition::Ignored("bytes behind the response"))
            }
        }
    }

    /// The body is complete: sends the response, or its end.
    pub(super) fn complete(&mut self, context: &CallContext<'_>) -> Transition {
        match core::mem::replace(&mut self.state, State::Done { failed: false }) {
            State::Body(ResponseBody { head, collected, pieces, .. }) => {
                let id = context.name.clone();
                let message = match pieces {
                    Some(chunks) => CallMessage::Ended { id, error: None, chunks },
                    None => {
                        let mut head = fields::to_relay(head, &self.method);
                        let body = fields::as_text(&mut head, collected.into());
                        CallMessage::Response { id, response: Response { head, body } }
                    }
                };
                sent(message)
            }
            state => {
                self.state = state;
                Transition::Ignored("no response is under way")
            }
        }
    }

    /// Every transition but those of written bytes.
    pub(super) fn handle(&mut self, input: CallInput, context: &CallContext<'_>) -> Transition {
        match (&mut self.state, input) {
            (State::Head, CallInput::Finish) => {
                self.fail(502, "the service ended without an answer", context)
            }
            (State::Body(response), CallInput::Finish) => match response.body.handle_end() {
                Ok(()) => self.complete(context),
                Err(_) => self.fail(502, "the service ended in the middle of its answer", context),
            },
            (State::Done { .. }, CallInput::Finish | CallInput::Reset) => Transition::NOTHING,
            (State::Head | State::Body(_), CallInput::Reset) => {
                self.fail(502, "the service cannot be reached", context)
            }
            (State::Head | State::Body(_), CallInput::Timeout) => {
                match self.fail(504, "the service did not answer in time", context) {
                    Transition::Outputs(mut outputs) => {
                        outputs.push(CallOutput::Reset(ResetReason::Idle));
                        Transition::Outputs(outputs)
                    }
                    ignored @ Transition::Ignored(_) => ignored,
                }
            }
            (State::Head | State::Body(_), CallInput::Overloaded) => {
                self.fail(503, "the relay does not read", context)
            }
            (State::Done { failed: false }, CallInput::EncodeFailed(EncodeError::NotText)) => {
                let error = "the answer is no text in UTF-8, and this relay carries nothing else";
                self.fail(502, error, context)
            }
            (State::Done { failed: false }, CallInput::EncodeFailed(EncodeError::TooLarge)) => {
                self.fail(502, TOO_LARGE, context)
            }
            // Not even the failure can be sent: the peer's own timeout ends the call.
            (State::Done { failed: true }, CallInput::EncodeFailed(_)) => settled().into(),
            (State::Head | State::Body(_), CallInput::EncodeFailed(_)) => self.fail(502, TOO_LARGE, context),
            (State::Done { .. }, CallInput::Timeout | CallInput::Overloaded) => {
                Transition::Ignored("the response was sent")
            }
            (_, CallInput::Peer(..)) => Transition::Ignored("no message about a request that the peer made"),
        }
    }

    fn on_head(&mut self, used: usize, head: ResponseHead, context: &CallContext<'_>) -> WriteStep {
        let framing = match Framing::for_response(&head, &self.method) {
            Ok(Framing::Tunnel) => {
                let failure = self.fail(501, "the service wants to upgrade, which cannot pass", context);
                return WriteStep::new(used, failure);
            }
            Ok(framing) => framing,
            Err(_) => return WriteStep::new(used, self.fail(502, MALFORMED, context)),
        };
        let body = Body::new(framing);
        let is_complete = body.is_finished();
        let kind = head.headers.first("content-type").map(<[u8]>::to_ascii_lowercase);
        let is_events = kind.is_some_and(|kind| kind.starts_with(b"text/event-stream"));
        // The servers pass pieces to those visitors alone, and leave the others without any answer.
        let streams = is_events
            && self.accepts_events
            && !is_complete
            && context.config.dialect.profile().streams_bodies;
        let mut outputs = Vec::new();
        if streams {
            let head = fields::to_relay(head.clone(), &self.method);
            outputs.push(CallOutput::Send(CallMessage::Started { id: context.name.clone(), head }));
        }
        let pieces = streams.then_some(0);
        self.state = State::Body(ResponseBody { head, body, collected: Vec::new(), pieces });
        WriteStep { used, outputs, is_complete }
    }

    fn on_body(&mut self, used: usize, context: &CallContext<'_>) -> WriteStep {
        let State::Body(response) = &mut self.state else {
            return WriteStep::new(used, Transition::Ignored("no response is under way"));
        };
        let (length, is_complete) = (response.collected.len(), response.body.is_finished());
        if let Some(sequence) = response.pieces {
            let data = whole_text(&mut response.collected);
            if data.is_empty() {
                return WriteStep { used, outputs: Vec::new(), is_complete };
            }
            response.pieces = Some(sequence + 1);
            let piece = CallMessage::Chunk { id: context.name.clone(), data, sequence };
            let outputs = Vec::from([CallOutput::ArmResponseTimeout, CallOutput::SendPiece(piece)]);
            WriteStep { used, outputs, is_complete }
        } else if length > context.config.peer_limit {
            WriteStep::new(used, self.fail(502, TOO_LARGE, context))
        } else if length > context.room {
            WriteStep::new(used, self.fail(503, "too many large answers at once", context))
        } else {
            WriteStep { used, outputs: Vec::new(), is_complete }
        }
    }

    /// Tells the peer why there is no response, or no more of it.
    fn fail(&mut self, status: u16, error: &str, context: &CallContext<'_>) -> Transition {
        let (id, error) = (context.name.clone(), String::from(error));
        let state = core::mem::replace(&mut self.state, State::Done { failed: true });
        sent(match state {
            State::Body(ResponseBody { pieces: Some(chunks), .. }) => {
                CallMessage::Ended { id, error: Some(error), chunks }
            }
            _ => CallMessage::Failed { id, status, error },
        })
    }
}

fn sent(message: CallMessage) -> Transition {
    let mut outputs = Vec::from([CallOutput::Send(message)]);
    outputs.extend(settled());
    Transition::Outputs(outputs)
}

fn settled() -> [CallOutput; 3] {
    [CallOutput::Disarm, CallOutput::ForgetName, CallOutput::CloseRead]
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
