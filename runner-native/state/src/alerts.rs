//! The history of alerts.

use sqlx::Row;

use crate::{StateDb, StateError, UnixMillis};

/// How many alerts are kept. Those that are not over are never among the forgotten.
pub const MAX_ALERTS: i64 = 1000;

/// An alert that is raised.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewAlert {
    /// What it is about: latency, disconnected and so on.
    pub kind: String,
    /// Which link or service.
    pub subject: String,
    /// In words.
    pub message: String,
}

/// An alert of the history.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AlertRecord {
    /// Its number; never that of another.
    pub id: i64,
    /// What was raised.
    pub alert: NewAlert,
    /// When.
    pub raised_at: UnixMillis,
    /// When it was over.
    pub cleared_at: Option<UnixMillis>,
    /// When somebody said to have seen it.
    pub acknowledged_at: Option<UnixMillis>,
}

impl StateDb {
    /// Keeps an alert, and forgets the oldest beyond [`MAX_ALERTS`]. The number is by which it is found again.
    ///
    /// # Errors
    /// [`StateError`]
    pub async fn raise_alert(&self, alert: &NewAlert, now: UnixMillis) -> Result<i64, StateError> {
        let mut connection = self.lock().await;
        let query = "INSERT INTO alert (kind, subject, message, raised_at) VALUES (?, ?, ?, ?)";
        let query = sqlx::query(query).bind(&alert.kind).bind(&alert.subject).bind(&alert.message).bind(now);
        let id = query.execute(&mut *connection).await?.last_insert_rowid();
        let query = "DELETE FROM alert WHERE id <= ? AND cleared_at IS NOT NULL";
        sqlx::query(query).bind(id - MAX_ALERTS).execute(&mut *connection).await?;
        Ok(id)
    }

    /// What was the matter is over.
    ///
    /// # Errors
    /// [`StateError`]
    pub async fn clear_alert(&self, id: i64, now: UnixMillis) -> Result<(), StateError> {
        let mut connection = self.lock().await;
        let query = "UPDATE alert SET cleared_at = ? WHERE id = ? AND cleared_at IS NULL";
        sqlx::query(query).bind(now).bind(id).execute(&mut *connection).await?;
        Ok(())
    }

    /// Somebody has seen it. `false`: there is no such alert.
    ///
    /// # Errors
    /// [`StateError`]
    pub async fn acknowledge_alert(&self, id: i64, now: UnixMillis) -> Result<bool, StateError> {
        let mut connection = self.lock().await;
        let query = "UPDATE alert SET acknowledged_at = coalesce(acknowledged_at, ?) WHERE id = ?";
        let done = sqlx::query(query).bind(now).bind(id).execute(&mut *connection).await?;
        Ok(done.rows_affected() > 0)
    }

    /// The newest `limit` alerts, newest first.
    ///
    /// # Errors
    /// [`StateError`]
    pub async fn alerts(&self, limit: u32) -> Result<Vec<AlertRecord>, StateError> {
        let query = "SELECT id, kind, subject, message, raised_at, cleared_at, acknowledged_at FROM alert
            ORDER BY id DESC LIMIT ?";
        let mut connection = self.lock().await;
        let rows = sqlx::query(query).bind(limit).fetch_all(&mut *connection).await?;
        let record = |row: &sqlx::sqlite::SqliteRow| {
            let alert =
                NewAlert { kind: row.try_get(1)?, subject: row.try_get(2)?, message: row.try_get(3)? };
            Ok(AlertRecord {
                id: row.try_get(0)?,
                alert,
                raised_at: row.try_get(4)?,
                cleared_at: row.try_get(5)?,
                acknowledged_at: row.try_get(6)?,
            })
        };
        Ok(rows.iter().map(record).collect::<Result<_, sqlx::Error>>()?)
    }

    /// Forgets all alerts that are over.
    ///
    /// # Errors
    /// [`StateError`]
    pub async fn forget_alerts(&self) -> Result<(), StateError> {
        let mut connection = self.lock().await;
        sqlx::query("DELETE FROM alert WHERE cleared_at IS NOT NULL").execute(&mut *connection).await?;
        Ok(())
    }
}
