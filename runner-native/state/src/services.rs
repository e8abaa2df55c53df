//! Services that were added while the program ran, and that no settings name.

use sqlx::Row;

use crate::{StateDb, StateError};

/// A service that was added.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AddedService {
    /// The link.
    pub link: String,
    /// Its name.
    pub name: String,
    /// Everything else, in a form that only the writer knows.
    pub definition: String,
}

impl StateDb {
    /// Keeps a service, in place of the one of its link and name.
    ///
    /// # Errors
    /// [`StateError`]
    pub async fn put_service(&self, service: &AddedService) -> Result<(), StateError> {
        let query = "INSERT OR REPLACE INTO service (link, name, definition) VALUES (?, ?, ?)";
        let query = sqlx::query(query).bind(&service.link).bind(&service.name).bind(&service.definition);
        query.execute(&mut *self.lock().await).await?;
        Ok(())
    }

    /// Forgets a service.
    ///
    /// # Errors
    /// [`StateError`]
    pub async fn forget_service(&self, link: &str, name: &str) -> Result<(), StateError> {
        let query = sqlx::query("DELETE FROM service WHERE link = ? AND name = ?").bind(link).bind(name);
        query.execute(&mut *self.lock().await).await?;
        Ok(())
    }

    /// All services that were added, by link and name.
    ///
    /// # Errors
    /// [`StateError`]
    pub async fn services(&self) -> Result<Vec<AddedService>, StateError> {
        let query = "SELECT link, name, definition FROM service ORDER BY link, name";
        let mut connection = self.lock().await;
        let rows = sqlx::query(query).fetch_all(&mut *connection).await?;
        let record = |row: &sqlx::sqlite::SqliteRow| {
            Ok(AddedService { link: row.try_get(0)?, name: row.try_get(1)?, definition: row.try_get(2)? })
        };
        Ok(rows.iter().map(record).collect::<Result<_, sqlx::Error>>()?)
    }
}
