//! The state of one visitor's connection, which its requests share. It reads and writes nothing.

pub(crate) mod in_flight;
pub(crate) mod upgraded;

use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use http::HeaderMap;
use hvym_http1::{ClientInfo, UrlScheme};
use hvym_proxy::ProxyConfig;
use hvym_proxy::limits::VisitorKey;
use hvym_proxy::pool::VisitorId;

use crate::config::PublicScheme;
use crate::limits::visitor_counts::ConnectionSlot;
use crate::relay_state::RelayState;
use crate::tls::ListenerKind;
use crate::upstream::pool::{Pool, StreamUser, next_visitor_id};
use hvym_tunnel_net::trace::TraceId;
use in_flight::ResponseTracker;

/// Fields of which each proxy adds one (RFC 7239, RFC 9110 section 7.6.3, and the usual one).
const FORWARDING: [&str; 3] = ["forwarded", "via", "x-forwarded-for"];

/// The number by which a connection is counted whose visitors cannot be told apart: none of an address, since the upper
/// bits are those of multicast (RFC 4291 section 2.7).
fn unknown_group(id: VisitorId) -> u64 {
    id.0 | 0xff << 56
}

/// One visitor's connection.
pub(crate) struct Visitor {
    pub(crate) state: Arc<RelayState>,
    pub(crate) peer: SocketAddr,
    /// Its responses that are not sent completely.
    pub(crate) responses: Arc<ResponseTracker>,
    slot: Arc<ConnectionSlot>,
    /// Its handle, if it is in the reserve for agents.
    reserved: Option<Arc<TcpStream>>,
    is_tls: bool,
    /// Whether all of it is led to HTTPS.
    is_redirected: bool,
    /// What its connections to services belong to.
    id: VisitorId,
    pub(crate) trace: TraceId,
    /// The pools that may have some.
    pools: Mutex<Vec<Weak<Pool>>>,
}

impl Drop for Visitor {
    fn drop(&mut self) {
        self.trace.visitor("left", 0);
        let pools = self.pools.get_mut().unwrap_or_else(PoisonError::into_inner);
        pools.iter().filter_map(Weak::upgrade).for_each(|pool| pool.handle_visitor_end(self.id));
    }
}

impl Visitor {
    /// A connection from `peer` that was just accepted.
    pub(crate) fn new(
        state: Arc<RelayState>,
        peer: SocketAddr,
        slot: Arc<ConnectionSlot>,
        reserved: Option<Arc<TcpStream>>,
        kind: &ListenerKind,
    ) -> Self {
        let visitor = Self {
            peer,
            responses: ResponseTracker::new(state.settings.options.send_rate(), state.clock),
            slot,
            reserved,
            is_tls: matches!(kind, ListenerKind::Tls(_)),
            is_redirected: matches!(kind, ListenerKind::HttpsRedirect),
            id: next_visitor_id(),
            trace: TraceId::next(),
            pools: Mutex::default(),
            state,
        };
        visitor.trace.visitor("arrived", 0);
        visitor
    }

    /// What counts against the limits until the connection ends; an upgraded connection keeps it.
    pub(crate) fn slot(&self) -> Arc<ConnectionSlot> {
        Arc::clone(&self.slot)
    }

    /// Whether the connection is beyond the limit of all, for a login of an agent and nothing else.
    pub(crate) const fn is_reserved(&self) -> bool {
        self.reserved.is_some()
    }

    /// The connection is an agent's, which is not cut for a newcomer.
    pub(crate) fn leave_reserve(&self) {
        if let Some(reserved) = &self.reserved {
            self.state.reserve.leave(reserved);
        }
    }

    /// A request is about to use connections of this pool, which may then have some that are the visitor's.
    pub(crate) fn note_pool(&self, pool: &Arc<Pool>) {
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        let is_known = |known: &Weak<Pool>| std::ptr::eq(known.as_ptr(), Arc::as_ptr(pool));
        if !pools.iter().any(is_known) {
            pools.retain(|known| known.strong_count() > 0);
            pools.push(Arc::downgrade(pool));
        }
    }

    /// What a request of `client` is counted by; `None`: by nothing of its own.
    pub(crate) fn key(&self, client: &ClientInfo) -> Option<VisitorKey> {
        // A trusted proxy that does not say whom it saw is not counted.
        self.state.limits.key(client.address())
    }

    /// Whom a stream for a request of `client` is for.
    pub(crate) fn stream_user(&self, client: &ClientInfo) -> StreamUser {
        let group = self.key(client).map_or_else(|| unknown_group(self.id), VisitorKey::as_u64);
        StreamUser { id: self.id, group }
    }

    /// Whether the operator has banned whoever is behind a request with these header fields, as a trusted proxy says it. Who
    /// comes without a proxy was turned away before.
    pub(crate) fn is_banned<'a>(&self, fields: impl FnOnce() -> Vec<(&'a str, &'a [u8])>) -> bool {
        self.is_behind_proxy() && {
            let from = self.client_info(&fields()).address();
            self.state.network_bans.contains(from, || self.state.clock.wall().unix)
        }
    }

    /// Who is behind a request with these header fields.
    pub(crate) fn client_info(&self, fields: &[(&str, &[u8])]) -> ClientInfo {
        let fields = fields.iter().copied();
        ClientInfo::new(self.peer.ip(), self.scheme(), fields, |address| self.is_trusted(address))
    }

    /// Whether a request with these header fields came without TLS to a relay that has HTTPS: to the listener for it, or to a
    /// trusted proxy.
    pub(crate) fn is_insecure<'a>(&self, fields: impl FnOnce() -> Vec<(&'a str, &'a [u8])>) -> bool {
        let has_https = self.state.settings.options.scheme() == PublicScheme::Https;
        self.is_redirected
            || (has_https
                && self.is_behind_proxy()
                && self.client_info(&fields()).scheme() == UrlScheme::Http)
    }

    /// How the connection is served. Without TLS, nothing is said about it (RFC 6797 section 7.2).
    pub(crate) fn proxy_config(&self) -> Arc<ProxyConfig> {
        let config = &self.state.proxy;
        match self.is_redirected {
            true => Arc::new(ProxyConfig { hsts: None, ..(**config).clone() }),
            false => Arc::clone(config),
        }
    }

    /// The value of `Strict-Transport-Security` for its answers.
    pub(crate) fn hsts(&self) -> Option<&str> {
        self.state.proxy.hsts.as_deref().filter(|_| !self.is_redirected)
    }

    /// Whether the connection comes from a trusted proxy, which says for each request whom it saw.
    pub(crate) fn is_behind_proxy(&self) -> bool {
        self.is_trusted(self.peer.ip().to_canonical())
    }

    fn is_trusted(&self, address: IpAddr) -> bool {
        let trusted = &self.state.settings.options.public.trusted_proxies;
        trusted.iter().any(|net| net.contains(&address))
    }

    /// The port that a URL of the visitor's scheme need not name.
    pub(crate) fn usual_port(&self) -> u16 {
        match self.scheme() {
            UrlScheme::Https => PublicScheme::Https.usual_port(),
            UrlScheme::Http => PublicScheme::Http.usual_port(),
        }
    }

    /// Whether whoever sends these fields is on this machine. One that comes through a proxy here is not, unless the proxy is
    /// trusted and says so.
    pub(crate) fn is_local(&self, fields: &HeaderMap) -> bool {
        if !self.peer.ip().to_canonical().is_loopback() {
            return false;
        }
        if !self.is_behind_proxy() {
            return !FORWARDING.iter().any(|name| fields.contains_key(*name));
        }
        let fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        self.client_info(&fields).address().is_loopback()
    }

    /// The scheme that the visitor used: also `https` when a proxy in front of the relay terminates TLS.
    fn scheme(&self) -> UrlScheme {
        let is_https = self.is_tls || self.state.settings.options.scheme() == PublicScheme::Https;
        if is_https { UrlScheme::Https } else { UrlScheme::Http }
    }
}
