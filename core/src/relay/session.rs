//! A session: its links and its admission, as the relay sees them.

mod names;
mod peer;
mod services;

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;

use crate::bundle::{Bundle, BundledLink, MAX_LINKS};
use crate::dialect::{DrainScope, Process, Service, SessionRole, SessionTerms, Signal, StreamHeader};
use crate::handshake::{Login, RelayLogin, TokenAuthRequest, Upgrade};
use crate::link::{Link, LinkConfig, LinkEvent, OpenStreamError, Stream, StreamEvent, Streams};
use crate::machine::{Machine, Side};
use crate::message::{Close, Message, Transmit};
use crate::mux::{ClosedStream, StreamId};
use crate::plane::{MessageLimits, StreamCounts};
use crate::reason::DownReason;
use crate::rng::{Rng, Seed};
use crate::stellar::delegation::DelegationId;
use crate::stellar::{Address, Verified};
use crate::time::{Instant, UnixTime, Wall, earliest};
use peer::Peer;

pub use peer::RevokeRefusal;

/// Between two requests for a further link: what the last one changed shows by then.
const REQUEST_INTERVAL: Duration = Duration::from_secs(1);
/// How long streams of a link that is to be replaced may go on; as long as the agent lets them.
const REPLACED_LINK_LIMIT: Duration = Duration::from_secs(3600);

/// The settings of every session of a relay.
#[derive(Clone, PartialEq, Debug)]
pub struct SessionConfig {
    /// What a login needs.
    pub login: RelayLogin,
    /// Keepalive and stream limits.
    pub link: LinkConfig,
    /// The links of one agent that may take streams at once, 1 to [`MAX_LINKS`]. Each has a socket and the limits of
    /// [`SessionConfig::link`]. One more is let in, so that a link can be replaced before it ends.
    pub max_links: u32,
}

impl SessionConfig {
    /// The usual limits.
    pub fn new(login: RelayLogin) -> Self {
        Self { login, link: LinkConfig::relay(), max_links: MAX_LINKS }
    }
}

/// Names one link of a session, and its WebSocket.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LinkId(u32);

impl LinkId {
    /// The link that a session begins with.
    pub const FIRST: LinkId = LinkId(0);
}

/// What a session tells, or asks of, its relay.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum SessionEvent {
    /// An agent proved its identity: [`Session::admit`] or [`Session::refuse`].
    Admit(Verified),
    /// An agent proved its identity, for a further link of its session of this name: [`Session::join`] of that session, or
    /// [`Session::refuse`] of this one.
    Join(Verified, String),
    /// An agent without an identity shows a token: [`Session::admit_token`] or [`Session::refuse`].
    Authenticate(TokenAuthRequest),
    /// The agent wants this service to be reachable: [`Session::confirm`] or [`Session::decline`].
    Bind(Service),
    /// The agent wants this name for its identity: [`Session::grant_name`] or [`Session::refuse_name`].
    Claim(String),
    /// The agent withdrew this service; already answered.
    Unbound(String),
    /// A delegation of the agent's account is not valid any more: [`Session::answer_revoke`].
    Revoke {
        /// The delegation.
        id: DelegationId,
        /// When it is over by itself; `None` is not known.
        until: Option<UnixTime>,
    },
    /// Something happened to a stream. One that the agent opened is for the service of another identity: its header
    /// names `to`, and `from` as the session has verified it.
    Stream(StreamEvent),
    /// Opening a stream, which was refused for lack of capacity, may succeed again.
    OpenReady,
    /// A fresh round trip time to the agent.
    Latency(Duration),
    /// So many links are up: one came or went beside others. The streams of one that went are lost.
    Links(usize),
    /// The agent takes no new streams on one of its links: streams that are idle there ([`Session::is_kept`]) should end.
    /// It goes away if there is no other ([`Session::takes_streams`]).
    GoingAway,
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

/// One agent's session, as the relay sees it.
pub struct Session {
    // Fields: the links, who the agent is, and what it has and may still ask for.
    /// What further links of the agent name. Nobody can guess it, and none but the same identity can use it.
    name: String,
    max_links: u32,
    bundle: Bundle,
    next_link: u32,
    /// When the agent may be asked for another link again.
    next_request: Instant,
    /// What a link that is not admitted yet wants to join.
    wish: Option<String>,
    /// Where its first service is reachable; known once it is admitted.
    url: Option<String>,
    /// Who the agent is.
    peer: Peer,
    allowed_services: Option<Vec<String>>,
    services: Vec<Service>,
    /// Names that it may still ask for.
    claims_left: u32,
    events: VecDeque<SessionEvent>,
}

impl Session {
    /// A WebSocket that was just accepted, and its upgrade request.
    pub fn new(config: SessionConfig, upgrade: Upgrade, wall: Wall, seed: Seed, now: Instant) -> Self {
        let allowed_services = config.login.allowed_services.clone();
        let mut rng = Rng::new(seed);
        let name = rng.token::<16>();
        let link = Link::relay(config.link, config.login, upgrade, wall, rng.fork(), now);
        let mut session = Self::over(link, name, config.max_links, allowed_services);
        session.peer = Peer::new(wall);
        session.drain_links();
        session
    }

    /// A WebSocket that was just accepted, with a login of another protocol. Its agent binds no service by messages.
    pub fn with_login(config: LinkConfig, login: Box<dyn Login>, seed: Seed, now: Instant) -> Self {
        let link = Link::with_login(Side::Relay, config, login, 0, seed, now);
        let mut session = Self::over(link, String::new(), 1, Some(Vec::new()));
        session.drain_links();
        session
    }

    fn over(link: Link, name: String, max_links: u32, allowed_services: Option<Vec<String>>) -> Self {
        let mut bundle = Bundle::default();
        bundle.push(LinkId::FIRST.0, Box::new(link));
        Self {
            name,
            max_links: max_links.clamp(1, MAX_LINKS),
            bundle,
            next_link: LinkId::FIRST.0 + 1,
            next_request: Instant::ZERO,
            wish: None,
            url: None,
            peer: Peer::default(),
            allowed_services,
            services: Vec::new(),
            claims_left: names::MAX_CLAIMS,
            events: VecDeque::new(),
        }
    }

    /// Admits who was announced by [`SessionEvent::Authenticate`]. Visitors of `service` are carried to it; its agent is
    /// told the name `shown`.
    pub fn admit_token(&mut self, shown: String, service: Service, now: Instant) {
        if self.peer.address().is_none() {
            self.services = Vec::from([service]);
            self.admit_link(LinkId::FIRST, shown, now);
        }
    }

    /// Admits who was announced by [`SessionEvent::Admit`]; `url` is where the first service will be reachable.
    pub fn admit(&mut self, url: String, now: Instant) {
        if self.peer.address().is_some() && self.wish.is_none() {
            self.url = Some(url.clone());
            self.admit_link(LinkId::FIRST, url, now);
        }
    }

    fn admit_link(&mut self, id: LinkId, url: String, now: Instant) {
        let session = Some(self.name.clone()).filter(|_| self.peer.address().is_some());
        let links = session.is_some().then_some(self.max_links);
        let terms = SessionTerms { session, links, streams: None };
        if let Some(member) = self.bundle.get_mut(id.0) {
            member.link.admit(url, terms, now);
        }
        self.drain_links();
    }

    /// Whether a link of this identity may join by this name.
    ///
    /// # Errors
    /// The reason, for the agent.
    pub fn may_join(&self, address: Address, name: &str) -> Result<(), DownReason> {
        let unknown = |text: &str| Err(DownReason::UnknownSession(text.to_string()));
        // One answer for all, so that nobody learns which sessions there are.
        if self.peer.address() != Some(address) || self.name != name || !self.is_up() || self.name.is_empty()
        {
            return unknown("this relay has no such session");
        }
        let links = self.bundle.iter().filter(|member| !member.link.is_ended()).count();
        match u32::try_from(links) {
            Ok(links) if links <= self.max_links => Ok(()),
            _ => unknown("the session has all the links that this relay allows"),
        }
    }

    /// Takes over the link of `newcomer`, whose agent was announced by [`SessionEvent::Join`]. Its WebSocket belongs to this
    /// session from now on, by the number returned, and `newcomer` has none.
    ///
    /// # Errors
    /// As [`Session::may_join`]; nothing has happened then.
    pub fn join(&mut self, newcomer: &mut Session, now: Instant) -> Result<LinkId, DownReason> {
        let unknown = || DownReason::UnknownSession("this relay has no such session".to_string());
        let (Some(address), Some(name)) = (newcomer.peer.address(), &newcomer.wish) else {
            return Err(unknown());
        };
        self.may_join(address, name)?;
        if !self.peer.is_same(&newcomer.peer) {
            return Err(unknown());
        }
        let mut link = newcomer.bundle.remove(LinkId::FIRST.0).ok_or_else(unknown)?.link;
        let id = LinkId(self.next_link);
        self.next_link = self.next_link.wrapping_add(1);
        link.set_epoch(id.0);
        self.bundle.push(id.0, link);
        self.admit_link(id, self.url.clone().unwrap_or_default(), now);
        Ok(id)
    }

    /// Whether an agent that waits to be admitted is a program of an older system, which is told the long form of its URL.
    pub fn falls_back(&self) -> bool {
        self.bundle.main().is_some_and(|member| member.link.falls_back())
    }

    /// Refuses the login, or ends the session.
    pub fn refuse(&mut self, reason: DownReason, now: Instant) {
        for member in self.bundle.iter_mut() {
            member.link.end(reason.clone(), now);
        }
        self.drain_links();
    }

    /// Opens a stream for a visitor, or for another identity (see [`StreamHeader::reached`]), on the link with the least
    /// traffic.
    pub fn open(&mut self, header: &StreamHeader, now: Instant) -> Result<StreamId, OpenStreamError> {
        self.bundle.open(header, now)
    }

    /// Whether this stream is worth keeping for another request: its link takes new ones, and will for a while, and has not
    /// much more to carry than another, which a new stream would be opened on.
    pub fn is_kept(&self, id: StreamId, now: Instant) -> bool {
        let is_steady = self.bundle.get(id.session()).is_some_and(BundledLink::is_steady);
        is_steady && !self.bundle.is_crowded(id.session(), now)
    }

    /// Tells the agent to connect again, because this relay will be gone after `deadline`.
    pub fn drain(&mut self, reason: &str, deadline: Duration, now: Instant) {
        let deadline_ms = u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX);
        for member in self.bundle.iter_mut().filter(|member| member.link.is_up()) {
            let reason = reason.to_string();
            member.link.send(Signal::Drain { reason, deadline_ms, scope: DrainScope::Session }, now);
        }
        self.drain_links();
    }

    /// As [`Link::shutdown`], of all links.
    pub fn shutdown(&mut self, reason: DownReason, deadline: Instant, now: Instant) {
        for member in self.bundle.iter_mut() {
            member.link.shutdown(reason.clone(), deadline, now);
        }
        self.drain_links();
    }

    /// When something arrived from the agent last.
    pub fn last_received(&self) -> Instant {
        self.bundle.iter().map(|member| member.link.last_received()).max().unwrap_or(Instant::ZERO)
    }

    /// Whether streams may flow.
    pub fn is_up(&self) -> bool {
        self.bundle.up() > 0
    }

    /// Whether new streams may be opened: the agent has not said that it goes away.
    pub fn takes_streams(&self) -> bool {
        self.bundle.iter().any(|member| member.link.is_up() && !member.link.is_going_away())
    }

    /// The links that are up.
    pub fn links(&self) -> usize {
        self.bundle.up()
    }

    /// What the streams of each link hold.
    pub fn stream_counts(&self) -> impl Iterator<Item = StreamCounts> {
        self.bundle.iter().map(|member| member.link.stream_counts())
    }

    /// Resets streams until `bytes` fewer are unread on its links: those that hold most for longest.
    pub fn shed_unread(&mut self, mut bytes: usize, now: Instant) {
        for member in self.bundle.iter_mut() {
            let held = member.link.stream_counts().unread;
            member.link.shed_unread(bytes.min(held), now);
            bytes = bytes.saturating_sub(held - member.link.stream_counts().unread);
        }
    }

    /// As [`Link::is_sealed`].
    pub fn is_sealed(&self) -> bool {
        self.bundle.main().is_some_and(|member| member.link.is_sealed())
    }

    fn send(&mut self, signal: Signal, now: Instant) {
        if let Some(link) = self.bundle.control() {
            link.send(signal, now);
        }
    }

    /// What the upgrade request said of the agent's program, where its login says nothing.
    pub fn set_process(&mut self, process: Process) {
        self.peer.process = process;
        self.peer.settle_role();
    }

    /// What the agent says of its program; settled once [`SessionEvent::Admit`] was polled.
    pub fn process(&self) -> &Process {
        &self.peer.process
    }

    /// The name by which further links join it.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn drain_links(&mut self) {
        while let Some((id, event)) = self.bundle.poll_event() {
            let event = self.on_link(id, event);
            self.events.extend(event);
        }
        // What is left of the last link is asked about until the session is dropped.
        if self.bundle.iter().nth(1).is_some() {
            self.bundle.forget_spent();
        }
    }

    fn on_link(&mut self, id: u32, event: LinkEvent) -> Option<SessionEvent> {
        let now = self.bundle.get(id)?.link.now();
        match event {
            LinkEvent::Admit(verified) => {
                self.peer.log_in(&verified, now);
                if let Some(process) = self.bundle.get_mut(id).and_then(|member| member.link.take_process()) {
                    self.peer.process = process;
                    self.peer.settle_role();
                }
                Some(SessionEvent::Admit(verified))
            }
            LinkEvent::Join(verified, name) => {
                self.peer.log_in(&verified, now);
                self.wish = Some(name.clone());
                Some(SessionEvent::Join(verified, name))
            }
            LinkEvent::Authenticate(request) => Some(SessionEvent::Authenticate(request)),
            LinkEvent::Signal(Signal::Bind { service: name, local_port, proto, public, on_conflict }) => {
                match self.check_bind(&name, proto, on_conflict) {
                    Ok((proto, on_conflict)) => {
                        self.peer.process.role = SessionRole::Agent;
                        let service = Service { name, proto, local_port, public, on_conflict };
                        return Some(SessionEvent::Bind(service));
                    }
                    Err(refusal) => {
                        self.send(Signal::bind_failed(&name, refusal.code, &refusal.error), now);
                    }
                }
                None
            }
            LinkEvent::Signal(Signal::Revoke { id, until }) => self.on_revoke(&id, until, now),
            LinkEvent::Signal(Signal::Claim { name }) => self.on_claim(name, now),
            LinkEvent::Signal(Signal::Unbind { service }) => {
                self.services.retain(|known| known.name != service);
                self.send(Signal::UnbindOk { service: service.clone() }, now);
                Some(SessionEvent::Unbound(service))
            }
            LinkEvent::Stream(StreamEvent::Opened { id, header }) => self.on_opened(id, header, now),
            LinkEvent::Stream(event) => Some(SessionEvent::Stream(event)),
            LinkEvent::OpenReady => Some(SessionEvent::OpenReady),
            LinkEvent::GoingAway => Some(SessionEvent::GoingAway),
            LinkEvent::Latency(rtt) => Some(SessionEvent::Latency(rtt)),
            LinkEvent::IdsLow => {
                self.replace(id, now);
                None
            }
            LinkEvent::Up(_) if id != LinkId::FIRST.0 => Some(SessionEvent::Links(self.bundle.up())),
            LinkEvent::Down(reason) => Some(match self.bundle.iter().all(|member| member.link.is_ended()) {
                true => SessionEvent::Closed(reason),
                false => SessionEvent::Links(self.bundle.up()),
            }),
            // What only an agent is told, and what the owner knows because it caused it.
            LinkEvent::Signal(_) | LinkEvent::Sign(_) | LinkEvent::Up(_) => None,
        }
    }
}

impl Session {
    /// Asks the agent for one link more while those that there are hold streams back, or, with the most, for keeping them.
    fn ask_for_links(&mut self, now: Instant) {
        if self.max_links == 1 || now < self.next_request || !self.bundle.is_held_back(now) {
            return;
        }
        self.next_request = now + REQUEST_INTERVAL;
        let links = u32::try_from(self.bundle.steady()).unwrap_or(MAX_LINKS);
        self.send(Signal::Links { wanted: self.max_links.min(links + 1) }, now);
    }

    /// Asks the agent for another link in place of this one, which is used until then.
    fn replace(&mut self, id: u32, now: Instant) {
        if let Some(member) = self.bundle.get_mut(id) {
            member.is_retiring = true;
            let deadline_ms = u64::try_from(REPLACED_LINK_LIMIT.as_millis()).unwrap_or(u64::MAX);
            let reason = "this link has few stream ids left".to_string();
            member.link.send(Signal::Drain { reason, deadline_ms, scope: DrainScope::Link }, now);
        }
    }
}

impl Machine for Session {
    type Event = SessionEvent;
    type Socket = LinkId;

    fn is_current(&self, link: LinkId) -> bool {
        self.bundle.get(link.0).is_some()
    }

    fn main_socket(&self) -> Option<LinkId> {
        self.bundle.main().map(|member| LinkId(member.id))
    }

    fn handle_message_from(&mut self, link: LinkId, message: Message, now: Instant) {
        self.bundle.handle_message(link.0, message, now);
        self.drain_links();
        self.ask_for_links(now);
    }

    fn handle_close_from(&mut self, link: LinkId, close: Close, now: Instant) {
        self.bundle.handle_close(link.0, close, now);
        self.drain_links();
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.bundle.handle_timeout(now);
        match self.peer.end(now) {
            Some(reason) => self.refuse(reason, now),
            None => self.drain_links(),
        }
    }

    fn poll_transmit_to(&mut self, link: LinkId) -> Option<Transmit> {
        self.bundle.poll_transmit(link.0)
    }

    fn poll_event(&mut self) -> Option<SessionEvent> {
        if self.events.is_empty() {
            // Between two inputs only streams have news: what writing and sending made of them.
            self.drain_links();
        }
        self.events.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let is_over = self.bundle.iter().all(|member| member.link.is_ended());
        earliest(self.bundle.poll_timeout(), self.peer.ends_at().filter(|_| !is_over))
    }
}

impl Streams for Session {
    fn stream(&mut self, id: StreamId) -> Result<Stream<'_>, ClosedStream> {
        self.bundle.stream(id)
    }

    fn has_output(&self) -> bool {
        self.bundle.has_output()
    }

    fn set_batch(&mut self, link: LinkId, bytes: usize) {
        if let Some(member) = self.bundle.get_mut(link.0) {
            member.link.set_batch(bytes);
        }
    }

    fn split_event(event: SessionEvent) -> Result<StreamEvent, SessionEvent> {
        match event {
            SessionEvent::Stream(event) => Ok(event),
            other => Err(other),
        }
    }

    fn limits(&self, link: LinkId) -> MessageLimits {
        self.bundle.get(link.0).map_or(MessageLimits::LOGIN, |member| member.link.limits())
    }

    fn handle_oversized(&mut self, link: LinkId, head: Bytes, now: Instant) {
        self.bundle.handle_oversized(link.0, head, now);
        self.drain_links();
    }
}
