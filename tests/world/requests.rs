//! What the relay does with the requests of one visitor: which connection carries each, and what becomes of it.

use std::sync::Arc;

use bytes::BytesMut;
use hvym_http1::{ForwardedBlock, ForwardedFields, RequestRewrite, RequestView};
use hvym_proxy::limits::Use;
use hvym_proxy::pool::{Grant, OpenRefusal, Returned};
use hvym_proxy::{
    Choice, Closing, Exchange, ExchangeError, ExchangeEvent, Released, RetryAction, UpstreamFailure,
};
use hvym_tunnel_core::link::Streams;
use hvym_tunnel_core::mux::{Read, StreamId};
use hvym_tunnel_core::time::Instant;

use crate::copy::Tunnel;
use crate::hosted::{Carrier, Conn, Holder, Served, SessionKey};
use crate::line::{Pipe, PipeEnd};
use crate::log::note;
use crate::relay::{Relay, SUCCESSOR_TIMEOUT};
use crate::service::WEB;

/// What an event asks for, without what it borrows.
enum Next {
    Nothing,
    Route(Option<usize>, Use, bytes::Bytes),
    Refuse(u16),
    Connect(Choice),
    Lost(UpstreamFailure),
    Release(Released),
    Finish,
    Upgrade,
    Close(Closing),
}

impl Relay {
    /// The next event of a visitor's connection. Whether there was one.
    pub(crate) fn step(
        &mut self,
        visitor: usize,
        served: &mut Served,
        pipe: &mut Pipe,
        now: Instant,
    ) -> bool {
        if served.is_closing {
            return false;
        }
        let exchange = match &mut served.carrier {
            Carrier::Http(exchange) => exchange,
            Carrier::Tunnel(tunnel) => {
                let Some(closing) = tunnel.closing() else { return false };
                self.close(served, closing, pipe, now);
                return true;
            }
        };
        let Some(event) = exchange.poll_event(now) else { return false };
        match next(event) {
            Next::Nothing => served.is_answered = true,
            Next::Route(agent, kind, head) => self.route(served, agent, kind, head, now),
            Next::Refuse(status) => served.refuse(status, now),
            Next::Connect(choice) => self.connect(visitor, served, choice, now),
            Next::Lost(failure) => self.retry(served, &failure, now),
            Next::Release(released) => self.release(served, released, now),
            Next::Finish => self.finish(served, now),
            Next::Upgrade => {
                let both = (hvym_proxy::SendQueue::new(), hvym_proxy::SendQueue::new());
                let tunnel = Carrier::Tunnel(Box::new(Tunnel::new(both, now)));
                if let Carrier::Http(exchange) = std::mem::replace(&mut served.carrier, tunnel) {
                    served.carrier = Carrier::Tunnel(Box::new(Tunnel::new(exchange.into_tunnel(), now)));
                }
            }
            Next::Close(closing) => self.close(served, closing, pipe, now),
        }
        true
    }

    fn route(
        &mut self,
        served: &mut Served,
        agent: Option<usize>,
        kind: Use,
        head: bytes::Bytes,
        now: Instant,
    ) {
        served.agent = agent;
        let entered =
            agent.map(|agent| self.limits.enter(Some(served.address), &agent, kind, now).map(|()| agent));
        match (entered, &mut served.carrier) {
            (Some(Ok(agent)), Carrier::Http(exchange)) => {
                served.counted = Some(kind);
                served.is_answered = false;
                exchange.set_rate_enforced(self.limits.is_pressed(&agent));
                exchange.forward(head);
            }
            _ => served.refuse(503, now),
        }
    }

    fn retry(&mut self, served: &mut Served, failure: &UpstreamFailure, now: Instant) {
        let at = served.stream.map(|(at, _)| at);
        let is_up = at.and_then(|at| self.sessions.get(&at)).is_some_and(|hosted| hosted.session.is_up());
        note(now, || format!("{:?} lost its service: {failure:?}, session up: {is_up}", served.id));
        let Carrier::Http(exchange) = &mut served.carrier else { return };
        match exchange.resolve_loss(failure, is_up) {
            RetryAction::Again => {}
            RetryAction::Elsewhere => {
                let newer = served.agent.and_then(|agent| self.current.get(&agent)).copied();
                if newer.is_some_and(|newer| Some(newer) != at) {
                    exchange.retry_elsewhere();
                } else {
                    served.refuse(502, now);
                }
            }
            RetryAction::No(_) => served.refuse(502, now),
        }
    }

    fn close(&mut self, served: &mut Served, closing: Closing, pipe: &mut Pipe, now: Instant) {
        match closing {
            Closing::Orderly => pipe.finish(PipeEnd::Relay, now),
            Closing::Reset => pipe.reset(PipeEnd::Relay, now),
        }
        self.finish(served, now);
        if let Some((at, id)) = served.stream.take()
            && let Some(hosted) = self.sessions.get_mut(&at)
        {
            hosted.close(id, now);
            self.touched.insert(at);
        }
        served.is_closing = true;
    }

    fn finish(&mut self, served: &mut Served, now: Instant) {
        served.parked = None;
        if let Some((at, wait)) = served.wait.take()
            && let Some(hosted) = self.sessions.get_mut(&at)
        {
            hosted.waiting.remove(&wait);
            hosted.pool.cancel(wait, now);
            self.touched.insert(at);
        }
        if let (Some(kind), Some(agent)) = (served.counted.take(), served.agent) {
            self.limits.leave(Some(served.address), &agent, kind);
        }
    }

    /// Finds or opens a connection to the service.
    pub(crate) fn connect(&mut self, visitor: usize, served: &mut Served, choice: Choice, now: Instant) {
        let Some(agent) = served.agent else { return served.refuse(502, now) };
        let at = self.current.get(&agent).copied();
        let is_leaving = match at.and_then(|at| self.sessions.get(&at)) {
            Some(hosted) => !hosted.takes_streams(),
            None => self.departed.get(&agent).is_some_and(|until| now < *until),
        };
        if is_leaving {
            served.parked = Some((choice, now + SUCCESSOR_TIMEOUT));
            return;
        }
        let Some((at, hosted)) = at.and_then(|at| Some((at, self.sessions.get_mut(&at)?))) else {
            return served.refuse(502, now);
        };
        self.touched.insert(at);
        let taken =
            (choice != Choice::Fresh).then(|| hosted.pool.take(WEB, served.id, choice, now)).flatten();
        if let Some(conn) = taken {
            return hosted.join(at, visitor, served, conn, now);
        }
        if !hosted.pool.must_wait() {
            match hosted.open(served, now) {
                Ok(conn) => return hosted.join(at, visitor, served, conn, now),
                Err(None) => return served.refuse(502, now),
                Err(Some(refusal)) => hosted.pool.handle_refusal(refusal),
            }
        }
        let service = (choice == Choice::Any).then(|| Arc::from(WEB));
        match hosted.pool.wait(service, served.id, now) {
            Some(wait) => {
                hosted.waiting.insert(wait, visitor);
                served.wait = Some((at, wait));
            }
            None => served.refuse(503, now),
        }
    }

    /// Whoever waits for the session that follows goes there, once there is one.
    pub(crate) fn poll_parked(&mut self, visitor: usize, served: &mut Served, now: Instant) -> bool {
        let Some((choice, until)) = served.parked else { return false };
        let at = served.agent.and_then(|agent| self.current.get(&agent));
        if at.and_then(|at| self.sessions.get(at)).is_some_and(|hosted| hosted.takes_streams()) {
            served.parked = None;
            self.connect(visitor, served, choice, now);
            return true;
        }
        let is_late = now >= until;
        if is_late {
            served.parked = None;
            served.refuse(502, now);
        }
        is_late
    }

    pub(crate) fn poll_wait(&mut self, visitor: usize, served: &mut Served, now: Instant) -> bool {
        let Some((at, wait)) = served.wait else { return false };
        let Some(hosted) = self.sessions.get_mut(&at).filter(|hosted| hosted.ended.is_none()) else {
            served.wait = None;
            served.refuse(502, now);
            return true;
        };
        match hosted.pool.take_grant(wait) {
            None => return false,
            Some(Grant::Conn(conn)) => {
                (served.wait, _) = (None, hosted.waiting.remove(&wait));
                hosted.join(at, visitor, served, conn, now);
            }
            Some(Grant::Stream) => match hosted.open(served, now) {
                Ok(conn) => {
                    hosted.pool.cancel(wait, now);
                    (served.wait, _) = (None, hosted.waiting.remove(&wait));
                    hosted.join(at, visitor, served, conn, now);
                }
                Err(refusal) => {
                    hosted.pool.handle_no_stream(wait, refusal.unwrap_or(OpenRefusal::Full));
                    return false;
                }
            },
            Some(Grant::TimedOut) => {
                (served.wait, _) = (None, hosted.waiting.remove(&wait));
                served.refuse(503, now);
            }
        }
        true
    }

    fn release(&mut self, served: &mut Served, released: Released, now: Instant) {
        if released.is_abandoned && !served.is_answered {
            self.limits.handle_reset(Some(served.address), now);
        }
        let Some((at, id)) = served.stream.take() else { return };
        self.touched.insert(at);
        let Some(hosted) = self.sessions.get_mut(&at) else { return };
        if !released.is_reusable || hosted.ended.is_some() || !hosted.session.is_kept(id, now) {
            return hosted.close(id, now);
        }
        let history = *released.upstream.history();
        let returned = Returned {
            conn: Conn { id, upstream: released.upstream },
            service: Arc::from(WEB),
            visitor: served.id,
            history,
        };
        hosted.holders.remove(&id);
        if let Some(conn) = hosted.pool.put(returned, now) {
            hosted.holders.insert(id, Holder::Idle(conn));
        }
    }

    /// Bytes between what carries a request and its stream.
    pub(crate) fn pass_service(
        &mut self,
        carrier: &mut Carrier,
        at: SessionKey,
        id: StreamId,
        now: Instant,
    ) -> bool {
        let hosted = self.sessions.get_mut(&at);
        let stream = hosted.and_then(|hosted| hosted.session.stream(id).ok());
        match (carrier, stream) {
            (Carrier::Http(exchange), Some(mut stream)) => pass_http(exchange, &mut stream, now),
            (Carrier::Tunnel(tunnel), Some(mut stream)) => tunnel.pass_service(&mut stream, now),
            (Carrier::Http(exchange), None) => {
                exchange.handle_service_reset();
                false
            }
            (Carrier::Tunnel(tunnel), None) => {
                tunnel.fail();
                false
            }
        }
    }
}

fn next(event: ExchangeEvent<'_>) -> Next {
    match event {
        ExchangeEvent::Request(view) => {
            let (agent, head) = read(&view);
            let kind = if view.upgrade().is_some() { Use::Tunnel } else { Use::Request };
            Next::Route(agent, kind, head)
        }
        ExchangeEvent::Refused { .. } => Next::Refuse(400),
        ExchangeEvent::Connect(choice) => Next::Connect(choice),
        ExchangeEvent::Lost(failure) => Next::Lost(failure),
        ExchangeEvent::Failed(error) => Next::Refuse(match error {
            ExchangeError::BodyTimeout | ExchangeError::BodyBroken => 408,
            ExchangeError::ResponseTimeout => 504,
            ExchangeError::BadResponse | ExchangeError::SessionLost => 502,
        }),
        ExchangeEvent::Released(released) => Next::Release(released),
        ExchangeEvent::Finished => Next::Finish,
        ExchangeEvent::Upgraded => Next::Upgrade,
        ExchangeEvent::Closed(closing) => Next::Close(closing),
        ExchangeEvent::Answered(_) => Next::Nothing,
    }
}

/// The agent that a request is for, and the head that the service gets.
fn read(view: &RequestView<'_>) -> (Option<usize>, bytes::Bytes) {
    let agent = view.host().strip_prefix('a').and_then(|host| host.split('.').next()?.parse().ok());
    let mut head = BytesMut::new();
    let block = ForwardedBlock::empty();
    let rewrite = RequestRewrite {
        forwarded: ForwardedFields::Replace(&block),
        keeps_client_address: false,
        host: None,
        remove: &[],
    };
    view.write_forwarded(&rewrite, &mut head);
    (agent, head.freeze())
}

fn pass_http(exchange: &mut Exchange, stream: &mut hvym_tunnel_core::link::Stream<'_>, now: Instant) -> bool {
    let mut moved = false;
    while let Some(out) = exchange.service_output() {
        let Some(mut data) = out.buffers().next().cloned() else { break };
        let before = data.len();
        match stream.write(&mut data, now) {
            Ok(_) if data.len() == before => break,
            Ok(_) => {
                out.advance(before - data.len());
                exchange.handle_service_sent(now);
                moved = true;
            }
            Err(_) => {
                exchange.handle_service_write_closed();
                break;
            }
        }
    }
    while exchange.wants_service_data() {
        match stream.read(16 * 1024, now) {
            Ok(Read::Data(data)) => exchange.handle_service_data(data, now),
            Ok(Read::Empty) => return moved,
            Ok(Read::Finished) => {
                exchange.handle_service_end();
                return moved;
            }
            Err(_) => {
                exchange.handle_service_reset();
                return moved;
            }
        }
        moved = true;
    }
    moved
}
