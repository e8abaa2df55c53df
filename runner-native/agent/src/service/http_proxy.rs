//! An HTTP/1.1 proxy on one stream, for services with a filter, for callers, and for folders.
//!
//! It moves bytes between the stream, the machine that decides, and the service or the folder. The machine's timeouts are
//! the relay's business; here are none.

mod local_answer;
mod routing;

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::future::try_join;
use futures_util::io::{AsyncWrite, AsyncWriteExt};
use hvym_http1::ResponseHead;
use hvym_proxy::{
    Choice, Closing, Exchange, ExchangeError, ExchangeEvent, HeadRefusal, LocalBody, ProxyConfig, Released,
    RetryAction, Upstream as UpstreamMachine, UpstreamFailure,
};
use hvym_tunnel_core::time::Instant;
use hvym_tunnel_net::clock::Clock;
use hvym_tunnel_net::copy::LocalConnection;
use hvym_tunnel_net::copy::{Direction, splice};
use hvym_tunnel_net::stream::TunnelStream;
use hvym_tunnel_pages::Page;

use self::local_answer::LocalAnswer;
use super::access_filter::{Refusal, Verification};
use super::error_page::Audience;
use super::request_log::RequestLog;
use super::upstream::{ConnectError, UpstreamStream};
use super::{LocalService, Source, error_page};
use crate::event::RequestNote;
use crate::event_sink::EventSink;
use crate::shutdown::{DrainGuard, Finishing};

/// Rounds of the loop before other tasks get their turn.
const BUDGET: usize = 32;
/// Buffers of one vectored write.
const MAX_SLICES: usize = 16;
/// The most that one read takes out of the stream.
const READ_BYTES: usize = 64 * 1024;
/// The reset code of a stream whose response cannot be completed; of local meaning only.
const RESET_BROKEN: u32 = 5;

type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The proxy of one stream.
pub(super) struct HttpProxy<'a> {
    // Fields: both ends, the request under way and whoever answers it, and who is told.
    service: &'a LocalService,
    /// Whether another identity opened the stream, of whom nothing is the relay's word.
    is_caller: bool,
    sink: &'a EventSink,
    stream: TunnelStream,
    log: RequestLog,
    exchange: Exchange,
    /// The connection that carries the request under way.
    carrier: Option<UpstreamStream>,
    /// One that waits for the next request.
    idle: Option<(UpstreamStream, Box<UpstreamMachine>)>,
    wanted: Option<Choice>,
    connecting: Option<Boxed<'a, Result<UpstreamStream, ConnectError>>>,
    local: Option<LocalAnswer<'a>>,
    /// The password of the request under way, and what becomes of it if that is right.
    verifying: Option<(Verification<'a>, Box<Step<'a>>)>,
    /// Of pages for the request under way.
    audience: Audience,
    heads: BytesMut,
    has_begun: bool,
    needs_flush: bool,
    guard: DrainGuard,
}

/// Why the loop ended.
enum End {
    Closed(Closing),
    Upgraded,
}

/// What an event asks for, without what it borrows.
enum Step<'a> {
    Forward(Bytes),
    Local(LocalAnswer<'a>),
    Refuse(Box<Refusal>),
    /// The step once a password is verified.
    Verify(Verification<'a>, Box<Step<'a>>),
    Malformed(HeadRefusal),
    Connect(Choice),
    Retry(UpstreamFailure),
    Fail(ExchangeError),
    Answered,
    Release(Released),
    Finish,
    End(End),
}

impl<'a> HttpProxy<'a> {
    /// A proxy of `stream`, on which nothing was asked yet.
    pub(super) fn new(
        service: &'a LocalService,
        is_caller: bool,
        sink: &'a EventSink,
        stream: TunnelStream,
        log: RequestLog,
        guard: DrainGuard,
    ) -> Self {
        let exchange = Exchange::new(Arc::new(ProxyConfig::DEFAULT), Clock::new().now());
        Self {
            service,
            is_caller,
            sink,
            stream,
            log,
            exchange,
            carrier: None,
            idle: None,
            wanted: None,
            connecting: None,
            local: None,
            verifying: None,
            audience: Audience::default(),
            heads: BytesMut::new(),
            has_begun: false,
            needs_flush: false,
            guard,
        }
    }

    /// The same, with a connection to the service for the first request.
    pub(super) fn with_idle(mut self, local: Option<UpstreamStream>) -> Self {
        self.idle = local.map(|local| (local, Box::default()));
        self
    }

    /// Answers requests until the stream ends, or until the drain asks for the end between two requests.
    ///
    /// # Errors
    /// If the stream breaks, or what it carries after an upgrade.
    pub(super) async fn serve(mut self) -> io::Result<()> {
        match poll_fn(|cx| self.poll(cx)).await? {
            End::Closed(Closing::Orderly) => {
                self.log.pass(Direction::ToTunnel, None, Clock::new().now());
                error_page::finish(self.stream).await
            }
            End::Closed(Closing::Reset) => {
                self.stream.reset(RESET_BROKEN);
                Ok(())
            }
            End::Upgraded => Box::pin(self.tunnel()).await,
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<End>> {
        let now = Clock::new().now();
        // A stream without a request would be closed, and the first one is on its way.
        if self.has_begun && self.guard.is_asked_to_finish(cx) {
            self.exchange.drain(Duration::ZERO, now);
        }
        let mut gathered = 0;
        for _ in 0..BUDGET {
            if let Some(end) = self.handle_events(now) {
                return Poll::Ready(Ok(end));
            }
            let mut moved = self.poll_verifying(now, cx);
            moved |= self.poll_connecting(now, cx) | self.poll_local(now, cx);
            if self.poll_visitor(now, cx).inspect_err(|_| self.exchange.handle_visitor_reset())? {
                moved = true;
                gathered += 1;
                // What the link has cut into pieces is written by one system call.
                let waiting = self.exchange.service_output().map_or(0, |output| output.len());
                if gathered < MAX_SLICES && (1..READ_BYTES).contains(&waiting) {
                    continue;
                }
            }
            gathered = 0;
            moved |= self.poll_service(now, cx);
            if !moved {
                return self.stream.poll_reset(now, cx).map(Err);
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn handle_events(&mut self, now: Instant) -> Option<End> {
        loop {
            let (service, is_caller) = (self.service, self.is_caller);
            let step = match self.exchange.poll_event(now)? {
                ExchangeEvent::Request(view) => {
                    let routing::Routed { step, mapping, audience } =
                        routing::route(service, is_caller, &view, &mut self.heads);
                    self.audience = audience;
                    self.exchange.map_host(mapping);
                    step
                }
                ExchangeEvent::Refused { reason, .. } => Step::Malformed(reason),
                ExchangeEvent::Connect(choice) => Step::Connect(choice),
                ExchangeEvent::Lost(failure) => Step::Retry(failure),
                ExchangeEvent::Failed(error) => Step::Fail(error),
                ExchangeEvent::Answered(_) => Step::Answered,
                ExchangeEvent::Released(released) => Step::Release(released),
                ExchangeEvent::Finished => Step::Finish,
                ExchangeEvent::Upgraded => Step::End(End::Upgraded),
                ExchangeEvent::Closed(closing) => Step::End(End::Closed(closing)),
            };
            if let Some(end) = self.take_step(step, now) {
                return Some(end);
            }
        }
    }

    fn take_step(&mut self, step: Step<'a>, now: Instant) -> Option<End> {
        match step {
            Step::Forward(head) => self.exchange.forward(head),
            Step::Verify(verification, step) => self.verifying = Some((verification, step)),
            Step::Local(answer) => {
                self.exchange.take_over();
                self.local = Some(answer);
            }
            Step::Refuse(refusal) => {
                let Refusal { head, body, note } = *refusal;
                self.log.note(Some(note));
                self.respond(head, body, now);
            }
            Step::Malformed(reason) => self.refuse_head(reason, now),
            Step::Connect(choice) => self.wanted = Some(choice),
            Step::Retry(failure) => self.retry(failure, now),
            Step::Fail(error) => self.fail(error, now),
            Step::Answered => self.log.note(None),
            Step::Release(released) => self.release(released),
            Step::Finish => {
                (self.local, self.connecting, self.wanted, self.verifying) = (None, None, None, None);
            }
            Step::End(end) => return Some(end),
        }
        None
    }

    /// Goes on with a request whose password was verified.
    fn poll_verifying(&mut self, now: Instant, cx: &mut Context<'_>) -> bool {
        let Some((verification, _)) = &mut self.verifying else { return false };
        let Poll::Ready(verified) = verification.as_mut().poll(cx) else { return false };
        let step = self.verifying.take().map(|(_, step)| *step);
        let step = match verified {
            Ok(()) => step,
            Err(refusal) => Some(Step::Refuse(refusal)),
        };
        // Neither ends the stream.
        if let Some(step) = step {
            let _none = self.take_step(step, now);
        }
        true
    }

    /// Answers the request under way in place of the service.
    fn respond(&mut self, head: ResponseHead, body: Bytes, now: Instant) {
        (self.local, self.connecting, self.wanted) = (None, None, None);
        let length = LocalBody::Length(body.len() as u64);
        if self.exchange.respond(head, length, now).is_ok() {
            self.exchange.send_local_body(body, now);
            self.exchange.end_local_body(&[], now);
        }
    }

    fn respond_page(&mut self, page: &Page, note: Option<RequestNote>, now: Instant) {
        self.log.note(note);
        let format = self.audience.format;
        let body = page.body(format);
        self.respond(page.head(format, body.len()), Bytes::from(body), now);
    }

    fn refuse_head(&mut self, reason: HeadRefusal, now: Instant) {
        let (status, why) = match reason {
            HeadRefusal::Head(error) => (error.status(), error.to_string()),
            HeadRefusal::Late => (408, "its head did not come in time".to_owned()),
        };
        self.respond_page(&error_page::unreadable(status, &why), None, now);
    }

    fn retry(&mut self, failure: UpstreamFailure, now: Instant) {
        tracing::debug!(error = %failure, service = %self.service.spec.name, "no response");
        if self.exchange.resolve_loss(&failure, true) == RetryAction::Again {
            return;
        }
        let place = self.service.spec.target.place();
        match failure {
            UpstreamFailure::Head(reason) => {
                let note = RequestNote::BadResponse { place, reason };
                self.respond_page(&error_page::no_answer("did not answer in HTTP"), Some(note), now);
            }
            failure => {
                // What came ended before it was a head, whatever it was meant to be.
                let is_begun = failure == UpstreamFailure::HeadTruncated;
                let what = if is_begun {
                    "did not answer in HTTP"
                } else {
                    "closed the connection without an answer"
                };
                let note = RequestNote::ClosedWithoutResponse { place };
                self.respond_page(&error_page::no_answer(what), Some(note), now);
            }
        }
    }

    fn fail(&mut self, error: ExchangeError, now: Instant) {
        let page = match error {
            ExchangeError::BodyBroken | ExchangeError::BodyTimeout => {
                error_page::unreadable(400, &error.to_string())
            }
            _ => error_page::no_answer("gave no proper answer"),
        };
        self.respond_page(&page, None, now);
    }

    fn release(&mut self, released: Released) {
        self.idle =
            self.carrier.take().filter(|_| released.is_reusable).map(|carrier| (carrier, released.upstream));
    }

    fn poll_connecting(&mut self, now: Instant, cx: &mut Context<'_>) -> bool {
        let Source::Upstream(upstream) = &self.service.source else { return false };
        if let Some(choice) = self.wanted.take() {
            let idle = self.idle.take().filter(|_| choice != Choice::Fresh);
            // One on which something came since, or that was closed, is no good.
            let idle =
                idle.and_then(|(mut stream, machine)| is_quiet(&mut stream, cx).then_some((stream, machine)));
            match idle {
                Some((stream, machine)) => self.connected(stream, machine, now),
                None => self.connecting = Some(Box::pin(upstream.connect())),
            }
            return true;
        }
        let Some(connecting) = &mut self.connecting else { return false };
        let Poll::Ready(connected) = connecting.as_mut().poll(cx) else { return false };
        self.connecting = None;
        self.service.note(upstream, connected.as_ref().err(), self.sink);
        match connected {
            Ok(stream) => self.connected(stream, Box::default(), now),
            // It has an event of its own.
            Err(error) => self.respond_page(&error_page::unreachable(&error, self.audience), None, now),
        }
        true
    }

    fn connected(&mut self, stream: UpstreamStream, machine: Box<UpstreamMachine>, now: Instant) {
        self.carrier = Some(stream);
        self.exchange.handle_connected(machine, now);
    }

    /// Moves bytes to and from the visitor. Returns whether any moved.
    fn poll_visitor(&mut self, now: Instant, cx: &mut Context<'_>) -> io::Result<bool> {
        let mut moved = false;
        loop {
            let Some(whole) = self.exchange.visitor_output().buffers().next().cloned() else { break };
            let mut left = whole.clone();
            let Poll::Ready(sent) = self.stream.poll_write_at(&mut left, now, cx) else { break };
            let sent = sent?;
            self.log.pass(Direction::ToTunnel, Some(&whole[..sent]), now);
            self.exchange.handle_visitor_sent(sent, now);
            moved = true;
        }
        if self.exchange.wants_visitor_data()
            && let Poll::Ready(data) = self.stream.poll_some_at(READ_BYTES, now, cx)
        {
            let data = data?;
            self.log.pass(Direction::ToLocal, data.as_deref(), now);
            moved = true;
            match data {
                Some(data) => {
                    self.has_begun = true;
                    self.exchange.handle_visitor_data(data, now);
                }
                None => self.exchange.handle_visitor_end(now),
            }
        }
        Ok(moved)
    }

    /// Moves bytes to and from the service. Returns whether any moved.
    fn poll_service(&mut self, now: Instant, cx: &mut Context<'_>) -> bool {
        let Some(carrier) = &mut self.carrier else { return false };
        let mut moved = false;
        while let Some(output) = self.exchange.service_output() {
            let mut slices = [io::IoSlice::new(&[]); MAX_SLICES];
            let count = output
                .buffers()
                .zip(&mut slices)
                .map(|(data, slice)| *slice = io::IoSlice::new(data))
                .count();
            let written = Pin::new(&mut *carrier).poll_write_vectored(cx, &slices[..count]);
            match written {
                Poll::Pending => break,
                Poll::Ready(Ok(sent)) if sent > 0 => {
                    output.advance(sent);
                    self.exchange.handle_service_sent(now);
                    self.needs_flush = true;
                }
                Poll::Ready(outcome) => {
                    tracing::debug!(?outcome, "a service takes nothing more");
                    self.exchange.handle_service_write_closed();
                }
            }
            moved = true;
        }
        if self.needs_flush && Pin::new(&mut *carrier).poll_flush(cx).is_ready() {
            self.needs_flush = false;
        }
        if self.exchange.wants_service_data()
            && let Poll::Ready(data) = carrier.poll_read_bytes(cx)
        {
            moved = true;
            match data {
                Ok(data) if data.is_empty() => self.exchange.handle_service_end(),
                Ok(data) => self.exchange.handle_service_data(data, now),
                Err(_) => self.exchange.handle_service_reset(),
            }
        }
        moved
    }

    /// Copies bytes from now on: the service agreed to another protocol.
    async fn tunnel(self) -> io::Result<()> {
        let HttpProxy { mut stream, mut log, exchange, carrier, guard, .. } = self;
        let mut local = carrier.ok_or(io::ErrorKind::NotConnected)?;
        let (to_visitor, to_service) = exchange.into_tunnel();
        let early = async {
            for data in to_service.buffers() {
                local.write_all(data).await?;
            }
            local.flush().await
        };
        let response = async {
            for data in to_visitor.buffers() {
                log.pass(Direction::ToTunnel, Some(data), Clock::new().now());
                stream.write_bytes(data.clone()).await?;
            }
            Ok(())
        };
        try_join(early, response).await?;
        let local = Finishing::new(local, guard);
        splice(stream, local, move |direction, bytes, now| log.pass(direction, bytes, now)).await
    }
}

fn is_quiet(stream: &mut UpstreamStream, cx: &mut Context<'_>) -> bool {
    stream.poll_read_bytes(cx).is_pending()
}
