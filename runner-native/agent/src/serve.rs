//! Serves the streams that the relay opens: finds the service, reaches it, moves bytes, and says what became of it.
//!
//! Unless there is a gate it changes no byte on the way. What it tells of HTTP it sees through a passive tap.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hvym_tunnel_core::access::Access;
use hvym_tunnel_core::dialect::{OpenResult, Proto, StreamHeader};
use hvym_tunnel_core::time::Instant;
use hvym_tunnel_pages::Page;

use super::answer::{self, Answered};
use super::carry::carry;
use super::drain::{Activity, Drain, Finishing, Ticket};
use super::folder::Folder;
use super::forward::Forward;
use super::gate::Gate;
use super::host_check::{HostCheck, Observed, Observer, without_port};
use super::http::{Counter, Desk};
use super::knock::{self, Knocks};
use super::upstream::{ConnectError, Upstream};
use super::watched::Watched;
use crate::config::{ExposeOptions, GateOptions};
use hvym_tunnel_net::clock::Clock;
use hvym_tunnel_net::copy::{Direction, splice};
use hvym_tunnel_net::executor::spawn;
use hvym_tunnel_net::exit::Failure;
use hvym_tunnel_net::report::{Report, Reporter};
use hvym_tunnel_net::stream::TunnelStream;
use hvym_tunnel_net::target::{Binding, Target};

/// Given to `reset` for a byte stream whose service cannot be reached; local knowledge only.
const RESET_UNREACHABLE: u32 = 3;
/// What a request that its visitor abandoned is shown as. No visitor ever sees it; access logs agree on the number.
const VISITOR_LEFT: u16 = 499;

/// Given to `reset` for a stream that may not pass: its visitor, or what it carries.
const RESET_REFUSED: u32 = 4;

/// What is exposed, and everything that serving a stream of it needs.
pub(crate) struct Services {
    by_name: BTreeMap<String, Source>,
    gate: Gate,
    /// Who may come.
    access: Access,
    /// Who came by name, and was told of.
    knocks: Knocks,
    /// Whether services that carry bytes are told first who the visitor is.
    introduce: bool,
    reporter: Reporter,
    clock: Clock,
    drain: Drain,
}

/// Where answers of a service come from.
enum Source {
    Upstream(Upstream),
    Folder(Folder),
}

impl Source {
    fn proto(&self) -> Proto {
        match self {
            Source::Upstream(upstream) => upstream.target().proto(),
            Source::Folder(_) => Proto::Http,
        }
    }
}

impl Services {
    /// Serves what `options` bind; nothing is connected yet.
    ///
    /// # Errors
    /// A folder that is not there, or a file of authorities that cannot be used.
    pub(crate) fn new(
        options: &ExposeOptions,
        reporter: Reporter,
        clock: Clock,
    ) -> Result<Arc<Self>, Failure> {
        let trust = super::trust(options.ca.as_deref(), "--ca-file")?;
        let source = |binding: &Binding| {
            let source = match &binding.target {
                Target::Folder(path) => Source::Folder(Folder::open(path)?),
                target => Source::Upstream(Upstream::new(target.clone(), trust.clone())),
            };
            Ok((binding.service.as_str().to_owned(), source))
        };
        let by_name = options.bindings.iter().map(source).collect::<Result<_, Failure>>()?;
        let gate = Gate::new(options.gate.clone());
        Ok(Arc::new(Self {
            by_name,
            gate,
            access: options.access.clone(),
            introduce: options.proxy_protocol,
            ..Self::empty(reporter, clock)
        }))
    }

    /// Nothing at all, for an agent that only reaches others.
    pub(crate) fn none(reporter: Reporter, clock: Clock) -> Arc<Self> {
        Arc::new(Self::empty(reporter, clock))
    }

    fn empty(reporter: Reporter, clock: Clock) -> Self {
        Self {
            by_name: BTreeMap::new(),
            gate: Gate::new(GateOptions::default()),
            access: Access::Public,
            knocks: Knocks::default(),
            introduce: false,
            reporter,
            clock,
            drain: Drain::new(),
        }
    }

    /// The streams that run.
    pub(crate) fn drain(&self) -> &Drain {
        &self.drain
    }

    /// The names of what is exposed.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }

    fn upstreams(&self) -> impl Iterator<Item = (&str, &Upstream)> {
        self.by_name.iter().filter_map(|(name, source)| match source {
            Source::Upstream(upstream) => Some((name.as_str(), upstream)),
            Source::Folder(_) => None,
        })
    }

    /// Tries every service once.
    ///
    /// # Errors
    /// The first that is not there.
    pub(crate) async fn require(&self) -> Result<(), ConnectError> {
        for (_, upstream) in self.upstreams() {
            drop(upstream.connect().await?);
        }
        Ok(())
    }

    /// Tries every service once, and tells a person which are not there.
    pub(crate) async fn probe(&self) {
        for (name, upstream) in self.upstreams() {
            let outcome = upstream.connect().await.map(drop);
            self.note(name, upstream, outcome.as_ref().err());
        }
    }

    /// Serves one stream beside everything else.
    pub(crate) fn serve(self: &Arc<Self>, stream: TunnelStream, opening: StreamHeader) {
        let services = Arc::clone(self);
        spawn(async move {
            let id = stream.id();
            if let Err(error) = services.run(stream, opening).await {
                tracing::debug!(stream = ?id, %error, "a stream ended early");
            }
        })
        .detach();
    }

    /// Whether whoever opened this stream may come. An identity comes from no network that anybody could vouch for.
    fn admits(&self, opening: &StreamHeader) -> bool {
        self.access.admits(opening.from) && (opening.from.is_none() || self.gate.admits(None))
    }

    async fn run(&self, mut stream: TunnelStream, opening: StreamHeader) -> io::Result<()> {
        // Held until the end, so that a drain waits for this stream.
        let ticket = self.drain.ticket();
        let known = self.by_name.get_key_value(&opening.service).filter(|_| self.admits(&opening));
        self.tell_knock(&opening, known.is_some());
        let Some((name, source)) = known else {
            return self.turn_away(stream, &opening).await;
        };
        // What is asked for as something else would pass by the gate.
        if opening.proto != source.proto() {
            stream.reset(RESET_REFUSED);
            return Ok(());
        }
        match (source, opening.proto) {
            (Source::Folder(folder), _) => {
                knock::answer(&mut stream, &opening, &OpenResult::Accepted).await?;
                let seen = Seen::new(self, name, "the folder".to_owned(), String::new(), &ticket);
                self.answer(stream, seen, Counter::Folder(folder), ticket).await
            }
            (Source::Upstream(upstream), Proto::Http) if !self.gate.is_open() => {
                knock::answer(&mut stream, &opening, &OpenResult::Accepted).await?;
                let seen = self.seen(name, upstream, &ticket);
                self.answer(stream, seen, Counter::Forward(Forward::new(self, name, upstream)), ticket).await
            }
            (Source::Upstream(upstream), _) => self.pass(stream, &opening, name, upstream, ticket).await,
        }
    }

    /// Answers the requests of a stream here.
    async fn answer(
        &self,
        stream: TunnelStream,
        seen: Seen,
        counter: Counter<'_>,
        ticket: Ticket,
    ) -> io::Result<()> {
        let desk = Desk::new(&self.gate, counter, seen.notes.clone());
        desk.serve(Watched::new(stream, seen), ticket).await
    }

    /// Passes a stream to its service as it is.
    async fn pass(
        &self,
        mut stream: TunnelStream,
        opening: &StreamHeader,
        name: &str,
        upstream: &Upstream,
        ticket: Ticket,
    ) -> io::Result<()> {
        let visitor = opening.visitor.as_deref().and_then(address);
        if opening.proto != Proto::Http && !self.gate.admits(visitor) {
            tracing::info!(?visitor, service = name, "a visitor who is not in --allow-cidr");
            stream.reset(RESET_REFUSED);
            return Ok(());
        }
        let connected = upstream.connect().await;
        self.note(name, upstream, connected.as_ref().err());
        if connected.is_ok() {
            knock::answer(&mut stream, opening, &OpenResult::Accepted).await?;
        }
        match (connected, opening.proto) {
            (Ok(local), Proto::Http) => {
                let mut seen = self.seen(name, upstream, &ticket);
                let local = Finishing::new(local, ticket);
                splice(stream, local, move |way, bytes| seen.pass(way, bytes)).await
            }
            (Ok(local), Proto::Tcp) => {
                let begun = self.clock.now();
                let carried = carry(stream, local, opening, self.introduce).await;
                let note = carried.outcome.is_err().then(|| "cut off".to_owned());
                self.tell_connection(opening, begun, (carried.received, carried.sent), note);
                carried.outcome
            }
            (Err(error), Proto::Tcp) => {
                self.tell_connection(opening, self.clock.now(), (0, 0), Some(error.to_string()));
                self.decline(stream, opening, &page(&error, upstream)).await
            }
            (Ok(local), Proto::H2) => splice(stream, local, |_, _| ()).await,
            (Err(error), _) => self.decline(stream, opening, &page(&error, upstream)).await,
        }
    }

    fn tell_connection(
        &self,
        opening: &StreamHeader,
        begun: Instant,
        (received, sent): (u64, u64),
        note: Option<String>,
    ) {
        self.reporter.tell(&Report::Connection {
            visitor: opening.visitor.clone().or_else(|| opening.from.map(|from| from.to_string())),
            received,
            sent,
            lasted: self.clock.now() - begun,
            service: self.name_if_needed(&opening.service),
            note,
        });
    }

    fn seen(&self, name: &str, upstream: &Upstream, ticket: &Ticket) -> Seen {
        let own_host = match upstream.target() {
            Target::Origin(origin) => origin.authority(),
            Target::Socket(_) | Target::Folder(_) => "localhost".to_owned(),
        };
        Seen::new(self, name, upstream.target().place(), own_host, ticket)
    }

    /// Takes note of how an upstream is, and tells a person if that is news.
    pub(super) fn note(&self, service: &str, upstream: &Upstream, trouble: Option<&ConnectError>) {
        let is_news = upstream.note(trouble);
        if let (true, Some(trouble)) = (is_news, trouble) {
            self.reporter.tell(&Report::UpstreamUnreachable {
                service: service.to_owned(),
                target: upstream.target().to_string(),
                message: trouble.words(),
            });
        }
    }

    /// A person is told who comes by name: once in a while, for there may be hundreds of streams.
    fn tell_knock(&self, opening: &StreamHeader, admitted: bool) {
        let Some(from) = opening.from else { return };
        if !self.knocks.is_news(from, &opening.service, admitted, self.clock.now()) {
            return;
        }
        let service = opening.service.clone();
        self.reporter.tell(&match admitted {
            true => Report::Reached { service, from },
            false => Report::Refused { service, from },
        });
    }

    /// Nothing is here for whoever opened this stream. A visitor sees the same page, and an identity the same verdict,
    /// whether there is such a service or not.
    async fn turn_away(&self, mut stream: TunnelStream, opening: &StreamHeader) -> io::Result<()> {
        if knock::answer(&mut stream, opening, &OpenResult::not_reachable()).await? {
            return stream.finish();
        }
        self.decline(stream, opening, &Page::unknown_service(&opening.service)).await
    }

    /// Says no in the stream's own language: a verdict for identities, a page for HTTP/1.1, a reset for bytes.
    async fn decline(&self, mut stream: TunnelStream, opening: &StreamHeader, page: &Page) -> io::Result<()> {
        let verdict = OpenResult::refused(OpenResult::UNAVAILABLE, "the service does not answer its owner");
        if knock::answer(&mut stream, opening, &verdict).await? {
            return stream.finish();
        }
        if opening.proto != Proto::Http {
            stream.reset(RESET_UNREACHABLE);
            return Ok(());
        }
        let Answered { method, target, started } = answer::with_page(stream, page, self.clock).await?;
        self.reporter.tell(&Report::Request {
            method,
            path: target,
            status: page.status,
            millis: millis(self.clock.now() - started),
            bytes: None,
            service: self.name_if_needed(&opening.service),
            note: None,
        });
        Ok(())
    }

    /// With one service, naming it in every line says nothing.
    fn name_if_needed(&self, service: &str) -> Option<String> {
        (self.by_name.len() != 1 || !self.by_name.contains_key(service)).then(|| service.to_owned())
    }
}

/// Of a visitor, with or without a port.
fn address(visitor: &str) -> Option<IpAddr> {
    visitor.parse::<SocketAddr>().map(|at| at.ip()).or_else(|_| visitor.parse()).ok()
}

/// What a visitor gets when a service cannot be reached.
pub(super) fn page(error: &ConnectError, upstream: &Upstream) -> Page {
    let place = upstream.target().place();
    match error {
        ConnectError::Refused(_) | ConnectError::NoSocket(_) => Page::nothing_listening(&place),
        ConnectError::TimedOut(_) => Page::upstream_timeout(),
        other => Page {
            status: other.status(),
            title: "The service cannot be reached".to_owned(),
            text: format!("The tunnel works, but {other}."),
            hint: "If this is your tunnel, the agent's terminal says what to do.".to_owned(),
            retry_after: None,
        },
    }
}

/// What is to be told of each request of a stream that is answered here, in the order of the answers.
#[derive(Clone, Default)]
pub(super) struct Notes(Arc<Mutex<VecDeque<Option<String>>>>);

impl Notes {
    /// What is to be told of the next answer.
    pub(super) fn push(&self, note: Option<String>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push_back(note);
    }

    fn pop(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop_front().flatten()
    }
}

/// What passes through one HTTP stream, as a person is told of it.
pub(super) struct Seen {
    tap: Observer,
    clock: Clock,
    reporter: Reporter,
    service: Option<String>,
    /// For hints: where the service is, and as which host it knows itself.
    place: String,
    own_host: String,
    /// Whether the service saw another host than the visitor asked for.
    is_rehosted: bool,
    /// Told whether the stream is between two requests.
    activity: Arc<Activity>,
    /// Whether the service ended its half.
    service_ended: bool,
    /// What whoever answers here wants told.
    notes: Notes,
}

impl Seen {
    fn new(services: &Services, name: &str, place: String, own_host: String, ticket: &Ticket) -> Self {
        Self {
            tap: Observer::with_sniff(HostCheck),
            clock: services.clock,
            reporter: services.reporter.clone(),
            service: services.name_if_needed(name),
            place,
            own_host,
            is_rehosted: services.gate.sets_host(),
            activity: ticket.activity(),
            service_ended: false,
            notes: Notes::default(),
        }
    }

    /// Whether everything was asked, and something is still to be answered.
    pub(super) fn response_pending(&self) -> bool {
        self.tap.response_pending()
    }

    /// These bytes are about to pass; `None` is the end of that half.
    pub(super) fn pass(&mut self, way: Direction, bytes: Option<&[u8]>) {
        let now = self.clock.now();
        match (way, bytes) {
            (Direction::ToLocal, Some(bytes)) => self.tap.handle_request_bytes(bytes, now),
            (Direction::ToTunnel, Some(bytes)) => self.tap.handle_response_bytes(bytes, now),
            (Direction::ToLocal, None) => self.tap.handle_request_end(now),
            (Direction::ToTunnel, None) => {
                self.service_ended = true;
                self.tap.handle_response_end(now);
            }
        }
        self.tell();
        self.activity.set_idle(self.tap.pending_requests() == 0);
    }

    fn tell(&mut self) {
        while let Some(exchange) = self.tap.poll_event() {
            let (status, note) = self.outcome(&exchange);
            let note = self.notes.pop().or(note);
            self.reporter.tell(&Report::Request {
                method: exchange.method,
                path: exchange.target,
                status,
                millis: millis(exchange.duration),
                bytes: exchange.status.is_some().then_some(exchange.response_bytes),
                service: self.service.clone(),
                note,
            });
        }
    }

    fn outcome(&self, exchange: &Observed) -> (u16, Option<String>) {
        let note = match (exchange.status, exchange.finding) {
            (Some(_), Some(server)) if server.host_header_helps() && !self.is_rehosted => {
                Some(format!("{server} refused this host: rerun with --host-header {}", self.own_host))
            }
            (Some(_), Some(server)) => {
                let host = exchange.host.as_deref().map_or("the public host name", without_port);
                Some(format!("{server} refused this host: add {host} to its {}", server.setting()))
            }
            (Some(_), None) if exchange.complete || exchange.upgraded => None,
            (Some(_), None) if self.service_ended => Some(format!("{} stopped in the middle", self.place)),
            (Some(_), None) => Some("cut off before the end".to_owned()),
            (None, _) if self.service_ended => {
                Some(format!("{} closed the connection without an answer", self.place))
            }
            (None, _) => Some("cut off before the answer".to_owned()),
        };
        let unanswered = if self.service_ended { 502 } else { VISITOR_LEFT };
        (exchange.status.unwrap_or(unanswered), note)
    }
}

impl Drop for Seen {
    fn drop(&mut self) {
        // A stream that broke: what was asked is still told.
        self.tap.handle_response_end(self.clock.now());
        self.tell();
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
