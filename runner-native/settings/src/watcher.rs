//! Tells when the settings file may have changed.
//!
//! Its folder is watched, not the file: editors put a new file in the place of the old one, and a watched file that is gone
//! is never seen again.

use std::ffi::OsString;
use std::path::Path;

use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use smol::channel::{Receiver, bounded};
use thiserror::Error;

/// The folder cannot be watched.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("cannot watch {folder}: {reason}")]
pub struct WatchError {
    folder: String,
    reason: String,
}

/// Watches one file until it is dropped.
pub struct FileWatcher {
    /// Holds one signal: what comes while nobody looks is one change.
    changes: Receiver<()>,
    _watcher: RecommendedWatcher,
}

impl FileWatcher {
    /// Begins to watch the file at `path`, which need not exist; its folder must.
    ///
    /// # Errors
    /// [`WatchError`]
    pub fn new(path: &Path) -> Result<Self, WatchError> {
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let failed = |error: notify::Error| WatchError {
            folder: folder.display().to_string(),
            reason: error.to_string(),
        };
        let (sender, changes) = bounded(1);
        let name: OsString = path.file_name().unwrap_or_default().to_owned();
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            let is_ours = match &event {
                Ok(event) => {
                    let changes = !matches!(event.kind, EventKind::Access(_));
                    changes && event.paths.iter().any(|path| path.file_name() == Some(&name))
                }
                // Something was missed; it may have been this.
                Err(_) => true,
            };
            if is_ours {
                // If it is full, the same was said before and not heard yet.
                let _said_already = sender.try_send(());
            }
        })
        .map_err(failed)?;
        watcher.watch(folder, RecursiveMode::NonRecursive).map_err(failed)?;
        Ok(Self { changes, _watcher: watcher })
    }

    /// Waits until the file may have changed. Dropping the future loses nothing.
    pub async fn changed(&self) {
        if self.changes.recv().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
