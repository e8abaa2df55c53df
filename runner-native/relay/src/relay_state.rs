//! The state that all tasks of one relay share. It holds the parts together and decides nothing.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use hvym_proxy::ProxyConfig;
use hvym_tunnel_core::names::ClaimedName;
use hvym_tunnel_core::relay::{Name, OwnNames, Owner, SessionConfig};
use hvym_tunnel_core::stellar::Address;

use crate::access::{Bans, NetworkBans};
use crate::access_log::AccessLog;
use crate::audit::Audit;
use crate::cluster::Cluster;
use crate::config::OptionsSource;
use crate::console_challenges::Challenges;
use crate::console_sessions::ConsoleSessions;
use crate::event::{EventSink, RelayEvent};
use crate::handover::Handover;
use crate::lifecycle::Lifecycle;
use crate::limits::agent_rates::AgentRates;
use crate::limits::guesses::Guesses;
use crate::limits::logins::Logins;
use crate::limits::reached::ReachedStreams;
use crate::limits::reserve::Reserve;
use crate::limits::visitor_counts::{ExemptAddresses, VisitorCounts};
use crate::live_options::{CurrentOptions, LiveOptions};
use crate::metrics::{Metrics, RequestRecord};
use crate::names::{DnsLookup, NameRegistry, Resolver};
use crate::owner_logs::OwnerLogs;
use crate::registry::{OpenRegistry, Registry};
use crate::revocations::Revocations;
use crate::router::{LocalRouter, Router};
use crate::self_probe::Readiness;
use crate::sessions::{Assigned, Destination, Hold, PortTable, SessionTable};
use crate::settings::RelaySettings;
use crate::totals::Totals;
use crate::traffic_history::TrafficHistory;
use hvym_tunnel_net::clock::Clock;
use hvym_tunnel_net::key::Identity;
use hvym_tunnel_registry::TunnelRegistry;

/// The state of one relay.
pub(crate) struct RelayState {
    // Fields: one for each part that a relay has.
    pub(crate) info: RelayInfo,
    pub(crate) settings: RelaySettings,
    /// What every session starts with.
    pub(crate) session: SessionConfig,
    pub(crate) clock: Clock,
    pub(crate) sessions: SessionTable,
    /// Visitors of agents that have not come back since the start.
    pub(crate) hold: Hold,
    /// What may change while the relay runs.
    pub(crate) live: LiveOptions,
    pub(crate) ports: PortTable,
    pub(crate) revocations: Revocations,
    pub(crate) limits: Arc<VisitorCounts>,
    /// The timeouts and limits of visitors' connections.
    pub(crate) proxy: Arc<ProxyConfig>,
    /// Where requests are noted, if they are.
    pub(crate) access_log: Option<Arc<AccessLog>>,
    /// What owners read of the requests to their services.
    pub(crate) owner_logs: OwnerLogs,
    /// The counters of all requests.
    pub(crate) metrics: Metrics,
    pub(crate) totals: Totals,
    pub(crate) history: TrafficHistory,
    /// Operators with the console open.
    pub(crate) console: ConsoleSessions,
    /// What operators sign to open it.
    pub(crate) challenges: Challenges,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) handover: Handover,
    pub(crate) events: EventSink,
    pub(crate) audit: Audit,
    pub(crate) bans: Bans,
    pub(crate) network_bans: NetworkBans,
    pub(crate) readiness: Readiness,
    pub(crate) names: Arc<NameRegistry>,
    pub(crate) guesses: Guesses,
    /// The same of identities that could not prove who they are. A right login passes all the same: nobody guesses a signature.
    pub(crate) failed_logins: Guesses,
    pub(crate) logins: Arc<Logins>,
    pub(crate) agent_rates: AgentRates,
    pub(crate) reached: Arc<ReachedStreams>,
    /// Connections beyond the limit, for agents alone.
    pub(crate) reserve: Reserve,
    /// The other relays behind the same domain.
    pub(crate) cluster: Option<Cluster>,
    pub(crate) plugins: Plugins,
}

/// What identifies a running relay.
pub(crate) struct RelayInfo {
    pub(crate) address: Address,
    /// Its key pair: it proves its key to each agent that logs in.
    pub(crate) identity: Arc<Identity>,
    /// The names by which agents dial it.
    pub(crate) names: OwnNames,
    /// The port it listens on, also where the settings say 0.
    pub(crate) port: u16,
    pub(crate) started: SystemTime,
}

/// The decisions that an embedder of the relay may replace.
pub(crate) struct Plugins {
    pub(crate) registry: Arc<dyn Registry>,
    pub(crate) router: Arc<dyn Router>,
    pub(crate) dns: Arc<dyn DnsLookup>,
    /// Tunnels that are kept in a database.
    pub(crate) tunnels: Option<TunnelRegistry>,
    /// Where a reload reads the options from; without it they stay as they are.
    pub(crate) options: Option<OptionsSource>,
}

impl Default for Plugins {
    fn default() -> Self {
        let dns = Arc::new(Resolver::new(Vec::new()));
        Self {
            registry: Arc::new(OpenRegistry::default()),
            router: Arc::new(LocalRouter),
            dns,
            tunnels: None,
            options: None,
        }
    }
}

impl RelayState {
    pub(crate) fn new(
        identity: Arc<Identity>,
        settings: RelaySettings,
        live: CurrentOptions,
        port: u16,
        events: EventSink,
        plugins: Plugins,
        (bans, names): (Bans, NameRegistry),
    ) -> Self {
        let options = &settings.options;
        let clock = Clock::new();
        let exempt = ExemptAddresses {
            proxies: options.public.trusted_proxies.clone(),
            loopback: options.visitors.exempts_loopback(),
        };
        let session = settings.session(&identity);
        let listen = SocketAddr::new(options.ingress.listen.ip(), port);
        let readiness = Readiness::new(listen, &options.ingress.domain, false);
        let (address, own_names) = (identity.address(), settings.names(port));
        let logins = Arc::new(Logins::new(options.logins(), clock));
        let sessions =
            SessionTable::new(&options.ingress.domain, live.compat_agents.names(), logins.capacity());
        names.all().into_iter().for_each(|(name, owner)| sessions.give_name(name, owner));
        Self {
            info: RelayInfo { address, identity, names: own_names, port, started: SystemTime::now() },
            session,
            clock,
            sessions,
            hold: Hold::new(clock.now(), options.restart.hold),
            live: LiveOptions::new(live),
            ports: PortTable::new(options),
            revocations: Revocations::default(),
            limits: Arc::new(VisitorCounts::new(options.visitors.counted(&options.limits), exempt, clock)),
            proxy: Arc::new(settings.proxy()),
            access_log: None,
            owner_logs: OwnerLogs::default(),
            metrics: Metrics::default(),
            totals: Totals::default(),
            history: TrafficHistory::default(),
            console: ConsoleSessions::default(),
            challenges: Challenges::default(),
            lifecycle: Lifecycle::default(),
            handover: Handover::default(),
            events,
            audit: Audit::default(),
            bans,
            network_bans: NetworkBans::default(),
            readiness,
            names: Arc::new(names),
            guesses: Guesses::default(),
            failed_logins: Guesses::default(),
            logins: Arc::clone(&logins),
            agent_rates: AgentRates::default(),
            reached: Arc::default(),
            reserve: Reserve::default(),
            cluster: None,
            plugins,
            settings,
        }
    }

    /// Counts a request that is passed on to `destination`, and logs it for the owner.
    pub(crate) fn record_request(
        &self,
        destination: &Destination,
        method: &str,
        path: &str,
    ) -> RequestRecord<'_> {
        let Destination { name, assigned } = destination;
        let assigned = assigned.as_ref();
        let log = self.owner_logs.begin(name, assigned.map(|assigned| &assigned.service), method, path);
        RequestRecord::new(&self.metrics, assigned.map(Assigned::record), self.clock).logged(log)
    }

    /// The public URL of an agent's service; `None` is the one at the bare name.
    pub(crate) fn url(&self, owner: &Owner, service: Option<&str>) -> String {
        match (owner, service.filter(|service| self.is_uncertifiable(service))) {
            (Owner::Identity(_), Some(service)) => {
                self.url_of_host(&format!("{service}.{}", self.sessions.long_host(owner)))
            }
            _ => self.url_of_host(&self.sessions.host(owner, service)),
        }
    }

    /// Whether no authority gives a certificate for the label that a service has before its owner's name. Those with `--` as
    /// third and fourth characters are reserved (RFC 5890 section 2.3.1); one for the whole domain covers them all the same.
    fn is_uncertifiable(&self, service: &str) -> bool {
        service.len() == 2 && self.settings.options.https.has_single_certificates()
    }

    /// The public URL of an agent by its whole address, for programs of older systems.
    pub(crate) fn long_url(&self, owner: &Owner) -> String {
        self.url_of_host(&self.sessions.long_host(owner))
    }

    /// The public URL of an agent's service by a name that `owner` claimed.
    pub(crate) fn claimed_url(&self, name: &ClaimedName, owner: &Owner, service: Option<&str>) -> String {
        match service.is_some_and(|service| self.is_uncertifiable(service)) {
            true => self.url(owner, service),
            false => self.url_of_host(&self.sessions.claimed_host(name, service)),
        }
    }

    pub(crate) fn url_of_host(&self, host: &str) -> String {
        let mut url = self.settings.options.public_url(host, self.info.port);
        url.push('/');
        url
    }

    /// The `Host` field that visitors of `name` send.
    pub(crate) fn authority(&self, name: &Name) -> String {
        let url = self.url(&name.owner, name.service.as_deref());
        let rest = url.split_once("://").map_or(url.as_str(), |(_, rest)| rest);
        rest.split('/').next().unwrap_or_default().to_owned()
    }

    /// The public URL of the service that has this TCP port.
    pub(crate) fn tcp_url(&self, port: u16) -> String {
        format!("tcp://{}:{port}", self.settings.options.ingress.domain)
    }

    /// Whether this is the operator's key.
    pub(crate) fn is_operator(&self, key: &[u8]) -> bool {
        self.live.get().is_operator(key)
    }

    /// Whether the operator has banned this identity.
    pub(crate) fn is_banned(&self, identity: &Address) -> bool {
        self.bans.get(identity, self.clock.wall().unix).is_some()
    }

    /// Whether everybody may list the connected agents.
    pub(crate) fn is_list_public(&self) -> bool {
        self.live.get().is_list_public()
    }

    /// Whether nothing is to be served now, because other relays may have taken it.
    pub(crate) fn is_fenced(&self) -> bool {
        self.cluster.as_ref().is_some_and(|cluster| cluster.is_fenced(self.clock.now()))
    }

    pub(crate) fn emit(&self, event: RelayEvent) {
        self.events.emit(event);
    }
}
