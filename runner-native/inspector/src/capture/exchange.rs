//! One request and its response, as far as they were seen and are kept.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hvym_http1::Framing;
use hvym_tunnel_core::stellar::Address;
use hvym_tunnel_core::time::Instant;

use super::body::KeptBody;
use super::messages::MessageLog;

/// A moment on both clocks.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) struct Moment {
    /// On the monotonic clock.
    pub at: Instant,
    /// Milliseconds since the Unix epoch.
    pub unix_ms: u64,
}

/// How far a response is.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Progress {
    /// It is awaited, or not complete.
    Open,
    /// It is complete; after an upgrade the connection has ended.
    Complete,
    /// It ended before it was complete.
    Broken,
}

/// What kind of response it is.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum ResponseKind {
    /// A body.
    Plain,
    /// Events.
    EventStream,
    /// Messages after an upgrade.
    WebSocket,
    /// Another protocol after an upgrade.
    Upgraded,
}

/// The request of an exchange.
#[derive(Clone, Debug)]
pub(crate) struct CapturedRequest {
    /// The head as it came.
    pub head: Bytes,
    /// The method.
    pub method: String,
    /// The target as it came.
    pub target: String,
    /// How the body ends.
    pub framing: Framing,
    /// The body as it came, with the framing of chunks.
    pub body: KeptBody,
    /// When its last byte came, since the first.
    pub complete_after: Option<Duration>,
}

impl CapturedRequest {
    /// A request of which the head came.
    pub(crate) fn new(head: Bytes, method: String, target: String, framing: Framing) -> Self {
        Self { head, method, target, framing, body: KeptBody::default(), complete_after: None }
    }
}

/// The response of an exchange.
#[derive(Clone, Debug)]
pub(crate) struct CapturedResponse {
    /// The head as it came.
    pub head: Bytes,
    /// The status.
    pub status: u16,
    /// What it is.
    pub kind: ResponseKind,
    /// The body without the framing of chunks; that of an event stream is kept as messages alone.
    pub body: KeptBody,
    /// When its head came, since the request began.
    pub begun_after: Duration,
}

/// Where an exchange comes from.
#[derive(Clone, Debug)]
pub(crate) struct ExchangeSource {
    /// The service.
    pub service: Arc<str>,
    /// The identity that asked; `None` for visitors.
    pub from: Option<Address>,
    /// The exchange whose request was sent again.
    pub replay_of: Option<u64>,
}

/// A request and its response.
#[derive(Clone, Debug)]
pub(crate) struct CapturedExchange {
    /// Counts all exchanges from 1.
    pub id: u64,
    /// Where it comes from.
    pub source: ExchangeSource,
    /// When the request began.
    pub started: Moment,
    /// The request.
    pub request: CapturedRequest,
    /// The response, once its head came.
    pub response: Option<CapturedResponse>,
    /// Events, or messages of a WebSocket.
    pub messages: MessageLog,
    /// How far the response is.
    pub progress: Progress,
    /// How long it took, once it is not open any more.
    pub duration: Option<Duration>,
}

impl CapturedExchange {
    /// Since the request began.
    pub(super) fn since(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.started.at)
    }

    /// The response is over.
    pub(super) fn finish(&mut self, progress: Progress, now: Instant) {
        if self.progress == Progress::Open {
            self.progress = progress;
            self.duration = Some(self.since(now));
        }
    }

    /// What it is.
    pub(crate) fn kind(&self) -> ResponseKind {
        self.response.as_ref().map_or(ResponseKind::Plain, |response| response.kind)
    }

    /// Bytes held.
    pub(super) fn held(&self) -> usize {
        let request = &self.request;
        let texts = request.head.len() + request.method.capacity() + request.target.capacity();
        let response =
            self.response.as_ref().map_or(0, |response| response.head.len() + response.body.held());
        size_of::<Self>() + texts + request.body.held() + response + self.messages.held()
    }
}
