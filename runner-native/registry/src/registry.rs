//! The registry as its relay uses it: lookups in memory, changes by its task.

use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, RwLock};
use std::time::Duration;

use hvym_tunnel_net::runtime::spawn;
use hvym_tunnel_net::timeout::within;
use smol::channel::{Receiver, Sender, TrySendError, bounded};

use crate::audit::{AuditAction, AuditEntry};
use crate::command::{Change, Changed, Command};
use crate::database_url::DatabaseUrl;
use crate::migrations::Migrate;
use crate::request_log::{LogPage, LogQueue, LoggedRequest};
use crate::shared::{RegistryObserver, Shared};
use crate::snapshot::Snapshot;
use crate::store::Store;
use crate::token::{TokenHash, TunnelToken};
use crate::tunnel::{NewTunnel, TunnelRecord, TunnelUpdate};
use crate::usage::TunnelUsage;
use crate::worker::Worker;
use crate::{ChangeError, MAX_TUNNELS, RegistryError, unix_millis};

/// Commands that wait for the database. Further ones are refused.
const COMMAND_CAPACITY: usize = 256;
/// How long a command may take, its wait included.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(40);

/// The state of a registry.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct RegistryStatus {
    /// How many tunnels there are.
    pub tunnels: usize,
    /// Whether the database was there when it was last asked.
    pub is_available: bool,
    /// Requests that wait to be logged.
    pub queued_logs: usize,
    /// Requests that were not logged, since the start.
    pub dropped_logs: u64,
}

/// The tunnels of a relay. Copies are the same registry.
#[derive(Clone)]
pub struct TunnelRegistry {
    shared: Arc<Shared>,
    commands: Sender<Command>,
}

impl fmt::Debug for TunnelRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TunnelRegistry").field("url", &self.shared.url).finish_non_exhaustive()
    }
}

impl TunnelRegistry {
    /// Opens the registry in the database at `url`, and reads all tunnels. Call it inside the runtime whose threads serve it.
    ///
    /// # Errors
    /// The database cannot be reached, its tables are of another version or program, or there are more tunnels than fit in memory.
    pub async fn open(url: &DatabaseUrl, migrate: Migrate) -> Result<Self, RegistryError> {
        let mut store = Store::open(url, migrate, unix_millis()).await?;
        let read = store.tunnels().await;
        let (tunnels, revision) =
            read.map_err(|error| crate::connection::unreachable_database(url, &error))?;
        if tunnels.len() > MAX_TUNNELS {
            return Err(RegistryError::TooMany { database: url.to_string(), count: tunnels.len() });
        }
        let shared = Arc::new(Shared {
            url: url.clone(),
            snapshot: RwLock::new(Snapshot::new(tunnels, revision)),
            usage: Mutex::default(),
            logs: LogQueue::default(),
            is_available: AtomicBool::new(true),
            observer: OnceLock::new(),
        });
        let (commands, receiver) = bounded(COMMAND_CAPACITY);
        spawn(Worker::new(Arc::clone(&shared), receiver, store).run()).detach();
        Ok(Self { shared, commands })
    }

    /// Tells `observer` what happens from now on. Only the first call counts.
    pub fn observe(&self, observer: Arc<dyn RegistryObserver>) {
        let _first = self.shared.observer.set(observer);
    }

    /// The tunnel with this token, enabled or not.
    pub fn find(&self, token: &str) -> Option<TunnelRecord> {
        self.shared.read().find(&TokenHash::new(token)).cloned()
    }

    /// The tunnel of this name.
    pub fn get(&self, domain: &str) -> Option<TunnelRecord> {
        self.shared.read().get(domain).cloned()
    }

    /// Whether requests of the visitors of this tunnel are logged.
    pub fn logs_requests(&self, domain: &str) -> bool {
        self.shared.read().get(domain).is_some_and(|tunnel| tunnel.logs_requests)
    }

    /// Whether one more request may be logged, as far as the rate goes. If not, the request of the caller counts as dropped.
    pub fn has_log_room(&self) -> bool {
        self.counted(self.shared.logs.rate.has_room())
    }

    /// Takes the place of a request that is to be logged. `false`: it is not to be, and counts as dropped.
    pub fn take_log_room(&self) -> bool {
        self.counted(self.shared.logs.rate.take())
    }

    fn counted(&self, has_room: bool) -> bool {
        if !has_room {
            self.shared.logs.drop_all(1);
        }
        has_room
    }

    /// All tunnels, by name.
    pub fn list(&self) -> Vec<TunnelRecord> {
        self.shared.read().all().cloned().collect()
    }

    /// The names of all tunnels.
    pub fn names(&self) -> Vec<Arc<str>> {
        self.shared.read().all().map(|tunnel| Arc::clone(&tunnel.domain)).collect()
    }

    /// A number that changes with every change of a tunnel.
    pub fn revision(&self) -> i64 {
        self.shared.read().revision
    }

    /// What state it is in.
    pub fn status(&self) -> RegistryStatus {
        let (queued_logs, dropped_logs) = self.shared.logs.counts();
        RegistryStatus {
            tunnels: self.shared.read().len(),
            is_available: self.shared.is_available.load(Ordering::Acquire),
            queued_logs,
            dropped_logs,
        }
    }

    /// Creates a tunnel. Its token is not to be had again.
    ///
    /// # Errors
    /// [`ChangeError`]
    pub async fn create(&self, new: NewTunnel) -> Result<(TunnelRecord, TunnelToken), ChangeError> {
        new.check()?;
        let changed = self.change(Change::Create(new)).await?;
        changed.tunnel.zip(changed.token).ok_or(ChangeError::Unavailable)
    }

    /// Changes a tunnel.
    ///
    /// # Errors
    /// [`ChangeError`]
    pub async fn update(
        &self,
        domain: &str,
        update: TunnelUpdate,
        source: Option<IpAddr>,
    ) -> Result<TunnelRecord, ChangeError> {
        update.check()?;
        let changed = self.change(Change::Update { domain: domain.to_owned(), update, source }).await?;
        changed.tunnel.ok_or(ChangeError::NotFound)
    }

    /// Gives a tunnel another token. The earlier one is worth nothing from then on.
    ///
    /// # Errors
    /// [`ChangeError`]
    pub async fn rotate(&self, domain: &str, source: Option<IpAddr>) -> Result<TunnelToken, ChangeError> {
        let changed = self.change(Change::Rotate { domain: domain.to_owned(), source }).await?;
        changed.token.ok_or(ChangeError::NotFound)
    }

    /// Deletes a tunnel, and the log of its requests.
    ///
    /// # Errors
    /// [`ChangeError`]
    pub async fn delete(&self, domain: &str, source: Option<IpAddr>) -> Result<(), ChangeError> {
        self.change(Change::Delete { domain: domain.to_owned(), source }).await.map(drop)
    }

    /// Counts what a tunnel carried. It is written within some seconds.
    pub fn add_usage(&self, domain: &Arc<str>, usage: TunnelUsage) {
        let mut pending = self.shared.pending_usage();
        let mut snapshot = self.shared.write();
        // Of one that is gone nothing is counted, so that this is no larger than the registry.
        if snapshot.get(domain).is_some() {
            pending.entry(Arc::clone(domain)).or_default().add(usage);
            snapshot.add_usage(domain, usage);
        }
    }

    /// Logs a request of a visitor, or counts it as dropped. Never waits.
    pub fn log_request(&self, request: LoggedRequest) {
        self.shared.logs.push(request);
    }

    /// A part of the log of one tunnel, newest first.
    ///
    /// # Errors
    /// [`ChangeError::Unavailable`]
    pub async fn logs(&self, domain: &str, limit: u32, offset: u32) -> Result<LogPage, ChangeError> {
        let (domain, limit, offset) = (domain.to_owned(), i64::from(limit), i64::from(offset));
        self.ask(|reply| Command::Logs { domain, limit, offset, reply }).await?
    }

    /// The latest entries of the audit log, newest first.
    ///
    /// # Errors
    /// [`ChangeError::Unavailable`]
    pub async fn audit_log(&self, limit: u32) -> Result<Vec<AuditEntry>, ChangeError> {
        self.ask(|reply| Command::AuditLog { limit: i64::from(limit), reply }).await?
    }

    /// Adds an entry to the audit log, if the database takes it. Never waits.
    pub fn audit(&self, action: AuditAction, domain: &str, detail: String, source: Option<IpAddr>) {
        let entry = AuditEntry::new(action, domain, detail, source, unix_millis());
        if let Err(TrySendError::Full(_)) = self.commands.try_send(Command::Audit(entry)) {
            tracing::warn!(domain, "too much waits for the registry's database: not in its audit log");
        }
    }

    /// Writes counters and logs that wait, within forty seconds.
    pub async fn flush(&self) {
        let _in_time = self.ask(Command::Flush).await;
    }

    async fn change(&self, change: Change) -> Result<Changed, ChangeError> {
        self.ask(|reply| Command::Change(change, reply)).await?
    }

    async fn ask<T>(&self, command: impl FnOnce(Sender<T>) -> Command) -> Result<T, ChangeError> {
        let (reply, answer): (Sender<T>, Receiver<T>) = bounded(1);
        self.commands.try_send(command(reply)).map_err(|_| ChangeError::Unavailable)?;
        match within(COMMAND_TIMEOUT, answer.recv()).await {
            Some(Ok(answer)) => Ok(answer),
            Some(Err(_)) | None => Err(ChangeError::Unavailable),
        }
    }
}
