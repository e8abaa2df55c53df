//! Links and services of one process, as a value: started, stopped and changed by name, checked, and reported.

mod alerting;
mod checks;
mod joins;
mod links;
mod prometheus;
mod renewals;
mod services;
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
use hvym_tunnel_state::UptimeHour;
use smol::channel::{Sender, bounded};

pub use self::joins::JoinedProgram;
use crate::alerts::{AlertBook, AlertLimits};
use crate::context::LinkContext;
use crate::definition::with_added;
use crate::error::ManagerError;
use crate::feed::{Feed, Listener};
use crate::health::{CheckTiming, ConnectionHealth};
use crate::history::History;
use crate::journal::Journal;
use crate::link::ManagedLink;
use crate::notifications::{self, Notification};
use crate::process::ProcessMeter;
use crate::remembered::Remembered;
use crate::settings::{ManagerPolicy, ManagerSettings};
use crate::shapes::RequestReport;
use crate::timestamp;
use crate::traffic::TrafficMeter;
use crate::uptime::Uptime;

/// How long what is under way may take when a link is stopped.
pub const STOP_LIMIT: Duration = Duration::from_secs(10);

/// A running manager. Clones are the same one; it runs until [`TunnelManager::shutdown`].
#[derive(Clone)]
pub struct TunnelManager(Arc<Inner>);

struct Inner {
    policy: RwLock<ManagerPolicy>,
    context: LinkContext,
    clock: Clock,
    started: Instant,
    links: RwLock<BTreeMap<String, Arc<ManagedLink>>>,
    connections: Mutex<BTreeMap<String, Connection>>,
    alerts: Mutex<AlertBook>,
    meters: Mutex<Meters>,
    recalled: Mutex<Recalled>,
    metrics_interval: Mutex<Duration>,
    notifications: Sender<Notification>,
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

/// What is known from earlier, in this process or before it.
#[derive(Default)]
struct Recalled {
    /// Where visitors of a link's service last came.
    endpoints: BTreeMap<(String, String), String>,
    /// When connections were up that are not watched yet.
    uptime: BTreeMap<String, Vec<UptimeHour>>,
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
        let ManagerSettings { links: wanted, alerts: limits, policy, remembered, inspector } = settings;
        let (clock, (changed, changes)) = (Clock::new(), bounded(1));
        let journal = Arc::new(Journal::new(remembered.db.clone()));
        let (mut feed, mut history, mut alerts) =
            (Feed::default(), History::default(), AlertBook::new(limits));
        feed.restore(remembered.requests.clone());
        history.restore(&remembered.rollups, timestamp::unix_now());
        alerts.restore(remembered.alerts.iter().cloned());
        let context =
            LinkContext::new(feed, history, Arc::clone(&journal), inspector, changed, runtime.clone());
        let mut links = BTreeMap::new();
        for link in wanted {
            let (name, is_wanted) =
                (link.name.clone(), remembered.wanted(&link.name).unwrap_or(link.auto_start));
            let link = with_added(link, &remembered.services);
            if links.insert(name.clone(), ManagedLink::new(link, is_wanted, context.clone())).is_some() {
                return Err(ManagerError::DuplicateLink(name));
            }
        }
        let Remembered { endpoints, uptime, .. } = remembered;
        let (notifications, shown) = bounded(notifications::MAX_WAITING);
        let inner = Arc::new(Inner {
            alerts: Mutex::new(alerts),
            policy: RwLock::new(policy),
            context,
            clock,
            started: clock.now(),
            links: RwLock::new(links),
            connections: Mutex::default(),
            meters: Mutex::default(),
            recalled: Mutex::new(Recalled { endpoints, uptime }),
            metrics_interval: Mutex::new(supervisor::METRICS_INTERVAL),
            notifications,
            stop: CancellationToken::new(),
        });
        let _inside = runtime.enter();
        inner.links().into_iter().for_each(links::start_if_wanted);
        spawn(journal.run(inner.stop.clone())).detach();
        spawn(notifications::show(shown)).detach();
        spawn(supervisor::run(Arc::clone(&inner), changes)).detach();
        Ok(Self(inner))
    }

    /// Looks after everything in another way, from now on.
    pub fn set_policy(&self, policy: ManagerPolicy) {
        *self.0.policy.write().unwrap_or_else(PoisonError::into_inner) = policy;
        self.check_now();
    }

    /// Checks every connection now.
    pub fn check_now(&self) {
        let now = self.0.clock.now();
        self.0.lock_connections().values_mut().for_each(|connection| connection.health.check_at(now));
        self.0.context.notify();
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
        let is_known = self.0.lock_alerts().acknowledge(id);
        self.0.tell_alerts();
        is_known
    }

    /// Forgets alerts that are over; returns how many there were.
    pub fn clear_alerts(&self) -> usize {
        self.0.context.journal.forget_alerts();
        self.0.lock_alerts().clear_history()
    }

    /// The last hundred requests, the latest first.
    pub fn requests(&self) -> Vec<RequestReport> {
        self.0.context.feed.requests()
    }

    /// Every update from now on; `None` if too many listen.
    pub fn subscribe(&self) -> Option<Listener> {
        let listener = self.0.context.feed.subscribe();
        self.0.context.notify();
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
        self.0.keep_sums();
        self.0.stop.cancel();
        self.0.notifications.close();
        self.0.context.journal.flush().await;
        self.0.context.feed.close();
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

    fn policy(&self) -> ManagerPolicy {
        self.policy.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn checks(&self) -> CheckTiming {
        self.policy.read().unwrap_or_else(PoisonError::into_inner).checks
    }

    fn lock_connections(&self) -> MutexGuard<'_, BTreeMap<String, Connection>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_alerts(&self) -> MutexGuard<'_, AlertBook> {
        self.alerts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_recalled(&self) -> MutexGuard<'_, Recalled> {
        self.recalled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_meters(&self) -> MutexGuard<'_, Meters> {
        self.meters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn which(links: &[Arc<ManagedLink>]) -> ManagerError {
    let names: Vec<_> = links.iter().map(|link| link.name()).collect();
    ManagerError::WhichLink(names.join(", "))
}
