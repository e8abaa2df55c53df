//! A request that the relay answers itself, or passes on in another version of HTTP: its body as a handler reads it, and the
//! handler's answer.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http::response;
use hvym_http1::ResponseHead;
use hvym_proxy::{LocalBody, RequestBody};
use hvym_tunnel_core::time::Instant;
use hyper::body::{Body, Frame};

use super::{Boxed, Http1Conn};
use crate::http1::body_error::RequestBodyError;
use crate::http1::body_pipe::{self, BodyWriterEnd};
use crate::limits::visitor_counts::RequestPermit;
use crate::upstream::h1;
use crate::upstream::response_body::{Answer, ResponseBody};
use crate::visitor::upgraded::UpgradeSender;

/// What answers a request.
pub(super) type Handler<'a> = Boxed<'a, (Answer, Option<RequestPermit>)>;

/// How far the answer is.
pub(super) enum LocalAnswer<'a> {
    /// It is awaited.
    Handling { handler: Handler<'a>, body: BodyWriterEnd, upgrade: UpgradeSender },
    /// Its body is sent.
    Sending {
        reply: Box<ResponseBody>,
        /// Whoever answers may still read the request.
        body: BodyWriterEnd,
        permit: Option<RequestPermit>,
    },
    /// It was a 101: whoever answered waits for the connection.
    Upgrading(UpgradeSender),
}

impl Http1Conn<'_> {
    /// Moves what can be moved between the visitor and whoever answers. Returns whether anything was.
    pub(super) fn poll_local(&mut self, now: Instant, cx: &mut Context<'_>) -> bool {
        let mut moved = self.pass_request_body(now, cx);
        let ready = match &mut self.local {
            Some(LocalAnswer::Handling { handler, .. }) => handler.as_mut().poll(cx),
            _ => Poll::Pending,
        };
        if let Poll::Ready((answer, permit)) = ready {
            self.begin_answer(answer, permit, now);
            moved = true;
        }
        moved | self.pass_answer_body(now, cx)
    }

    fn pass_request_body(&mut self, now: Instant, cx: &mut Context<'_>) -> bool {
        let (Some(LocalAnswer::Handling { body, .. }) | Some(LocalAnswer::Sending { body, .. })) =
            &self.local
        else {
            return false;
        };
        if body.poll_wanted(cx).is_pending() {
            return false;
        }
        match self.exchange.poll_local_body(now) {
            None => return false,
            Some(RequestBody::Data(data)) => body.send(Frame::data(data)),
            Some(RequestBody::Trailers(section)) => body.send(Frame::trailers(body_pipe::trailers(&section))),
            Some(RequestBody::End) => body.end(Ok(())),
            Some(RequestBody::Failed(_)) => body.end(Err(RequestBodyError::Aborted)),
        }
        true
    }

    fn begin_answer(&mut self, answer: Answer, permit: Option<RequestPermit>, now: Instant) {
        let Some(LocalAnswer::Handling { body, upgrade, .. }) = self.local.take() else { return };
        let (head, reply) = answer.into_parts();
        let length = reply.size_hint().exact().map_or(LocalBody::Streamed, LocalBody::Length);
        let is_upgrade = head.status == http::StatusCode::SWITCHING_PROTOCOLS;
        if self.exchange.respond(local_head(&head), length, now).is_err() {
            return;
        }
        self.log.set_status(head.status.as_u16());
        if is_upgrade {
            self.visitor.slot().hold(permit);
            self.local = Some(LocalAnswer::Upgrading(upgrade));
        } else {
            self.local = Some(LocalAnswer::Sending { reply: Box::new(reply), body, permit });
        }
    }

    fn pass_answer_body(&mut self, now: Instant, cx: &mut Context<'_>) -> bool {
        let mut moved = false;
        while let Some(LocalAnswer::Sending { reply, permit, .. }) = &mut self.local {
            if !self.exchange.has_room_for_visitor() {
                break;
            }
            let Poll::Ready(frame) = Pin::new(&mut **reply).poll_frame(cx) else { break };
            moved = true;
            match frame.map(|frame| frame.map(Frame::into_data)) {
                Some(Ok(Ok(data))) => self.exchange.send_local_body(data, now),
                Some(Ok(Err(frame))) => {
                    let mut lines = BytesMut::new();
                    frame.trailers_ref().into_iter().for_each(|fields| h1::write_fields(fields, &mut lines));
                    drop(permit.take().map(RequestPermit::over));
                    self.exchange.end_local_body(&lines, now);
                    self.local = None;
                }
                Some(Err(error)) => {
                    tracing::debug!(%error, "an answer broke off");
                    drop(permit.take().map(RequestPermit::over));
                    self.exchange.abort_local_body();
                    self.local = None;
                }
                None => {
                    drop(permit.take().map(RequestPermit::over));
                    self.exchange.end_local_body(&[], now);
                    self.local = None;
                }
            }
        }
        moved
    }
}

fn local_head(head: &response::Parts) -> ResponseHead {
    let reason = head.status.canonical_reason().unwrap_or_default();
    let mut written = ResponseHead::new(head.status.as_u16(), reason);
    for (name, value) in &head.headers {
        written.headers.push(name.as_str(), Bytes::copy_from_slice(value.as_bytes()));
    }
    written
}
