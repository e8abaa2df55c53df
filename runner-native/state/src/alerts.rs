//! The history of alerts.

use sqlx::Row;

use crate::{StateDb, StateError, UnixMillis};

/// How many alerts are kept. Those that are not over are never among the forgotten.
pub const MAX_ALERTS: i64 = 1000;

/// An alert as it is now.
// Fields: one for each column.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AlertRecord {
    /// Its number, which the caller gives: never that of another.
    pub id: i64,
    /// What it is about: latency, disconnected and so on.
    pub kind: String,
    /// Which link or service.
    pub subject: String,
    /// In words.
    pub message: String,
    /// When it was raised.
    pub raised_at: UnixMillis,
    /// When it was over.
    pub cleared_at: Option<UnixMillis>,
    /// Whether somebody said to have seen it.
    pub acknowledged: bool,
    /// Whether it lasted so long that something was tried.
    pub escalated: bool,
}

impl StateDb {
    /// Keeps an alert, in place of the one of its number, and forgets the oldest beyond [`MAX_ALERTS`].
    ///
    /// # Errors
    /// [`StateError`]
    pub async fn put_alert(&self, alert: &AlertRecord) -> Result<(), StateError> {
        let mut connection = self.lock().await;
        let query = "INSERT OR REPLACE INTO alert \
            (id, kind, subject, message, raised_at, cleared_at, acknowledged, escalated) \
            VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
        sqlx::query(query)
            .bind(alert.id)
            .bind(&alert.kind)
            .bind(&alert.subject)
            .bind(&alert.message)
            .bind(alert.raised_at)
            .bind(alert.cleared_at)
            .bind(alert.acknowledged)
            .bind(alert.escalated)
            .execute(&mut *connection)
            .await?;
        let query =
            "DELETE FROM alert WHERE id <= (SELECT max(id) FROM alert) - ? AND cleared_at IS NOT NULL";
        sqlx::query(query).bind(MAX_ALERTS).execute(&mut *connection).await?;
        Ok(())
    }

    /// All alerts, in the order of their numbers.
    ///
    /// # Errors
    /// [`StateError`]
    pub async fn alerts(&self) -> Result<Vec<AlertRecord>, StateError> {
        let query = "SELECT id, kind, subject, message, raised_at, cleared_at, acknowledged, escalated \
            FROM alert ORDER BY id";
        let mut connection = self.lock().await;
        let rows = sqlx::query(query).fetch_all(&mut *connection).await?;
        let record = |row: &sqlx::sqlite::SqliteRow| {
            Ok(AlertRecord {
                id: row.try_get(0)?,
                kind: row.try_get(1)?,
                subject: row.try_get(2)?,
                message: row.try_get(3)?,
                raised_at: row.try_get(4)?,
                cleared_at: row.try_get(5)?,
                acknowledged: row.try_get(6)?,
                escalated: row.try_get(7)?,
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
