//! One visitor's HTTP/1.1 connection: a loop that moves bytes between sockets, streams and the machine that decides.
//!
//! It reads the clock once for each wake-up, and has one timer.

mod local;
mod routing;
mod tunnel;

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use futures_util::io::{AsyncWrite, AsyncWriteExt};
use http::StatusCode;
use hvym_proxy::{
    Choice, Closing, Exchange, ExchangeError, ExchangeEvent, LocalBody, Released, RetryAction,
    UpstreamFailure,
};
use hvym_tunnel_core::time::Instant;
use hvym_tunnel_pages::Page;

use self::local::LocalAnswer;
use self::routing::{Forwarded, RouteCache, Routed};
use crate::http1::page_format::wanted_format;
use crate::listener::request_log::RequestLog;
use crate::pages;
use crate::sessions::{Assigned, Wanted};
use crate::settings::{DRAIN_LINGER, PARTING_TIMEOUT};
use crate::upstream::conn::UpstreamConn;
use crate::upstream::h1;
use crate::upstream::pool::PooledConn;
use crate::visitor::Visitor;
use hvym_tunnel_net::copy::LocalConnection;
use hvym_tunnel_net::date::http_date;
use hvym_tunnel_net::deadline::Deadline;
use hvym_tunnel_net::socket::Wire;
use hvym_tunnel_net::tcp::Tcp;
use hvym_tunnel_net::timeout::within;

/// Rounds of the loop before other tasks get their turn.
const BUDGET: usize = 32;
/// Buffers of one vectored write.
const MAX_SLICES: usize = 16;

/// How the connection ended.
pub(super) enum Http1End {
    /// It is to be closed, which over TCP alone is left to the caller, who gets it back.
    Closed(Closing, Option<Tcp>),
    /// It is lost, or somebody else has it.
    Gone,
}

type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

struct Http1Conn<'a> {
    // Fields: both ends, the request under way and whoever answers it, and what is kept from one request to the next.
    visitor: &'a Arc<Visitor>,
    wire: Wire,
    exchange: Exchange,
    /// The connection that carries the request under way.
    service: Option<PooledConn>,
    request: Option<Forwarded<'a>>,
    connecting: Option<Boxed<'a, Result<(UpstreamConn, Assigned), Page>>>,
    local: Option<LocalAnswer<'a>>,
    routes: RouteCache,
    deadline: Deadline,
    /// Wakes the task when the relay drains.
    draining: Option<Boxed<'a, ()>>,
    needs_flush: bool,
    heads: BytesMut,
    log: RequestLog,
}

/// Serves a connection, of which `ahead` was read, to its end.
pub(super) async fn serve(visitor: &Arc<Visitor>, wire: Wire, ahead: Bytes) -> Http1End {
    let mut conn = Http1Conn::new(visitor, wire, ahead);
    let end = poll_fn(|cx| conn.poll(cx)).await;
    if !matches!(end, End::Upgraded) {
        conn.log.end(conn.exchange.visitor_output());
    }
    match end {
        End::Closed(closing) => match conn.wire {
            Wire::Plain(tcp) => Http1End::Closed(closing, Some(tcp)),
            Wire::Boxed(mut stream) => {
                if closing == Closing::Orderly {
                    // TLS says so in words of its own.
                    let _closed = within(PARTING_TIMEOUT, stream.close()).await;
                }
                Http1End::Closed(closing, None)
            }
        },
        End::Lost => Http1End::Gone,
        End::Upgraded => {
            // Boxed, so that its large future does not add to every connection.
            Box::pin(tunnel::run(conn)).await;
            Http1End::Gone
        }
    }
}

/// Why the loop ended.
enum End {
    Closed(Closing),
    /// The visitor's connection failed.
    Lost,
    Upgraded,
}

/// What an event asks for, without what it borrows.
enum Step<'a> {
    Route(Routed<'a>),
    Refuse(Page),
    Connect(Choice),
    Retry(UpstreamFailure),
    Fail(ExchangeError),
    Answered(u16),
    Release(Released),
    Finish,
    End(End),
}

impl<'a> Http1Conn<'a> {
    /// Not a part of the future that serves it, which would keep room for what moves into it here.
    fn new(visitor: &'a Arc<Visitor>, wire: Wire, ahead: Bytes) -> Self {
        let now = visitor.state.clock.now();
        visitor.trace.visitor("received", ahead.len());
        let mut exchange = Exchange::new(visitor.proxy_config(), now);
        exchange.handle_visitor_data(ahead, now);
        Self {
            visitor,
            wire,
            exchange,
            service: None,
            request: None,
            connecting: None,
            local: None,
            routes: RouteCache::default(),
            deadline: Deadline::default(),
            draining: Some(Box::pin(visitor.state.lifecycle.draining.cancelled())),
            needs_flush: false,
            heads: BytesMut::new(),
            log: RequestLog::default(),
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        let now = self.visitor.state.clock.now();
        self.poll_draining(now, cx);
        let mut gathered = 0;
        for _ in 0..BUDGET {
            if let Some(end) = self.handle_events(now) {
                return Poll::Ready(end);
            }
            let mut moved = self.poll_connecting(now, cx) | self.poll_local(now, cx);
            if self.poll_service(now, cx) {
                moved = true;
                gathered += 1;
                // What the link has cut into pieces is written by one system call.
                if gathered < MAX_SLICES && self.exchange.visitor_output().len() < h1::READ_BYTES {
                    continue;
                }
            }
            gathered = 0;
            match self.poll_visitor(now, cx) {
                Ok(visitor_moved) => moved |= visitor_moved,
                Err(error) => {
                    tracing::debug!(%error, "a visitor's connection ended");
                    self.exchange.handle_visitor_reset();
                    self.handle_events(now);
                    return Poll::Ready(End::Lost);
                }
            }
            if moved {
                continue;
            }
            if !self.deadline.is_due(self.exchange.poll_timeout(), now, cx) {
                return Poll::Pending;
            }
            self.handle_timeout(now);
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_draining(&mut self, now: Instant, cx: &mut Context<'_>) {
        if let Some(draining) = &mut self.draining
            && draining.as_mut().poll(cx).is_ready()
        {
            self.draining = None;
            self.exchange.drain(DRAIN_LINGER, now);
        }
    }

    fn handle_events(&mut self, now: Instant) -> Option<End> {
        loop {
            let step = match self.exchange.poll_event(now)? {
                ExchangeEvent::Request(view) => {
                    self.log.begin(self.visitor, &view);
                    Step::Route(routing::route(self.visitor, &view, &mut self.routes, &mut self.heads))
                }
                ExchangeEvent::Refused { reason, .. } => Step::Refuse(pages::refused_head(reason)),
                ExchangeEvent::Connect(choice) => Step::Connect(choice),
                ExchangeEvent::Lost(failure) => Step::Retry(failure),
                ExchangeEvent::Failed(error) => Step::Fail(error),
                ExchangeEvent::Answered(status) => Step::Answered(status),
                ExchangeEvent::Released(released) => Step::Release(released),
                ExchangeEvent::Finished => Step::Finish,
                ExchangeEvent::Upgraded => Step::End(End::Upgraded),
                ExchangeEvent::Closed(closing) => Step::End(End::Closed(closing)),
            };
            match step {
                Step::Route(routed) => self.begin(routed, now),
                Step::Refuse(page) => self.respond(&page, now),
                Step::Connect(choice) => self.connect(choice, now),
                Step::Retry(failure) => self.retry(&failure, now),
                Step::Fail(error) => self.fail(error, now),
                Step::Answered(status) => self.note_answer(status),
                Step::Release(released) => self.release(released),
                Step::Finish => {
                    self.log.end(self.exchange.visitor_output());
                    (self.request, self.local, self.connecting) = (None, None, None);
                }
                Step::End(end) => return Some(end),
            }
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        let refused = match self.exchange.handle_timeout(now) {
            Some(ExchangeEvent::Refused { reason, .. }) => Some(reason),
            _ => None,
        };
        if let Some(reason) = refused {
            self.respond(&pages::refused_head(reason), now);
        }
    }

    fn begin(&mut self, routed: Routed<'a>, now: Instant) {
        self.log.begin_answer(self.exchange.visitor_output());
        match routed {
            Routed::Forward { head, request } => {
                self.exchange.set_rate_enforced(request.is_rate_enforced());
                self.request = Some(request);
                self.exchange.forward(head);
            }
            Routed::Local(local) => {
                self.exchange.take_over();
                self.local = Some(local);
            }
            Routed::Page(page) => self.respond(&page, now),
        }
    }

    /// Answers the request under way with a page.
    fn respond(&mut self, page: &Page, now: Instant) {
        (self.local, self.connecting) = (None, None);
        if let Some(mut request) = self.request.take() {
            request.fail(page);
        }
        let format = wanted_format(self.exchange.request_head());
        let body = page.body(format);
        let length = LocalBody::Length(body.len() as u64);
        if self.exchange.respond(page.head(format, body.len()), length, now).is_ok() {
            self.log.refuse(self.visitor, page.status);
            self.exchange.send_local_body(Bytes::from(body), now);
            self.exchange.end_local_body(&[], now);
        }
    }

    fn fail(&mut self, error: ExchangeError, now: Instant) {
        let page = match error {
            ExchangeError::BadResponse => pages::bad_answer(),
            ExchangeError::SessionLost => Page::agent_lost(),
            ExchangeError::ResponseTimeout => Page::upstream_timeout(),
            ExchangeError::BodyTimeout => pages::late_body(),
            ExchangeError::BodyBroken => pages::broken_request(),
        };
        self.respond(&page, now);
    }

    fn retry(&mut self, failure: &UpstreamFailure, now: Instant) {
        let Some(request) = &mut self.request else { return };
        tracing::debug!(error = %failure, owner = %request.name.owner, "no response");
        match self.exchange.resolve_loss(failure, request.is_session_up()) {
            RetryAction::Again => {}
            RetryAction::Elsewhere if request.move_elsewhere(self.visitor) => self.exchange.retry_elsewhere(),
            RetryAction::Elsewhere => self.fail(ExchangeError::SessionLost, now),
            RetryAction::No(error) => self.fail(error, now),
        }
    }

    fn note_answer(&mut self, status: u16) {
        self.log.set_status(status);
        if let Some(request) = &mut self.request {
            request.answered(StatusCode::from_u16(status).unwrap_or(StatusCode::OK));
        }
    }

    /// The service is done with the request, even if its visitor is not.
    fn release(&mut self, released: Released) {
        if let Some(request) = self.request.as_mut().filter(|_| !released.is_abandoned) {
            request.leave();
        }
        let Some(mut pooled) = self.service.take() else { return };
        pooled.h1_conn.upstream = Some(released.upstream);
        if released.is_reusable {
            pooled.give_back();
        }
    }

    fn connect(&mut self, choice: Choice, now: Instant) {
        let Some(request) = &mut self.request else { return };
        let wanted = Wanted { choice, logs_in: request.logs_in };
        if let Some(assigned) = request.assigned.as_ref().filter(|_| choice != Choice::Fresh)
            && let Some(pooled) = assigned.session.take_idle(request.user, &assigned.service, choice)
        {
            self.visitor.note_pool(&assigned.session.pool);
            return self.connected(pooled, now);
        }
        let assigned = request.assigned.take();
        let (sessions, name, user) = (&self.visitor.state.sessions, Arc::clone(&request.name), request.user);
        self.connecting =
            Some(Box::pin(async move { sessions.upstream(user, &name, assigned, wanted).await }));
    }

    fn poll_connecting(&mut self, now: Instant, cx: &mut Context<'_>) -> bool {
        let Some(connecting) = &mut self.connecting else { return false };
        let Poll::Ready(connected) = connecting.as_mut().poll(cx) else { return false };
        self.connecting = None;
        match connected {
            Ok((UpstreamConn::Own(pooled), assigned)) => {
                self.visitor.note_pool(&assigned.session.pool);
                if let Some(request) = &mut self.request {
                    request.assigned = Some(assigned);
                }
                self.connected(pooled, now);
            }
            // The service speaks HTTP/2 since the request was routed.
            Ok((UpstreamConn::Shared { .. }, _)) => self.respond(&pages::bad_answer(), now),
            Err(page) => self.respond(&page, now),
        }
        true
    }

    fn connected(&mut self, mut pooled: PooledConn, now: Instant) {
        match pooled.h1_conn.upstream.take() {
            Some(upstream) => {
                self.service = Some(pooled);
                self.exchange.handle_connected(upstream, now);
            }
            None => self.respond(&pages::bad_answer(), now),
        }
    }

    /// Moves bytes to and from the visitor. Returns whether any moved.
    fn poll_visitor(&mut self, now: Instant, cx: &mut Context<'_>) -> io::Result<bool> {
        let mut moved = self.write_visitor(now, cx)?;
        if !self.exchange.wants_visitor_data() {
            // Nobody would hear otherwise that the visitor of a service that takes nothing has left.
            return match self.wire.poll_reset(cx) {
                Poll::Ready(error) => Err(error),
                Poll::Pending => Ok(moved),
            };
        }
        if let Poll::Ready(data) = self.wire.poll_read_bytes(cx) {
            let data = data?;
            moved = true;
            if data.is_empty() {
                self.visitor.trace.visitor("ended", 0);
                self.exchange.handle_visitor_end(now);
            } else {
                self.visitor.trace.visitor("received", data.len());
                self.exchange.handle_visitor_data(data, now);
            }
        }
        Ok(moved)
    }

    fn write_visitor(&mut self, now: Instant, cx: &mut Context<'_>) -> io::Result<bool> {
        let mut moved = false;
        while !self.exchange.visitor_output().is_empty() {
            let mut slices = [io::IoSlice::new(&[]); MAX_SLICES];
            let mut count = 0;
            for (slice, data) in slices.iter_mut().zip(self.exchange.visitor_output().buffers()) {
                (*slice, count) = (io::IoSlice::new(data), count + 1);
            }
            match Pin::new(&mut self.wire).poll_write_vectored(cx, &slices[..count]) {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(sent)) => {
                    self.visitor.trace.visitor("sent", sent);
                    self.exchange.handle_visitor_sent(sent, now);
                }
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => break,
            }
            (moved, self.needs_flush) = (true, true);
        }
        if self.needs_flush
            && let Poll::Ready(flushed) = Pin::new(&mut self.wire).poll_flush(cx)
        {
            flushed?;
            self.needs_flush = false;
        }
        Ok(moved)
    }

    /// Moves bytes to and from the service. Returns whether any moved.
    fn poll_service(&mut self, now: Instant, cx: &mut Context<'_>) -> bool {
        let Some(pooled) = &mut self.service else { return false };
        let stream = &mut pooled.h1_conn.stream;
        let mut moved = false;
        if let Some(output) = self.exchange.service_output() {
            match h1::send_queue(stream, output, now, cx) {
                Ok(false) => {}
                Ok(true) => {
                    self.exchange.handle_service_sent(now);
                    moved = true;
                }
                Err(error) => {
                    tracing::debug!(%error, "a service takes nothing more");
                    self.exchange.handle_service_write_closed();
                    moved = true;
                }
            }
        }
        if self.exchange.wants_service_data()
            && let Poll::Ready(data) = stream.poll_some_at(h1::READ_BYTES, now, cx)
        {
            moved = true;
            match data {
                Ok(Some(data)) => {
                    self.exchange.set_date(http_date(now));
                    self.exchange.handle_service_data(data, now);
                }
                Ok(None) => self.exchange.handle_service_end(),
                Err(_) => self.exchange.handle_service_reset(),
            }
        }
        moved
    }
}
