//! The tables, version by version. A database says by `user_version` which it has.

use sqlx::{Connection, Row, SqliteConnection};

/// Each brings a database from the version before it, counted from 0, to the next. Never changed once released.
const MIGRATIONS: [&str; 1] = ["
CREATE TABLE wanted (
    link TEXT PRIMARY KEY NOT NULL,
    running INTEGER NOT NULL,
    changed_at INTEGER NOT NULL
) STRICT;
CREATE TABLE last_endpoint (
    link TEXT NOT NULL,
    service TEXT NOT NULL,
    url TEXT NOT NULL,
    seen_at INTEGER NOT NULL,
    PRIMARY KEY (link, service)
) STRICT;
CREATE TABLE service (
    link TEXT NOT NULL,
    name TEXT NOT NULL,
    definition TEXT NOT NULL,
    PRIMARY KEY (link, name)
) STRICT;
CREATE TABLE uptime (
    subject TEXT NOT NULL,
    hour INTEGER NOT NULL,
    up_ms INTEGER NOT NULL,
    observed_ms INTEGER NOT NULL,
    PRIMARY KEY (subject, hour)
) STRICT;
CREATE TABLE alert (
    id INTEGER PRIMARY KEY NOT NULL,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    message TEXT NOT NULL,
    raised_at INTEGER NOT NULL,
    cleared_at INTEGER,
    acknowledged INTEGER NOT NULL,
    escalated INTEGER NOT NULL
) STRICT;
CREATE TABLE request (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    link TEXT NOT NULL,
    service TEXT NOT NULL,
    method TEXT NOT NULL,
    path TEXT NOT NULL,
    status INTEGER NOT NULL,
    duration_us INTEGER NOT NULL,
    bytes INTEGER
) STRICT;
CREATE TABLE rollup (
    seconds INTEGER NOT NULL,
    at INTEGER NOT NULL,
    requests INTEGER NOT NULL,
    failures INTEGER NOT NULL,
    bytes_in INTEGER NOT NULL,
    bytes_out INTEGER NOT NULL,
    latencies BLOB NOT NULL,
    PRIMARY KEY (seconds, at)
) STRICT;
"];

/// The database is of a newer program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct NewerVersion(pub(crate) i64);

/// Brings the tables to the newest version: each step whole, or not at all.
pub(crate) async fn migrate(
    connection: &mut SqliteConnection,
) -> Result<Result<(), NewerVersion>, sqlx::Error> {
    let version: i64 = sqlx::query("PRAGMA user_version").fetch_one(&mut *connection).await?.try_get(0)?;
    let Some(pending) = usize::try_from(version).ok().and_then(|version| MIGRATIONS.get(version..)) else {
        return Ok(Err(NewerVersion(version)));
    };
    for (version, step) in (version + 1..).zip(pending) {
        let mut transaction = connection.begin().await?;
        sqlx::raw_sql(*step).execute(&mut *transaction).await?;
        // A number of this program, not a text of anybody.
        let set = sqlx::AssertSqlSafe(format!("PRAGMA user_version = {version}"));
        sqlx::raw_sql(set).execute(&mut *transaction).await?;
        transaction.commit().await?;
    }
    Ok(Ok(()))
}
