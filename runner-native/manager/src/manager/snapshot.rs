//! What a manager says of itself, in the shapes of the API.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hvym_tunnel_agent::event::AgentStatus;
use hvym_tunnel_core::access::Access;
use hvym_tunnel_core::dialect::Proto;
use hvym_tunnel_core::time::Instant;

use super::alerting::alert_report;
use super::{Connection, Inner, TunnelManager};
use crate::histogram::{self, Histogram};
use crate::link::ManagedLink;
use crate::quality::{Quality, health_score};
use crate::settings::{ManagedService, ServiceProbe};
use crate::shapes::{
    AlertsReport, ApiServerMetrics, ConnectionKind, ConnectionReport, ConnectionsReport, HealthReport,
    HealthState, HistoryRange, HistoryReport, LatencyReport, LinkReport, MetricsReport,
    NamedConnectionReport, Percentiles, ServiceReport, StatusReport, ThroughputReport, TunnelManagerReport,
    TunnelMetrics, TunnelState, UptimeReport,
};
use crate::timestamp;
use crate::traffic::TrafficTotals;
use crate::uptime::{DAY, WEEK};

impl TunnelManager {
    /// How well everything is.
    pub fn health(&self) -> HealthReport {
        self.0.health_report(self.0.clock.now())
    }

    /// Everything about links, connections and services.
    pub fn status(&self) -> StatusReport {
        self.0.status_report(self.0.clock.now())
    }

    /// The connections, for a person.
    pub fn connections(&self) -> ConnectionsReport {
        self.0.connections_report(self.0.clock.now())
    }

    /// Counts, rates and percentiles; `api` are the requests of the API that shows them.
    pub fn metrics(&self, api: ApiServerMetrics) -> MetricsReport {
        self.0.metrics_report(api, self.0.clock.now())
    }

    /// What happened over time.
    pub fn history(&self, range: HistoryRange) -> HistoryReport {
        self.0.sample_history();
        HistoryReport {
            range,
            interval_seconds: range.seconds(),
            points: self.0.context.history().points(range, timestamp::unix_now()),
            timestamp: timestamp::now(),
        }
    }

    /// Alerts, active and past.
    pub fn alerts(&self) -> AlertsReport {
        let alerts = self.0.lock_alerts();
        AlertsReport {
            active: alerts.active().map(alert_report).collect(),
            history: alerts.history().map(alert_report).collect(),
        }
    }

    /// Whether there is anything to manage.
    pub fn is_configured(&self) -> bool {
        !self.0.links().is_empty()
    }

    /// The first update of a listener: the whole status.
    pub fn first_update(&self) -> crate::feed::Update {
        self.0.context.feed.update(crate::feed::UpdateKind::StatusUpdate, self.0.status_members(None))
    }
}

impl Inner {
    fn health_report(&self, now: Instant) -> HealthReport {
        let (mut total, mut connected, mut poor) = (0, 0, 0);
        let (mut latency, mut errors) = (Duration::ZERO, 0.0_f64);
        for connection in self.lock_connections().values().filter(|known| self.counts(known)) {
            let reading = self.reading(connection, now);
            total += 1;
            connected += usize::from(reading.connected);
            poor += usize::from(reading.quality >= Quality::Poor);
            latency = latency.max(reading.latency);
            errors = errors.max(reading.error_percent);
        }
        let status = match connected {
            _ if poor == 0 => HealthState::Healthy,
            0 => HealthState::Unhealthy,
            _ => HealthState::Degraded,
        };
        HealthReport {
            status,
            timestamp: timestamp::now(),
            uptime: now.saturating_duration_since(self.started).as_secs(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            score: health_score(connected, total, latency, errors),
        }
    }

    pub(super) fn status_report(&self, now: Instant) -> StatusReport {
        let links: Vec<_> = self.links().into_iter().map(|link| (link.status(), link)).collect();
        let reports: Vec<_> =
            links.iter().map(|(status, link)| self.link_report(link, status.as_ref(), now)).collect();
        let reached = self.lock_recalled().endpoints.clone();
        let services = links
            .iter()
            .flat_map(|(status, link)| service_reports(link, status.as_ref(), &reached))
            .collect();
        let connections: BTreeMap<_, _> = self
            .lock_connections()
            .iter()
            .map(|(name, connection)| (name.clone(), self.connection_report(connection, now)))
            .collect();
        let there = connections.iter().filter(|(_, connection)| connection.connected);
        let best = there.min_by(|(_, one), (_, other)| one.latency.total_cmp(&other.latency));
        StatusReport {
            tunnel_manager: together(&reports),
            best_connection: best.map(|(name, _)| name.clone()),
            connections,
            timestamp: timestamp::now(),
            links: reports,
            services,
        }
    }

    pub(super) fn link_report(
        &self,
        link: &ManagedLink,
        status: Option<&AgentStatus>,
        now: Instant,
    ) -> LinkReport {
        let (settings, activity) = (link.settings(), link.observer.activity());
        LinkReport {
            name: link.name().to_owned(),
            relay: settings.link.relay.as_ref().map(ToString::to_string).unwrap_or_default(),
            relay_address: settings.link.relay_address.map(|address| address.to_string()),
            address: status.map_or_else(|| settings.signer.address(), |status| status.address).to_string(),
            state: link.state(status),
            since: timestamp::at_instant(activity.since),
            attempts: activity.attempts,
            retry_in_ms: activity
                .retry_at
                .map(|at| u64::try_from(at.saturating_duration_since(now).as_millis()).unwrap_or(u64::MAX)),
            round_trip_ms: activity.round_trip.map(millis),
            last_error: activity.last_error,
        }
    }

    fn connection_report(&self, connection: &Connection, now: Instant) -> ConnectionReport {
        let (health, reading) = (&connection.health, self.reading(connection, now));
        let (kind, endpoint) = self.describe(connection);
        let models = if reading.connected { health.last().models.clone() } else { Vec::new() };
        ConnectionReport {
            kind,
            connected: reading.connected,
            state: health.state(),
            endpoint,
            version: health.last().version.clone().filter(|_| reading.connected),
            models,
            latency: millis(reading.latency),
            last_check: health.checked_at().map(timestamp::at_instant),
            quality: reading.quality,
            error: health.error().map(str::to_owned),
        }
    }

    /// What a connection leads to, and where.
    fn describe(&self, connection: &Connection) -> (ConnectionKind, String) {
        let Some(link) = self.link(&connection.link) else {
            return (ConnectionKind::Relay, String::new());
        };
        let Some(name) = &connection.service else {
            let relay = link.settings().link.relay.as_ref().map(ToString::to_string).unwrap_or_default();
            return (if link.is_cloud() { ConnectionKind::Cloud } else { ConnectionKind::Relay }, relay);
        };
        let service = link.services().into_iter().find(|service| service.spec.name == *name);
        match service {
            Some(ManagedService { spec, probe: ServiceProbe::Ollama, .. }) => {
                (ConnectionKind::Ollama, format!("http://{}", spec.target.place()))
            }
            Some(ManagedService { spec, .. }) => {
                let is_http = spec.target.proto() == Proto::Http;
                (if is_http { ConnectionKind::Http } else { ConnectionKind::Tcp }, spec.target.to_string())
            }
            None => (ConnectionKind::Tcp, String::new()),
        }
    }

    /// Whether somebody wants a connection to be there: the relay of a link that was stopped need not be.
    fn counts(&self, connection: &Connection) -> bool {
        connection.service.is_some() || self.link(&connection.link).is_some_and(|link| link.is_wanted())
    }

    fn connections_report(&self, now: Instant) -> ConnectionsReport {
        let mut list = Vec::new();
        for (name, connection) in self.lock_connections().iter() {
            let report = self.connection_report(connection, now);
            let checked = connection.health.checked_at().map(|at| now.saturating_duration_since(at));
            list.push(NamedConnectionReport {
                name: name.clone(),
                status_description: description(&report),
                needs_attention: !report.connected || report.quality.needs_attention(checked),
                connection: report,
            });
        }
        ConnectionsReport {
            total_connections: list.len(),
            active_connections: list.iter().filter(|entry| entry.connection.connected).count(),
            connections: list,
            timestamp: timestamp::now(),
        }
    }

    pub(super) fn metrics_report(&self, api: ApiServerMetrics, now: Instant) -> MetricsReport {
        let links = self.links();
        let mut recent = RecentTotals::default();
        let (mut failed, mut errors) = (0, BTreeMap::new());
        for link in &links {
            link.observer.with_traffic(|traffic| {
                for service in traffic.values_mut() {
                    failed += service.failed;
                    for (kind, count) in &service.errors {
                        *errors.entry((*kind).to_owned()).or_default() += count;
                    }
                    recent.add(service.recent.generations(now).map(Clone::clone));
                }
            });
        }
        let totals = links
            .iter()
            .map(|link| link.observer.totals())
            .fold(TrafficTotals::default(), TrafficTotals::plus);
        let (rate, usage) = {
            let mut meters = self.lock_meters();
            (meters.rate.sample(totals, now), meters.process.measure(now))
        };
        let (latency, uptime_percent, checks) = self.over_time(&recent, now);
        let connections = self.connections_report(now);
        let last_error = connections.connections.iter().find_map(|entry| entry.connection.error.clone());
        let average = histogram::mean(&recent.latencies()).or(checks);
        MetricsReport {
            api_server: api,
            tunnel_metrics: TunnelMetrics {
                connected_count: connections.active_connections,
                total_connections: connections.total_connections,
                start_time: timestamp::at_instant(self.started),
                total_requests: totals.requests,
                successful_requests: totals.requests.saturating_sub(failed),
                failed_requests: failed,
                requests_per_second: rate.requests,
                average_latency: average.map_or(0.0, millis),
                last_error,
                memory_usage_mb: usage.memory_mb,
                cpu_usage_percent: usage.cpu_percent,
            },
            latency,
            throughput: ThroughputReport { bytes_in_per_s: rate.received, bytes_out_per_s: rate.sent },
            error_rate: recent.error_rate(),
            uptime_percent,
            errors,
            timestamp: timestamp::now(),
        }
    }

    /// Percentiles and times of all connections, and the mean time of their checks.
    fn over_time(
        &self,
        recent: &RecentTotals,
        now: Instant,
    ) -> (LatencyReport, UptimeReport, Option<Duration>) {
        let (mut latencies, mut days, at) = (BTreeMap::new(), BTreeMap::new(), timestamp::unix_now());
        let (mut day, mut week, mut means) = (Vec::new(), Vec::new(), Vec::new());
        for (name, connection) in self.lock_connections().iter_mut() {
            let checks = connection.health.latencies(now);
            latencies.insert(name.clone(), percentiles(&checks));
            means.extend(histogram::mean(&checks));
            let share = connection.uptime.percent(DAY, at);
            days.insert(name.clone(), share);
            day.extend(share);
            week.extend(connection.uptime.percent(WEEK, at));
        }
        let mean =
            |shares: &[f64]| (!shares.is_empty()).then(|| shares.iter().sum::<f64>() / shares.len() as f64);
        let checks = u32::try_from(means.len()).ok().filter(|count| *count > 0);
        (
            LatencyReport { overall: percentiles(&recent.latencies()), connections: latencies },
            UptimeReport { day: mean(&day), week: mean(&week), connections: days },
            checks.map(|count| means.iter().sum::<Duration>() / count),
        )
    }
}

/// Requests of the recent past, of all services.
#[derive(Default)]
struct RecentTotals {
    parts: Vec<crate::traffic::RecentRequests>,
}

impl RecentTotals {
    fn add(&mut self, parts: [crate::traffic::RecentRequests; 2]) {
        self.parts.extend(parts);
    }

    fn latencies(&self) -> Vec<&Histogram> {
        self.parts.iter().map(|part| &part.latency).collect()
    }

    fn error_rate(&self) -> f64 {
        let requests: u64 = self.parts.iter().map(|part| part.requests).sum();
        let failed: u64 = self.parts.iter().map(|part| part.failed).sum();
        if requests == 0 { 0.0 } else { failed as f64 / requests as f64 }
    }
}

fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1_000_000.0).round() / 1000.0
}

fn percentiles(histograms: &[&Histogram]) -> Percentiles {
    let of = |percent| histogram::percentile(histograms, percent).map(millis);
    Percentiles { p50: of(50), p95: of(95), p99: of(99) }
}

fn together(links: &[LinkReport]) -> TunnelManagerReport {
    let wanted = || links.iter().filter(|link| link.state != TunnelState::Disconnected);
    TunnelManagerReport {
        running: wanted().any(|link| link.state != TunnelState::Error),
        connecting: wanted().any(|link| {
            matches!(
                link.state,
                TunnelState::Connecting | TunnelState::Authenticating | TunnelState::Reconnecting
            )
        }),
        error: wanted().find_map(|link| link.last_error.clone()),
    }
}

fn description(report: &ConnectionReport) -> String {
    match (report.connected, &report.error) {
        (true, _) if report.kind == ConnectionKind::Ollama => {
            format!("Connected ({:.0} ms, {} models)", report.latency, report.models.len())
        }
        (true, _) => format!("Connected ({:.0} ms)", report.latency),
        (false, Some(error)) => format!("Disconnected: {error}"),
        (false, None) => "Disconnected".to_owned(),
    }
}

fn service_reports(
    link: &Arc<ManagedLink>,
    status: Option<&AgentStatus>,
    reached: &BTreeMap<(String, String), String>,
) -> Vec<ServiceReport> {
    let url = |name: &str| {
        let services = status.map_or(&[][..], |status| &status.services);
        services.iter().find(|service| service.service == name)?.url.clone()
    };
    let report = |ManagedService { spec, .. }: ManagedService| {
        let name = spec.name.as_str();
        let (received, sent) = link.observer.bytes(name);
        let url = url(name);
        let requests =
            link.observer.with_traffic(|traffic| traffic.get(name).map_or(0, |service| service.requests));
        ServiceReport {
            name: name.to_owned(),
            link: link.name().to_owned(),
            target: spec.target.to_string(),
            port: url.as_deref().filter(|url| url.starts_with("tcp://")).and_then(port),
            url,
            last_url: reached.get(&(link.name().to_owned(), name.to_owned())).cloned(),
            public: spec.access.is_public(),
            allow: match &spec.access {
                Access::Private(allowed) => allowed.iter().map(|address| address.to_string()).collect(),
                _ => Vec::new(),
            },
            requests,
            bytes_in: received,
            bytes_out: sent,
        }
    };
    link.services().into_iter().map(report).collect()
}

/// The port of a URL that has one.
fn port(url: &str) -> Option<u16> {
    url.trim_end_matches('/').rsplit_once(':')?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tcp_service_has_the_port_of_its_url() {
        assert_eq!((port("tcp://relay.example:20001"), port("tcp://relay.example")), (Some(20001), None));
    }
}
