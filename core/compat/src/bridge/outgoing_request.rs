//! A request to the peer: the owner writes it, the peer's messages become the response that the owner reads.
//!
//! | state | input | next |
//! |---|---|---|
//! | `Head` | bytes | `Head`, `Body`, `AwaitingResponse` when the request is complete, or `Done` with an error page |
//! | `Body` | bytes | `Body`, `AwaitingResponse`, or `Done` with an error page |
//! | `AwaitingResponse` | whole response, failure, timeout | `Done` with the response or an error page |
//! | `AwaitingResponse` | start of a response in pieces | `Streaming` |
//! | `Streaming` | piece | `Streaming` |
//! | `Streaming` | end | `Done`; a reset if it came with an error, too late or too large |

use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;
use hvym_http1::{Body, Framing, HeadBuffer, LAST_CHUNK, RequestHead, ResponseHead, encode_chunk};
use hvym_tunnel_core::mux::ResetReason;
use hvym_tunnel_pages::{Format, Page};

use super::fields::{self, BodyKind, RejectedHead};
use super::pages;
use super::transition::{CallContext, CallInput, CallOutput, EncodeError, Transition, WriteStep, collect};
use crate::dialect::{CallMessage, Request, Response};

#[derive(Debug, Default)]
enum State {
    #[default]
    Head,
    Body {
        head: RequestHead,
        body: Body,
        collected: Vec<u8>,
    },
    AwaitingResponse,
    /// The response comes in pieces; `has_body` if they are shown to the reader.
    Streaming {
        has_body: bool,
    },
    /// Everything that can be read has been delivered; what is still written is dropped.
    Done,
}

/// One request and its response.
#[derive(Debug, Default)]
pub(super) struct OutgoingRequest {
    head: HeadBuffer,
    state: State,
    method: String,
    format: Format,
    /// The request went out sealed.
    sealed: bool,
}

impl OutgoingRequest {
    /// Bytes held.
    pub(super) fn held(&self) -> usize {
        match &self.state {
            State::Body { collected, .. } => collected.len(),
            _ => 0,
        }
    }

    /// Takes bytes of the request.
    pub(super) fn write(&mut self, data: &[u8], context: &CallContext<'_>) -> WriteStep {
        match &mut self.state {
            State::Head => match self.head.take(data) {
                Err(_) => WriteStep::new(data.len(), self.refuse(&pages::malformed())),
                Ok(taken) => match taken.head.map(|head| RequestHead::parse_complete(&head)) {
                    None => WriteStep::new(taken.used, Transition::NOTHING),
                    Some(Ok(head)) => WriteStep::new(taken.used, self.on_head(head, context)),
                    Some(Err(_)) => WriteStep::new(taken.used, self.refuse(&pages::malformed())),
                },
            },
            State::Body { body, collected, .. } => {
                let taken = collect(body, data, collected);
                let (length, is_complete) = (collected.len(), body.is_finished());
                let Ok(used) = taken else {
                    return WriteStep::new(data.len(), self.refuse(&pages::malformed()));
                };
                let limit = context.config.peer_limit;
                let outcome = if length > limit {
                    self.refuse(&pages::too_large(limit))
                } else if length > context.room {
                    self.refuse(&pages::overloaded())
                } else if is_complete {
                    self.send(context)
                } else {
                    Transition::NOTHING
                };
                WriteStep::new(used, outcome)
            }
            State::AwaitingResponse | State::Streaming { .. } | State::Done => {
                WriteStep::new(data.len(), Transition::Ignored("bytes behind a complete request"))
            }
        }
    }

    /// Every transition but those of written bytes.
    pub(super) fn handle(&mut self, input: CallInput, context: &CallContext<'_>) -> Transition {
        match (&self.state, input) {
            (State::Head | State::Body { .. }, CallInput::Finish) => self.refuse(&pages::malformed()),
            (State::AwaitingResponse | State::Streaming { .. } | State::Done, CallInput::Finish) => {
                Transition::NOTHING
            }
            (_, CallInput::Reset) => [CallOutput::CancelQueued].into(),
            (State::AwaitingResponse, CallInput::EncodeFailed(EncodeError::NotText)) => {
                self.refuse(&pages::not_text())
            }
            (State::AwaitingResponse, CallInput::EncodeFailed(EncodeError::TooLarge)) => {
                self.refuse(&pages::too_large(context.config.peer_limit))
            }
            (State::AwaitingResponse, CallInput::Timeout) => {
                prepended(CallOutput::CancelQueued, self.refuse(&pages::late()))
            }
            (State::Streaming { .. }, CallInput::Timeout) => [CallOutput::Reset(ResetReason::Idle)].into(),
            (State::AwaitingResponse, CallInput::Peer(message, sealed)) => {
                self.on_response(message, sealed, context)
            }
            (State::Streaming { has_body }, CallInput::Peer(message, _)) => {
                let has_body = *has_body;
                self.on_piece(message, has_body, context)
            }
            (State::Head | State::Body { .. }, CallInput::Peer(..)) => {
                Transition::Ignored("a response before the request was sent")
            }
            (State::Done, CallInput::Peer(..)) => Transition::Ignored("a message after the response"),
            (
                State::Head | State::Body { .. } | State::Streaming { .. } | State::Done,
                CallInput::EncodeFailed(_),
            ) => Transition::Ignored("nothing was sent in this state"),
            (State::Head | State::Body { .. } | State::Done, CallInput::Timeout) => {
                Transition::Ignored("no deadline is armed in this state")
            }
            (_, CallInput::Overloaded) => Transition::Ignored("requests are not sent in pieces"),
        }
    }

    fn on_head(&mut self, head: RequestHead, context: &CallContext<'_>) -> Transition {
        let framing = Framing::for_request(&head);
        let expects_continue = head.headers.contains_token("expect", "100-continue");
        self.method.clone_from(&head.method);
        self.format = Format::preferred(&head.method, head.headers.first("accept"));
        let framing = match framing {
            Ok(Framing::Tunnel) => {
                return self.refuse(&pages::rejected(RejectedHead(501, "CONNECT cannot pass this tunnel.")));
            }
            Ok(framing) => framing,
            Err(_) => return self.refuse(&pages::malformed()),
        };
        let dialect = context.config.dialect;
        let head = match fields::to_agent(head, dialect) {
            Ok(head) => head,
            Err(rejected) => return self.refuse(&pages::rejected(rejected)),
        };
        if !dialect.profile().allows_method(&head.method) {
            return self.refuse(&pages::rejected(RejectedHead(501, "This method cannot pass this tunnel.")));
        }
        let body = Body::new(framing);
        let is_complete = body.is_finished();
        self.state = State::Body { head, body, collected: Vec::new() };
        if is_complete {
            self.send(context)
        } else if expects_continue {
            [CallOutput::Deliver(Bytes::from_static(b"HTTP/1.1 100 Continue\r\n\r\n"))].into()
        } else {
            Transition::NOTHING
        }
    }

    fn send(&mut self, context: &CallContext<'_>) -> Transition {
        match core::mem::replace(&mut self.state, State::AwaitingResponse) {
            State::Body { head, collected, .. } => {
                self.sealed = context.is_sealed;
                let timeout = u32::try_from(context.config.answer_timeout.as_secs()).unwrap_or(u32::MAX);
                let request = Request { head, body: collected.into() };
                let message = CallMessage::Request { id: context.name.clone(), request, timeout };
                [CallOutput::Send(message), CallOutput::ArmResponseTimeout].into()
            }
            state => {
                self.state = state;
                Transition::Ignored("no request is complete")
            }
        }
    }

    fn on_response(&mut self, message: CallMessage, sealed: bool, context: &CallContext<'_>) -> Transition {
        match message {
            CallMessage::Response { response, .. } => self.on_whole_response(response, sealed, context),
            CallMessage::Failed { status, error, .. } => self.refuse(&pages::failed(status, &error)),
            CallMessage::Broken { error, .. } => self.refuse(&pages::failed(502, &error)),
            CallMessage::Ended { error, .. } => {
                let error = error.as_deref().unwrap_or("the answer ended before it began");
                self.refuse(&pages::failed(502, error))
            }
            CallMessage::Started { head, .. } => self.on_started(head),
            _ => Transition::Ignored("no message about a response"),
        }
    }

    fn on_whole_response(
        &mut self,
        response: Response,
        sealed: bool,
        context: &CallContext<'_>,
    ) -> Transition {
        if self.sealed && !sealed {
            let error = "it answered in clear text, although sealing was agreed on";
            return self.refuse(&pages::failed(502, error));
        }
        if response.body.len() > context.room {
            return self.refuse(&pages::overloaded());
        }
        let Response { mut head, body } = response;
        let Some(body) = fields::restored(&mut head, body) else {
            return self.refuse(&pages::lost_bytes());
        };
        let kind = BodyKind::for_response(&self.method, head.status, Some(body.len()));
        match fields::to_visitor(head, kind) {
            Ok(head) if kind == BodyKind::None => self.finish([head]),
            Ok(head) => self.finish([head, body]),
            Err(rejected) => self.refuse(&pages::rejected(rejected)),
        }
    }

    fn on_started(&mut self, head: ResponseHead) -> Transition {
        let kind = BodyKind::for_response(&self.method, head.status, None);
        match fields::to_visitor(head, kind) {
            Ok(head) => {
                self.state = State::Streaming { has_body: kind == BodyKind::Chunked };
                [CallOutput::Deliver(head), CallOutput::ArmResponseTimeout].into()
            }
            Err(rejected) => self.refuse(&pages::rejected(rejected)),
        }
    }

    fn on_piece(&mut self, message: CallMessage, has_body: bool, context: &CallContext<'_>) -> Transition {
        match message {
            CallMessage::Chunk { data, .. }
                if context.unread.saturating_add(data.len()) > context.config.limits.max_unread =>
            {
                [CallOutput::Reset(ResetReason::Budget)].into()
            }
            CallMessage::Chunk { data, .. } if has_body => {
                let mut chunk = Vec::new();
                encode_chunk(&data, &mut chunk);
                [CallOutput::Deliver(chunk.into()), CallOutput::ArmResponseTimeout].into()
            }
            CallMessage::Chunk { .. } => [CallOutput::ArmResponseTimeout].into(),
            CallMessage::Ended { error: None, .. } if has_body => {
                self.finish([Bytes::from_static(LAST_CHUNK)])
            }
            CallMessage::Ended { error: None, .. } => self.finish([]),
            CallMessage::Ended { .. } | CallMessage::Failed { .. } | CallMessage::Broken { .. } => {
                [CallOutput::Reset(ResetReason::Peer(0))].into()
            }
            _ => Transition::Ignored("no piece of a response"),
        }
    }

    /// Answers in place of the service.
    fn refuse(&mut self, page: &Page) -> Transition {
        let response = page.response(self.format, &self.method);
        self.finish([response])
    }

    /// The last bytes of the response; the call is over.
    fn finish<const N: usize>(&mut self, last: [Bytes; N]) -> Transition {
        self.state = State::Done;
        let mut outputs = Vec::from([CallOutput::Disarm, CallOutput::ForgetName]);
        outputs.extend(last.map(CallOutput::Deliver));
        outputs.push(CallOutput::CloseRead);
        Transition::Outputs(outputs)
    }
}

fn prepended(first: CallOutput, outcome: Transition) -> Transition {
    match outcome {
        Transition::Outputs(mut outputs) => {
            outputs.insert(0, first);
            Transition::Outputs(outputs)
        }
        Transition::Ignored(_) => [first].into(),
    }
}
