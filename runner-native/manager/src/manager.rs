//! Links and services of one process, as a value: started, stopped and changed by name, checked, and reported.

mod alerting;
mod checks;
mod prometheus;
mod snapshot;
mod supervisor;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use hvym_tunnel_agent::ServiceName;
use hvym_tunnel_core::time::Instant;
use hvym_tunnel_net::clock::Clock;
use hvym_tunnel_net::runtime::{RuntimeHandle, spawn};
use hvym_tunnel_net::shutdown::CancellationToken;
use smol::channel::{Sender, bounded};

use crate::alerts::{AlertBook, AlertLimits};
use crate::error::ManagerError;
use crate::feed::{Feed, Listener};
use crate::health::{CheckTiming, ConnectionHealth};
use crate::link::ManagedLink;
use crate::process::ProcessMeter;
use crate::settings::{ManagedLinkSettings, ManagedService, ManagerPolicy, ManagerSettings};
use crate::shapes::RequestReport;
use crate::traffic::TrafficMeter;
use crate::uptime::Uptime;

/// How long what is under way may take when a link is stopped.
pub const STOP_LIMIT: Duration = Duration::from_secs(10);

/// A running manager. Clones are the same one; it runs until [`TunnelManager::shutdown`].
#[derive(Clone)]
pub struct TunnelManager(Arc<Inner>);

struct Inner {
    policy: RwLock<ManagerPolicy>,
    runtime: RuntimeHandle,
    clock: Clock,
    started: Instant,
    links: RwLock<BTreeMap<String, Arc<ManagedLink>>>,
    connections: Mutex<BTreeMap<String, Connection>>,
    alerts: Mutex<AlertBook>,
    meters: Mutex<Meters>,
    feed: Arc<Feed>,
    /// Says that something may have changed.
    changed: Sender<()>,
    metrics_interval: Mutex<Duration>,
    stop: CancellationToken,
}

/// A relay or a service that is checked.
struct Connection {
    link: String,
    /// `None`: the relay of the link.
    service: Option<ServiceName>,
    health: ConnectionHealth,
    uptime: Uptime,
    is_checking: bool,
}

#[derive(Default)]
struct Meters {
    process: ProcessMeter,
    rate: TrafficMeter,
}

impl TunnelManager {
    /// Starts the links that are to be started on the threads of `runtime`. One whose settings are wrong is reported in the
    /// status, and the others run.
    ///
    /// # Errors
    /// Two links have one name.
    pub fn start(settings: ManagerSettings, runtime: &RuntimeHandle) -> Result<Self, ManagerError> {
        let (clock, feed) = (Clock::new(), Arc::<Feed>::default());
        let (changed, changes) = bounded(1);
        let mut links = BTreeMap::new();
        for link in settings.links {
            let name = link.name.clone();
            let managed = ManagedLink::new(link, Arc::clone(&feed), changed.clone(), runtime.clone());
            if links.insert(name.clone(), managed).is_some() {
                return Err(ManagerError::DuplicateLink(name));
            }
        }
        let inner = Arc::new(Inner {
            alerts: Mutex::new(AlertBook::new(settings.alerts)),
            policy: RwLock::new(settings.policy),
            runtime: runtime.clone(),
            clock,
            started: clock.now(),
            links: RwLock::new(links),
            connections: Mutex::default(),
            meters: Mutex::default(),
            feed,
            changed,
            metrics_interval: Mutex::new(supervisor::METRICS_INTERVAL),
            stop: CancellationToken::new(),
        });
        let _inside = runtime.enter();
        inner.links().into_iter().for_each(start_if_wanted);
        spawn(supervisor::run(Arc::clone(&inner), changes)).detach();
        Ok(Self(inner))
    }

    /// Starts a link, or all of them. Those that run go on. Returns how many were started.
    ///
    /// # Errors
    /// There is none, or one cannot start; the others are started all the same.
    pub async fn start_links(&self, name: Option<&str>) -> Result<usize, ManagerError> {
        let (mut started, mut failed) = (0, None);
        for link in self.0.select(name)? {
            match link.start().await {
                Ok(is_new) => started += usize::from(is_new),
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(started), |error| Err(error.into()))
    }

    /// Stops a link, or all of them at the same time; what is under way may take `limit`. Returns how many were stopped.
    ///
    /// # Errors
    /// There is none.
    pub async fn stop_links(&self, name: Option<&str>, limit: Duration) -> Result<usize, ManagerError> {
        let links = self.0.select(name)?;
        let stopped = futures_util::future::join_all(links.iter().map(|link| link.stop(limit))).await;
        Ok(stopped.into_iter().filter(|stopped| *stopped).count())
    }

    /// Stops and starts a link, or all of them.
    ///
    /// # Errors
    /// As for [`Self::start_links`].
    pub async fn restart_links(&self, name: Option<&str>) -> Result<usize, ManagerError> {
        self.stop_links(name, STOP_LIMIT).await?;
        self.start_links(name).await
    }

    /// Adds a link, and starts it if it is to be started. The others do not notice.
    ///
    /// # Errors
    /// There is one of its name.
    pub fn add_link(&self, settings: ManagedLinkSettings) -> Result<(), ManagerError> {
        let inner = &self.0;
        let name = settings.name.clone();
        let (feed, changed) = (Arc::clone(&inner.feed), inner.changed.clone());
        let link = ManagedLink::new(settings, feed, changed, inner.runtime.clone());
        {
            let mut links = inner.links.write().unwrap_or_else(PoisonError::into_inner);
            if links.contains_key(&name) {
                return Err(ManagerError::DuplicateLink(name));
            }
            links.insert(name, Arc::clone(&link));
        }
        let _inside = inner.runtime.enter();
        start_if_wanted(link);
        inner.notify();
        Ok(())
    }

    /// Puts a link with other settings in the place of the one of its name, which ends once the new one is connected, and after
    /// ten seconds all the same; what is under way there may take ten more. The others do not notice.
    ///
    /// # Errors
    /// There is none of this name.
    pub fn replace_link(&self, settings: ManagedLinkSettings) -> Result<(), ManagerError> {
        let inner = &self.0;
        let (feed, changed) = (Arc::clone(&inner.feed), inner.changed.clone());
        let link = ManagedLink::new(settings, feed, changed, inner.runtime.clone());
        let old = {
            let mut links = inner.links.write().unwrap_or_else(PoisonError::into_inner);
            let known = links.get_mut(link.name());
            let known = known.ok_or_else(|| ManagerError::UnknownLink(link.name().to_owned()))?;
            std::mem::replace(known, Arc::clone(&link))
        };
        let _inside = inner.runtime.enter();
        start_if_wanted(Arc::clone(&link));
        spawn(async move {
            link.connected(STOP_LIMIT).await;
            old.stop(STOP_LIMIT).await;
        })
        .detach();
        inner.notify();
        Ok(())
    }

    /// Stops a link and forgets it; what is under way may take `limit`.
    ///
    /// # Errors
    /// There is none of this name.
    pub async fn remove_link(&self, name: &str, limit: Duration) -> Result<(), ManagerError> {
        let link = self.0.links.write().unwrap_or_else(PoisonError::into_inner).remove(name);
        let link = link.ok_or_else(|| ManagerError::UnknownLink(name.to_owned()))?;
        self.0.notify();
        link.stop(limit).await;
        Ok(())
    }

    /// Looks after everything in another way, from now on.
    pub fn set_policy(&self, policy: ManagerPolicy) {
        *self.0.policy.write().unwrap_or_else(PoisonError::into_inner) = policy;
        self.check_now();
    }

    /// Adds a service to a link, which must be named if there are several, or replaces the one of its name. `false`: it was
    /// replaced. Streams of other services do not notice.
    ///
    /// # Errors
    /// There is no such link, or its relay does not have what the service needs.
    pub fn bind(&self, link: Option<&str>, service: ManagedService) -> Result<bool, ManagerError> {
        let link = self.0.only(link)?;
        // Checked anew: it may lead elsewhere.
        self.0.forget_connection(link.name(), service.spec.name.as_str());
        Ok(link.put_service(service)?)
    }

    /// Removes a service, from one link or from the only one that has it.
    ///
    /// # Errors
    /// There is no such link or service, or several links have it.
    pub fn unbind(&self, link: Option<&str>, service: &ServiceName) -> Result<(), ManagerError> {
        let having =
            |link: &Arc<ManagedLink>| link.services().iter().any(|known| known.spec.name == *service);
        let mut links = self.0.select(link)?;
        links.retain(having);
        match &links[..] {
            [] => Err(ManagerError::UnknownService(service.to_string())),
            [link] => {
                link.remove_service(service);
                self.0.forget_connection(link.name(), service.as_str());
                Ok(())
            }
            several => Err(which(several)),
        }
    }

    /// Checks every connection now.
    pub fn check_now(&self) {
        let now = self.0.clock.now();
        self.0.lock_connections().values_mut().for_each(|connection| connection.health.check_at(now));
        self.0.notify();
    }

    /// The limits beyond which somebody is told.
    pub fn alert_limits(&self) -> AlertLimits {
        self.0.lock_alerts().limits()
    }

    /// Changes them, from the next check on.
    pub fn set_alert_limits(&self, limits: AlertLimits) {
        self.0.lock_alerts().set_limits(limits);
    }

    /// A person knows of an alert. `false`: no alert of this number holds.
    pub fn acknowledge_alert(&self, id: u64) -> bool {
        self.0.lock_alerts().acknowledge(id)
    }

    /// Forgets alerts that are over; returns how many there were.
    pub fn clear_alerts(&self) -> usize {
        self.0.lock_alerts().clear_history()
    }

    /// The last hundred requests, the latest first.
    pub fn requests(&self) -> Vec<RequestReport> {
        self.0.feed.requests()
    }

    /// Every update from now on; `None` if too many listen.
    pub fn subscribe(&self) -> Option<Listener> {
        let listener = self.0.feed.subscribe();
        self.0.notify();
        listener
    }

    /// How often listeners get metrics.
    pub fn set_metrics_interval(&self, interval: Duration) {
        *self.0.metrics_interval.lock().unwrap_or_else(PoisonError::into_inner) = interval;
    }

    /// Stops all links, of which each may take `limit`, and ends.
    pub async fn shutdown(&self, limit: Duration) {
        let links = self.0.links();
        futures_util::future::join_all(links.iter().map(|link| link.stop(limit))).await;
        self.0.stop.cancel();
        self.0.feed.close();
    }
}

impl Inner {
    fn links(&self) -> Vec<Arc<ManagedLink>> {
        self.links.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    fn link(&self, name: &str) -> Option<Arc<ManagedLink>> {
        self.links.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// The link of this name, or all of them.
    fn select(&self, name: Option<&str>) -> Result<Vec<Arc<ManagedLink>>, ManagerError> {
        let links = match name {
            Some(name) => {
                vec![self.link(name).ok_or_else(|| ManagerError::UnknownLink(name.to_owned()))?]
            }
            None => self.links(),
        };
        if links.is_empty() { Err(ManagerError::NoLinks) } else { Ok(links) }
    }

    /// The link of this name, or the only one.
    fn only(&self, name: Option<&str>) -> Result<Arc<ManagedLink>, ManagerError> {
        let mut links = self.select(name)?;
        match links.pop() {
            Some(link) if links.is_empty() => Ok(link),
            _ => Err(which(&self.links())),
        }
    }

    /// Has it checked as a new one.
    fn forget_connection(&self, link: &str, service: &str) {
        let is_meant = |connection: &Connection| {
            connection.link == link
                && connection.service.as_ref().is_some_and(|name| name.as_str() == service)
        };
        let mut connections = self.lock_connections();
        let names: Vec<_> =
            connections.iter().filter(|(_, known)| is_meant(known)).map(|(name, _)| name.clone()).collect();
        for name in names {
            connections.remove(&name);
            self.lock_alerts().remove_subject(&name, self.clock.now());
        }
    }

    fn policy(&self) -> ManagerPolicy {
        self.policy.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn checks(&self) -> CheckTiming {
        self.policy.read().unwrap_or_else(PoisonError::into_inner).checks
    }

    fn notify(&self) {
        // A full channel says so already.
        let _said = self.changed.try_send(());
    }

    fn lock_connections(&self) -> MutexGuard<'_, BTreeMap<String, Connection>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_alerts(&self) -> MutexGuard<'_, AlertBook> {
        self.alerts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_meters(&self) -> MutexGuard<'_, Meters> {
        self.meters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn which(links: &[Arc<ManagedLink>]) -> ManagerError {
    let names: Vec<_> = links.iter().map(|link| link.name()).collect();
    ManagerError::WhichLink(names.join(", "))
}

/// On a thread that is inside the runtime.
fn start_if_wanted(link: Arc<ManagedLink>) {
    if link.settings().auto_start {
        spawn(async move {
            if let Err(error) = link.start().await {
                tracing::error!(link = link.name(), %error, "cannot start a link");
            }
        })
        .detach();
    }
}
