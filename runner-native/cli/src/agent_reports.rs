//! From the events of an agent or a forward to reports, in the words of the command line.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hvym_tunnel_agent::event::{
    AgentEvent, BoundService, ConnectError, ConnectionFailure, ConnectionRecord, ForwardError,
    OngoingRequest, RequestNote, RequestRecord,
};
use hvym_tunnel_agent::settings::CompatSystem;
use hvym_tunnel_core::dialect::{OpenResult, Proto};
use hvym_tunnel_core::reason::DownReason;
use hvym_tunnel_core::stellar::Address;
use hvym_tunnel_net::observer::Observer;
use smol::channel::{Receiver, Sender, bounded};

use crate::failure::link_hint;
use crate::report::{Report, Reporter, RequestReport, without_query};

/// What a person is told of the keys of a terminal.
const KEYS_HINT: &str = "keys: q QR code, c copy the URL, o open it";

/// Reports the events of one agent.
pub(crate) struct AgentReports {
    reporter: Reporter,
    subject: Subject,
    /// The attempt that is still to come.
    waiting: Mutex<Option<NextAttempt>>,
    /// Has a message when [`Self::waiting`] was set.
    began: (Sender<()>, Receiver<()>),
    /// Where visitors reach the first service now, unless it is private.
    url: Mutex<Option<String>>,
    /// Whether keys do something.
    has_keys: AtomicBool,
    /// Whether the URL is shown as a QR code.
    shows_code: AtomicBool,
    /// Whether there was a link at some time.
    was_online: AtomicBool,
}

/// Which agent it is, for reports that say so.
pub(crate) struct Subject {
    /// Who it is.
    pub(crate) address: Address,
    /// Where it dials, as a person named it.
    pub(crate) relay: String,
    /// What it does.
    pub(crate) purpose: AgentKind,
}

impl Subject {
    /// Whether visitors come to a URL.
    pub(crate) fn has_url(&self) -> bool {
        matches!(self.purpose, AgentKind::Expose { .. })
    }
}

/// What an agent does.
pub(crate) enum AgentKind {
    /// It exposes these services; with a login of an older system, and then one of this protocol.
    Expose { services: Vec<String>, compat: Option<(CompatSystem, Proto)> },
    /// It leads local connections to this service.
    Forward { service: String },
}

/// An attempt to connect that is still to come.
struct NextAttempt {
    reason: String,
    hint: Option<String>,
    at: Instant,
    attempt: u32,
}

impl AgentReports {
    /// Reports to `reporter` what happens to `subject`.
    pub(crate) fn new(reporter: Reporter, subject: Subject) -> Self {
        Self {
            reporter,
            subject,
            waiting: Mutex::default(),
            began: bounded(1),
            url: Mutex::default(),
            has_keys: AtomicBool::new(false),
            shows_code: AtomicBool::new(false),
            was_online: AtomicBool::new(false),
        }
    }

    /// Keys do something from now on, and people are to be told. With `shows_code` the URL is shown as a QR code, too.
    pub(crate) fn set_keys(&self, shows_code: bool) {
        self.has_keys.store(true, Ordering::Relaxed);
        self.shows_code.store(shows_code, Ordering::Relaxed);
    }

    /// Where visitors reach the first service; `None` before it is known.
    pub(crate) fn url(&self) -> Option<String> {
        self.url.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_url(&self, url: &str) {
        *self.url.lock().unwrap_or_else(PoisonError::into_inner) = Some(url.to_owned());
    }

    /// Updates the countdown to the next attempt; to be called every second while [`Self::is_waiting`].
    pub(crate) fn tell_waiting(&self) {
        let report = self.waiting().as_ref().map(|waiting| {
            // Whole seconds, rounded up, so that a countdown ends with 1.
            let left = waiting.at.saturating_duration_since(Instant::now()).as_millis().div_ceil(1000);
            let retry_in = Some(Duration::from_secs(u64::try_from(left).unwrap_or(u64::MAX)));
            let NextAttempt { reason, hint, attempt, .. } = waiting;
            let is_again = self.was_online.load(Ordering::Relaxed);
            Report::Disconnected {
                reason: reason.clone(),
                retry_in,
                attempt: *attempt,
                hint: hint.clone(),
                is_again,
            }
        });
        if let Some(report) = report {
            self.reporter.tell(&report);
        }
    }

    /// Whether the next attempt is still to come.
    pub(crate) fn is_waiting(&self) -> bool {
        self.waiting().as_ref().is_some_and(|waiting| waiting.at > Instant::now())
    }

    /// Waits until an attempt failed and another is to come.
    pub(crate) async fn waiting_began(&self) {
        let _began = self.began.1.recv().await;
    }

    fn waiting(&self) -> MutexGuard<'_, Option<NextAttempt>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn online(&self, services: &[BoundService]) {
        let (address, relay) = (self.subject.address, self.subject.relay.clone());
        let AgentKind::Expose { compat, .. } = &self.subject.purpose else { return };
        let Some((first, others)) = services.split_first() else { return };
        let ready = Report::Ready {
            url: first.url.clone(),
            target: first.target.to_string(),
            service: first.service.clone(),
            address: compat.is_none().then_some(address),
            relay,
            private: first.private,
            note: compat.map(|(system, proto)| compat_note(system, proto)),
        };
        self.ready(&ready);
        others.iter().for_each(|bound| self.bound(bound));
    }

    /// Visitors can come, as a [`Report::Ready`] says: it is told, and keys do something.
    pub(crate) fn ready(&self, report: &Report) {
        let Report::Ready { url, private, .. } = report else { return };
        if !private && self.has_keys.load(Ordering::Relaxed) {
            if self.shows_code.load(Ordering::Relaxed) {
                crate::qr_code::show(url, &self.reporter);
            }
            self.reporter.note(KEYS_HINT);
        }
        self.reporter.tell(report);
        if !private {
            self.set_url(url);
        }
    }

    fn bound(&self, bound: &BoundService) {
        let BoundService { service, url, target, .. } = bound;
        let (service, url, target) = (service.clone(), url.clone(), target.to_string());
        self.reporter.tell(&Report::Bound { service, url, target });
    }

    /// What became of one service or name at the relay.
    fn service(&self, event: &AgentEvent) {
        match event {
            AgentEvent::Named { name, url } => {
                self.reporter.tell(&Report::Named { name: name.clone(), url: url.clone() });
            }
            AgentEvent::NameRefused { name, code, message } => {
                let (name, code, message) = (name.clone(), code.clone(), message.clone());
                self.reporter.tell(&Report::NameRefused { name, code, message });
            }
            AgentEvent::ServiceBound(bound) => self.bound(bound),
            AgentEvent::ServiceRefused { service, code, message } => {
                // Of the only one, the end of the program says it.
                if matches!(&self.subject.purpose, AgentKind::Expose { services, .. } if services.len() > 1) {
                    let (service, code, message) = (service.clone(), code.clone(), message.clone());
                    self.reporter.tell(&Report::BindFailed { service, code, message });
                }
            }
            AgentEvent::ServiceTakenOver { service, by } => {
                let (service, by) = (service.clone(), by.clone());
                self.reporter.tell(&Report::Unbound { service, code: "replaced", by });
            }
            _ => {}
        }
    }

    fn request(&self, record: &RequestRecord) {
        let note = record.note.as_ref().map(note);
        self.reporter.tell_request(&RequestReport {
            method: &record.method,
            path: &record.target,
            visitor: record.visitor,
            status: record.status,
            millis: u64::try_from(record.duration.as_millis()).unwrap_or(u64::MAX),
            bytes: record.response_bytes,
            service: self.name_if_needed(&record.service),
            note: note.as_deref(),
        });
    }

    /// A local service went away, or is back.
    fn local_service(&self, event: &AgentEvent) {
        match event {
            AgentEvent::UpstreamUnreachable { service, target, error } => {
                let (service, target, message) = (service.clone(), target.to_string(), upstream(error));
                self.reporter.tell(&Report::UpstreamUnreachable { service, target, message });
            }
            AgentEvent::UpstreamReachable { service, target } => {
                let (service, target) = (service.clone(), target.to_string());
                self.reporter.tell(&Report::UpstreamReachable { service, target });
            }
            _ => {}
        }
    }

    /// There is no link, and the next attempt is to come.
    fn disconnected(&self, reason: &DownReason, hint: Option<String>, retry_in: Duration, attempt: u32) {
        let reason = match reason {
            // That it is the relay is plain, and the line is short.
            DownReason::Unreachable(why) => why.clone(),
            reason => reason.to_string(),
        };
        *self.waiting() = Some(NextAttempt { reason, hint, at: Instant::now() + retry_in, attempt });
        let _known_already = self.began.0.try_send(());
        self.tell_waiting();
    }

    fn ongoing(&self, request: &OngoingRequest) {
        self.reporter.tell(&Report::RequestOngoing {
            method: request.method.clone().into_owned(),
            path: without_query(&request.target).to_owned(),
            visitor: request.visitor,
            status: request.status,
            elapsed: request.elapsed,
            service: self.name_if_needed(&request.service).map(str::to_owned),
        });
    }

    fn connection(&self, record: &ConnectionRecord) {
        self.reporter.tell(&Report::Connection {
            visitor: record.visitor.clone().or_else(|| record.from.map(|from| from.to_string())),
            received: record.received,
            sent: record.sent,
            lasted: record.duration,
            service: self.name_if_needed(&record.service).map(str::to_owned),
            note: record.failure.as_ref().map(|failure| match failure {
                ConnectionFailure::Unreachable(error) => error.to_string(),
                _ => "cut off".to_owned(),
            }),
        });
    }

    /// With one service, naming it in every line says nothing.
    fn name_if_needed<'a>(&self, service: &'a str) -> Option<&'a str> {
        let is_only = match &self.subject.purpose {
            AgentKind::Expose { services, .. } => matches!(&services[..], [only] if only == service),
            AgentKind::Forward { .. } => false,
        };
        (!is_only).then_some(service)
    }

    fn forward_failed(&self, error: &ForwardError) {
        let AgentKind::Forward { service } = &self.subject.purpose else { return };
        let own = self.subject.address;
        let (message, hint) = match error {
            ForwardError::Refused { code, message } => {
                let hint = match code.as_str() {
                    OpenResult::NOT_REACHABLE => {
                        Some(format!("is its owner connected to this relay, and does it --allow {own}?"))
                    }
                    OpenResult::TOO_MANY => Some("close some, or wait a moment".to_owned()),
                    OpenResult::UNAVAILABLE => Some("you are let in; ask the owner to start it".to_owned()),
                    _ => None,
                };
                (message.clone(), hint)
            }
            ForwardError::NoVerdict(message) => {
                let hint = "the relay, or the owner's agent, may be of an earlier version".to_owned();
                (message.clone(), Some(hint))
            }
            ForwardError::TimedOut => ("the relay did not say yes or no".to_owned(), None),
            ForwardError::NotConnected(message) => (message.clone(), None),
            _ => (error.code().to_owned(), None),
        };
        let (service, code) = (service.clone(), error.code().to_owned());
        self.reporter.tell(&Report::NotReached { service, code, message, hint });
    }
}

impl AgentReports {
    /// An identity came to a service, and was let in or not.
    fn peer(&self, event: &AgentEvent) {
        self.reporter.tell(&match event {
            AgentEvent::PeerAdmitted { service, from, key } => {
                Report::Reached { service: service.clone(), from: *from, key: *key }
            }
            AgentEvent::PeerRefused { service, from, key } => {
                Report::Refused { service: service.clone(), from: *from, key: *key }
            }
            _ => return,
        });
    }
}

impl Observer<AgentEvent> for AgentReports {
    fn handle_event(&self, event: &AgentEvent) {
        match event {
            AgentEvent::Online { services } => {
                self.waiting().take();
                self.was_online.store(true, Ordering::Relaxed);
                self.online(services);
            }
            AgentEvent::ForwardOnline { listen } => {
                self.waiting().take();
                self.was_online.store(true, Ordering::Relaxed);
                let AgentKind::Forward { service } = &self.subject.purpose else { return };
                let Subject { address, relay, .. } = &self.subject;
                let (service, listen, relay) = (service.clone(), listen.to_string(), relay.clone());
                self.reporter.tell(&Report::Forwarding { service, listen, address: *address, relay });
            }
            AgentEvent::Named { .. }
            | AgentEvent::NameRefused { .. }
            | AgentEvent::ServiceBound(_)
            | AgentEvent::ServiceRefused { .. }
            | AgentEvent::ServiceTakenOver { .. } => self.service(event),
            AgentEvent::Disconnected { reason, problem, retry_in, attempt } => {
                self.disconnected(reason, link_hint(reason, problem.as_ref()), *retry_in, *attempt);
            }
            AgentEvent::Reconnected { url, after } => {
                self.waiting().take();
                if self.url().is_some() {
                    self.set_url(url);
                }
                self.reporter.tell(&Report::Reconnected { url: url.clone(), after: *after });
            }
            AgentEvent::Notice { code, message, hint } => {
                let (code, message, hint) = (code.clone(), message.clone(), hint.clone());
                self.reporter.tell(&Report::Notice { code, message, hint });
            }
            AgentEvent::RelayDraining => {
                let message = "it is going away; I connect again".to_owned();
                self.reporter.tell(&Report::Notice { code: "drain".to_owned(), message, hint: None });
            }
            AgentEvent::Draining { deadline } => {
                let reason = "stopping".to_owned();
                self.reporter.tell(&Report::Draining { reason, deadline: *deadline });
            }
            AgentEvent::RequestOngoing(request) => self.ongoing(request),
            AgentEvent::Request(record) => self.request(record),
            AgentEvent::Connection(record) => self.connection(record),
            AgentEvent::PeerAdmitted { .. } | AgentEvent::PeerRefused { .. } => self.peer(event),
            AgentEvent::UpstreamUnreachable { .. } | AgentEvent::UpstreamReachable { .. } => {
                self.local_service(event);
            }
            AgentEvent::ForwardFailed(error) => self.forward_failed(error),
            AgentEvent::Latency(_) => {}
            other => tracing::debug!(?other, "an event without a report"),
        }
    }
}

/// What is wrong with a local service, and the way out.
fn upstream(error: &ConnectError) -> String {
    match error {
        ConnectError::Refused(_) | ConnectError::NoSocket(_) => format!("{error} (start it; I keep trying)"),
        ConnectError::Unresolved(..) => format!("{error} (check the name; I keep trying)"),
        ConnectError::Untrusted(place) => {
            format!(
                "{error} (if it is your own, name its authority with --ca-file, or expose https+insecure://{place})"
            )
        }
        ConnectError::NotTls(place) => format!("{error} (expose http://{place})"),
        _ => format!("{error} (is it running? I keep trying)"),
    }
}

/// What a person should know about a request.
fn note(note: &RequestNote) -> String {
    match note {
        RequestNote::HostRefused { server, accepted: Some(host), .. } => {
            format!("{server} refused this host: rerun with --host-header {host}")
        }
        RequestNote::HostRefused { server, host, .. } => {
            let host = host.as_deref().map_or("the public host name", without_port);
            match server.setting() {
                Some(setting) => format!("{server} refused this host: add {host} to its {setting}"),
                None => format!("{server} refused this host: add {host} to those it takes"),
            }
        }
        RequestNote::NetworkNotAllowed(visitor) => {
            let who = visitor.map_or_else(|| "an unknown address".to_owned(), |ip| ip.to_string());
            format!("{who} is not in --allow-cidr")
        }
        RequestNote::PreflightAnswered => "answered for the service (--cors-preflight)".to_owned(),
        RequestNote::NoCredentials => "no name and password".to_owned(),
        RequestNote::WrongCredentials => "wrong name or password".to_owned(),
        RequestNote::TooManyGuesses => "too many wrong passwords from there".to_owned(),
        RequestNote::ClosedWithoutResponse { place } => {
            format!("{place} closed the connection without an answer")
        }
        RequestNote::BadResponse { place, reason } => {
            format!("{place} did not answer in proper HTTP/1.1, so it was not passed on: {reason}")
        }
        RequestNote::StoppedInResponse { place } => format!("{place} stopped in the middle"),
        RequestNote::CutOffInResponse => "cut off before the end".to_owned(),
        RequestNote::CutOffBeforeResponse => "cut off before the answer".to_owned(),
        other => format!("{other:?}"),
    }
}

/// Development servers list names, not ports.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

/// What a person should know about the URL at a server of an older system.
fn compat_note(system: CompatSystem, proto: Proto) -> &'static str {
    match (system, proto) {
        (CompatSystem::CloudLlm, _) => "visitors log in there, and those of your account are led here",
        (CompatSystem::Tunely, Proto::Tcp | Proto::H2) => {
            "visitors come to the TCP port that the server's operator has given to this tunnel"
        }
        (CompatSystem::Tunely, Proto::Http) => {
            "of a tunnel in TCP mode, visitors come to a port of the server that its operator knows"
        }
    }
}
