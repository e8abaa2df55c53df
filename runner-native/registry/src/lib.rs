//! The tunnels of a relay in a database: SQLite, PostgreSQL, MySQL or MariaDB.
//!
//! ```text
//!  lookups --> Snapshot (memory) <-- Worker (one task, one connection) --> database <-- other relays
//!  changes, counters, logs ---------------^  channels, bounded
//! ```
//!
//! A lookup never waits for the database. One that cannot be reached refuses changes, and nothing else: it is dialled again until
//! it is back. Knows no session and no visitor.

mod audit;
mod command;
mod connection;
mod database_url;
mod error;
mod export;
mod import;
mod log_rate;
mod migrations;
mod registry;
mod request_log;
mod shared;
mod snapshot;
mod store;
mod token;
mod tunnel;
mod usage;
mod worker;

pub use audit::{AuditAction, AuditEntry};
pub use database_url::{DatabaseKind, DatabaseUrl, DatabaseUrlError};
pub use error::{ChangeError, RegistryError};
pub use export::{Export, MAX_IMPORT_BYTES};
pub use import::{ImportReport, import_tunely};
pub use log_rate::MAX_LOGGED_PER_SECOND;
pub use migrations::{DatabaseContents, Migrate, MigrationStatus, contents, migrate, rollback, status};
pub use registry::{RegistryStatus, TunnelRegistry};
pub use request_log::{
    LogPage, LoggedRequest, MAX_BODY_CHARACTERS, MAX_LISTED_BODY_CHARACTERS, MAX_QUEUED_BYTES,
    MAX_QUEUED_REQUESTS, StoredLog, is_redacted,
};
pub use shared::RegistryObserver;
pub use snapshot::{MAX_TUNNELS, TunnelChange};
pub use token::{TokenHash, TunnelToken};
pub use tunnel::{NewTunnel, TunnelRecord, TunnelUpdate};
pub use usage::TunnelUsage;

use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970.
pub type EpochMillis = i64;

/// This moment.
pub fn unix_millis() -> EpochMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
