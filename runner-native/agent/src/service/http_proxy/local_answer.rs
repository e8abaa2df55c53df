//! The response of a folder, on its way to the visitor.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response, StatusCode, response};
use hvym_http1::{RequestView, ResponseHead};
use hvym_proxy::{LocalBody, RequestBody};
use hvym_tunnel_core::time::Instant;
use hvym_tunnel_pages::Format;
use hyper::body::Body;

use super::{Boxed, HttpProxy};
use crate::service::body::{ResponseBody, full};
use crate::service::folder::Folder;

/// How far the response is.
pub(super) enum LocalAnswer<'a> {
    /// It is awaited.
    Handling(Boxed<'a, Response<ResponseBody>>),
    /// Its body is sent.
    Sending(ResponseBody),
}

impl<'a> LocalAnswer<'a> {
    /// What `folder` says to `request`.
    pub(super) fn of_folder(folder: &'a Folder, request: &RequestView<'_>, format: Format) -> Self {
        let mut parts = Request::builder().method(request.method()).uri(request.path());
        for (name, value) in request.fields().iter() {
            parts = parts.header(name, value);
        }
        LocalAnswer::Handling(Box::pin(async move {
            match parts.body(()) {
                Ok(request) => folder.answer(&request.into_parts().0, format).await,
                // What a URL of the `http` crate cannot hold is the name of no file.
                Err(_) => {
                    let mut answer = Response::new(full(Default::default()));
                    *answer.status_mut() = StatusCode::NOT_FOUND;
                    answer
                }
            }
        }))
    }
}

impl HttpProxy<'_> {
    /// Moves what can be moved from the folder to the visitor. Returns whether anything was.
    pub(super) fn poll_local(&mut self, now: Instant, cx: &mut Context<'_>) -> bool {
        if let Some(LocalAnswer::Handling(handler)) = &mut self.local {
            // The body of the request is for nobody.
            while let Some(RequestBody::Data(_)) = self.exchange.poll_local_body(now) {}
            let Poll::Ready(answer) = handler.as_mut().poll(cx) else { return false };
            self.begin_answer(answer, now);
            return true;
        }
        self.pass_answer_body(now, cx)
    }

    fn begin_answer(&mut self, answer: Response<ResponseBody>, now: Instant) {
        let (head, body) = answer.into_parts();
        let length = body.size_hint().exact().map_or(LocalBody::Streamed, LocalBody::Length);
        self.log.note(None);
        let is_begun = self.exchange.respond(local_head(&head), length, now).is_ok();
        self.local = is_begun.then_some(LocalAnswer::Sending(body));
    }

    fn pass_answer_body(&mut self, now: Instant, cx: &mut Context<'_>) -> bool {
        let mut moved = false;
        while let Some(LocalAnswer::Sending(body)) = &mut self.local {
            if !self.exchange.has_room_for_visitor() {
                break;
            }
            let Poll::Ready(frame) = Pin::new(body).poll_frame(cx) else { break };
            moved = true;
            match frame {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.exchange.send_local_body(data, now);
                    }
                    continue;
                }
                Some(Err(error)) => {
                    tracing::debug!(%error, "a file cannot be read to its end");
                    self.exchange.abort_local_body();
                }
                None => self.exchange.end_local_body(&[], now),
            }
            self.local = None;
        }
        moved
    }
}

fn local_head(head: &response::Parts) -> ResponseHead {
    let mut written =
        ResponseHead::new(head.status.as_u16(), head.status.canonical_reason().unwrap_or_default());
    for (name, value) in &head.headers {
        written.headers.push(name.as_str(), Bytes::copy_from_slice(value.as_bytes()));
    }
    written
}
