//! When connections were up: for each hour, how long one was watched, and how long of that it was up.

use sqlx::{Connection, Row};

use crate::{StateDb, StateError, UnixMillis};

/// How many hours are kept: reports are about 24 hours and 7 days.
pub const MAX_UPTIME_HOURS: i64 = 7 * 24;
const HOUR: i64 = 3_600_000;

/// One hour of one connection.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct UptimeHour {
    /// The connection.
    pub subject: String,
    /// Hours since 1970.
    pub hour: i64,
    /// Milliseconds that it was up.
    pub up_ms: i64,
    /// Milliseconds that it was watched.
    pub observed_ms: i64,
}

impl StateDb {
    /// Keeps hours in place of what was known of them, all or none, and forgets those beyond [`MAX_UPTIME_HOURS`].
    ///
    /// # Errors
    /// [`StateError`]
    pub async fn put_uptime(&self, hours: &[UptimeHour], now: UnixMillis) -> Result<(), StateError> {
        let query = "INSERT OR REPLACE INTO uptime (subject, hour, up_ms, observed_ms) VALUES (?, ?, ?, ?)";
        let mut connection = self.lock().await;
        let mut transaction = connection.begin().await?;
        for hour in hours {
            let query = sqlx::query(query).bind(&hour.subject).bind(hour.hour);
            query.bind(hour.up_ms).bind(hour.observed_ms).execute(&mut *transaction).await?;
        }
        let oldest = now / HOUR - MAX_UPTIME_HOURS;
        sqlx::query("DELETE FROM uptime WHERE hour <= ?").bind(oldest).execute(&mut *transaction).await?;
        Ok(transaction.commit().await?)
    }

    /// All hours that are kept.
    ///
    /// # Errors
    /// [`StateError`]
    pub async fn uptime(&self) -> Result<Vec<UptimeHour>, StateError> {
        let query = "SELECT subject, hour, up_ms, observed_ms FROM uptime ORDER BY subject, hour";
        let mut connection = self.lock().await;
        let rows = sqlx::query(query).fetch_all(&mut *connection).await?;
        let record = |row: &sqlx::sqlite::SqliteRow| {
            Ok(UptimeHour {
                subject: row.try_get(0)?,
                hour: row.try_get(1)?,
                up_ms: row.try_get(2)?,
                observed_ms: row.try_get(3)?,
            })
        };
        Ok(rows.iter().map(record).collect::<Result<_, sqlx::Error>>()?)
    }
}
