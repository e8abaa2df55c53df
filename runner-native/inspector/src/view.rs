//! What is shown of exchanges, as JSON. Times are milliseconds.

use std::time::Duration;

use data_encoding::BASE64;
use hvym_http1::{Body, Framing, Headers, RequestHead, ResponseHead, Version};
use serde::Serialize;

use crate::capture::body::KeptBody;
use crate::capture::exchange::{CapturedExchange, CapturedRequest, Progress, ResponseKind};
use crate::capture::messages::{CapturedKind, CapturedMessage, MessageSender};
use crate::redact::{MASK, is_secret};

/// An exchange in the list.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub(crate) struct ExchangeSummary {
    // Fields: what a line of the list shows.
    /// Counts from 1.
    pub id: u64,
    /// The service.
    pub service: String,
    /// The identity that asked, if it was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The exchange whose request was sent again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replay_of: Option<u64>,
    /// Milliseconds since the Unix epoch.
    pub started_ms: u64,
    /// The method.
    pub method: String,
    /// The target as it came.
    pub target: String,
    /// Once the head of the response came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// `http`, `events`, `websocket` or `upgraded`.
    pub kind: &'static str,
    /// `open`, `complete` or `broken`.
    pub progress: &'static str,
    /// Once it is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<f64>,
    /// Bytes of the request's body.
    pub request_bytes: u64,
    /// Bytes of the response's body.
    pub response_bytes: u64,
    /// Events or messages so far.
    pub messages: u64,
    /// The media type of the response.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
}

/// One field of a head.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(crate) struct FieldView {
    /// As it came.
    pub name: String,
    /// As it came, or the mask.
    pub value: String,
    /// Whether the value is a secret that is not shown.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub masked: bool,
}

/// A body, without its bytes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(crate) struct BodyView {
    /// How long it is, as far as it came.
    pub length: u64,
    /// Whether all of it is kept.
    pub whole: bool,
    /// Whether any of it is kept.
    pub kept: bool,
}

/// A request or a response.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(crate) struct MessageView {
    /// The version.
    pub version: &'static str,
    /// Of a response.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The fields in their order.
    pub headers: Vec<FieldView>,
    /// The body.
    pub body: BodyView,
}

/// When what came, since the request began.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub(crate) struct TimingView {
    /// The last byte of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_ms: Option<f64>,
    /// The head of the response.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_ms: Option<f64>,
    /// The end of the response.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_ms: Option<f64>,
}

/// All of an exchange but bodies and messages.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub(crate) struct ExchangeDetail {
    /// What the list shows.
    #[serde(flatten)]
    pub summary: ExchangeSummary,
    /// Where the visitor went.
    pub url: String,
    /// When what came.
    pub timing: TimingView,
    /// The request.
    pub request: MessageView,
    /// The response, once its head came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response: Option<MessageView>,
    /// Whether the request can be sent again.
    pub replayable: bool,
}

/// An event, or a message of a WebSocket.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub(crate) struct MessageLine {
    /// Counts from 0.
    pub number: u64,
    /// Since the request began.
    pub at_ms: f64,
    /// `visitor` or `service`.
    pub sender: &'static str,
    /// `text`, `binary`, `ping`, `pong`, `close` or `event`.
    pub kind: &'static str,
    /// The name of an event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How long it is.
    pub length: u64,
    /// Its beginning, if that is text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Its beginning in base64, if that is no text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base64: Option<String>,
}

/// Milliseconds with their fraction.
pub(crate) fn millis(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1000.0
}

/// Bytes of a head as text.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl ExchangeSummary {
    /// What the list shows of `exchange`.
    pub(crate) fn new(exchange: &CapturedExchange) -> Self {
        let CapturedExchange { id, source, started, request, response, .. } = exchange;
        let head = response.as_ref().and_then(|response| ResponseHead::parse_complete(&response.head).ok());
        let media_type = head.and_then(|head| head.headers.first("content-type").map(text));
        Self {
            id: *id,
            service: source.service.to_string(),
            from: source.from.map(|from| from.to_string()),
            replay_of: source.replay_of,
            started_ms: started.unix_ms,
            method: request.method.clone(),
            target: request.target.clone(),
            status: response.as_ref().map(|response| response.status),
            kind: match exchange.kind() {
                ResponseKind::Plain => "http",
                ResponseKind::EventStream => "events",
                ResponseKind::WebSocket => "websocket",
                ResponseKind::Upgraded => "upgraded",
            },
            progress: match exchange.progress {
                Progress::Open => "open",
                Progress::Complete => "complete",
                Progress::Broken => "broken",
            },
            duration_ms: exchange.duration.map(millis),
            request_bytes: request.body.length(),
            response_bytes: response.as_ref().map_or(0, |response| response.body.length()),
            messages: exchange.messages.total(),
            media_type,
        }
    }
}

impl ExchangeDetail {
    /// What is shown of `exchange`; its secrets only if `reveal`.
    pub(crate) fn new(exchange: &CapturedExchange, reveal: bool) -> Self {
        let CapturedExchange { request, response, .. } = exchange;
        let head = RequestHead::parse_complete(&request.head).ok();
        let url = head.as_ref().map_or_else(|| request.target.clone(), url);
        let timing = TimingView {
            request_ms: request.complete_after.map(millis),
            response_ms: response.as_ref().map(|response| millis(response.begun_after)),
            end_ms: exchange.duration.map(millis),
        };
        let request_view = MessageView {
            version: version(head.as_ref().map(|head| head.version)),
            reason: None,
            headers: head.map(|head| fields(&head.headers, reveal)).unwrap_or_default(),
            body: body(&request.body),
        };
        let response = response.as_ref().map(|response| {
            let head = ResponseHead::parse_complete(&response.head).ok();
            MessageView {
                version: version(head.as_ref().map(|head| head.version)),
                reason: head.as_ref().map(|head| text(head.reason.as_bytes())),
                headers: head.map(|head| fields(&head.headers, reveal)).unwrap_or_default(),
                body: body(&response.body),
            }
        });
        let summary = ExchangeSummary::new(exchange);
        Self { summary, url, timing, request: request_view, response, replayable: is_replayable(exchange) }
    }
}

impl MessageLine {
    /// What is shown of a message.
    pub(crate) fn new(message: &CapturedMessage) -> Self {
        let plain = std::str::from_utf8(&message.data).ok().filter(|_| message.kind != CapturedKind::Close);
        Self {
            number: message.number,
            at_ms: millis(message.at),
            sender: match message.sender {
                MessageSender::Visitor => "visitor",
                MessageSender::Service => "service",
            },
            kind: match message.kind {
                CapturedKind::Text => "text",
                CapturedKind::Binary => "binary",
                CapturedKind::Ping => "ping",
                CapturedKind::Pong => "pong",
                CapturedKind::Close => "close",
                CapturedKind::Event => "event",
            },
            name: message.name.clone(),
            length: message.length,
            text: plain.map(str::to_owned),
            base64: plain.is_none().then(|| BASE64.encode(&message.data)),
        }
    }
}

/// Whether the request of an exchange can be sent again as it came.
pub(crate) fn is_replayable(exchange: &CapturedExchange) -> bool {
    let request = &exchange.request;
    let is_plain = !matches!(exchange.kind(), ResponseKind::WebSocket | ResponseKind::Upgraded);
    is_plain
        && request.framing != Framing::Tunnel
        && request.body.is_whole()
        && request.complete_after.is_some()
}

/// The body of a request, without the framing of chunks.
pub(crate) fn request_body(request: &CapturedRequest) -> Vec<u8> {
    let (mut decoder, mut rest) = (Body::new(request.framing), request.body.bytes());
    let mut payload = Vec::new();
    while !rest.is_empty() {
        match decoder.decode(rest) {
            Ok(decoded) if decoded.used > 0 => {
                payload.extend_from_slice(decoded.payload);
                rest = &rest[decoded.used..];
            }
            _ => break,
        }
    }
    payload
}

/// Where the visitor went, by what the relay says.
pub(crate) fn url(head: &RequestHead) -> String {
    let first = |name: &str| head.headers.first(name).map(text);
    let scheme = first("x-forwarded-proto").unwrap_or_else(|| "http".to_owned());
    let host = first("x-forwarded-host").or_else(|| first("host"));
    match host {
        Some(host) if head.target.starts_with('/') => format!("{scheme}://{host}{}", head.target),
        _ => head.target.clone(),
    }
}

/// The fields of a head; secrets only if `reveal`.
pub(crate) fn fields(headers: &Headers, reveal: bool) -> Vec<FieldView> {
    let view = |(name, value): (&str, &[u8])| {
        let masked = !reveal && is_secret(name);
        let value = if masked { MASK.to_owned() } else { text(value) };
        FieldView { name: name.to_owned(), value, masked }
    };
    headers.iter().map(view).collect()
}

fn version(version: Option<Version>) -> &'static str {
    version.map_or("HTTP/1.1", Version::as_str)
}

fn body(body: &KeptBody) -> BodyView {
    BodyView { length: body.length(), whole: body.is_whole(), kept: !body.bytes().is_empty() }
}
