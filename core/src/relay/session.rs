//! A session: a link and its admission, as the relay sees them.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use crate::dialect::{Proto, Service, Signal, StreamHeader};
use crate::handshake::{Credential, Login, RelayLogin, TokenAuthRequest};
use crate::link::{Link, LinkConfig, LinkEvent, OpenStreamError, Stream, StreamEvent, Streams};
use crate::machine::{Machine, Side};
use crate::message::{Close, Message, Transmit};
use crate::mux::{ClosedStream, StreamId};
use crate::plane::MessageLimits;
use crate::reason::DownReason;
use crate::rng::Seed;
use crate::stellar::{Address, Verified};
use crate::time::{Instant, Wall};

/// Services that one session may bind. A person offers a few; each costs the relay a name.
const MAX_SERVICES: usize = 64;
/// Reset code of a stream from an agent without an identity. Not sent.
const RESET_NOT_OFFERED: u32 = 2;

/// The settings of every session of a relay.
#[derive(Clone, PartialEq, Debug)]
pub struct SessionConfig {
    /// What a login needs.
    pub login: RelayLogin,
    /// Keepalive and stream limits.
    pub link: LinkConfig,
}

impl SessionConfig {
    /// The usual limits.
    pub fn new(login: RelayLogin) -> Self {
        Self { login, link: LinkConfig::relay() }
    }
}

/// What a session tells, or asks of, its relay.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum SessionEvent {
    /// An agent proved its identity: [`Session::admit`] or [`Session::refuse`].
    Admit(Verified),
    /// An agent without an identity shows a token: [`Session::admit_token`] or [`Session::refuse`].
    Authenticate(TokenAuthRequest),
    /// The agent wants this service to be reachable: [`Session::confirm`] or [`Session::decline`].
    Bind(Service),
    /// The agent withdrew this service; already answered.
    Unbound(String),
    /// Something happened to a stream. One that the agent opened is for the service of another identity: its header
    /// names `to`, and `from` as the session has verified it.
    Stream(StreamEvent),
    /// Opening a stream, which was refused for lack of capacity, may succeed again.
    OpenReady,
    /// The agent takes no new streams on this link: as [`LinkEvent::GoingAway`].
    GoingAway,
    /// As [`LinkEvent::IdsLow`]: have the agent connect again by [`Session::drain`], and [`Session::shutdown`] this session
    /// when it has.
    IdsLow,
    /// A fresh round trip time to the agent.
    Latency(Duration),
    /// The end; every stream is closed, nothing follows.
    Closed(DownReason),
}

/// Why a service is not bound, for the agent's owner.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BindRefusal {
    /// Machine-readable: `bad_name`, `not_allowed`, `too_many`, or the relay's own.
    pub code: &'static str,
    /// For a person.
    pub error: String,
}

/// One agent's link, as the relay sees it.
pub struct Session {
    link: Link,
    /// The verified identity of the agent.
    address: Option<Address>,
    allowed_services: Option<Vec<String>>,
    services: Vec<Service>,
    events: VecDeque<SessionEvent>,
}

impl Session {
    /// A WebSocket that was just accepted. `credential` is what its upgrade request carried.
    pub fn new(config: SessionConfig, credential: &Credential, wall: Wall, seed: Seed, now: Instant) -> Self {
        let allowed_services = config.login.allowed_services.clone();
        let link = Link::relay(config.link, config.login, credential, wall, seed, now);
        Self::over(link, allowed_services)
    }

    /// A WebSocket that was just accepted, with a login of another protocol. Its agent binds no service by messages.
    pub fn with_login(config: LinkConfig, login: Box<dyn Login>, seed: Seed, now: Instant) -> Self {
        Self::over(Link::with_login(Side::Relay, config, login, 0, seed, now), Some(Vec::new()))
    }

    fn over(link: Link, allowed_services: Option<Vec<String>>) -> Self {
        let mut session =
            Self { link, address: None, allowed_services, services: Vec::new(), events: VecDeque::new() };
        session.drain_link();
        session
    }

    /// Admits who was announced by [`SessionEvent::Authenticate`]. Visitors of `service` are carried to it; its agent is
    /// told the name `shown`.
    pub fn admit_token(&mut self, shown: String, service: Service, now: Instant) {
        if self.address.is_none() {
            self.services = Vec::from([service]);
            self.link.admit(shown, now);
            self.drain_link();
        }
    }

    /// Admits who was announced by [`SessionEvent::Admit`]; `url` is where the first service will be reachable.
    pub fn admit(&mut self, url: String, now: Instant) {
        if self.address.is_some() {
            self.link.admit(url, now);
            self.drain_link();
        }
    }

    /// Refuses the login, or ends the session.
    pub fn refuse(&mut self, reason: DownReason, now: Instant) {
        self.link.end(reason, now);
        self.drain_link();
    }

    /// Answers [`SessionEvent::Bind`]: the service is reachable, for visitors at `url`. A private one has none.
    pub fn confirm(&mut self, service: Service, url: String, now: Instant) {
        self.confirm_at(service, url, None, now);
    }

    /// The same, for a service that has a public port of its own.
    pub fn confirm_at(&mut self, service: Service, url: String, port: Option<u16>, now: Instant) {
        let (name, url) = (service.name.clone(), Some(url).filter(|_| service.public));
        let local_port = service.local_port;
        match self.services.iter().position(|known| known.name == name) {
            Some(at) => self.services[at] = service,
            // Several binds may have arrived before the first was confirmed.
            None if self.services.len() >= MAX_SERVICES => return self.decline(&name, &too_many(), now),
            None => self.services.push(service),
        }
        self.link.send(Signal::BindOk { service: name, local_port, url, port }, now);
        self.drain_link();
    }

    /// Answers [`SessionEvent::Bind`]: it is not.
    pub fn decline(&mut self, service: &str, refusal: &BindRefusal, now: Instant) {
        self.link.send(Signal::bind_failed(service, refusal.code, &refusal.error), now);
        self.drain_link();
    }

    /// Opens a stream for a visitor, or for another identity: see [`StreamHeader::reached`].
    pub fn open(&mut self, header: &StreamHeader, now: Instant) -> Result<StreamId, OpenStreamError> {
        self.link.open(header, now)
    }

    /// The bound service of this name that visitors may reach; `None` asks for the one at the bare address, the
    /// first that browsers can visit.
    pub fn service(&self, name: Option<&str>) -> Option<&Service> {
        let mut public = self.services.iter().filter(|service| service.public);
        match name {
            Some(name) => public.find(|service| service.name == name),
            None => public.find(|service| service.proto != Proto::Tcp),
        }
    }

    /// The bound service of this name, private or not: for identities, of whom the owner decides.
    pub fn service_for_identities(&self, name: &str) -> Option<&Service> {
        self.services.iter().find(|service| service.name == name)
    }

    /// Tells the agent to connect again, because this relay will be gone after `deadline`.
    pub fn drain(&mut self, reason: &str, deadline: Duration, now: Instant) {
        let deadline_ms = u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX);
        self.link.send(Signal::Drain { reason: reason.to_string(), deadline_ms }, now);
        self.drain_link();
    }

    /// As [`Link::shutdown`].
    pub fn shutdown(&mut self, reason: DownReason, deadline: Instant, now: Instant) {
        self.link.shutdown(reason, deadline, now);
        self.drain_link();
    }

    /// Every bound service, in the order in which they were bound; private ones too.
    pub fn services(&self) -> &[Service] {
        &self.services
    }

    /// When something arrived from the agent last.
    pub fn last_received(&self) -> Instant {
        self.link.last_received()
    }

    /// Whether streams may flow.
    pub fn is_up(&self) -> bool {
        self.link.is_up()
    }

    /// As [`Link::is_sealed`].
    pub fn is_sealed(&self) -> bool {
        self.link.is_sealed()
    }

    /// Whether a service may be bound at all, before the relay is asked.
    fn check_bind(&self, service: &str, proto: Option<Proto>) -> Result<Proto, BindRefusal> {
        Service::check_name(service).map_err(|e| BindRefusal { code: "bad_name", error: e.to_string() })?;
        if self.allowed_services.as_ref().is_some_and(|allowed| !allowed.iter().any(|name| name == service)) {
            let error = String::from("this relay does not allow a service of this name");
            return Err(BindRefusal { code: "not_allowed", error });
        }
        let known = self.services.iter().any(|bound| bound.name == service);
        if !known && self.services.len() >= MAX_SERVICES {
            return Err(too_many());
        }
        proto.ok_or_else(|| {
            let error = String::from("this relay is too old for what this service carries");
            BindRefusal { code: "not_offered", error }
        })
    }

    /// The one place where a relay says who opened a stream.
    fn on_opened(&mut self, id: StreamId, header: StreamHeader, now: Instant) -> Option<SessionEvent> {
        if let Some(from) = self.address {
            let header = StreamHeader { from: Some(from), ..header };
            return Some(SessionEvent::Stream(StreamEvent::Opened { id, header }));
        }
        if let Ok(mut stream) = self.link.stream(id) {
            stream.reset(RESET_NOT_OFFERED, now);
        }
        None
    }

    fn drain_link(&mut self) {
        while let Some(event) = self.link.poll_event() {
            let event = self.on_link(event);
            self.events.extend(event);
        }
    }

    fn on_link(&mut self, event: LinkEvent) -> Option<SessionEvent> {
        let now = self.link.now();
        match event {
            LinkEvent::Admit(verified) => {
                self.address = Some(verified.address());
                Some(SessionEvent::Admit(verified))
            }
            LinkEvent::Authenticate(request) => Some(SessionEvent::Authenticate(request)),
            LinkEvent::Signal(Signal::Bind { service: name, local_port, proto, public }) => {
                match self.check_bind(&name, proto) {
                    Ok(proto) => {
                        return Some(SessionEvent::Bind(Service { name, proto, local_port, public }));
                    }
                    Err(refusal) => {
                        self.link.send(Signal::bind_failed(&name, refusal.code, &refusal.error), now);
                    }
                }
                None
            }
            LinkEvent::Signal(Signal::Unbind { service }) => {
                self.services.retain(|known| known.name != service);
                self.link.send(Signal::UnbindOk { service: service.clone() }, now);
                Some(SessionEvent::Unbound(service))
            }
            LinkEvent::Stream(StreamEvent::Opened { id, header }) => self.on_opened(id, header, now),
            LinkEvent::Stream(event) => Some(SessionEvent::Stream(event)),
            LinkEvent::OpenReady => Some(SessionEvent::OpenReady),
            LinkEvent::GoingAway => Some(SessionEvent::GoingAway),
            LinkEvent::IdsLow => Some(SessionEvent::IdsLow),
            LinkEvent::Latency(rtt) => Some(SessionEvent::Latency(rtt)),
            LinkEvent::Down(reason) => Some(SessionEvent::Closed(reason)),
            // What only an agent is told, and what the owner knows because it caused it.
            LinkEvent::Signal(_) | LinkEvent::Sign(_) | LinkEvent::Up(_) => None,
        }
    }
}

fn too_many() -> BindRefusal {
    let error = alloc::format!("at most {MAX_SERVICES} services can be bound at once");
    BindRefusal { code: "too_many", error }
}

impl Machine for Session {
    type Event = SessionEvent;
    type Socket = ();

    fn is_current(&self, (): ()) -> bool {
        true
    }

    fn handle_message(&mut self, message: Message, now: Instant) {
        self.link.handle_message(message, now);
        self.drain_link();
    }

    fn handle_close(&mut self, close: Close, now: Instant) {
        self.link.handle_close(close, now);
        self.drain_link();
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.link.handle_timeout(now);
        self.drain_link();
    }

    fn poll_transmit(&mut self) -> Option<Transmit> {
        self.link.poll_transmit()
    }

    fn poll_event(&mut self) -> Option<SessionEvent> {
        if self.events.is_empty() {
            // Between two inputs only streams have news: what writing and sending made of them.
            self.drain_link();
        }
        self.events.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.link.poll_timeout()
    }
}

impl Streams for Session {
    fn stream(&mut self, id: StreamId) -> Result<Stream<'_>, ClosedStream> {
        self.link.stream(id)
    }

    fn has_output(&self) -> bool {
        self.link.has_output()
    }

    fn set_batch(&mut self, bytes: usize) {
        self.link.set_batch(bytes);
    }

    fn split_event(event: SessionEvent) -> Result<StreamEvent, SessionEvent> {
        match event {
            SessionEvent::Stream(event) => Ok(event),
            other => Err(other),
        }
    }

    fn limits(&self) -> MessageLimits {
        self.link.limits()
    }
}
