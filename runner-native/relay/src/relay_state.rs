//! What every task of one relay shares.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;

use hvym_tunnel_core::relay::{Name, Owner, SessionConfig};
use hvym_tunnel_core::stellar::Address;

use crate::compat_agents::CompatAgents;
use crate::event::{EventSink, RelayEvent};
use crate::limits::concurrency::ConcurrencyLimit;
use crate::limits::ip::{IpLimiter, IpLimits};
use crate::metrics::Metrics;
use crate::registry::{OpenRegistry, Registry};
use crate::router::{LocalRouter, Router};
use crate::sessions::SessionTable;
use crate::settings::RelaySettings;
use crate::tcp_ports::PublicPorts;
use hvym_tunnel_net::clock::Clock;
use hvym_tunnel_net::secret::Fingerprint;
use hvym_tunnel_net::shutdown::{CancellationToken, TaskTracker};

/// What every task of one relay shares.
pub(super) struct RelayState {
    pub(super) address: Address,
    pub(super) settings: RelaySettings,
    pub(super) session: SessionConfig,
    /// Where it really listens.
    pub(super) port: u16,
    pub(super) clock: Clock,
    /// When the relay began.
    pub(super) started: SystemTime,
    pub(super) sessions: SessionTable,
    pub(super) guests: CompatAgents,
    pub(super) ports: PublicPorts,
    /// Where connections come in.
    pub(super) ip_limiter: Arc<IpLimiter>,
    /// How many requests are under way.
    pub(super) load: Arc<ConcurrencyLimit>,
    /// What became of all requests.
    pub(super) metrics: Metrics,
    /// Visitors' requests.
    pub(super) requests: TaskTracker,
    /// Visitors' connections, until their last answer has left.
    pub(super) conversations: TaskTracker,
    /// Agents' links.
    pub(super) links: TaskTracker,
    /// Nothing new is taken.
    pub(super) draining: CancellationToken,
    /// What is still open is cut.
    pub(super) closing: CancellationToken,
    pub(super) events: EventSink,
    pub(super) seams: Seams,
    connections: AtomicUsize,
}

/// What decides for a relay.
pub(super) struct Seams {
    pub(super) registry: Arc<dyn Registry>,
    pub(super) router: Arc<dyn Router>,
}

impl Default for Seams {
    fn default() -> Self {
        Self { registry: Arc::new(OpenRegistry::default()), router: Arc::new(LocalRouter) }
    }
}

/// One connection, counted for as long as it lives.
pub(super) struct Counted(Arc<RelayState>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

impl RelayState {
    pub(super) fn new(
        address: Address,
        settings: RelaySettings,
        guests: CompatAgents,
        port: u16,
        events: EventSink,
        seams: Seams,
    ) -> Self {
        let options = &settings.options;
        let ports = PublicPorts::new(options.listen.ip(), options.tcp_ports.clone());
        let sessions = SessionTable::new(&options.domain, guests.names(), settings.limits.sessions);
        let limits = &settings.limits;
        let pace = IpLimits {
            at_once: limits.visitor_connections,
            per_second: limits.visitor_rate,
            burst: u32::try_from(limits.visitor_connections).unwrap_or(u32::MAX),
        };
        let load = ConcurrencyLimit::new(limits.requests, limits.service_requests);
        Self {
            address,
            session: settings.session(address),
            settings,
            port,
            clock: Clock::new(),
            started: SystemTime::now(),
            sessions,
            guests,
            ports,
            ip_limiter: Arc::new(IpLimiter::new(pace)),
            load: Arc::new(load),
            metrics: Metrics::default(),
            requests: TaskTracker::new(),
            conversations: TaskTracker::new(),
            links: TaskTracker::new(),
            draining: CancellationToken::new(),
            closing: CancellationToken::new(),
            events,
            seams,
            connections: AtomicUsize::new(0),
        }
    }

    /// Counts one more connection, if there is room for it.
    pub(super) fn count(self: &Arc<Self>) -> Option<Counted> {
        let before = self.connections.fetch_add(1, Ordering::Relaxed);
        let counted = Counted(Arc::clone(self));
        (before < self.settings.limits.connections).then_some(counted)
    }

    /// Where a service of an agent is reachable; `None` is its first.
    pub(super) fn url(&self, owner: &Owner, service: Option<&str>) -> String {
        let host = self.sessions.host(owner, service);
        let mut url = self.settings.options.public_url(&host, self.port);
        url.push('/');
        url
    }

    /// What visitors of `name` write into `Host`.
    pub(super) fn authority(&self, name: &Name) -> String {
        let url = self.url(&name.owner, name.service.as_deref());
        let rest = url.split_once("://").map_or(url.as_str(), |(_, rest)| rest);
        rest.split('/').next().unwrap_or_default().to_owned()
    }

    /// Where the service that has this public port is reachable.
    pub(super) fn tcp_url(&self, port: u16) -> String {
        format!("tcp://{}:{port}", self.settings.options.domain)
    }

    /// How many connections are open.
    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Whether this is the operator's key.
    pub(super) fn is_operator(&self, key: &[u8]) -> bool {
        let known = self.settings.options.guests.tunely.as_ref().and_then(|tunely| tunely.admin_key.as_ref());
        known.is_some_and(|known| known.matches(&Fingerprint::new(key)))
    }

    /// Whether everybody may know who is connected.
    pub(super) fn is_list_public(&self) -> bool {
        self.settings.options.guests.public_tunnels
    }

    pub(super) fn tell(&self, event: RelayEvent) {
        self.events.emit(event);
    }
}
