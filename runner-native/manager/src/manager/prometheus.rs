//! The metrics of a manager in Prometheus' text format.

use std::sync::Arc;

use hvym_tunnel_net::exposition::{Exposition, FamilyKind};

use super::{Inner, TunnelManager};
use crate::link::ManagedLink;
use crate::shapes::TunnelState;
use crate::traffic::ServiceTraffic;

/// Classes of statuses, as labels.
const CLASSES: [&str; crate::traffic::STATUS_CLASSES] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

impl TunnelManager {
    /// All metrics, in Prometheus' text format.
    pub fn prometheus(&self) -> String {
        let (inner, mut text) = (&self.0, Exposition::default());
        text.family("hvym_tunnel_build_info", FamilyKind::Gauge, "The version of this program");
        text.sample("hvym_tunnel_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1.0);
        inner.expose_links(&mut text);
        inner.expose_connections(&mut text);
        inner.expose_services(&mut text);
        inner.expose_process(&mut text);
        text.into_text()
    }
}

impl Inner {
    fn expose_links(&self, text: &mut Exposition) {
        let links = self.links();
        let name = "hvym_tunnel_link_up";
        text.family(name, FamilyKind::Gauge, "Whether visitors can come by a link");
        for link in &links {
            let is_up = link.state(link.status().as_ref()) == TunnelState::Connected;
            text.sample(name, &[("link", link.name())], f64::from(u8::from(is_up)));
        }
        let name = "hvym_tunnel_link_reconnects_total";
        text.family(name, FamilyKind::Counter, "How often a link was connected again");
        for link in &links {
            text.sample(name, &[("link", link.name())], link.observer.activity().reconnects as f64);
        }
        let name = "hvym_tunnel_link_round_trip_seconds";
        text.family(name, FamilyKind::Histogram, "Round trips of pings to the relay");
        for link in &links {
            text.histogram(name, &[("link", link.name())], &link.observer.activity().round_trips.snapshot());
        }
    }

    fn expose_connections(&self, text: &mut Exposition) {
        let now = self.clock.now();
        let connections = self.lock_connections();
        let up = "hvym_tunnel_connection_up";
        text.family(up, FamilyKind::Gauge, "Whether the last check of a connection succeeded");
        for (name, connection) in connections.iter() {
            let is_up = connection.health.is_connected();
            text.sample(up, &[("connection", name)], f64::from(u8::from(is_up)));
        }
        let latency = "hvym_tunnel_connection_latency_seconds";
        text.family(latency, FamilyKind::Gauge, "How long the last check of a connection took");
        for (name, connection) in connections.iter() {
            let took = self.reading(connection, now).latency;
            text.sample(latency, &[("connection", name)], took.as_secs_f64());
        }
    }

    fn expose_services(&self, text: &mut Exposition) {
        let links = self.links();
        let requests = "hvym_tunnel_requests_total";
        text.family(requests, FamilyKind::Counter, "Requests of visitors by the class of their status");
        each_service(&links, |link, service, traffic| {
            for (class, count) in CLASSES.iter().zip(traffic.classes) {
                let labels = [("link", link), ("service", service), ("class", class)];
                text.sample(requests, &labels, count as f64);
            }
        });
        let failed = "hvym_tunnel_requests_failed_total";
        text.family(failed, FamilyKind::Counter, "Requests and connections that went wrong, by kind");
        each_service(&links, |link, service, traffic| {
            for (kind, count) in &traffic.errors {
                let labels = [("link", link), ("service", service), ("kind", *kind)];
                text.sample(failed, &labels, *count as f64);
            }
        });
        let duration = "hvym_tunnel_request_duration_seconds";
        text.family(duration, FamilyKind::Histogram, "How long requests and connections took");
        each_service(&links, |link, service, traffic| {
            text.histogram(duration, &[("link", link), ("service", service)], &traffic.latency.snapshot());
        });
        let bytes = "hvym_tunnel_bytes_total";
        text.family(bytes, FamilyKind::Counter, "Bytes from visitors (in) and to them (out)");
        for link in &links {
            for service in link.services() {
                let service = service.spec.name.as_str();
                let (received, sent) = link.observer.bytes(service);
                for (direction, count) in [("in", received), ("out", sent)] {
                    let labels = [("link", link.name()), ("service", service), ("direction", direction)];
                    text.sample(bytes, &labels, count as f64);
                }
            }
        }
    }

    fn expose_process(&self, text: &mut Exposition) {
        let (now, active) = (self.clock.now(), self.lock_alerts().active().count());
        text.family("hvym_tunnel_alerts", FamilyKind::Gauge, "Alerts that hold");
        text.sample("hvym_tunnel_alerts", &[], active as f64);
        let usage = self.lock_meters().process.measure(now);
        let name = "process_resident_memory_bytes";
        text.family(name, FamilyKind::Gauge, "Resident memory");
        text.sample(name, &[], (usage.memory_mb * f64::from(1024 * 1024)).round());
        let name = "process_cpu_seconds_total";
        text.family(name, FamilyKind::Counter, "Processor time");
        text.sample(name, &[], usage.cpu_time.as_secs_f64());
        let name = "process_uptime_seconds";
        text.family(name, FamilyKind::Gauge, "Time since the start");
        text.sample(name, &[], now.saturating_duration_since(self.started).as_secs_f64());
    }
}

fn each_service(links: &[Arc<ManagedLink>], mut look: impl FnMut(&str, &str, &ServiceTraffic)) {
    for link in links {
        link.observer.with_traffic(|traffic| {
            traffic.iter().for_each(|(service, traffic)| look(link.name(), service, traffic));
        });
    }
}
