//! Sums of all requests for each interval of time, of several lengths: what charts are made of.

use sqlx::{Connection, Row};

use crate::{StateDb, StateError, UnixMillis};

/// What happened in one interval.
// Fields: one for each column.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Rollup {
    /// Length of the interval, seconds.
    pub seconds: i64,
    /// When it began.
    pub at: UnixMillis,
    /// Requests.
    pub requests: i64,
    /// Of these, the ones that failed.
    pub failures: i64,
    /// Bytes from visitors.
    pub bytes_in: i64,
    /// Bytes to visitors.
    pub bytes_out: i64,
    /// How long they took, in a form that only the writer knows.
    pub latencies: Vec<u8>,
}

/// How many intervals of one length are kept.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct RollupLimit {
    /// Length of the intervals, seconds.
    pub seconds: i64,
    /// How many.
    pub count: i64,
}

impl StateDb {
    /// Keeps intervals in place of what was known of them, all or none, and forgets what is older than `limits` and `now` say.
    ///
    /// # Errors
    /// [`StateError`]
    pub async fn put_rollups(
        &self,
        rollups: &[Rollup],
        limits: &[RollupLimit],
        now: UnixMillis,
    ) -> Result<(), StateError> {
        let query = "INSERT OR REPLACE INTO rollup (seconds, at, requests, failures, bytes_in, bytes_out, latencies) \
            VALUES (?, ?, ?, ?, ?, ?, ?)";
        let mut connection = self.lock().await;
        let mut transaction = connection.begin().await?;
        for rollup in rollups {
            sqlx::query(query)
                .bind(rollup.seconds)
                .bind(rollup.at)
                .bind(rollup.requests)
                .bind(rollup.failures)
                .bind(rollup.bytes_in)
                .bind(rollup.bytes_out)
                .bind(&rollup.latencies)
                .execute(&mut *transaction)
                .await?;
        }
        for RollupLimit { seconds, count } in limits {
            let query = sqlx::query("DELETE FROM rollup WHERE seconds = ? AND at <= ?");
            query.bind(seconds).bind(now - seconds * 1000 * count).execute(&mut *transaction).await?;
        }
        Ok(transaction.commit().await?)
    }

    /// All intervals that are kept, in the order of their lengths and times.
    ///
    /// # Errors
    /// [`StateError`]
    pub async fn rollups(&self) -> Result<Vec<Rollup>, StateError> {
        let query = "SELECT seconds, at, requests, failures, bytes_in, bytes_out, latencies \
            FROM rollup ORDER BY seconds, at";
        let mut connection = self.lock().await;
        let rows = sqlx::query(query).fetch_all(&mut *connection).await?;
        let record = |row: &sqlx::sqlite::SqliteRow| {
            Ok(Rollup {
                seconds: row.try_get(0)?,
                at: row.try_get(1)?,
                requests: row.try_get(2)?,
                failures: row.try_get(3)?,
                bytes_in: row.try_get(4)?,
                bytes_out: row.try_get(5)?,
                latencies: row.try_get(6)?,
            })
        };
        Ok(rows.iter().map(record).collect::<Result<_, sqlx::Error>>()?)
    }
}
