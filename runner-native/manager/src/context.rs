//! What all links of a manager share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hvym_tunnel_net::runtime::RuntimeHandle;
use smol::channel::Sender;

use crate::feed::Feed;
use crate::history::History;
use crate::journal::Journal;
use crate::settings::MakeInspector;

/// What all links of a manager share. Clones are the same.
#[derive(Clone)]
pub(crate) struct LinkContext {
    /// Who listens.
    pub(crate) feed: Arc<Feed>,
    /// What happened over time.
    history: Arc<Mutex<History>>,
    /// What outlives the process.
    pub(crate) journal: Arc<Journal>,
    /// What sees the bytes of agents.
    pub(crate) inspector: Option<MakeInspector>,
    /// Gets a message when something may have changed.
    changed: Sender<()>,
    /// Where everything runs.
    pub(crate) runtime: RuntimeHandle,
}

impl LinkContext {
    pub(crate) fn new(
        feed: Feed,
        history: History,
        journal: Arc<Journal>,
        inspector: Option<MakeInspector>,
        changed: Sender<()>,
        runtime: RuntimeHandle,
    ) -> Self {
        let (feed, history) = (Arc::new(feed), Arc::new(Mutex::new(history)));
        Self { feed, history, journal, inspector, changed, runtime }
    }

    /// What happened over time.
    pub(crate) fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says that something may have changed.
    pub(crate) fn notify(&self) {
        // A full channel says so already.
        let _said = self.changed.try_send(());
    }
}
