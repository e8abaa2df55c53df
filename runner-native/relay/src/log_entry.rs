//! One entry of the request log, from the request to the end of its answer, however that comes. Dropping it logs it.

pub(crate) mod body_text;

use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use hvym_tunnel_pages::Page;
use hvym_tunnel_registry::{LoggedRequest, TunnelRegistry, unix_millis};
use hyper::body::Frame;

use self::body_text::BodyText;

/// The entry of one request.
pub(crate) struct LogEntry {
    registry: Option<TunnelRegistry>,
    request: LoggedRequest,
    begun: Instant,
    request_text: Arc<BodyText>,
    response_text: Option<BodyText>,
    /// Bytes of the answer that are to come, if their number is known.
    remaining: Option<u64>,
    is_complete: bool,
}

impl LogEntry {
    /// Of a request with this head, whose body is copied to `text`.
    pub(crate) fn new(
        registry: Option<TunnelRegistry>,
        domain: Arc<str>,
        head: &Parts,
        text: Arc<BodyText>,
    ) -> Self {
        let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
        let request = LoggedRequest {
            at: unix_millis(),
            domain,
            method: head.method.as_str().to_owned(),
            path: path.to_owned(),
            request_headers: Some(json(&head.headers)),
            ..LoggedRequest::default()
        };
        Self {
            registry,
            request,
            begun: Instant::now(),
            request_text: text,
            response_text: None,
            remaining: None,
            is_complete: false,
        }
    }

    /// The head of the answer has come.
    pub(crate) fn answer(&mut self, status: StatusCode, fields: &HeaderMap) {
        self.note_time();
        self.request.status_code = Some(status.as_u16());
        self.request.response_headers = Some(json(fields));
        self.response_text = Some(BodyText::new(fields));
        self.remaining = fields.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        // Answers without a body, whatever their fields say (RFC 9110 section 6.4.1).
        let has_none = status.is_informational() || matches!(status.as_u16(), 204 | 304);
        self.is_complete = has_none || self.request.method == "HEAD" || self.remaining == Some(0);
    }

    /// It is answered with a page instead.
    pub(crate) fn fail(&mut self, page: &Page) {
        self.note_time();
        self.request.status_code = Some(page.status);
        self.request.error = Some(page.text.to_string());
        self.is_complete = true;
    }

    /// A part of the body of the answer was polled.
    pub(crate) fn handle_frame<E: std::fmt::Display>(
        &mut self,
        frame: &Poll<Option<Result<Frame<Bytes>, E>>>,
    ) {
        match frame {
            Poll::Ready(Some(Ok(frame))) => {
                if let (Some(text), Some(data)) = (&self.response_text, frame.data_ref()) {
                    text.push(data);
                    // Whoever knows the length does not ask for the end.
                    self.remaining = self.remaining.map(|bytes| bytes.saturating_sub(data.len() as u64));
                    self.is_complete |= self.remaining == Some(0);
                }
            }
            Poll::Ready(Some(Err(error))) => {
                self.request.error = Some(error.to_string());
                self.is_complete = true;
            }
            Poll::Ready(None) => self.is_complete = true,
            Poll::Pending => {}
        }
    }

    fn note_time(&mut self) {
        self.request.duration_ms = i64::try_from(self.begun.elapsed().as_millis()).unwrap_or(i64::MAX);
    }
}

impl Drop for LogEntry {
    fn drop(&mut self) {
        if self.request.status_code.is_none() {
            self.note_time();
            self.request.error = Some("the visitor left before there was an answer".to_owned());
        } else if !self.is_complete {
            self.request
                .error
                .get_or_insert_with(|| "the visitor left before the end of the answer".to_owned());
        }
        let mut request = std::mem::take(&mut self.request);
        request.request_body = self.request_text.text();
        request.response_body = self.response_text.as_ref().and_then(BodyText::text);
        if let Some(registry) = &self.registry {
            registry.log_request(request);
        }
    }
}

fn json(fields: &HeaderMap) -> String {
    LoggedRequest::fields(fields.iter().map(|(name, value)| (name.as_str(), value.as_bytes())))
}
