//! What an agent remembers beyond its end, in one SQLite database (`state.db`, WAL, mode 0600).
//!
//! Written at once: after a crash or a power cut the last committed state is there. Knows no clock: `now` is milliseconds since
//! 1970 and comes last. A database that is damaged is set aside, and a new one begun.

mod alerts;
mod copy;
mod links;
mod migrations;
mod open;
mod requests;
mod rollups;
mod services;
mod uptime;

use std::sync::Arc;

use smol::lock::{Mutex, MutexGuard};
use sqlx::SqliteConnection;
use thiserror::Error;

pub use alerts::{AlertRecord, MAX_ALERTS};
pub use copy::{copy_database, is_database};
pub use links::EndpointRecord;
pub use open::{Opened, StateProblem};
pub use requests::{MAX_REQUESTS, StoredRequest};
pub use rollups::{Rollup, RollupLimit};
pub use services::AddedService;
pub use uptime::{MAX_UPTIME_HOURS, UptimeHour};

/// Milliseconds since 1970.
pub type UnixMillis = i64;

/// The database. Copies of it are the same one.
#[derive(Clone, Debug)]
pub struct StateDb {
    connection: Arc<Mutex<SqliteConnection>>,
}

/// The database took no command. What was there before is still there.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("the state cannot be kept: {0}")]
pub struct StateError(String);

impl From<sqlx::Error> for StateError {
    fn from(error: sqlx::Error) -> Self {
        StateError(error.to_string())
    }
}

impl StateDb {
    async fn lock(&self) -> MutexGuard<'_, SqliteConnection> {
        self.connection.lock().await
    }
}
