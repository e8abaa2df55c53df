//! The state of one visitor's connection, which its requests share. It reads and writes nothing.

pub(crate) mod in_flight;
pub(crate) mod upgraded;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::HeaderMap;

use crate::config::PublicScheme;
use crate::http1::forwarded::ClientInfo;
use crate::http1::request_guard::GuardVerdict;
use crate::limits::connections::ConnectionSlot;
use crate::relay_state::RelayState;
use in_flight::ResponseTracker;

/// One visitor's connection.
pub(crate) struct Visitor {
    pub(crate) state: Arc<RelayState>,
    pub(crate) peer: SocketAddr,
    pub(crate) verdict: Arc<GuardVerdict>,
    /// Its responses that are not sent completely.
    pub(crate) responses: Arc<ResponseTracker>,
    slot: Arc<ConnectionSlot>,
    is_tls: bool,
    is_upgraded: AtomicBool,
    is_http10: AtomicBool,
}

impl Visitor {
    /// A connection from `peer` that was just accepted.
    pub(crate) fn new(
        state: Arc<RelayState>,
        peer: SocketAddr,
        slot: Arc<ConnectionSlot>,
        is_tls: bool,
    ) -> Self {
        Self {
            peer,
            verdict: Arc::default(),
            responses: ResponseTracker::new(state.clock),
            slot,
            is_tls,
            is_upgraded: AtomicBool::new(false),
            is_http10: AtomicBool::new(false),
            state,
        }
    }

    /// The connection is about to leave HTTP; whoever takes it over also ends it.
    pub(crate) fn mark_upgraded(&self) {
        self.is_upgraded.store(true, Ordering::Release);
    }

    pub(crate) fn is_upgraded(&self) -> bool {
        self.is_upgraded.load(Ordering::Acquire)
    }

    /// A request in HTTP/1.0 came: a response without a length ends where the connection does.
    pub(crate) fn mark_http10(&self) {
        self.is_http10.store(true, Ordering::Release);
    }

    pub(crate) fn is_http10(&self) -> bool {
        self.is_http10.load(Ordering::Acquire)
    }

    /// What counts against the limits until the connection ends; an upgraded connection keeps it.
    pub(crate) fn slot(&self) -> Arc<ConnectionSlot> {
        Arc::clone(&self.slot)
    }

    /// Who is behind a request with these header fields.
    pub(crate) fn client_info(&self, fields: &HeaderMap) -> ClientInfo {
        let options = &self.state.settings.options;
        ClientInfo::new(self.peer.ip(), self.scheme(), fields, &options.public.trusted_proxies)
    }

    /// The scheme that the visitor used: also `https` when a proxy in front of the relay terminates TLS.
    fn scheme(&self) -> &'static str {
        let public = self.state.settings.options.public.scheme().usual_port();
        if self.is_tls || public == PublicScheme::Https.usual_port() { "https" } else { "http" }
    }
}
