//! The task of a manager: notices what changed, has connections checked when they are due, and tells listeners, hooks and the
//! desktop.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures_util::future::select;
use hvym_tunnel_core::time::{Instant, earliest};
use hvym_tunnel_net::runtime::spawn;
use hvym_tunnel_net::timer::Timer;
use serde_json::{Map, Value};
use smol::channel::Receiver;

use super::Inner;
use super::renewals::Renewals;
use crate::feed::UpdateKind;
use crate::hooks::{self, HookBook, HookEvent};
use crate::notifications::NotificationBook;
use crate::shapes::{LinkReport, TunnelState};
use crate::timestamp;
use crate::traffic::TrafficTotals;

/// How often listeners get metrics, unless they ask for another interval.
pub(super) const METRICS_INTERVAL: Duration = Duration::from_secs(5);
/// How often sums are kept: what a crash may lose.
const KEEP_INTERVAL: Duration = Duration::from_secs(60);
/// How long the task sleeps at most.
const MAX_SLEEP: Duration = Duration::from_secs(60);

/// What the task remembers from one round to the next.
#[derive(Default)]
struct Memory {
    states: BTreeMap<String, TunnelState>,
    urls: BTreeMap<(String, String), String>,
    hooks: HookBook,
    notifications: NotificationBook,
    renewals: Renewals,
    metrics_at: Option<Instant>,
    resources_at: Option<Instant>,
    kept_at: Option<Instant>,
}

/// Runs until the manager ends.
pub(super) async fn run(inner: Arc<Inner>, changes: Receiver<()>) {
    let mut memory = Memory::default();
    while !inner.stop.is_cancelled() {
        let now = inner.clock.now();
        inner.sync_connections(now);
        memory.tell_changes(&inner, now);
        inner.start_checks(now);
        memory.measure(&inner, now);
        memory.renewals.ask(&inner, now);
        let own = [
            memory.metrics_at,
            memory.resources_at,
            memory.kept_at,
            memory.notifications.deadline(),
            memory.renewals.deadline(),
        ];
        let next = own.into_iter().fold(inner.next_check(), earliest);
        let timer = Timer::at(next.map_or(now + MAX_SLEEP, |next| next.min(now + MAX_SLEEP)));
        let changed = pin!(async {
            let _changed = changes.recv().await;
        });
        let stopped = pin!(inner.stop.cancelled());
        select(select(changed, timer), stopped).await;
    }
}

impl Memory {
    /// Tells what became of links and services since the last round.
    fn tell_changes(&mut self, inner: &Arc<Inner>, now: Instant) {
        let (mut states, mut urls, mut is_changed) = (BTreeMap::new(), BTreeMap::new(), false);
        for link in inner.links() {
            let status = link.status();
            let report = inner.link_report(&link, status.as_ref(), now);
            if self.states.get(link.name()) != Some(&report.state) {
                is_changed = true;
                inner.check_relay(link.name(), now);
                tell_state(inner, &report);
            }
            let services = status.iter().flat_map(|status| &status.services);
            let url = services.filter_map(|service| service.url.as_deref()).next();
            if let Some(news) = self.notifications.handle_link(&report, url, now) {
                inner.notify(news);
            }
            states.insert(link.name().to_owned(), report.state);
            if report.state == TunnelState::Connected {
                let services = status.into_iter().flat_map(|status| status.services);
                urls.extend(
                    services.filter_map(|service| {
                        Some(((link.name().to_owned(), service.service), service.url?))
                    }),
                );
            }
        }
        self.notifications.retain(|name| states.contains_key(name));
        is_changed |= urls != self.urls;
        inner.keep_endpoints(&urls);
        (self.states, self.urls) = (states, urls);
        for event in self.hooks.handle(&self.urls) {
            run_hooks(inner, &event);
        }
        let services: BTreeMap<_, _> =
            inner.links().into_iter().map(|link| (link.name().to_owned(), link.services())).collect();
        self.hooks.retain(|link, service| {
            services
                .get(link)
                .is_some_and(|known| known.iter().any(|known| known.spec.name.as_str() == service))
        });
        if is_changed {
            inner.tell_status(None);
        }
    }

    /// Tells metrics while somebody listens, measures this process as often as connections are checked, and keeps sums.
    fn measure(&mut self, inner: &Arc<Inner>, now: Instant) {
        let interval = *inner.metrics_interval.lock().unwrap_or_else(PoisonError::into_inner);
        if !inner.context.feed.has_listeners() {
            self.metrics_at = None;
        } else if self.metrics_at.is_none_or(|at| at <= now) {
            self.metrics_at = Some(now + interval);
            let report =
                serde_json::to_value(inner.metrics_report(Default::default(), now)).unwrap_or_default();
            inner.context.feed.publish(UpdateKind::MetricsUpdate, members([("metrics", report)]));
        }
        if self.resources_at.is_none_or(|at| at <= now) {
            self.resources_at = Some(now + inner.checks().interval);
            inner.measure_process(now);
        }
        if self.kept_at.is_none_or(|at| at <= now) {
            self.kept_at = Some(now + KEEP_INTERVAL);
            inner.keep_sums();
        }
    }
}

impl Inner {
    /// Visitors come to these URLs now.
    fn keep_endpoints(&self, urls: &BTreeMap<(String, String), String>) {
        let mut recalled = self.lock_recalled();
        for (key, url) in
            urls.iter().filter(|(key, url)| recalled.endpoints.get(*key) != Some(*url)).collect::<Vec<_>>()
        {
            self.context.journal.set_endpoint(&key.0, &key.1, Some(url));
            recalled.endpoints.insert(key.clone(), url.clone());
        }
    }

    /// Counts bytes that passed since the last call.
    pub(super) fn sample_history(&self) {
        let totals = self
            .links()
            .iter()
            .map(|link| link.observer.totals())
            .fold(TrafficTotals::default(), TrafficTotals::plus);
        self.context.history().sample(totals, timestamp::unix_now());
    }

    /// Sums of the latest intervals and hours outlive the process from now on.
    pub(super) fn keep_sums(&self) {
        self.sample_history();
        let (now, mut uptime) = (timestamp::unix_now(), Vec::new());
        for (name, connection) in self.lock_connections().iter_mut() {
            uptime.extend(connection.uptime.recent(name, now));
        }
        let rollups = self.context.history().recent();
        self.context.journal.set_sums(rollups, uptime);
    }

    /// Tells listeners the whole status, and of which connection it changed.
    pub(super) fn tell_status(&self, connection: Option<&str>) {
        if !self.context.feed.has_listeners() {
            return;
        }
        self.context.feed.publish(UpdateKind::StatusUpdate, self.status_members(connection));
    }

    /// The members of a `status_update`.
    pub(super) fn status_members(&self, connection: Option<&str>) -> Map<String, Value> {
        let status = self.status_report(self.clock.now());
        let shown = connection.or(status.best_connection.as_deref());
        let latency = shown.and_then(|name| status.connections.get(name)).map(|known| known.latency);
        let status_value = serde_json::to_value(&status).unwrap_or_default();
        members([("connection", connection.into()), ("latency", latency.into()), ("status", status_value)])
    }
}

fn tell_state(inner: &Inner, report: &LinkReport) {
    tracing::info!(link = report.name, state = ?report.state, error = report.last_error, "a link changed");
    let value = serde_json::to_value(report).unwrap_or_default();
    let state = value["state"].clone();
    inner.context.feed.publish(UpdateKind::State, members([("state", state), ("link", value)]));
}

/// The members of an update.
pub(super) fn members<const N: usize>(content: [(&str, Value); N]) -> Map<String, Value> {
    content.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Begins the hooks that are due for one service, each in a task of its own.
fn run_hooks(inner: &Arc<Inner>, event: &HookEvent) {
    let address =
        inner.link(&event.link).and_then(|link| link.status()).map(|status| status.address.to_string());
    let hooks = inner.policy().hooks;
    let due = hooks.into_iter().filter(|hook| {
        event.due.contains(&hook.when) && hook.service.as_ref().is_none_or(|name| *name == event.service)
    });
    for hook in due {
        let (action, service) = (hook.action, event.service.clone());
        let values = vec![
            ("url", event.url.clone()),
            ("address", address.clone().unwrap_or_default()),
            ("service", event.service.clone()),
        ];
        spawn(async move {
            match hooks::run(&action, &values).await {
                Ok(()) => tracing::info!(service, "ran a hook"),
                Err(error) => tracing::warn!(service, error, "a hook failed"),
            }
        })
        .detach();
    }
}
