//! Which links are wanted, and where their visitors last came.

use sqlx::Row;

use crate::{StateDb, StateError, UnixMillis};

/// Where visitors of a service last came. It stays after the end of the link, until it is cleared.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EndpointRecord {
    /// The link.
    pub link: String,
    /// The service.
    pub service: String,
    /// The public URL.
    pub url: String,
    /// When the relay said so last.
    pub seen_at: UnixMillis,
}

impl StateDb {
    /// Remembers whether a link is to run, also after the next start.
    ///
    /// # Errors
    /// [`StateError`]
    pub async fn set_wanted(&self, link: &str, running: bool, now: UnixMillis) -> Result<(), StateError> {
        let query = "INSERT INTO wanted (link, running, changed_at) VALUES (?, ?, ?)
            ON CONFLICT (link) DO UPDATE SET running = excluded.running, changed_at = excluded.changed_at";
        let mut connection = self.lock().await;
        sqlx::query(query).bind(link).bind(running).bind(now).execute(&mut *connection).await?;
        Ok(())
    }

    /// Whether links are to run: those of which somebody said so, in the order of their names.
    ///
    /// # Errors
    /// [`StateError`]
    pub async fn wanted(&self) -> Result<Vec<(String, bool)>, StateError> {
        let mut connection = self.lock().await;
        let query = sqlx::query("SELECT link, running FROM wanted ORDER BY link");
        let rows = query.fetch_all(&mut *connection).await?;
        let record = |row: &sqlx::sqlite::SqliteRow| Ok((row.try_get(0)?, row.try_get(1)?));
        Ok(rows.iter().map(record).collect::<Result<_, sqlx::Error>>()?)
    }

    /// Forgets a link that there is no more: whether it was wanted, what was added to it, and where its visitors came.
    ///
    /// # Errors
    /// [`StateError`]
    pub async fn forget_link(&self, link: &str) -> Result<(), StateError> {
        let mut connection = self.lock().await;
        for query in [
            "DELETE FROM wanted WHERE link = ?",
            "DELETE FROM last_endpoint WHERE link = ?",
            "DELETE FROM service WHERE link = ?",
        ] {
            sqlx::query(query).bind(link).execute(&mut *connection).await?;
        }
        Ok(())
    }

    /// Remembers where visitors of a service come.
    ///
    /// # Errors
    /// [`StateError`]
    pub async fn set_last_endpoint(
        &self,
        link: &str,
        service: &str,
        url: &str,
        now: UnixMillis,
    ) -> Result<(), StateError> {
        let query = "INSERT INTO last_endpoint (link, service, url, seen_at) VALUES (?, ?, ?, ?)
            ON CONFLICT (link, service) DO UPDATE SET url = excluded.url, seen_at = excluded.seen_at";
        let mut connection = self.lock().await;
        sqlx::query(query).bind(link).bind(service).bind(url).bind(now).execute(&mut *connection).await?;
        Ok(())
    }

    /// Where visitors last came, by link and service.
    ///
    /// # Errors
    /// [`StateError`]
    pub async fn last_endpoints(&self) -> Result<Vec<EndpointRecord>, StateError> {
        let query = "SELECT link, service, url, seen_at FROM last_endpoint ORDER BY link, service";
        let mut connection = self.lock().await;
        let rows = sqlx::query(query).fetch_all(&mut *connection).await?;
        let record = |row: &sqlx::sqlite::SqliteRow| {
            Ok(EndpointRecord {
                link: row.try_get(0)?,
                service: row.try_get(1)?,
                url: row.try_get(2)?,
                seen_at: row.try_get(3)?,
            })
        };
        Ok(rows.iter().map(record).collect::<Result<_, sqlx::Error>>()?)
    }

    /// Forgets where visitors of a service last came.
    ///
    /// # Errors
    /// [`StateError`]
    pub async fn forget_endpoint(&self, link: &str, service: &str) -> Result<(), StateError> {
        let query = sqlx::query("DELETE FROM last_endpoint WHERE link = ? AND service = ?").bind(link);
        query.bind(service).execute(&mut *self.lock().await).await?;
        Ok(())
    }

    /// Forgets where visitors last came.
    ///
    /// # Errors
    /// [`StateError`]
    pub async fn clear_last_endpoints(&self) -> Result<(), StateError> {
        let mut connection = self.lock().await;
        sqlx::query("DELETE FROM last_endpoint").execute(&mut *connection).await?;
        Ok(())
    }
}
