//! One session of the relay, and the relay's side of a visitor's connection.

use std::collections::BTreeMap;

use bytes::Bytes;
use hvym_http1::ResponseHead;
use hvym_proxy::limits::{Use, VisitorKey};
use hvym_proxy::pool::{ConnId, ConnPool, OpenRefusal, VisitorId, WaitId};
use hvym_proxy::{Choice, Exchange, LocalBody, Upstream};
use hvym_tunnel_core::link::{OpenStreamError, Streams};
use hvym_tunnel_core::mux::StreamId;
use hvym_tunnel_core::reason::DownReason;
use hvym_tunnel_core::relay::Session;
use hvym_tunnel_core::time::{Instant, earliest};
use hvym_tunnel_tests::ends::opening;

use crate::copy::Tunnel;
use crate::line::{Pipe, PipeEnd, Received};
use crate::log::note;
use crate::service::{TCP, WEB};

/// Which session, in the order in which they began.
pub(crate) type SessionKey = usize;

/// A connection to a service: its stream, and its state.
pub(crate) struct Conn {
    pub(crate) id: StreamId,
    pub(crate) upstream: Box<Upstream>,
}

/// To whom the events of a stream go.
#[derive(Copy, Clone, Debug)]
pub(crate) enum Holder {
    Visitor(usize),
    Idle(ConnId),
}

/// One session, and the connections behind it.
pub(crate) struct Hosted {
    pub(crate) session: Session,
    pub(crate) agent: usize,
    /// The process that it is of.
    pub(crate) instance: usize,
    pub(crate) pool: ConnPool<Conn>,
    pub(crate) holders: BTreeMap<StreamId, Holder>,
    pub(crate) waiting: BTreeMap<WaitId, usize>,
    /// Its agent has said that it goes away.
    pub(crate) is_leaving: bool,
    /// Why it ended.
    pub(crate) ended: Option<DownReason>,
}

/// What passes between a visitor and a service.
pub(crate) enum Carrier {
    Http(Box<Exchange>),
    Tunnel(Box<Tunnel>),
}

/// The relay's side of a visitor's connection.
pub(crate) struct Served {
    pub(crate) carrier: Carrier,
    pub(crate) id: VisitorId,
    pub(crate) address: VisitorKey,
    pub(crate) agent: Option<usize>,
    /// The session and stream of the request under way.
    pub(crate) stream: Option<(SessionKey, StreamId)>,
    pub(crate) wait: Option<(SessionKey, WaitId)>,
    /// It waits for the session that follows one whose agent goes away.
    pub(crate) parked: Option<(Choice, Instant)>,
    pub(crate) counted: Option<Use>,
    /// Whether its request has been answered, if there is one.
    pub(crate) is_answered: bool,
    pub(crate) is_closing: bool,
}

impl Served {
    pub(crate) fn new(carrier: Carrier, visitor: usize, address: u32) -> Self {
        Self {
            carrier,
            id: VisitorId(visitor as u64),
            address: VisitorKey::new(std::net::IpAddr::V4(address.into())),
            agent: None,
            stream: None,
            wait: None,
            parked: None,
            counted: None,
            is_answered: true,
            is_closing: false,
        }
    }

    /// When it wants to be looked at again.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let carrier = match &self.carrier {
            Carrier::Http(exchange) => exchange.poll_timeout(),
            Carrier::Tunnel(tunnel) => Some(tunnel.poll_timeout()),
        };
        earliest(carrier, self.parked.map(|(_, until)| until))
    }

    /// Bytes that wait here for its visitor or its service.
    pub(crate) fn queued(&self) -> usize {
        match &self.carrier {
            Carrier::Http(exchange) => exchange.visitor_output().len(),
            Carrier::Tunnel(tunnel) => tunnel.queued(),
        }
    }

    /// The request under way gets an error of the relay.
    pub(crate) fn refuse(&mut self, status: u16, now: Instant) {
        note(now, || format!("{:?} of agent {:?} gets {status}", self.id, self.agent));
        match &mut self.carrier {
            Carrier::Http(exchange) => respond(exchange, status, now),
            Carrier::Tunnel(tunnel) => tunnel.fail(),
        }
    }

    /// Bytes between the visitor and what carries its requests. Whether any moved.
    pub(crate) fn pass_visitor(&mut self, pipe: &mut Pipe, now: Instant) -> bool {
        match &mut self.carrier {
            Carrier::Http(exchange) => receive(exchange, pipe, now) | transmit(exchange, pipe, now),
            Carrier::Tunnel(tunnel) => tunnel.pass_visitor(pipe, now),
        }
    }
}

impl Hosted {
    /// Whether new streams may be opened.
    pub(crate) fn takes_streams(&self) -> bool {
        self.ended.is_none() && self.session.takes_streams()
    }

    pub(crate) fn close(&mut self, id: StreamId, now: Instant) {
        self.holders.remove(&id);
        if let Ok(mut stream) = self.session.stream(id) {
            stream.reset(0, now);
        }
    }

    /// A new connection; the error says whether waiting helps.
    pub(crate) fn open(&mut self, served: &Served, now: Instant) -> Result<Conn, Option<OpenRefusal>> {
        let service = if matches!(served.carrier, Carrier::Http(_)) { WEB } else { TCP };
        let id = self.session.open(&opening(service), now).map_err(|error| match error {
            OpenStreamError::Refused(error) => OpenRefusal::new(error),
            _ => None,
        })?;
        Ok(Conn { id, upstream: Box::new(Upstream::new()) })
    }

    pub(crate) fn join(
        &mut self,
        at: SessionKey,
        visitor: usize,
        served: &mut Served,
        conn: Conn,
        now: Instant,
    ) {
        self.holders.insert(conn.id, Holder::Visitor(visitor));
        if let Ok(mut stream) = self.session.stream(conn.id) {
            stream.set_group(served.address.as_u64());
        }
        served.stream = Some((at, conn.id));
        if let Carrier::Http(exchange) = &mut served.carrier {
            exchange.handle_connected(conn.upstream, now);
        }
    }

    /// Takes streams out that went with a link; whose they were. Idle ones are only forgotten.
    pub(crate) fn forget_lost(&mut self) -> Vec<usize> {
        let Self { session, holders, pool, .. } = self;
        let mut lost = Vec::new();
        holders.retain(|id, holder| {
            let is_live = session.stream(*id).is_ok();
            match holder {
                Holder::Visitor(visitor) if !is_live => lost.push(*visitor),
                Holder::Idle(conn) if !is_live => drop(pool.remove(WEB, *conn)),
                _ => {}
            }
            is_live
        });
        lost
    }
}

fn respond(exchange: &mut Exchange, status: u16, now: Instant) {
    let body = Bytes::from_static(b"the relay's own page");
    let head = ResponseHead::new(status, "Page");
    if exchange.respond(head, LocalBody::Length(body.len() as u64), now).is_ok() {
        exchange.send_local_body(body, now);
        exchange.end_local_body(&[], now);
    }
}

fn receive(exchange: &mut Exchange, pipe: &mut Pipe, now: Instant) -> bool {
    let mut moved = false;
    if pipe.is_reset(PipeEnd::Relay, now) {
        exchange.handle_visitor_reset();
    }
    while exchange.wants_visitor_data() {
        match pipe.receive(PipeEnd::Relay, 16 * 1024, now) {
            Received::Nothing => return moved,
            Received::Data(data) => exchange.handle_visitor_data(data, now),
            Received::End => exchange.handle_visitor_end(now),
            Received::Reset => exchange.handle_visitor_reset(),
        }
        moved = true;
    }
    moved
}

fn transmit(exchange: &mut Exchange, pipe: &mut Pipe, now: Instant) -> bool {
    let mut moved = false;
    loop {
        let data = exchange.visitor_output().buffers().next().cloned();
        let Some(data) = data else { break };
        let count = pipe.send(PipeEnd::Relay, &data, now);
        if count == 0 {
            break;
        }
        exchange.handle_visitor_sent(count, now);
        moved = true;
    }
    moved
}
