//! What outlives the process: changes are collected here, and written together by a task of its own, or at once where somebody
//! waits for it.
//!
//! A database that takes nothing is said once; the manager goes on without it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::mem;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::select;
use hvym_tunnel_net::shutdown::CancellationToken;
use hvym_tunnel_net::timer::Timer;
use hvym_tunnel_state::{
    AddedService, AlertRecord, MAX_REQUESTS, Rollup, StateDb, StateError, StoredRequest, UnixMillis,
    UptimeHour,
};
use smol::channel::{Receiver, Sender, bounded};

use crate::alerts::Alert;
use crate::history::History;
use crate::timestamp;

/// Between two writes by the task: each is a commit, which waits for the disk.
const PAUSE: Duration = Duration::from_secs(1);

/// A link and a service.
type ServiceKey = (String, String);

/// Changes that are not written yet: of each thing its latest form.
#[derive(Default)]
struct Pending {
    wanted: BTreeMap<String, bool>,
    forgotten_links: BTreeSet<String>,
    /// `None`: it is no more.
    services: BTreeMap<ServiceKey, Option<String>>,
    /// `None`: it is no more.
    endpoints: BTreeMap<ServiceKey, Option<String>>,
    alerts: BTreeMap<u64, Alert>,
    forgets_alerts: bool,
    requests: VecDeque<StoredRequest>,
    rollups: Vec<Rollup>,
    uptime: Vec<UptimeHour>,
}

/// Collects changes, and writes them.
pub(crate) struct Journal {
    /// `None`: nothing is kept.
    db: Option<StateDb>,
    pending: Mutex<Pending>,
    wake: Sender<()>,
    woken: Receiver<()>,
    /// Held while something is written, so that nothing is written after what is newer.
    writing: smol::lock::Mutex<()>,
    has_failed: AtomicBool,
}

impl Journal {
    pub(crate) fn new(db: Option<StateDb>) -> Self {
        let (wake, woken) = bounded(1);
        let (pending, writing, has_failed) = Default::default();
        Self { db, pending, wake, woken, writing, has_failed }
    }

    /// Whether a link is to run.
    pub(crate) fn set_wanted(&self, link: &str, running: bool) {
        self.change(|pending| {
            pending.wanted.insert(link.to_owned(), running);
        });
    }

    /// A link is no more.
    pub(crate) fn forget_link(&self, link: &str) {
        self.change(|pending| {
            let is_other = |key: &ServiceKey| key.0 != link;
            pending.wanted.remove(link);
            pending.services.retain(|key, _| is_other(key));
            pending.endpoints.retain(|key, _| is_other(key));
            pending.forgotten_links.insert(link.to_owned());
        });
    }

    /// A service was added to a link, as `definition` says; `None`: it is no more, or the settings name it.
    pub(crate) fn set_service(&self, link: &str, service: &str, definition: Option<String>) {
        self.change(|pending| {
            pending.services.insert((link.to_owned(), service.to_owned()), definition);
        });
    }

    /// Visitors of a service come to this URL; `None`: the service is no more.
    pub(crate) fn set_endpoint(&self, link: &str, service: &str, url: Option<&str>) {
        self.change(|pending| {
            pending.endpoints.insert((link.to_owned(), service.to_owned()), url.map(str::to_owned));
        });
    }

    /// An alert is like this now.
    pub(crate) fn set_alert(&self, alert: &Alert) {
        self.change(|pending| drop(pending.alerts.insert(alert.id, alert.clone())));
    }

    /// Alerts that are over are forgotten.
    pub(crate) fn forget_alerts(&self) {
        self.change(|pending| {
            pending.alerts.retain(|_, alert| alert.cleared_at.is_none());
            pending.forgets_alerts = true;
        });
    }

    /// A request was answered.
    pub(crate) fn add_request(&self, request: impl FnOnce() -> StoredRequest) {
        self.change(|pending| {
            if pending.requests.len() as i64 >= MAX_REQUESTS {
                pending.requests.pop_front();
            }
            pending.requests.push_back(request());
        });
    }

    /// These are the latest sums.
    pub(crate) fn set_sums(&self, rollups: Vec<Rollup>, uptime: Vec<UptimeHour>) {
        self.change(|pending| (pending.rollups, pending.uptime) = (rollups, uptime));
    }

    fn change(&self, change: impl FnOnce(&mut Pending)) {
        if self.db.is_some() {
            change(&mut self.pending.lock().unwrap_or_else(PoisonError::into_inner));
            // A full channel says so already.
            let _woken = self.wake.try_send(());
        }
    }

    /// Writes what is to be written until `stop`, and then the rest.
    pub(crate) async fn run(self: Arc<Self>, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let woken = pin!(async {
                let _woken = self.woken.recv().await;
            });
            select(woken, pin!(stop.cancelled())).await;
            self.flush().await;
            select(Timer::after(PAUSE), pin!(stop.cancelled())).await;
        }
        self.flush().await;
    }

    /// Everything that changed before is written when this ends.
    pub(crate) async fn flush(&self) {
        let Some(db) = &self.db else { return };
        let _writing = self.writing.lock().await;
        let pending = mem::take(&mut *self.pending.lock().unwrap_or_else(PoisonError::into_inner));
        match pending.write(db, timestamp::unix_now()).await {
            Ok(()) => self.has_failed.store(false, Ordering::Relaxed),
            Err(error) if self.has_failed.swap(true, Ordering::Relaxed) => {
                tracing::debug!(%error, "changes were not kept");
            }
            Err(error) => tracing::warn!(%error, "after the next start something will be missing"),
        }
    }
}

impl Pending {
    async fn write(self, db: &StateDb, now: UnixMillis) -> Result<(), StateError> {
        for link in &self.forgotten_links {
            db.forget_link(link).await?;
        }
        for (link, running) in &self.wanted {
            db.set_wanted(link, *running, now).await?;
        }
        for ((link, name), definition) in self.services {
            match definition {
                Some(definition) => db.put_service(&AddedService { link, name, definition }).await?,
                None => db.forget_service(&link, &name).await?,
            }
        }
        for ((link, service), url) in &self.endpoints {
            match url {
                Some(url) => db.set_last_endpoint(link, service, url, now).await?,
                None => db.forget_endpoint(link, service).await?,
            }
        }
        if self.forgets_alerts {
            db.forget_alerts().await?;
        }
        for alert in self.alerts.values() {
            db.put_alert(&record(alert)).await?;
        }
        if !self.requests.is_empty() {
            db.add_requests(&Vec::from(self.requests)).await?;
        }
        if !self.rollups.is_empty() {
            db.put_rollups(&self.rollups, &History::limits(), now).await?;
        }
        if !self.uptime.is_empty() {
            db.put_uptime(&self.uptime, now).await?;
        }
        Ok(())
    }
}

/// As it is kept.
fn record(alert: &Alert) -> AlertRecord {
    let kind = serde_json::to_value(alert.kind).unwrap_or_default();
    AlertRecord {
        id: i64::try_from(alert.id).unwrap_or(i64::MAX),
        kind: kind.as_str().unwrap_or_default().to_owned(),
        subject: alert.subject.clone(),
        message: alert.message.clone(),
        raised_at: alert.raised_at,
        cleared_at: alert.cleared_at,
        acknowledged: alert.acknowledged,
        escalated: alert.escalated,
    }
}
