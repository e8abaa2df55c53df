//! Where agents come in: the upgrade of `/connect`, and one session from there to its end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use async_tungstenite::tungstenite::handshake::derive_accept_key;
use http::header::{
    AUTHORIZATION, CONNECTION, HeaderMap, ORIGIN, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderName, HeaderValue, Method, Request, StatusCode, Version};
use hvym_tunnel_core::dialect::{MUX_YAMUX, Proto, Service};
use hvym_tunnel_core::handshake::Credential;
use hvym_tunnel_core::reason::DownReason;
use hvym_tunnel_core::relay::{Session, SessionEvent};
use hvym_tunnel_core::stellar::Address;
use hvym_tunnel_core::time::UnixTime;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;

use super::live::Live;
use super::phases::Pass;
use super::reach::Caller;
use super::reply::{self, Answer};
use super::roster::{Admission, SessionKey};
use super::settings::CLOSE_TIMEOUT;
use super::switchboard::{RelayEvent, Switchboard};
use super::tally::Joined;
use super::visitors::Visitor;
use super::{heads, pages, ports, upgrade};
use crate::io::clock::{self, within};
use crate::io::driver::{Driver, Handle, Happened};
use crate::io::executor::spawn;
use crate::io::socket;

const MUX: HeaderName = HeaderName::from_static("hvym-tunnel-mux");
/// RFC 6455 section 4.1: a key is 16 bytes in base64.
const KEY_CHARACTERS: usize = 24;

/// Answers a request for `/connect`.
pub(super) fn answer(visitor: &Visitor, mut request: Request<Incoming>) -> Answer {
    let format = reply::format(request.headers());
    let Some(accept) = accept_key(&request) else {
        let mut answer = reply::page(&pages::websocket_wanted(), format);
        let fields = answer.headers_mut();
        fields.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        fields.insert(UPGRADE, HeaderValue::from_static("websocket"));
        fields.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        return answer;
    };
    let board = &visitor.board;
    if !is_welcome(request.headers(), &board.settings.options.origins) {
        return reply::page(&pages::foreign_origin(), format);
    }
    let Some(pass) = board.links.enter() else {
        return reply::page(&pages::draining(), format);
    };
    if !board.roster.has_room() {
        return reply::page(&pages::overloaded(), format);
    }
    let credential = credential(request.headers());
    let upgrade = hyper::upgrade::on(&mut request);
    visitor.give_away();
    let welcomed = welcome(Arc::clone(board), visitor.peer, credential, upgrade, pass);
    // An agent is a connection like any other, and counts for as long as it stays.
    let place = visitor.place();
    spawn(async move {
        welcomed.await;
        drop(place);
    })
    .detach();
    let mut answer = reply::empty(StatusCode::SWITCHING_PROTOCOLS);
    let fields = answer.headers_mut();
    fields.insert(SEC_WEBSOCKET_ACCEPT, accept);
    fields.insert(UPGRADE, HeaderValue::from_static("websocket"));
    fields.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    answer
}

/// What proves to the agent that its upgrade was understood; `None` if it was not one (RFC 6455 section 4.2.1).
fn accept_key(request: &Request<Incoming>) -> Option<HeaderValue> {
    let fields = request.headers();
    let meant = request.method() == Method::GET
        && request.version() == Version::HTTP_11
        && heads::lists(fields, &CONNECTION, "upgrade")
        && heads::lists(fields, &UPGRADE, "websocket")
        && fields.get(SEC_WEBSOCKET_VERSION).is_some_and(|version| version == "13");
    let key = fields.get(SEC_WEBSOCKET_KEY).filter(|key| meant && key.len() == KEY_CHARACTERS)?;
    HeaderValue::try_from(derive_accept_key(key.as_bytes())).ok()
}

/// Whether the page that connects, if it is a page, is of an origin that may (RFC 6455 section 10.2).
fn is_welcome(fields: &HeaderMap, origins: &[String]) -> bool {
    let mut named = fields.get_all(ORIGIN).iter();
    let is_known = |origin: &HeaderValue| {
        origins.iter().any(|known| origin.as_bytes().eq_ignore_ascii_case(known.as_bytes()))
    };
    origins.is_empty() || named.all(is_known)
}

/// The token of `Authorization: Bearer`. Only an agent that also names our data plane can use the way in that
/// skips the challenge; every other one is challenged, and learns from that what the relay speaks.
fn credential(fields: &HeaderMap) -> Credential {
    let token = fields.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
    });
    match token {
        Some(token) if heads::lists(fields, &MUX, MUX_YAMUX) => Credential::Bearer(token),
        _ => Credential::None,
    }
}

async fn welcome(
    board: Arc<Switchboard>,
    peer: SocketAddr,
    credential: Credential,
    upgrade: OnUpgrade,
    pass: Pass,
) {
    let upgraded = match upgrade::timely(upgrade).await {
        Ok(upgraded) => upgraded,
        Err(error) => return tracing::debug!(%peer, %error, "an agent left before its upgrade was done"),
    };
    let socket = socket::accepted(upgrade::reclaim(upgraded)).await;
    let (clock, config) = (board.clock, board.session.clone());
    let session = Session::new(config, &credential, clock.wall(), clock::seed(), clock.now());
    let live = Live::new(Handle::new(session, clock), clock);
    let mut driver = Driver::new(live.session.clone());
    driver.attach(socket);
    let Some(key) = board.roster.enter(live.clone()) else {
        let full = DownReason::Overloaded("this relay has no room for another agent".to_owned());
        live.session.with(|session, now| session.refuse(full, now));
        let _flushed = within(CLOSE_TIMEOUT, driver.next()).await;
        return;
    };
    let mut seat = Seat { board, live, key, peer, address: None, _pass: pass };
    let mut caller = Caller::new();
    let reason = loop {
        match driver.next().await {
            Happened::Event(SessionEvent::Closed(reason)) => break reason,
            Happened::Event(event) => seat.on_event(event),
            Happened::Opened { stream, opening } => caller.reach(&seat.board, stream, *opening),
        }
    };
    seat.on_closed(reason);
    // The close may still be on its way to a peer that reads slowly.
    while driver.is_attached() && within(CLOSE_TIMEOUT, driver.next()).await.is_some() {}
}

/// The place of one session in its relay; whatever happens to its task, the place is freed.
struct Seat {
    board: Arc<Switchboard>,
    live: Live,
    key: SessionKey,
    peer: SocketAddr,
    /// Known once it was let in.
    address: Option<Address>,
    _pass: Pass,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.board.roster.leave(self.key, self.address.as_ref());
        ports::leave(&self.board, self.key);
    }
}

impl Seat {
    fn on_event(&mut self, event: SessionEvent) {
        match event {
            SessionEvent::Admit(verified) => self.on_admit(verified.address(), verified.expires_at()),
            SessionEvent::Bind(service) => self.on_bind(service),
            SessionEvent::Unbound(service) => {
                self.live.pool.clear(&service);
                tracing::info!(address = ?self.address, service, "unbound");
                if let Some(address) = &self.address {
                    ports::release(&self.board, address, &service, self.key);
                }
            }
            SessionEvent::Latency(rtt) => tracing::trace!(address = ?self.address, ?rtt, "latency"),
            SessionEvent::Room => self.live.wake(),
            // Streams are the driver's, the end is the loop's.
            // Only programs of other dialects knock, and no endpoint of this relay is theirs.
            SessionEvent::Knock(_) => {}
            SessionEvent::Stream(_) | SessionEvent::Closed(_) => {}
        }
    }

    fn on_admit(&mut self, address: Address, expires_at: Option<UnixTime>) {
        match self.board.roster.admit(self.key, address) {
            Admission::Conflict => {
                self.live.session.with(|session, now| session.refuse(DownReason::Replaced, now))
            }
            Admission::Entered(old) => {
                self.address = Some(address);
                let joined = Joined { address, at: SystemTime::now(), expires_at };
                let _first = self.live.record.joined.set(joined);
                self.board.tally.join();
                let url = self.board.url(&address, None);
                self.live.session.with(|session, now| session.admit(url.clone(), now));
                if let Some(old) = old {
                    old.session.with(|session, now| session.refuse(DownReason::Replaced, now));
                }
                self.board.tell(RelayEvent::AgentJoined { address, url, peer: self.peer });
            }
        }
    }

    fn on_bind(&mut self, service: Service) {
        let Some(address) = self.address else { return };
        if service.proto == Proto::Tcp && service.public {
            return self.on_bind_tcp(address, service);
        }
        // It may have carried bytes until now.
        ports::release(&self.board, &address, &service.name, self.key);
        if !service.public {
            tracing::info!(%address, service = service.name, "bound, for identities");
            return self.live.session.with(|session, now| session.confirm(service, String::new(), now));
        }
        let name = service.name.clone();
        let url = self.live.session.with(|session, now| {
            // The first service is at the bare address, which a wildcard certificate covers.
            let first = session.service(None).is_none_or(|first| first.name == name);
            let url = self.board.url(&address, Some(name.as_str()).filter(|_| !first));
            session.confirm(service, url.clone(), now);
            url
        });
        // What waits for it goes elsewhere from now on, if it was bound anew.
        self.live.pool.clear(&name);
        self.live.wake();
        tracing::info!(%address, service = name, url, "bound");
    }

    fn on_bind_tcp(&mut self, address: Address, service: Service) {
        if !self.board.roster.is_current(self.key, &address) {
            return;
        }
        match ports::bind(&self.board, address, &service.name, self.key) {
            Ok(port) => {
                let url = self.board.tcp_url(port);
                tracing::info!(%address, service = service.name, url, "bound");
                self.live.session.with(|session, now| session.confirm_at(service, url, Some(port), now));
            }
            Err(refusal) => {
                self.live.session.with(|session, now| session.decline(&service.name, &refusal, now));
            }
        }
    }

    fn on_closed(&self, reason: DownReason) {
        self.board.roster.leave(self.key, self.address.as_ref());
        self.live.wake();
        match self.address {
            Some(address) => self.board.tell(RelayEvent::AgentLeft { address, reason }),
            None => tracing::info!(peer = %self.peer, %reason, "an agent was not let in"),
        }
    }
}
