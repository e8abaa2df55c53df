//! Sums for each hour: what charts of days are made of.

use sqlx::{Connection, Row};

use crate::{StateDb, StateError, UnixMillis};

/// How many hours are kept: 90 days.
pub const MAX_ROLLUP_HOURS: i64 = 90 * 24;
const HOUR: i64 = 3_600_000;

/// What one service did in one hour.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct HourlyRollup {
    /// Hours since 1970.
    pub hour: i64,
    /// The link.
    pub link: String,
    /// The service.
    pub service: String,
    /// Requests.
    pub requests: i64,
    /// Of these, the ones that failed.
    pub failures: i64,
    /// Bytes to the service.
    pub bytes_in: i64,
    /// Bytes from it.
    pub bytes_out: i64,
    /// The sum of their microseconds.
    pub latency_us: i64,
    /// The longest.
    pub max_latency_us: i64,
}

impl StateDb {
    /// Adds to the sums of hours, all or none, and forgets hours beyond [`MAX_ROLLUP_HOURS`].
    ///
    /// # Errors
    /// [`StateError`]
    pub async fn add_rollups(&self, rollups: &[HourlyRollup], now: UnixMillis) -> Result<(), StateError> {
        let query = "INSERT INTO rollup (hour, link, service, requests, failures, bytes_in, bytes_out, latency_us, \
            max_latency_us) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (hour, link, service) DO UPDATE SET \
            requests = requests + excluded.requests, failures = failures + excluded.failures, \
            bytes_in = bytes_in + excluded.bytes_in, bytes_out = bytes_out + excluded.bytes_out, \
            latency_us = latency_us + excluded.latency_us, \
            max_latency_us = max(max_latency_us, excluded.max_latency_us)";
        let mut connection = self.lock().await;
        let mut transaction = connection.begin().await?;
        for rollup in rollups {
            sqlx::query(query)
                .bind(rollup.hour)
                .bind(&rollup.link)
                .bind(&rollup.service)
                .bind(rollup.requests)
                .bind(rollup.failures)
                .bind(rollup.bytes_in)
                .bind(rollup.bytes_out)
                .bind(rollup.latency_us)
                .bind(rollup.max_latency_us)
                .execute(&mut *transaction)
                .await?;
        }
        let oldest = now / HOUR - MAX_ROLLUP_HOURS;
        sqlx::query("DELETE FROM rollup WHERE hour <= ?").bind(oldest).execute(&mut *transaction).await?;
        Ok(transaction.commit().await?)
    }

    /// The sums of the hours from `hour` on, in order.
    ///
    /// # Errors
    /// [`StateError`]
    pub async fn rollups(&self, hour: i64) -> Result<Vec<HourlyRollup>, StateError> {
        let query = "SELECT hour, link, service, requests, failures, bytes_in, bytes_out, latency_us, max_latency_us \
            FROM rollup WHERE hour >= ? ORDER BY hour, link, service";
        let mut connection = self.lock().await;
        let rows = sqlx::query(query).bind(hour).fetch_all(&mut *connection).await?;
        let record = |row: &sqlx::sqlite::SqliteRow| {
            Ok(HourlyRollup {
                hour: row.try_get(0)?,
                link: row.try_get(1)?,
                service: row.try_get(2)?,
                requests: row.try_get(3)?,
                failures: row.try_get(4)?,
                bytes_in: row.try_get(5)?,
                bytes_out: row.try_get(6)?,
                latency_us: row.try_get(7)?,
                max_latency_us: row.try_get(8)?,
            })
        };
        Ok(rows.iter().map(record).collect::<Result<_, sqlx::Error>>()?)
    }
}
