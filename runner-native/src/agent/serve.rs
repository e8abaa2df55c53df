//! Serves the streams that the relay opens: finds the service, reaches it, moves bytes, and says what became of it.
//!
//! Unless `--host-header` is given it changes no byte on the way. What it tells of HTTP it sees through a passive tap.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use hvym_tunnel_core::dialect::{Opening, Proto};
use hvym_tunnel_core::http1::{Exchange, Page, Tap};

use super::answer::{self, Answered};
use super::drain::{Activity, Drain, Finishing};
use super::rehost::{Rehost, Rehosted};
use super::upstream::{ConnectError, Upstream};
use crate::cli::report::{Report, Reporter};
use crate::io::clock::Clock;
use crate::io::executor::spawn;
use crate::io::pipe::{Way, splice};
use crate::io::stream::TunnelStream;
use crate::target::Binding;

/// Given to `reset` for a byte stream whose service cannot be reached; local knowledge only.
const RESET_UNREACHABLE: u32 = 3;
/// What a request that its visitor abandoned is shown as. No visitor ever sees it; access logs agree on the number.
const VISITOR_LEFT: u16 = 499;

/// What is exposed, and everything that serving a stream of it needs.
pub(crate) struct Services {
    by_name: BTreeMap<String, Upstream>,
    /// What services see as `Host`, if not what visitors sent.
    host_header: Option<String>,
    reporter: Reporter,
    clock: Clock,
    drain: Drain,
}

impl Services {
    /// Serves `bindings`; nothing is connected yet.
    pub(crate) fn new(
        bindings: &[Binding],
        host_header: Option<String>,
        reporter: Reporter,
        clock: Clock,
    ) -> Arc<Self> {
        let upstream =
            |binding: &Binding| (binding.service.as_str().to_owned(), Upstream::new(binding.target.clone()));
        let by_name = bindings.iter().map(upstream).collect();
        Arc::new(Self { by_name, host_header, reporter, clock, drain: Drain::new() })
    }

    /// The streams that run.
    pub(crate) fn drain(&self) -> &Drain {
        &self.drain
    }

    /// The names of what is exposed.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }

    /// Tries every service once.
    ///
    /// # Errors
    /// The first that is not there.
    pub(crate) async fn require(&self) -> Result<(), ConnectError> {
        for upstream in self.by_name.values() {
            drop(upstream.connect().await?);
        }
        Ok(())
    }

    /// Tries every service once, and tells a person which are not there.
    pub(crate) async fn probe(&self) {
        for (name, upstream) in &self.by_name {
            let outcome = upstream.connect().await.map(drop);
            self.note(name, upstream, outcome.as_ref().err());
        }
    }

    /// Serves one stream beside everything else.
    pub(crate) fn serve(self: &Arc<Self>, stream: TunnelStream, opening: Opening) {
        let services = Arc::clone(self);
        spawn(async move {
            let id = stream.id();
            if let Err(error) = services.run(stream, opening).await {
                tracing::debug!(stream = ?id, %error, "a stream ended early");
            }
        })
        .detach();
    }

    async fn run(&self, stream: TunnelStream, opening: Opening) -> io::Result<()> {
        // Held until the end, so that a drain waits for this stream.
        let ticket = self.drain.ticket();
        let Some((name, upstream)) = self.by_name.get_key_value(&opening.service) else {
            return self.decline(stream, &opening, &Page::unknown_service(&opening.service)).await;
        };
        let connected = upstream.connect().await;
        self.note(name, upstream, connected.as_ref().err());
        match (connected, opening.proto) {
            (Ok(local), Proto::Http) => {
                let mut seen = Seen::new(self, name, upstream, ticket.activity());
                let rehost = self.host_header.as_deref().map(Rehost::new);
                let local = Finishing::new(Rehosted::new(local, rehost), ticket);
                splice(stream, local, move |way, bytes| seen.pass(way, bytes)).await
            }
            (Ok(local), Proto::Tcp | Proto::H2) => splice(stream, local, |_, _| ()).await,
            (Err(error), _) => self.decline(stream, &opening, &page(&error, upstream)).await,
        }
    }

    /// Takes note of how an upstream is, and tells a person if that is news.
    fn note(&self, service: &str, upstream: &Upstream, trouble: Option<&ConnectError>) {
        let is_news = upstream.note(trouble);
        if let (true, Some(trouble)) = (is_news, trouble) {
            self.reporter.tell(&Report::UpstreamUnreachable {
                service: service.to_owned(),
                target: upstream.target().to_string(),
                message: trouble.words(),
            });
        }
    }

    /// Says no in the stream's own language: a page for HTTP/1.1, a reset for bytes.
    async fn decline(&self, stream: TunnelStream, opening: &Opening, page: &Page) -> io::Result<()> {
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

fn page(error: &ConnectError, upstream: &Upstream) -> Page {
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

/// What passes through one HTTP stream, as a person is told of it.
struct Seen {
    tap: Tap,
    clock: Clock,
    reporter: Reporter,
    service: Option<String>,
    /// For hints: where the service is.
    place: String,
    /// Whether the service saw another host than the visitor asked for.
    is_rehosted: bool,
    /// Told whether the stream is between two requests.
    activity: Arc<Activity>,
    /// Whether the service ended its half.
    service_ended: bool,
}

impl Seen {
    fn new(services: &Services, name: &str, upstream: &Upstream, activity: Arc<Activity>) -> Self {
        Self {
            tap: Tap::new(),
            clock: services.clock,
            reporter: services.reporter.clone(),
            service: services.name_if_needed(name),
            place: upstream.target().place(),
            is_rehosted: services.host_header.is_some(),
            activity,
            service_ended: false,
        }
    }

    fn pass(&mut self, way: Way, bytes: Option<&[u8]>) {
        let now = self.clock.now();
        match (way, bytes) {
            (Way::ToLocal, Some(bytes)) => self.tap.handle_request_bytes(bytes, now),
            (Way::ToTunnel, Some(bytes)) => self.tap.handle_response_bytes(bytes, now),
            (Way::ToLocal, None) => self.tap.handle_request_end(now),
            (Way::ToTunnel, None) => {
                self.service_ended = true;
                self.tap.handle_response_end(now);
            }
        }
        self.tell();
        self.activity.set_idle(self.tap.waiting() == 0);
    }

    fn tell(&mut self) {
        while let Some(exchange) = self.tap.poll_event() {
            let (status, note) = self.outcome(&exchange);
            self.reporter.tell(&Report::Request {
                method: exchange.method,
                path: exchange.target,
                status,
                millis: millis(exchange.took),
                bytes: exchange.status.is_some().then_some(exchange.response_bytes),
                service: self.service.clone(),
                note,
            });
        }
    }

    fn outcome(&self, exchange: &Exchange) -> (u16, Option<String>) {
        let note = match (exchange.status, exchange.refused_by) {
            (Some(_), Some(server)) if server.host_header_helps() && !self.is_rehosted => {
                Some(format!("{server} refused this host: rerun with --host-header {}", self.place))
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

/// Development servers list names, not ports.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
