//! The line that the access log has for a request, from its head to the end of its answer.

use http::header::{HeaderMap, HeaderName, REFERER, USER_AGENT};
use http::uri::PathAndQuery;
use http::{HeaderValue, Request};
use hvym_http1::RequestView;
use hvym_proxy::SendQueue;

use crate::access_log::{AccessRecord, LoggedRequest};
use crate::proxy;
use crate::visitor::Visitor;

/// The request under way on one connection of HTTP/1.1.
#[derive(Default)]
pub(super) struct RequestLog {
    record: Option<AccessRecord>,
    /// What had been queued for the visitor before.
    queued_before: u64,
}

impl RequestLog {
    /// A request has come.
    pub(super) fn begin(&mut self, visitor: &Visitor, view: &RequestView<'_>) {
        let Some(log) = &visitor.state.access_log else { return };
        let fields = view.fields();
        let from = match visitor.is_behind_proxy() {
            true => visitor.client_info(&fields.iter().collect::<Vec<_>>()).address(),
            false => visitor.peer.ip().to_canonical(),
        };
        let request = LoggedRequest {
            visitor: from,
            method: view.method(),
            target: view.path(),
            version: view.version().as_str(),
            host: view.host(),
            referer: fields.first("referer"),
            user_agent: fields.first("user-agent"),
        };
        self.record = Some(log.begin(&request, visitor.state.clock));
    }

    /// What is queued from now on is its answer.
    pub(super) fn begin_answer(&mut self, queue: &SendQueue) {
        self.queued_before = queued(queue);
    }

    /// It is answered with this status.
    pub(super) const fn set_status(&mut self, status: u16) {
        if let Some(record) = &mut self.record {
            record.set_status(status);
        }
    }

    /// What came was no request, and is answered with this status.
    pub(super) fn refuse(&mut self, visitor: &Visitor, status: u16) {
        if self.record.is_none()
            && let Some(log) = &visitor.state.access_log
        {
            let request = LoggedRequest {
                visitor: visitor.peer.ip().to_canonical(),
                method: "-",
                target: "-",
                version: "-",
                host: "-",
                referer: None,
                user_agent: None,
            };
            self.record = Some(log.begin(&request, visitor.state.clock));
        }
        self.set_status(status);
    }

    /// It is over, as far as it came.
    pub(super) fn end(&mut self, queue: &SendQueue) {
        if let Some(mut record) = self.record.take() {
            record.add_bytes(queued(queue) - self.queued_before);
        }
    }
}

/// All that was ever queued.
fn queued(queue: &SendQueue) -> u64 {
    queue.sent() + queue.len() as u64
}

/// The line of a request over HTTP/2.
pub(super) fn begin_http2<B>(visitor: &Visitor, request: &Request<B>) -> Option<AccessRecord> {
    let log = visitor.state.access_log.as_ref()?;
    let fields = request.headers();
    let field = |name: &HeaderName| HeaderMap::get(fields, name).map(HeaderValue::as_bytes);
    let from = match visitor.is_behind_proxy() {
        true => visitor.client_info(&proxy::fields(fields)).address(),
        false => visitor.peer.ip().to_canonical(),
    };
    let request = LoggedRequest {
        visitor: from,
        method: request.method().as_str(),
        target: request.uri().path_and_query().map_or("/", PathAndQuery::as_str),
        version: "HTTP/2.0",
        host: request.uri().authority().map_or("-", |authority| authority.as_str()),
        referer: field(&REFERER),
        user_agent: field(&USER_AGENT),
    };
    Some(log.begin(&request, visitor.state.clock))
}
