//! Serves the streams that the relay opens: finds the service, connects to it, copies bytes, and reports the outcome.
//!
//! Unless the service has a filter, no byte that a visitor sends is changed on the way.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use hvym_tunnel_core::dialect::{OpenResult, Proto, StreamHeader};
use hvym_tunnel_core::stellar::Address;
use hvym_tunnel_core::time::Instant;
use hvym_tunnel_net::clock::Clock;
use hvym_tunnel_net::copy::{Direction, splice};
use hvym_tunnel_net::observer::{ObservedStream, Piece, StreamStart};
use hvym_tunnel_net::runtime::spawn;
use hvym_tunnel_net::stream::TunnelStream;
use hvym_tunnel_pages::Page;

use super::connect::connect_for;
use super::error_page::{self, Answered, Audience};
use super::http_proxy::HttpProxy;
use super::peer_log::{self, PeerLog};
use super::request_log::RequestLog;
use super::tcp_proxy::{self, Transferred};
use super::upstream::{Upstream, UpstreamStream};
use super::{LocalService, ServiceTable, Source};
use crate::event::{AgentEvent, ConnectionFailure, ConnectionRecord, RequestRecord};
use crate::event_sink::EventSink;
use crate::shutdown::{DrainGuard, Finishing};

/// The reset code of a byte stream whose service cannot be reached; of local meaning only.
const RESET_UNREACHABLE: u32 = 3;
/// The reset code of a stream that is refused because of its visitor or its protocol.
const RESET_REFUSED: u32 = 4;

/// Serves streams of all services.
pub(crate) struct Dispatcher {
    table: Arc<ServiceTable>,
    /// Whose services these are.
    owner: Address,
    peers: PeerLog,
    sink: EventSink,
    clock: Clock,
}

impl Dispatcher {
    /// Serves the streams of the services in `table`.
    pub(crate) fn new(table: Arc<ServiceTable>, owner: Address, sink: EventSink, clock: Clock) -> Arc<Self> {
        Arc::new(Self { table, owner, peers: PeerLog::default(), sink, clock })
    }

    /// Tries every service once, and reports those that do not answer.
    pub(crate) async fn probe(&self) {
        for service in self.table.all() {
            if let Source::Upstream(upstream) = &service.source {
                let outcome = upstream.connect().await.map(drop);
                service.note(upstream, outcome.as_ref().err(), &self.sink);
            }
        }
    }

    /// Serves one stream in a task of its own.
    pub(crate) fn serve(self: &Arc<Self>, stream: TunnelStream, opening: StreamHeader) {
        let dispatcher = Arc::clone(self);
        // Boxed, for the executor moves a future several times before it runs, and this one is large.
        spawn(Box::pin(async move {
            let id = stream.id();
            if let Err(error) = dispatcher.run(stream, &opening).await {
                tracing::debug!(stream = ?id, %error, "a stream ended early");
            }
        }))
        .detach();
    }

    async fn run(&self, mut stream: TunnelStream, opening: &StreamHeader) -> io::Result<()> {
        let service = self.table.get(&opening.service);
        let service = service.filter(|service| service.admits(opening, self.owner, self.clock.wall().unix));
        // Held until the end, so that a drain waits for this stream.
        let drain = service.as_ref().map_or(self.table.drain(), |service| &service.drain);
        let guard = drain.guard();
        if !opening.probe || service.is_none() {
            self.report_peer(opening, service.is_some());
        }
        let Some(service) = &service else { return self.refuse(stream, opening).await };
        if opening.probe && peer_log::answer(&mut stream, opening, &OpenResult::Accepted).await? {
            return stream.finish();
        }
        let mut start = StreamStart::new(&service.name);
        (start.visitor, start.from) = (opening.visitor.as_deref(), opening.from);
        self.sink.show_start(&start);
        // A stream of another protocol would bypass the filter.
        if opening.proto != service.proto() {
            stream.reset(RESET_REFUSED);
            return Ok(());
        }
        match &service.source {
            Source::Upstream(upstream) if opening.proto != Proto::Http || service.filter.is_open() => {
                self.pass(stream, opening, service, upstream, guard).await
            }
            _ => {
                peer_log::answer(&mut stream, opening, &OpenResult::Accepted).await?;
                Box::pin(self.answer(stream, opening, service, None, guard)).await
            }
        }
    }

    /// Answers the requests of a stream, or forwards them one by one: the first over `local`.
    async fn answer(
        &self,
        stream: TunnelStream,
        opening: &StreamHeader,
        service: &LocalService,
        local: Option<UpstreamStream>,
        guard: DrainGuard,
    ) -> io::Result<()> {
        let observed = service.observed(stream.id(), opening);
        let log = RequestLog::new(service, observed, &guard, &self.sink, self.clock);
        let log = log.of_caller(opening.from.is_some());
        HttpProxy::new(service, opening.from.is_some(), &self.sink, stream, log, guard)
            .with_idle(local)
            .serve()
            .await
    }

    /// Copies a stream to its service as it is.
    async fn pass(
        &self,
        mut stream: TunnelStream,
        opening: &StreamHeader,
        service: &LocalService,
        upstream: &Upstream,
        guard: DrainGuard,
    ) -> io::Result<()> {
        let visitor = opening.visitor.as_deref().and_then(address);
        if opening.proto != Proto::Http && !service.filter.admits(visitor) {
            tracing::info!(?visitor, service = &*service.name, "the visitor is in no allowed network");
            stream.reset(RESET_REFUSED);
            return Ok(());
        }
        let begun = self.clock.now();
        // What is over soon, and what few streams need, has its memory apart from that of every stream.
        let connected = Box::pin(connect_for(&mut stream, upstream)).await;
        let connected = connected.inspect_err(|_| self.report_given_up(opening, service, begun))?;
        service.note(upstream, connected.as_ref().err(), &self.sink);
        if connected.is_ok() {
            peer_log::answer(&mut stream, opening, &OpenResult::Accepted).await?;
        }
        let observed = service.observed(stream.id(), opening);
        let shown = Shown { sink: &self.sink, stream: &observed };
        let show = |direction: Direction, bytes: Option<&[u8]>| shown.bytes(direction, bytes);
        match (connected, opening.proto) {
            // A caller could say what is the relay's to say, and speak HTTP that two parsers read differently.
            (Ok(local), Proto::Http) if opening.from.is_some() => {
                Box::pin(self.answer(stream, opening, service, Some(local), guard)).await
            }
            (Ok(local), Proto::Http) => {
                let observed = observed.clone();
                let mut log = RequestLog::new(service, observed, &guard, &self.sink, self.clock);
                let local = Finishing::new(local, guard);
                splice(stream, local, move |direction, bytes, now| log.pass(direction, bytes, now)).await
            }
            (Ok(local), Proto::Tcp) => {
                let announce = service.spec.proxy_protocol;
                let transferred = tcp_proxy::copy(stream, local, opening, announce, show).await;
                let failure = transferred.outcome.is_err().then_some(ConnectionFailure::CutOff);
                self.report_connection(opening, service, begun, &transferred, failure);
                transferred.outcome
            }
            (Err(error), Proto::Tcp) => {
                let failure = Some(ConnectionFailure::Unreachable(error.clone()));
                self.report_connection(opening, service, begun, &Transferred::none(), failure);
                let page = |who| error_page::unreachable(&error, who);
                self.decline(stream, opening, Some(&observed), page, begun).await
            }
            (Ok(local), Proto::H2) => {
                splice(stream, local, |direction, bytes, _| show(direction, bytes)).await
            }
            (Err(error), _) => {
                let page = |who| error_page::unreachable(&error, who);
                self.decline(stream, opening, Some(&observed), page, begun).await
            }
        }
    }

    fn report_connection(
        &self,
        opening: &StreamHeader,
        service: &LocalService,
        begun: Instant,
        transferred: &Transferred,
        failure: Option<ConnectionFailure>,
    ) {
        self.sink.emit(AgentEvent::Connection(ConnectionRecord {
            service: Arc::clone(&service.name),
            visitor: opening.visitor.clone(),
            from: opening.from,
            received: transferred.received,
            sent: transferred.sent,
            duration: self.clock.now() - begun,
            failure,
        }));
    }

    /// Reports a connection whose visitor was gone before its service was reached.
    fn report_given_up(&self, opening: &StreamHeader, service: &LocalService, begun: Instant) {
        if opening.proto == Proto::Tcp {
            let failure = Some(ConnectionFailure::CutOff);
            self.report_connection(opening, service, begun, &Transferred::none(), failure);
        }
    }

    /// Reports an identity that opens streams: once in a while, for there may be hundreds.
    fn report_peer(&self, opening: &StreamHeader, admitted: bool) {
        let Some(from) = opening.from else { return };
        let key = opening.key;
        if !self.peers.is_news(key.unwrap_or(from), &opening.service, admitted, self.clock.now()) {
            return;
        }
        let service = opening.service.clone();
        self.sink.emit(match admitted {
            true => AgentEvent::PeerAdmitted { service, from, key },
            false => AgentEvent::PeerRefused { service, from, key },
        });
    }

    /// Refuses a stream for which there is no service. A visitor gets the same page, and an identity the same verdict,
    /// whether there is such a service or not.
    async fn refuse(&self, mut stream: TunnelStream, opening: &StreamHeader) -> io::Result<()> {
        if peer_log::answer(&mut stream, opening, &OpenResult::not_reachable()).await? {
            return stream.finish();
        }
        let page = |_| Page::unknown_service(&opening.service);
        self.decline(stream, opening, None, page, self.clock.now()).await
    }

    /// Refuses in the stream's own protocol: a verdict for identities, a page for HTTP/1.1, a reset for bytes.
    /// The request came with the stream, which was opened at `begun`; `observed` is the stream, if it leads to a service.
    async fn decline(
        &self,
        mut stream: TunnelStream,
        opening: &StreamHeader,
        observed: Option<&ObservedStream>,
        page: impl Fn(Audience) -> Page,
        begun: Instant,
    ) -> io::Result<()> {
        let verdict = OpenResult::refused(OpenResult::UNAVAILABLE, "the service does not answer its owner");
        if peer_log::answer(&mut stream, opening, &verdict).await? {
            return stream.finish();
        }
        if opening.proto != Proto::Http {
            stream.reset(RESET_UNREACHABLE);
            return Ok(());
        }
        let Answered { method, target, visitor, request, response } =
            error_page::answer_one(&mut stream, &page).await?;
        if let Some(observed) = observed {
            let shown = Shown { sink: &self.sink, stream: observed };
            shown.bytes(Direction::ToLocal, Some(&request));
            shown.bytes(Direction::ToTunnel, Some(&response));
            self.sink.show_end(observed);
        }
        self.sink.emit(AgentEvent::Request(RequestRecord {
            service: Arc::from(opening.service.as_str()),
            method: method.into(),
            target,
            visitor,
            status: page(Audience::default()).status,
            duration: self.clock.now() - begun,
            response_bytes: None,
            note: None,
        }));
        error_page::finish(stream).await
    }
}

/// Shows the bytes of a stream that is no HTTP/1.1 to inspectors, and its end.
struct Shown<'a> {
    sink: &'a EventSink,
    stream: &'a ObservedStream,
}

impl Shown<'_> {
    fn bytes(&self, direction: Direction, bytes: Option<&[u8]>) {
        self.sink.show_bytes(&Piece::new(self.stream, direction, bytes));
    }
}

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        // A stream of HTTP/1.1 has a log, which does the same.
        if self.stream.proto != Proto::Http {
            self.sink.show_end(self.stream);
        }
    }
}

/// The address of a visitor, which is given with or without a port.
fn address(visitor: &str) -> Option<IpAddr> {
    visitor.parse::<SocketAddr>().map(|at| at.ip()).or_else(|_| visitor.parse()).ok()
}
