//! The last requests of visitors: what a person looks at after something went wrong.

use sqlx::{Connection, Row};

use crate::{StateDb, StateError, UnixMillis};

/// How many requests are kept: as many as anybody is shown.
pub const MAX_REQUESTS: i64 = 100;
/// Bytes of a path that are kept; a longer one is cut.
const MAX_PATH_BYTES: usize = 1024;

/// One request. Neither its fields nor its query are kept: they may hold secrets.
// Fields: one for each column.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct StoredRequest {
    /// When it began.
    pub at: UnixMillis,
    /// The link.
    pub link: String,
    /// The service.
    pub service: String,
    /// The method.
    pub method: String,
    /// The path. What follows a question mark is left out when it is kept.
    pub path: String,
    /// The status of the answer.
    pub status: u16,
    /// Microseconds until its end.
    pub duration_us: i64,
    /// Bytes of the answer's body, if they are known.
    pub bytes: Option<i64>,
}

impl StateDb {
    /// Keeps requests, all of them or none, and forgets the oldest beyond [`MAX_REQUESTS`]. Many at once cost as much as one.
    ///
    /// # Errors
    /// [`StateError`]
    pub async fn add_requests(&self, requests: &[StoredRequest]) -> Result<(), StateError> {
        let mut connection = self.lock().await;
        let mut transaction = connection.begin().await?;
        let query = "INSERT INTO request (at, link, service, method, path, status, duration_us, bytes) \
            VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
        for request in requests {
            sqlx::query(query)
                .bind(request.at)
                .bind(&request.link)
                .bind(&request.service)
                .bind(&request.method)
                .bind(kept_path(&request.path))
                .bind(request.status)
                .bind(request.duration_us)
                .bind(request.bytes)
                .execute(&mut *transaction)
                .await?;
        }
        let query = "DELETE FROM request WHERE id <= (SELECT max(id) FROM request) - ?";
        sqlx::query(query).bind(MAX_REQUESTS).execute(&mut *transaction).await?;
        Ok(transaction.commit().await?)
    }

    /// The newest `limit` requests, newest first.
    ///
    /// # Errors
    /// [`StateError`]
    pub async fn requests(&self, limit: u32) -> Result<Vec<StoredRequest>, StateError> {
        let query = "SELECT at, link, service, method, path, status, duration_us, bytes \
            FROM request ORDER BY id DESC LIMIT ?";
        let mut connection = self.lock().await;
        let rows = sqlx::query(query).bind(limit).fetch_all(&mut *connection).await?;
        let record = |row: &sqlx::sqlite::SqliteRow| {
            Ok(StoredRequest {
                at: row.try_get(0)?,
                link: row.try_get(1)?,
                service: row.try_get(2)?,
                method: row.try_get(3)?,
                path: row.try_get(4)?,
                status: row.try_get(5)?,
                duration_us: row.try_get(6)?,
                bytes: row.try_get(7)?,
            })
        };
        Ok(rows.iter().map(record).collect::<Result<_, sqlx::Error>>()?)
    }
}

/// The path without its query, cut at [`MAX_PATH_BYTES`].
fn kept_path(path: &str) -> &str {
    let path = path.split('?').next().unwrap_or_default();
    let end = (0..=MAX_PATH_BYTES.min(path.len())).rev().find(|end| path.is_char_boundary(*end));
    &path[..end.unwrap_or(0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_kept_without_its_query_and_no_longer_than_the_limit() {
        assert_eq!(kept_path("/a/b?token=secret"), "/a/b");
        let long = |bytes: usize| format!("/{}", "a".repeat(bytes - 1));
        assert_eq!(kept_path(&long(MAX_PATH_BYTES)).len(), MAX_PATH_BYTES);
        assert_eq!(kept_path(&long(MAX_PATH_BYTES + 1)).len(), MAX_PATH_BYTES);
        // Two bytes for each letter: the limit falls into one.
        assert_eq!(kept_path(&format!("/{}", "\u{e9}".repeat(MAX_PATH_BYTES))).len(), MAX_PATH_BYTES - 1);
    }
}
