//! How responses reach the visitor: those of services, and those of the runner.

use alloc::boxed::Box;

use bytes::Bytes;
use hvym_http1::{
    FieldTable, Framing, HeadError, HostMapping, RequestView, ResponseHead, ResponseRewrite, ResponseView,
    Version, is_upgrade_offered,
};
use hvym_yamux::Instant;

use super::event::ExchangeError;
use super::{Exchange, Stage};
use crate::body_reader::BodyMode;
use crate::downstream::Downstream;
use crate::facts::{MethodKind, RequestFacts};
use crate::upstream::{UpstreamEvent, UpstreamFailure};

/// The field that makes browsers use HTTPS alone (RFC 6797 section 6.1).
const HSTS: &str = "strict-transport-security";

/// How the body of a response of the runner ends.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum LocalBody {
    /// After this many bytes.
    Length(u64),
    /// When the runner says so.
    Streamed,
}

impl Exchange {
    /// Passes on what the service has sent, as far as there is room for the visitor.
    pub(super) fn pass_response(&mut self, now: Instant) {
        while self.stage == Stage::Joined {
            let has_room = self.has_room_for_visitor();
            let Some(up) = self.up.as_mut().filter(|up| has_room || up.is_at_end()) else { return };
            match up.poll_event() {
                None => return,
                Some(UpstreamEvent::Interim(view)) => {
                    let is_continue = view.status() == 100;
                    if !(is_continue && self.is_continued) {
                        view.write_forwarded(&ResponseRewrite::default(), &mut self.heads);
                        self.down.send_interim(self.heads.split().freeze(), now);
                    }
                    if is_continue {
                        (self.is_continued, self.continue_at) = (true, None);
                    }
                }
                Some(UpstreamEvent::Response(view)) if view.framing() == Framing::Tunnel => {
                    if !is_upgrade_wanted(&self.head, &view) {
                        // What the visitor sends next may be meant for the protocol that it asked for.
                        self.down.close_after_response();
                        return self.fail(ExchangeError::BadResponse);
                    }
                    let relay_domain = self.config.relay_domain.as_deref();
                    let rewrite = ResponseRewrite { relay_domain, ..ResponseRewrite::default() };
                    view.write_forwarded(&rewrite, &mut self.heads);
                    self.down.send_head(self.heads.split().freeze(), Framing::Tunnel, now);
                    (self.stage, self.pending.answered) = (Stage::Tunnel, Some(101));
                }
                Some(UpstreamEvent::Response(view)) => {
                    if is_last(&self.down, &view, self.is_continued) {
                        self.down.close_after_response();
                    }
                    let rewrite = ResponseRewrite {
                        version: self.down.request().version,
                        closes: !self.down.persists(),
                        relay_domain: self.config.relay_domain.as_deref(),
                        host: self.host.as_deref(),
                        hsts: self.config.hsts.as_deref(),
                        date: self.date.as_ref().and_then(|date| core::str::from_utf8(date).ok()),
                        ..ResponseRewrite::default()
                    };
                    let status = view.status();
                    let framing = view.write_forwarded(&rewrite, &mut self.heads);
                    self.down.send_head(self.heads.split().freeze(), framing, now);
                    up.set_body_mode(BodyMode::Framed(framing));
                    (self.head, self.continue_at, self.pending.answered) = (Bytes::new(), None, Some(status));
                }
                Some(UpstreamEvent::Body(data)) => self.down.send_body(data, now),
                Some(UpstreamEvent::Trailers(_)) => {}
                Some(UpstreamEvent::End) => return self.down.end_response(now),
                Some(UpstreamEvent::Failed(failure)) => return self.on_failure(failure),
            }
        }
    }

    /// How names in the response to the request under way are mapped back, if its own were mapped.
    pub fn map_host(&mut self, mapping: Option<HostMapping>) {
        self.host = mapping.map(Box::new);
    }

    fn on_failure(&mut self, failure: UpstreamFailure) {
        if !self.down.owes_head() {
            return self.abort();
        }
        if failure == UpstreamFailure::Unsent {
            self.unsent = self.up.as_mut().map(|up| up.take_unsent());
        }
        self.release(false);
        (self.stage, self.pending.lost) = (Stage::Routing, Some(failure));
    }

    /// Answers the request that the runner was told of. The fields of `head` that belong to a connection or frame a body are
    /// replaced. A body is sent by [`send_local_body`](Self::send_local_body).
    ///
    /// # Errors
    /// The head has bytes that no head may contain; the connection ends.
    pub fn respond(
        &mut self,
        mut head: ResponseHead,
        body: LocalBody,
        now: Instant,
    ) -> Result<(), HeadError> {
        self.release(false);
        if !self.down.is_request_complete() && self.stage != Stage::Local {
            self.discard_body(now);
        }
        let request = *self.down.request();
        let is_tunnel = head.status == 101 && request.wants_upgrade;
        let framing = frame(&mut head, &request, body);
        if let Some(hsts) = self.config.hsts.as_ref().filter(|_| head.headers.first(HSTS).is_none()) {
            head.headers.push("Strict-Transport-Security", hsts.clone());
        }
        // The rest of a request whose answer is complete must not be taken for the next one.
        if framing == Framing::UntilClose
            || (!self.down.is_request_complete() && !self.is_continued && request.expects_continue)
        {
            self.down.close_after_response();
        }
        if !is_tunnel && !self.down.persists() {
            head.headers.push("Connection", "close");
        } else if request.version == Version::Http10 {
            head.headers.push("Connection", "keep-alive");
        }
        head.version = request.version;
        let encoded = head.encode().inspect_err(|_| self.abort())?;
        self.is_encoding = framing == Framing::Chunked;
        self.is_bodiless = framing == Framing::Empty;
        self.down.send_head(encoded, framing, now);
        self.stage = if is_tunnel { Stage::Tunnel } else { Stage::Local };
        Ok(())
    }

    /// Reads what is there of a body that nobody wants. If that is all, the connection goes on.
    fn discard_body(&mut self, now: Instant) {
        self.down.set_body_mode(BodyMode::Payload);
        while self.down.poll_body(now).is_some() {}
        if !self.down.is_request_complete() {
            self.down.stop_reading();
        }
    }

    /// Whether there is room for more of a response of the runner.
    pub fn has_room_for_visitor(&self) -> bool {
        self.down.output().len() < self.config.max_unsent
    }

    /// Sends a piece of the body of a response of the runner.
    pub fn send_local_body(&mut self, data: Bytes, now: Instant) {
        if !self.is_bodiless && !data.is_empty() {
            self.moved = now;
            if self.is_encoding {
                self.down.send_chunk(data, &mut self.heads, now);
            } else {
                self.down.send_body(data, now);
            }
        }
    }

    /// The response of the runner is complete. `trailers` are lines of fields, each with its line end; they are sent where
    /// the body is in chunks.
    pub fn end_local_body(&mut self, trailers: &[u8], now: Instant) {
        if self.is_encoding {
            self.heads.extend_from_slice(b"0\r\n");
            self.heads.extend_from_slice(trailers);
            self.heads.extend_from_slice(b"\r\n");
            self.down.send_body(self.heads.split().freeze(), now);
        }
        self.down.end_response(now);
        if !self.down.is_request_complete() {
            self.down.stop_reading();
        }
        (self.stage, self.pending.is_finished) = (Stage::Idle, true);
    }

    /// The response of the runner will not be completed.
    pub fn abort_local_body(&mut self) {
        self.abort();
    }
}

/// Whether the request with this head asks for the protocol that the response changes to (RFC 9110 section 7.8).
fn is_upgrade_wanted(request: &[u8], response: &ResponseView<'_>) -> bool {
    let mut fields = FieldTable::new();
    let offered = RequestView::parse(request, &mut fields).ok().and_then(|view| view.upgrade());
    offered.zip(response.upgrade()).is_some_and(|(offered, chosen)| is_upgrade_offered(offered, chosen))
}

/// Whether no other request can follow this response: the rest of a request that the service does not read would be taken for
/// it, as would a body that its sender may or may not send (RFC 9110 section 10.1.1).
fn is_last(down: &Downstream, response: &ResponseView<'_>, is_continued: bool) -> bool {
    let is_unread = !response.keeps_alive() || (down.request().expects_continue && !is_continued);
    !down.is_request_complete() && is_unread
}

/// Says in `head` how its body ends, and returns it.
fn frame(head: &mut ResponseHead, request: &RequestFacts, body: LocalBody) -> Framing {
    let keeps_upgrade = matches!(head.status, 101 | 426);
    let protocol = head.headers.first("upgrade").filter(|_| keeps_upgrade).map(Bytes::copy_from_slice);
    // That of a response to HEAD is not the length of a body.
    let length = head.headers.first("content-length").filter(|_| request.method == MethodKind::Head);
    let length = length.map(Bytes::copy_from_slice);
    head.headers.strip_hop_by_hop();
    head.headers.remove("content-length");
    if let Some(protocol) = protocol {
        head.headers.push("Connection", "upgrade");
        head.headers.push("Upgrade", protocol);
    }
    match (head.status, body) {
        (101, _) => return Framing::Tunnel,
        (100..=199 | 204 | 304, _) => return Framing::Empty,
        _ if length.is_some() => head.headers.push("Content-Length", length.unwrap_or_default()),
        (_, LocalBody::Length(length)) => head.headers.push("Content-Length", alloc::format!("{length}")),
        (_, LocalBody::Streamed) if request.version == Version::Http11 => {
            head.headers.push("Transfer-Encoding", "chunked");
        }
        (_, LocalBody::Streamed) => {}
    }
    match body {
        _ if request.method == MethodKind::Head => Framing::Empty,
        LocalBody::Length(length) => Framing::Length(length),
        LocalBody::Streamed if request.version == Version::Http11 => Framing::Chunked,
        LocalBody::Streamed => Framing::UntilClose,
    }
}
