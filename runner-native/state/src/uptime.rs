//! When links were up.
//!
//! An interval is written when it begins and extended while it lasts, so that a crash loses what was since the last time.

use sqlx::Row;

use crate::{StateDb, StateError, UnixMillis};

/// How long intervals are kept: reports are about 24 hours and 7 days.
pub const MAX_UPTIME_DAYS: i64 = 30;
const DAY: i64 = 86_400_000;

/// An interval that may still be extended.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct UptimeInterval(i64);

impl StateDb {
    /// A link is up from now on. What is older than [`MAX_UPTIME_DAYS`] is forgotten.
    ///
    /// # Errors
    /// [`StateError`]
    pub async fn begin_uptime(&self, link: &str, now: UnixMillis) -> Result<UptimeInterval, StateError> {
        let mut connection = self.lock().await;
        let oldest = now - MAX_UPTIME_DAYS * DAY;
        sqlx::query("DELETE FROM uptime WHERE ended_at < ?").bind(oldest).execute(&mut *connection).await?;
        let query = "INSERT INTO uptime (link, began_at, ended_at) VALUES (?, ?, ?)";
        let done = sqlx::query(query).bind(link).bind(now).bind(now).execute(&mut *connection).await?;
        Ok(UptimeInterval(done.last_insert_rowid()))
    }

    /// It was up until now.
    ///
    /// # Errors
    /// [`StateError`]
    pub async fn extend_uptime(&self, interval: UptimeInterval, now: UnixMillis) -> Result<(), StateError> {
        let mut connection = self.lock().await;
        let query = "UPDATE uptime SET ended_at = max(ended_at, ?) WHERE id = ?";
        sqlx::query(query).bind(now).bind(interval.0).execute(&mut *connection).await?;
        Ok(())
    }

    /// Milliseconds that a link was up between two times.
    ///
    /// # Errors
    /// [`StateError`]
    pub async fn uptime(&self, link: &str, from: UnixMillis, to: UnixMillis) -> Result<i64, StateError> {
        let query = "SELECT began_at, ended_at FROM uptime WHERE link = ? AND ended_at > ? AND began_at < ?
            ORDER BY began_at";
        let mut connection = self.lock().await;
        let rows = sqlx::query(query).bind(link).bind(from).bind(to).fetch_all(&mut *connection).await?;
        let (mut sum, mut counted) = (0, from);
        for row in &rows {
            let (began, ended): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
            // Two processes may have counted the same time.
            let (began, ended) = (began.max(counted), ended.min(to));
            sum += (ended - began).max(0);
            counted = counted.max(ended);
        }
        Ok(sum)
    }
}
