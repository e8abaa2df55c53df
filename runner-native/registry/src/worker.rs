//! The one task that talks to the database: makes changes, writes counters and logs, and looks for what other relays changed.
//!
//! Without the database it refuses changes, keeps counters, and dials again.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::{Either, select};
use hvym_tunnel_net::timeout::within;
use smol::channel::Receiver;

use crate::command::{Change, Changed, Command};
use crate::connection::{DATABASE_TIMEOUT, unreachable_database};
use crate::migrations::Migrate;
use crate::shared::Shared;
use crate::snapshot::Snapshot;
use crate::store::{NotChanged, Store};
use crate::{ChangeError, MAX_TUNNELS, RegistryError, unix_millis};

/// How often the task looks around: relays see each other's changes, and counters are written, within this time and a quarter of a
/// second.
const TICK: Duration = Duration::from_secs(2);
/// How often old logs are forgotten.
const FORGET_INTERVAL: Duration = Duration::from_secs(3600);
/// How long requests are kept, as in Tunely's relay.
const LOG_RETENTION: Duration = Duration::from_secs(30 * 86_400);
/// How long the audit log is kept.
const AUDIT_RETENTION: Duration = Duration::from_secs(365 * 86_400);
/// Requests in one transaction. Others wait for it for some milliseconds.
const LOG_BATCH: usize = 256;

/// The task.
pub(crate) struct Worker {
    shared: Arc<Shared>,
    commands: Receiver<Command>,
    /// `None`: the database is not there.
    store: Option<Store>,
    forget_at: Instant,
}

impl Worker {
    pub(crate) fn new(shared: Arc<Shared>, commands: Receiver<Command>, store: Store) -> Self {
        Self { shared, commands, store: Some(store), forget_at: Instant::now() }
    }

    /// Works until the registry is dropped.
    pub(crate) async fn run(mut self) {
        let mut tick = Instant::now() + TICK;
        loop {
            let wait = tick.saturating_duration_since(Instant::now());
            match within(wait, self.commands.recv()).await {
                Some(Ok(command)) => self.handle(command).await,
                Some(Err(_)) => break,
                None => {}
            }
            // Also if commands come without a pause.
            if Instant::now() >= tick {
                self.look_around().await;
                tick = Instant::now() + TICK;
            }
        }
        self.write_usage().await;
        self.write_logs().await;
    }

    async fn handle(&mut self, command: Command) {
        // Whoever asked may be gone, which is no matter here.
        match command {
            Command::Change(change, reply) => {
                let changed = self.change(&change).await;
                let _gone = reply.try_send(changed);
            }
            Command::Logs { domain, limit, offset, reply } => {
                self.write_logs().await;
                let page = self.ask(async |store| store.logs(&domain, limit, offset).await).await;
                let _gone = reply.try_send(page.ok_or(ChangeError::Unavailable));
            }
            Command::AuditLog { limit, reply } => {
                let entries = self.ask(async |store| store.audit_log(limit).await).await;
                let _gone = reply.try_send(entries.ok_or(ChangeError::Unavailable));
            }
            Command::Audit(entry) => {
                if self.ask(async |store| store.audit(&entry).await).await.is_none() {
                    tracing::warn!(
                        action = entry.action,
                        domain = entry.domain,
                        "not in the registry's audit log"
                    );
                }
            }
            Command::Flush(reply) => {
                self.write_usage().await;
                self.write_logs().await;
                let _gone = reply.try_send(());
            }
        }
    }

    async fn change(&mut self, change: &Change) -> Result<Changed, ChangeError> {
        let Some(store) = &mut self.store else { return Err(ChangeError::Unavailable) };
        let made = within(DATABASE_TIMEOUT, store.change(change, unix_millis())).await;
        match made {
            Some(Ok(changed)) => {
                self.take_over(change, &changed).await;
                Ok(changed)
            }
            Some(Err(NotChanged::Refused(refused))) => {
                // Another relay may have made or removed it a moment ago.
                self.refresh().await;
                Err(refused)
            }
            Some(Err(NotChanged::Failed(error))) => {
                self.lose(Some(&error));
                Err(ChangeError::Unavailable)
            }
            None => {
                self.lose(None);
                Err(ChangeError::Unavailable)
            }
        }
    }

    /// Brings a change into memory, and tells the observer.
    async fn take_over(&mut self, change: &Change, changed: &Changed) {
        let happened = {
            let mut snapshot = self.shared.write();
            let is_next = snapshot.revision + 1 == changed.revision;
            if is_next {
                snapshot.revision = changed.revision;
            }
            match &changed.tunnel {
                Some(tunnel) => {
                    let mut tunnel = tunnel.clone();
                    // What is not written is counted in memory only.
                    if let Some(before) = snapshot.get(&tunnel.domain) {
                        tunnel.total_requests = before.total_requests;
                        (tunnel.bytes_in, tunnel.bytes_out) = (before.bytes_in, before.bytes_out);
                        tunnel.last_connected_at = before.last_connected_at;
                    }
                    snapshot.put(tunnel);
                }
                None => snapshot.remove(change.domain()),
            }
            change.happened()
        };
        self.shared.tell(&[happened]);
        self.refresh().await;
    }

    /// Looks for what others changed, writes what waits, and dials a lost database again.
    async fn look_around(&mut self) {
        if self.store.is_none() && !self.dial().await {
            return;
        }
        self.refresh().await;
        self.write_usage().await;
        self.write_logs().await;
        if Instant::now() >= self.forget_at {
            let millis = |kept: Duration| i64::try_from(kept.as_millis()).unwrap_or(i64::MAX);
            let now = unix_millis();
            let (requests, audit) = (now - millis(LOG_RETENTION), now - millis(AUDIT_RETENTION));
            self.ask(async |store| store.forget(requests, audit).await).await;
            self.forget_at = Instant::now() + FORGET_INTERVAL;
        }
    }

    /// Reads the tunnels again if another relay has changed them.
    async fn refresh(&mut self) {
        let Some(revision) = self.ask(async |store| store.revision().await).await else { return };
        if revision == self.shared.read().revision {
            return;
        }
        let Some((tunnels, revision)) = self.ask(async |store| store.tunnels().await).await else { return };
        if tunnels.len() > MAX_TUNNELS {
            tracing::warn!(
                tunnels = tunnels.len(),
                "the registry has more tunnels than a relay keeps in memory"
            );
            return;
        }
        let mut after = Snapshot::new(tunnels, revision);
        let changes = {
            let pending = self.shared.pending_usage();
            let mut snapshot = self.shared.write();
            for (domain, usage) in &*pending {
                after.add_usage(domain, *usage);
            }
            let changes = after.changes_since(&snapshot);
            *snapshot = after;
            changes
        };
        self.shared.tell(&changes);
    }

    async fn write_usage(&mut self) {
        if self.store.is_none() {
            return;
        }
        let usage = std::mem::take(&mut *self.shared.pending_usage());
        if usage.is_empty() {
            return;
        }
        if self.ask(async |store| store.add_usage(&usage).await).await.is_none() {
            let mut pending = self.shared.pending_usage();
            for (domain, usage) in usage {
                pending.entry(domain).or_default().add(usage);
            }
        }
    }

    async fn write_logs(&mut self) {
        while self.store.is_some() {
            let batch = self.shared.logs.take(LOG_BATCH);
            if batch.is_empty() {
                return;
            }
            if self.ask(async |store| store.add_logs(&batch).await).await.is_none() {
                self.shared.logs.drop_all(batch.len());
            }
        }
    }

    /// What the database answers; `None`: it is not there.
    async fn ask<T>(
        &mut self,
        question: impl AsyncFnOnce(&mut Store) -> Result<T, sqlx::Error>,
    ) -> Option<T> {
        let store = self.store.as_mut()?;
        match within(DATABASE_TIMEOUT, question(store)).await {
            Some(Ok(answer)) => Some(answer),
            Some(Err(error)) => {
                self.lose(Some(&error));
                None
            }
            None => {
                self.lose(None);
                None
            }
        }
    }

    /// Gives the connection up, and says so once.
    fn lose(&mut self, error: Option<&sqlx::Error>) {
        let Some(store) = self.store.take() else { return };
        let error = match error {
            Some(error) => unreachable_database(&store.url, error),
            None => RegistryError::TimedOut {
                database: store.url.to_string(),
                seconds: DATABASE_TIMEOUT.as_secs(),
            },
        };
        self.shared.set_available(Some(&error));
    }

    /// Dials the lost database again. Returns whether it is back. Whoever wants something meanwhile is refused at once.
    async fn dial(&mut self) -> bool {
        let (url, commands) = (self.shared.url.clone(), self.commands.clone());
        let mut opening = pin!(Store::open(&url, Migrate::IfEmpty, unix_millis()));
        let opened = loop {
            match select(opening.as_mut(), pin!(commands.recv())).await {
                Either::Left((opened, _)) => break opened,
                Either::Right((Ok(command), _)) => self.handle(command).await,
                Either::Right((Err(_), _)) => return false,
            }
        };
        match opened {
            Ok(store) => {
                self.store = Some(store);
                // Whatever happened meanwhile: read everything.
                self.shared.write().revision = -1;
                // One whose disk is full can be read, and is not back.
                self.write_usage().await;
                self.write_logs().await;
                if self.store.is_some() {
                    self.shared.set_available(None);
                }
                self.store.is_some()
            }
            Err(error) => {
                tracing::debug!(%error, "the registry's database is not back");
                false
            }
        }
    }
}
