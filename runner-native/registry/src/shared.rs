//! What lookups and the task of a registry share. Knows no database.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::RegistryError;
use crate::database_url::DatabaseUrl;
use crate::request_log::LogQueue;
use crate::snapshot::{Snapshot, TunnelChange};
use crate::usage::PendingUsage;

/// Learns what happens in a registry. Called on its task: it must not block.
pub trait RegistryObserver: Send + Sync {
    /// Tunnels have changed, by this relay or another.
    fn handle_changes(&self, changes: &[TunnelChange]);

    /// The database was lost, and why; `None`: it is back.
    fn handle_database(&self, lost: Option<&RegistryError>);
}

/// What lookups and the task share.
pub(crate) struct Shared {
    pub(crate) url: DatabaseUrl,
    pub(crate) snapshot: RwLock<Snapshot>,
    /// Taken before `snapshot` by whoever takes both.
    pub(crate) usage: Mutex<PendingUsage>,
    pub(crate) logs: LogQueue,
    pub(crate) is_available: AtomicBool,
    pub(crate) observer: OnceLock<Arc<dyn RegistryObserver>>,
}

impl Shared {
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Snapshot> {
        self.snapshot.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, Snapshot> {
        self.snapshot.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn pending_usage(&self) -> MutexGuard<'_, PendingUsage> {
        self.usage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the observer what has changed.
    pub(crate) fn tell(&self, changes: &[TunnelChange]) {
        if let Some(observer) = self.observer.get().filter(|_| !changes.is_empty()) {
            observer.handle_changes(changes);
        }
    }

    /// The database was lost, or is back. What was said before is not said again.
    pub(crate) fn set_available(&self, lost: Option<&RegistryError>) {
        if self.is_available.swap(lost.is_none(), Ordering::AcqRel) == lost.is_none() {
            return;
        }
        match (self.observer.get(), lost) {
            (Some(observer), lost) => observer.handle_database(lost),
            (None, Some(error)) => tracing::warn!(%error, "the registry has no database"),
            (None, None) => tracing::info!("the registry has its database again"),
        }
    }
}
