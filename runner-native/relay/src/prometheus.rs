//! What a relay measures, in Prometheus' text format.
//!
//! Labels have few values, none of which a stranger chooses: there are as many series however many agents and visitors come.

use std::collections::BTreeMap;
use std::time::SystemTime;

use hvym_tunnel_core::relay::Owner;
use hvym_tunnel_net::exposition::{Exposition, FamilyKind};
use hvym_tunnel_net::link_driver::ByteCounters;
use hvym_tunnel_registry::TunnelRegistry;

use crate::metrics::{AgentSystem, STATUS_CLASSES};
use crate::relay_state::RelayState;

/// Classes of statuses, as labels.
const CLASSES: [&str; STATUS_CLASSES] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// What the sessions of agents that are logged in come to.
#[derive(Default)]
struct SessionSums {
    by_system: BTreeMap<AgentSystem, usize>,
    links: usize,
    streams: usize,
    carried: ByteCounters,
    /// Agents without an identity.
    guests: usize,
}

impl SessionSums {
    fn new(state: &RelayState) -> Self {
        let mut sums = Self::default();
        for live in state.sessions.all() {
            let carried = live.session.counters();
            sums.carried.read += carried.read;
            sums.carried.written += carried.written;
            let (is_up, links, streams) = live.session.look(|session| {
                let streams = session.stream_counts().map(|counts| counts.opened + counts.accepted);
                (session.is_up(), session.links(), streams.sum::<usize>())
            });
            let Some(joined) = live.record.joined.get().filter(|_| is_up) else { continue };
            *sums.by_system.entry(joined.system).or_default() += 1;
            sums.links += links;
            sums.streams += streams;
            sums.guests += usize::from(matches!(joined.owner, Owner::Named(_)));
        }
        sums
    }
}

impl RelayState {
    /// All metrics.
    pub(crate) fn prometheus(&self) -> String {
        let (mut text, sums) = (Exposition::default(), SessionSums::new(self));
        self.expose_tunely(&mut text, &sums);
        self.expose_process(&mut text);
        self.expose_sessions(&mut text, &sums);
        self.expose_requests(&mut text);
        text.into_text()
    }

    /// The metrics that Tunely's relay has, under its names.
    fn expose_tunely(&self, text: &mut Exposition, sums: &SessionSums) {
        let registered = self.live.get().compat_agents.names().len();
        write_gauge(text, "tunely_tunnels_registered", "Tunnels that have a name here", registered);
        write_gauge(text, "tunely_tunnels_connected", "Tunnels whose agent is connected", sums.guests);
        let tcp = self.totals.tcp_connections();
        write_gauge(text, "tunely_tcp_connections_active", "Connections at TCP ports", tcp);
        write_gauge(text, "tunely_udp_sessions_active", "Sessions over UDP, of which this relay has none", 0);
        let Some(status) = self.plugins.tunnels.as_ref().map(TunnelRegistry::status) else { return };
        let name = "tunely_request_logs_dropped_total";
        write_counter(
            text,
            name,
            "Requests that were not logged, because too many waited",
            status.dropped_logs,
        );
        let name = "tunely_request_logs_queued";
        write_gauge(text, name, "Requests that wait to be logged", status.queued_logs);
        let name = "hvym_tunnel_relay_database_up";
        write_gauge(text, name, "Whether the database of tunnels is there", usize::from(status.is_available));
    }

    fn expose_process(&self, text: &mut Exposition) {
        let name = "hvym_tunnel_relay_build_info";
        text.family(name, FamilyKind::Gauge, "The version of this program");
        text.sample(name, &[("version", env!("CARGO_PKG_VERSION"))], 1.0);
        let name = "hvym_tunnel_relay_start_time_seconds";
        text.family(name, FamilyKind::Gauge, "When the relay began, seconds since 1970");
        let started = self.info.started.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        text.sample(name, &[], started.as_secs_f64());
        if let Some(cluster) = &self.cluster {
            let name = "hvym_tunnel_relay_cluster_up";
            let is_up = usize::from(cluster.is_available());
            write_gauge(text, name, "Whether the store that the relays share answers", is_up);
            let name = "hvym_tunnel_relay_cluster_links";
            write_gauge(text, name, "Other relays that have a link to this one", cluster.links());
        }
        let name = "hvym_tunnel_relay_draining";
        let is_draining = usize::from(self.lifecycle.parting.is_cancelled());
        write_gauge(text, name, "Whether the relay takes nothing new and will end", is_draining);
    }

    fn expose_sessions(&self, text: &mut Exposition, sums: &SessionSums) {
        let name = "hvym_tunnel_relay_sessions";
        text.family(
            name,
            FamilyKind::Gauge,
            "Sessions of agents that are logged in, by the system of their program",
        );
        for system in AgentSystem::ALL {
            let count = sums.by_system.get(&system).copied().unwrap_or_default();
            text.sample(name, &[("system", system.as_str())], count as f64);
        }
        write_gauge(text, "hvym_tunnel_relay_links", "Links of those sessions", sums.links);
        write_gauge(text, "hvym_tunnel_relay_streams", "Streams on those links", sums.streams);
        let connections = self.limits.connections();
        write_gauge(
            text,
            "hvym_tunnel_relay_connections",
            "Open connections, of visitors and agents",
            connections,
        );
        let names = self.names.all().len();
        write_gauge(text, "hvym_tunnel_relay_claimed_names", "Names that identities claimed", names);
        let bans = self.bans.all(self.clock.wall().unix).len();
        write_gauge(text, "hvym_tunnel_relay_bans", "Identities that are banned", bans);
        write_counter(
            text,
            "hvym_tunnel_relay_logins_total",
            "Agents that were let in",
            self.metrics.joined(),
        );
        let name = "hvym_tunnel_relay_logins_refused_total";
        text.family(
            name,
            FamilyKind::Counter,
            "Agents that were not let in, by the code that they were told",
        );
        for (reason, count) in self.totals.refusals() {
            text.sample(name, &[("reason", reason)], count as f64);
        }
        let carried = self.totals.carried(sums.carried);
        let name = "hvym_tunnel_relay_bytes_total";
        text.family(name, FamilyKind::Counter, "Bytes of streams to agents (in) and from them (out)");
        text.sample(name, &[("direction", "in")], carried.written as f64);
        text.sample(name, &[("direction", "out")], carried.read as f64);
    }

    fn expose_requests(&self, text: &mut Exposition) {
        let name = "hvym_tunnel_relay_requests_total";
        text.family(
            name,
            FamilyKind::Counter,
            "Requests for agents by the class of what the visitor was answered",
        );
        for (class, count) in CLASSES.iter().zip(self.metrics.classes()) {
            text.sample(name, &[("class", class)], count as f64);
        }
        let counts = self.metrics.counts();
        let name = "hvym_tunnel_relay_requests_failed_total";
        write_counter(text, name, "Requests that got no response of their service", counts.failed);
        let name = "hvym_tunnel_relay_requests_timed_out_total";
        write_counter(text, name, "Those of them whose service took too long", counts.timeout);
        let name = "hvym_tunnel_relay_requests_pending";
        text.family(name, FamilyKind::Gauge, "Requests that wait for the head of their response");
        text.sample(name, &[], counts.pending as f64);
        let name = "hvym_tunnel_relay_request_duration_seconds";
        text.family(name, FamilyKind::Histogram, "From a request to the head of the response of its service");
        text.histogram(name, &[], &self.metrics.latency());
        if let Some(log) = &self.access_log {
            let name = "hvym_tunnel_relay_access_log_dropped_total";
            write_counter(text, name, "Lines of the access log that were left out", log.dropped());
        }
    }
}

fn write_gauge(text: &mut Exposition, name: &str, help: &str, value: usize) {
    text.family(name, FamilyKind::Gauge, help);
    text.sample(name, &[], value as f64);
}

fn write_counter(text: &mut Exposition, name: &str, help: &str, value: u64) {
    text.family(name, FamilyKind::Counter, help);
    text.sample(name, &[], value as f64);
}
