//! One session of the relay, and the relay's side of a visitor's connection.

use std::collections::BTreeMap;

use bytes::Bytes;
use hvym_http1::ResponseHead;
use hvym_proxy::pool::{ConnId, ConnPool, WaitId};
use hvym_proxy::{Exchange, LocalBody, Upstream};
use hvym_tunnel_core::link::Streams;
use hvym_tunnel_core::mux::StreamId;
use hvym_tunnel_core::reason::DownReason;
use hvym_tunnel_core::relay::Session;
use hvym_tunnel_core::time::Instant;
use hvym_tunnel_tests::ends::opening;

use crate::line::{Pipe, PipeEnd, Received};

/// Which session, in the order in which they began.
pub(crate) type SessionKey = usize;
/// The name of the one service of each agent.
pub(crate) const SERVICE: &str = "web";

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
    pub(crate) pool: ConnPool<Conn>,
    pub(crate) holders: BTreeMap<StreamId, Holder>,
    pub(crate) waiting: BTreeMap<WaitId, usize>,
    /// Why it ended.
    pub(crate) ended: Option<DownReason>,
}

/// The relay's side of a visitor's connection.
pub(crate) struct Served {
    pub(crate) exchange: Exchange,
    pub(crate) agent: Option<usize>,
    /// The session and stream of the request under way.
    pub(crate) stream: Option<(SessionKey, StreamId)>,
    pub(crate) wait: Option<(SessionKey, WaitId)>,
    pub(crate) is_counted: bool,
    pub(crate) is_closing: bool,
}

impl Hosted {
    pub(crate) fn close(&mut self, id: StreamId, now: Instant) {
        self.holders.remove(&id);
        if let Ok(mut stream) = self.session.stream(id) {
            stream.reset(0, now);
        }
    }

    /// A new connection; the error says whether waiting helps.
    pub(crate) fn open(&mut self, visitor: usize, now: Instant) -> Result<Conn, bool> {
        let id = self.session.open(&opening(SERVICE), now).map_err(|error| error.is_transient())?;
        if let Ok(mut stream) = self.session.stream(id) {
            stream.set_group(visitor as u64);
        }
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
            stream.set_group(visitor as u64);
        }
        served.stream = Some((at, conn.id));
        served.exchange.handle_connected(conn.upstream, now);
    }
}

pub(crate) fn respond(exchange: &mut Exchange, status: u16, now: Instant) {
    let body = Bytes::from_static(b"the relay's own page");
    let head = ResponseHead::new(status, "Page");
    if exchange.respond(head, LocalBody::Length(body.len() as u64), now).is_ok() {
        exchange.send_local_body(body, now);
        exchange.end_local_body(&[], now);
    }
}

pub(crate) fn receive(served: &mut Served, pipe: &mut Pipe, now: Instant) -> bool {
    let mut moved = false;
    if pipe.is_reset(PipeEnd::Relay, now) {
        served.exchange.handle_visitor_reset();
    }
    while served.exchange.wants_visitor_data() {
        match pipe.receive(PipeEnd::Relay, 16 * 1024, now) {
            Received::Nothing => return moved,
            Received::Data(data) => served.exchange.handle_visitor_data(data, now),
            Received::End => served.exchange.handle_visitor_end(now),
            Received::Reset => served.exchange.handle_visitor_reset(),
        }
        moved = true;
    }
    moved
}

pub(crate) fn transmit(served: &mut Served, pipe: &mut Pipe, now: Instant) -> bool {
    let mut moved = false;
    loop {
        let data = served.exchange.visitor_output().buffers().next().cloned();
        let Some(data) = data else { break };
        let count = pipe.send(PipeEnd::Relay, &data, now);
        if count == 0 {
            break;
        }
        served.exchange.handle_visitor_sent(count, now);
        moved = true;
    }
    moved
}
