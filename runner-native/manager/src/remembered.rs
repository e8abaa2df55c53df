//! What an earlier process left for this one.

use std::collections::BTreeMap;

use hvym_tunnel_state::{
    AddedService, AlertRecord, MAX_REQUESTS, Rollup, StateDb, StateError, StoredRequest, UptimeHour,
};
use serde_json::Value;

use crate::alerts::Alert;
use crate::shapes::RequestReport;
use crate::timestamp;

/// What an earlier process left, and where this one leaves something. By default nothing, and nowhere.
#[derive(Clone, Debug, Default)]
pub struct Remembered {
    pub(crate) db: Option<StateDb>,
    wanted: BTreeMap<String, bool>,
    pub(crate) services: Vec<AddedService>,
    pub(crate) endpoints: BTreeMap<(String, String), String>,
    pub(crate) alerts: Vec<Alert>,
    /// The latest first.
    pub(crate) requests: Vec<RequestReport>,
    pub(crate) rollups: Vec<Rollup>,
    pub(crate) uptime: BTreeMap<String, Vec<UptimeHour>>,
}

impl Remembered {
    /// Everything in `db`, which is written to from now on.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn load(db: StateDb) -> Result<Self, StateError> {
        let mut uptime = BTreeMap::<String, Vec<UptimeHour>>::new();
        for hour in db.uptime().await? {
            uptime.entry(hour.subject.clone()).or_default().push(hour);
        }
        let endpoints = db.last_endpoints().await?.into_iter();
        Ok(Self {
            wanted: db.wanted().await?.into_iter().collect(),
            services: db.services().await?,
            endpoints: endpoints.map(|known| ((known.link, known.service), known.url)).collect(),
            alerts: db.alerts().await?.into_iter().filter_map(alert).collect(),
            requests: db.requests(MAX_REQUESTS as u32).await?.into_iter().map(request).collect(),
            rollups: db.rollups().await?,
            uptime,
            db: Some(db),
        })
    }

    /// Whether a link was to run, if somebody said so.
    pub fn wanted(&self, link: &str) -> Option<bool> {
        self.wanted.get(link).copied()
    }
}

fn alert(record: AlertRecord) -> Option<Alert> {
    Some(Alert {
        id: u64::try_from(record.id).ok()?,
        kind: serde_json::from_value(Value::String(record.kind)).ok()?,
        subject: record.subject,
        message: record.message,
        raised_at: record.raised_at,
        cleared_at: record.cleared_at,
        acknowledged: record.acknowledged,
        escalated: record.escalated,
    })
}

fn request(stored: StoredRequest) -> RequestReport {
    RequestReport {
        timestamp: timestamp::at_unix(stored.at),
        link: stored.link,
        service: stored.service,
        method: stored.method,
        path: stored.path,
        status: stored.status,
        duration_ms: stored.duration_us as f64 / 1000.0,
        bytes: stored.bytes.and_then(|bytes| u64::try_from(bytes).ok()),
    }
}
