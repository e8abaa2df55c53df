//! An exchange between a visitor and services that are texts, with a clock that is a number.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use hvym_http1::{ForwardedFields, RequestRewrite};
use hvym_proxy::{
    Choice, Closing, Exchange, ExchangeError, ExchangeEvent, HeadRefusal, ProxyConfig, Released, RetryAction,
    Upstream, UpstreamFailure,
};
use hvym_yamux::Instant;

const REWRITE: RequestRewrite<'_> =
    RequestRewrite { forwarded: ForwardedFields::Keep, keeps_client_address: false, host: None, remove: &[] };

/// What an exchange told its runner, without what is borrowed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Said {
    Request(String),
    Refused(HeadRefusal),
    Connect(Choice),
    Lost(UpstreamFailure),
    Failed(ExchangeError),
    Answered(u16),
    Released(bool),
    Finished,
    Upgraded,
    Closed(Closing),
}

/// A request without a body.
pub(crate) const GET: &str = "GET /a HTTP/1.1\r\nHost: h\r\n\r\n";

/// The head of one with a body of five bytes.
pub(crate) const POST: &str = "POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n";

/// An exchange whose runner forwards every request to one service.
pub(crate) struct Rig {
    pub(crate) exchange: Exchange,
    pub(crate) now: Instant,
    pub(crate) said: Vec<Said>,
    /// What the visitor got.
    pub(crate) visitor: Vec<u8>,
    /// What each connection to the service got.
    pub(crate) service: Vec<Vec<u8>>,
    pub(crate) is_session_up: bool,
    /// Whether the last connection was given up before its response was complete.
    pub(crate) is_abandoned: bool,
    /// A connection that is free.
    pub(crate) pooled: Option<Box<Upstream>>,
    /// Whether the runner forwards requests, or answers them itself.
    pub(crate) forwards: bool,
    /// Whether the runner brings a connection at once.
    pub(crate) connects: bool,
    /// Whether the peers take what is sent.
    pub(crate) visitor_reads: bool,
    pub(crate) service_reads: bool,
}

impl Rig {
    pub(crate) fn new() -> Self {
        Self::with(ProxyConfig::DEFAULT)
    }

    pub(crate) fn with(config: ProxyConfig) -> Self {
        let now = Instant::from_millis(1000);
        Rig {
            exchange: Exchange::new(Arc::new(config), now),
            now,
            said: Vec::new(),
            visitor: Vec::new(),
            service: Vec::new(),
            is_session_up: true,
            is_abandoned: false,
            pooled: None,
            forwards: true,
            connects: true,
            visitor_reads: true,
            service_reads: true,
        }
    }

    pub(crate) fn visit(&mut self, bytes: impl AsRef<[u8]>) {
        self.exchange.handle_visitor_data(Bytes::copy_from_slice(bytes.as_ref()), self.now);
        self.run();
    }

    pub(crate) fn answer(&mut self, bytes: impl AsRef<[u8]>) {
        self.exchange.handle_service_data(Bytes::copy_from_slice(bytes.as_ref()), self.now);
        self.run();
    }

    pub(crate) fn end_visitor(&mut self) {
        self.exchange.handle_visitor_end(self.now);
        self.run();
    }

    pub(crate) fn end_service(&mut self) {
        self.exchange.handle_service_end();
        self.run();
    }

    pub(crate) fn wait(&mut self, millis: u64) {
        self.now = self.now + std::time::Duration::from_millis(millis);
        if self.exchange.poll_timeout().is_some_and(|at| at <= self.now) {
            if let Some(event) = self.exchange.handle_timeout(self.now) {
                let said = said(&event);
                self.said.push(said);
            }
            self.run();
        }
    }

    /// Milliseconds until the next deadline.
    pub(crate) fn deadline(&self) -> Option<u64> {
        self.exchange.poll_timeout().map(|at| (at.as_micros() - self.now.as_micros()) / 1000)
    }

    /// What was said since the last time.
    pub(crate) fn drained(&mut self) -> Vec<Said> {
        std::mem::take(&mut self.said)
    }

    /// What the visitor got since the last time.
    pub(crate) fn seen(&mut self) -> String {
        String::from_utf8(std::mem::take(&mut self.visitor)).expect("text")
    }

    /// What the newest connection to the service got.
    pub(crate) fn asked(&self) -> String {
        String::from_utf8(self.service.last().cloned().unwrap_or_default()).expect("text")
    }

    pub(crate) fn run(&mut self) {
        loop {
            let stepped = self.step();
            if !self.flush() && !stepped {
                return;
            }
        }
    }

    fn flush(&mut self) -> bool {
        let mut moved = false;
        let length = self.exchange.visitor_output().len();
        if self.visitor_reads && length > 0 {
            self.exchange.visitor_output().buffers().for_each(|part| self.visitor.extend_from_slice(part));
            self.exchange.handle_visitor_sent(length, self.now);
            moved = true;
        }
        if self.service_reads
            && let Some(out) = self.exchange.service_output()
        {
            let sent = self.service.last_mut().expect("a connection");
            out.buffers().for_each(|part| sent.extend_from_slice(part));
            out.advance(out.len());
            self.exchange.handle_service_sent(self.now);
            moved = true;
        }
        moved
    }

    fn step(&mut self) -> bool {
        let mut head = BytesMut::new();
        let said = match self.exchange.poll_event(self.now) {
            None => return false,
            Some(ExchangeEvent::Released(Released { upstream, is_reusable, is_abandoned })) => {
                self.is_abandoned = is_abandoned;
                self.pooled = is_reusable.then_some(upstream);
                Said::Released(is_reusable)
            }
            Some(event) => {
                if let ExchangeEvent::Request(view) = &event {
                    view.write_forwarded(&REWRITE, &mut head);
                }
                said(&event)
            }
        };
        self.said.push(said.clone());
        match said {
            Said::Request(_) if self.forwards => self.exchange.forward(head.freeze()),
            Said::Request(_) => self.exchange.take_over(),
            Said::Connect(choice) if self.connects => self.connect(choice),
            Said::Lost(failure) => match self.exchange.resolve_loss(&failure, self.is_session_up) {
                RetryAction::Again => {}
                RetryAction::Elsewhere => {
                    self.is_session_up = true;
                    self.exchange.retry_elsewhere();
                }
                RetryAction::No(error) => self.said.push(Said::Failed(error)),
            },
            _ => {}
        }
        true
    }

    pub(crate) fn connect(&mut self, choice: Choice) {
        let upstream = match self.pooled.take().filter(|_| choice != Choice::Fresh) {
            Some(upstream) => upstream,
            None => {
                self.service.push(Vec::new());
                Box::default()
            }
        };
        self.exchange.handle_connected(upstream, self.now);
    }
}

fn said(event: &ExchangeEvent<'_>) -> Said {
    match event {
        ExchangeEvent::Request(view) => Said::Request(format!("{} {}", view.method(), view.target())),
        ExchangeEvent::Refused { reason, .. } => Said::Refused(*reason),
        ExchangeEvent::Connect(choice) => Said::Connect(*choice),
        ExchangeEvent::Lost(failure) => Said::Lost(*failure),
        ExchangeEvent::Failed(error) => Said::Failed(*error),
        ExchangeEvent::Answered(status) => Said::Answered(*status),
        ExchangeEvent::Released(released) => Said::Released(released.is_reusable),
        ExchangeEvent::Finished => Said::Finished,
        ExchangeEvent::Upgraded => Said::Upgraded,
        ExchangeEvent::Closed(closing) => Said::Closed(*closing),
    }
}
