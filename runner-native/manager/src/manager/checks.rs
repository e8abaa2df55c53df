//! The connections of a manager, and the checks of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hvym_tunnel_agent::event::LinkState;
use hvym_tunnel_core::time::{Instant, earliest};
use hvym_tunnel_net::http_get;
use hvym_tunnel_net::proxy::Proxy;
use hvym_tunnel_net::runtime::spawn;
use hvym_tunnel_net::socket::DialOptions;
use hvym_tunnel_net::timeout::within;
use hvym_tunnel_net::tls::Trust;

use super::{Connection, Inner};
use crate::alerts::Reading;
use crate::feed::UpdateKind;
use crate::health::{CheckReport, ConnectionHealth};
use crate::link::ManagedLink;
use crate::manager::supervisor::members;
use crate::probe;
use crate::quality::Quality;
use crate::settings::ServiceProbe;
use crate::timestamp;
use crate::uptime::Uptime;

/// What is asked of a relay whose link had no ping yet.
const RELAY_PATH: &str = "/health";

impl Inner {
    /// Makes the connections those of the links and services that there are.
    pub(super) fn sync_connections(&self, now: Instant) {
        let wanted: Vec<_> = self
            .links()
            .iter()
            .flat_map(|link| {
                let relay = (link.name().to_owned(), None);
                let services =
                    link.services().into_iter().filter(|service| service.probe != ServiceProbe::None);
                let services = services.map(|service| service.spec.name);
                let services: Vec<_> = services.map(|name| (link.name().to_owned(), Some(name))).collect();
                std::iter::once(relay).chain(services)
            })
            .collect();
        let (mut connections, at) = (self.lock_connections(), timestamp::unix_now());
        let is_wanted = |known: &Connection| {
            wanted.iter().any(|(link, service)| *link == known.link && *service == known.service)
        };
        connections.retain(|_, known| is_wanted(known));
        for (link, service) in wanted {
            if connections.values().any(|known| known.link == link && known.service == service) {
                continue;
            }
            let name = connection_name(&connections, &link, service.as_ref().map(|name| name.as_str()));
            let (health, mut uptime) = (ConnectionHealth::new(now), Uptime::new(at));
            let known = self.lock_recalled().uptime.remove(&name).unwrap_or_default();
            known.iter().for_each(|hour| uptime.restore(hour));
            connections.insert(name, Connection { link, service, health, uptime, is_checking: false });
        }
        self.lock_alerts().retain_subjects(|name| connections.contains_key(name), at);
    }

    /// When the next check is due.
    pub(super) fn next_check(&self) -> Option<Instant> {
        let connections = self.lock_connections();
        let idle = connections.values().filter(|connection| !connection.is_checking);
        idle.map(|connection| Some(connection.health.next_check())).fold(None, earliest)
    }

    /// The relay of a link is to be checked now.
    pub(super) fn check_relay(&self, link: &str, now: Instant) {
        let mut connections = self.lock_connections();
        let relay = connections.values_mut().find(|known| known.link == link && known.service.is_none());
        if let Some(relay) = relay {
            relay.health.check_at(now);
        }
    }

    /// Begins the checks that are due, each in a task of its own.
    pub(super) fn start_checks(self: &Arc<Self>, now: Instant) {
        let mut due = Vec::new();
        for (name, connection) in self.lock_connections().iter_mut() {
            if !connection.is_checking && connection.health.next_check() <= now {
                connection.is_checking = true;
                due.push((name.clone(), connection.link.clone(), connection.service.clone()));
            }
        }
        for (name, link, service) in due {
            let inner = Arc::clone(self);
            spawn(async move {
                let outcome = inner.check(&link, service.as_ref().map(|name| name.as_str())).await;
                inner.handle_check(&name, outcome);
                inner.context.notify();
            })
            .detach();
        }
    }

    /// `None`: nobody wants it to be there.
    async fn check(&self, link: &str, service: Option<&str>) -> Option<Result<CheckReport, String>> {
        let (link, limit) = (self.link(link)?, self.checks().timeout);
        let Some(service) = service else { return check_relay(&link, limit).await };
        let services = link.services();
        let service = services.iter().find(|known| known.spec.name.as_str() == service)?;
        let report = probe::check(&service.spec, &service.probe, limit).await;
        Some(report.map(|mut report| {
            if report.models.is_empty() {
                report.models.clone_from(&service.models);
            }
            report
        }))
    }

    fn handle_check(self: &Arc<Self>, name: &str, outcome: Option<Result<CheckReport, String>>) {
        let (now, at, timing) = (self.clock.now(), timestamp::unix_now(), self.checks());
        let (change, reading, models) = {
            let mut connections = self.lock_connections();
            let Some(connection) = connections.get_mut(name) else { return };
            connection.is_checking = false;
            let Some(outcome) = outcome else {
                connection.health = ConnectionHealth::new(now + timing.retry_delay.min(timing.interval));
                connection.uptime.set(None, at);
                drop(connections);
                self.lock_alerts().remove_subject(name, at);
                return self.tell_alerts();
            };
            let change = connection.health.handle_check(outcome, &timing, now);
            connection.uptime.set(Some(connection.health.is_connected()), at);
            let models = connection.health.last().models.clone();
            (change, self.reading(connection, now), models)
        };
        self.lock_alerts().handle_check(name, &reading, at);
        if change.status {
            self.tell_status(Some(name));
        }
        if change.models {
            let content = members([("connection", name.into()), ("models", models.into())]);
            self.context.feed.publish(UpdateKind::ModelUpdate, content);
        }
        self.tell_alerts();
    }

    /// What the checks and the requests of a connection say together.
    pub(super) fn reading(&self, connection: &Connection, now: Instant) -> Reading {
        let health = &connection.health;
        let (connected, latency) = (health.is_connected(), health.latency());
        let error_percent = match (&connection.service, self.link(&connection.link)) {
            (Some(service), Some(link)) => link.observer.with_traffic(|traffic| {
                traffic.get_mut(service.as_str()).map_or(0.0, |service| service.error_percent(now))
            }),
            _ => 0.0,
        };
        let quality = Quality::new(connected, latency, error_percent);
        Reading { connected, latency, error_percent, quality, failures: health.failures() }
    }
}

/// The name of a connection: that of the link or of the service, and of both where one alone is taken.
fn connection_name(taken: &BTreeMap<String, Connection>, link: &str, service: Option<&str>) -> String {
    let plain = service.unwrap_or(link);
    match (taken.contains_key(plain), service) {
        (false, _) => plain.to_owned(),
        (true, Some(service)) => format!("{link}/{service}"),
        (true, None) => format!("relay/{link}"),
    }
}

/// A relay is there while its link is; how fast it is, the last ping says. `None`: nobody wants the link, or knows yet.
async fn check_relay(link: &ManagedLink, limit: Duration) -> Option<Result<CheckReport, String>> {
    if !link.is_wanted() {
        return None;
    }
    if link.status().is_none_or(|status| status.link != LinkState::Online) {
        // Without an error it is being dialled for the first time, which is no failure.
        return link.observer.activity().last_error.map(Err);
    }
    let latency = match link.observer.activity().round_trip {
        Some(round_trip) => round_trip,
        None => ask_relay(link, limit).await.unwrap_or_default(),
    };
    Some(Ok(CheckReport { latency, ..CheckReport::default() }))
}

/// How long the HTTP side of a relay takes to answer; `None` if it does not.
async fn ask_relay(link: &ManagedLink, limit: Duration) -> Option<Duration> {
    let settings = &link.settings().link;
    let relay = settings.relay.as_ref()?;
    let trust = match &settings.relay_ca {
        Some(file) => Trust::with_authorities(file).ok()?,
        None => Trust::Verify,
    };
    let proxy = Proxy::from_variables(relay, |name| std::env::var(name).ok()).ok()?;
    let options = DialOptions { allow_plaintext: settings.plain_relay, trust, proxy, token: None };
    let clock = hvym_tunnel_net::clock::Clock::new();
    let begun = clock.now();
    let (url, host) = (relay.to_string(), relay.host_field());
    within(limit, http_get::get(&url, &host, RELAY_PATH, &options)).await?.ok()?;
    Some(clock.now() - begun)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_taken_is_completed() {
        let mut connections = BTreeMap::new();
        let mut add = |link: &str, service: Option<&str>| {
            let name = connection_name(&connections, link, service);
            let now = Instant::from_millis(0);
            let service = service.map(|name| name.parse().expect("a name"));
            let (health, uptime) = (ConnectionHealth::new(now), Uptime::new(0));
            let link = link.to_owned();
            connections
                .insert(name.clone(), Connection { link, service, health, uptime, is_checking: false });
            name
        };
        assert_eq!([add("home", None), add("home", Some("web"))], ["home", "web"]);
        assert_eq!([add("web", None), add("web", Some("web"))], ["relay/web", "web/web"]);
    }
}
