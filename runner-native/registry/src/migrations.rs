//! The tables, version by version. A database has a table that says which steps were made.

use sqlx::{AnyConnection, AssertSqlSafe, Connection, Row};

use crate::connection::{connect, unreachable_database};
use crate::database_url::{DatabaseKind, DatabaseUrl};
use crate::{EpochMillis, RegistryError};

/// Where the steps are recorded.
const RECORDS: &str = "CREATE TABLE IF NOT EXISTS registry_migrations \
    (version BIGINT NOT NULL PRIMARY KEY, name VARCHAR(100) NOT NULL, applied_at BIGINT NOT NULL)";
/// As PostgreSQL's advisory locks are called: by numbers.
const POSTGRES_LOCK: &str = "SELECT pg_advisory_xact_lock(4896)";

/// One step. Never changed once released.
struct Migration {
    name: &'static str,
    /// By [`DatabaseKind`]: SQLite, PostgreSQL, MySQL.
    up: [&'static str; 3],
    down: [&'static str; 3],
}

macro_rules! migration {
    ($name:literal) => {
        Migration {
            name: $name,
            up: [
                include_str!(concat!("../migrations/sqlite/", $name, ".up.sql")),
                include_str!(concat!("../migrations/postgres/", $name, ".up.sql")),
                include_str!(concat!("../migrations/mysql/", $name, ".up.sql")),
            ],
            down: [
                include_str!(concat!("../migrations/sqlite/", $name, ".down.sql")),
                include_str!(concat!("../migrations/postgres/", $name, ".down.sql")),
                include_str!(concat!("../migrations/mysql/", $name, ".down.sql")),
            ],
        }
    };
}

/// The steps; the first brings a database to version 1.
const MIGRATIONS: [Migration; 1] = [migration!("0001_tunnels")];

/// When the tables may be brought to the newest version.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub enum Migrate {
    /// Only in a database without any.
    #[default]
    IfEmpty,
    /// Always.
    Always,
}

/// A step, and when it was made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MigrationStatus {
    /// Counted from 1.
    pub version: i64,
    /// Its name.
    pub name: &'static str,
    /// `None`: it is to be made.
    pub applied_at: Option<EpochMillis>,
}

/// Whose tables a database has.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum DatabaseContents {
    /// None of a registry.
    Empty,
    /// Those of this program, of whatever version.
    Registry,
    /// Those of Tunely.
    Tunely,
}

/// What a database has.
pub(crate) enum Tables {
    /// Those of the newest version.
    Current,
    /// None of ours, and none of Tunely's.
    Empty,
    /// So many steps are missing.
    Behind(usize),
    /// A later version than this program knows.
    Newer(i64),
    /// Those of Tunely.
    Foreign,
}

impl DatabaseKind {
    fn pick<'a>(self, statements: &[&'a str; 3]) -> &'a str {
        match self {
            DatabaseKind::Sqlite => statements[0],
            DatabaseKind::Postgres => statements[1],
            DatabaseKind::MySql => statements[2],
        }
    }
}

/// The steps of the database at `url`.
///
/// # Errors
/// It cannot be reached.
pub async fn status(url: &DatabaseUrl) -> Result<Vec<MigrationStatus>, RegistryError> {
    let mut connection = connect(url).await?;
    let applied = applied(&mut connection).await.map_err(|error| unreachable_database(url, &error))?;
    let steps = (1..).zip(&MIGRATIONS).map(|(version, step)| {
        let made = applied.iter().find(|(number, _)| *number == version);
        MigrationStatus { version, name: step.name, applied_at: made.map(|(_, at)| *at) }
    });
    Ok(steps.collect())
}

/// Whose tables the database at `url` has. The file of an SQLite database is made if it is missing.
///
/// # Errors
/// It cannot be reached.
pub async fn contents(url: &DatabaseUrl) -> Result<DatabaseContents, RegistryError> {
    let mut connection = connect(url).await?;
    let tables = tables(&mut connection).await.map_err(|error| unreachable_database(url, &error))?;
    let _closed = connection.close().await;
    Ok(match tables {
        Tables::Empty => DatabaseContents::Empty,
        Tables::Foreign => DatabaseContents::Tunely,
        Tables::Current | Tables::Behind(_) | Tables::Newer(_) => DatabaseContents::Registry,
    })
}

/// Brings the tables of the database at `url` to the newest version. Returns how many steps were made.
///
/// # Errors
/// It cannot be reached, or has tables of a newer program or of Tunely.
pub async fn migrate(url: &DatabaseUrl, now: EpochMillis) -> Result<usize, RegistryError> {
    let mut connection = connect(url).await?;
    let applied = match tables(&mut connection).await.map_err(|error| unreachable_database(url, &error))? {
        Tables::Newer(version) => Err(RegistryError::Newer { database: url.to_string(), version }),
        Tables::Foreign => Err(RegistryError::Foreign { database: url.to_string() }),
        _ => apply(&mut connection, url, now).await,
    };
    // Whoever opens it next does not meet one that is still being closed.
    let _closed = connection.close().await;
    applied
}

/// Takes the last step back, with all that its tables hold. Returns its name; `None` if there was none.
///
/// # Errors
/// It cannot be reached.
pub async fn rollback(url: &DatabaseUrl) -> Result<Option<&'static str>, RegistryError> {
    let failed = |error: sqlx::Error| unreachable_database(url, &error);
    let mut connection = connect(url).await?;
    let applied = applied(&mut connection).await.map_err(failed)?;
    let Some((version, _)) = applied.last().copied() else { return Ok(None) };
    let step = usize::try_from(version - 1).ok().and_then(|index| MIGRATIONS.get(index));
    let Some(step) = step else {
        return Err(RegistryError::Newer { database: url.to_string(), version });
    };
    let kind = url.kind();
    let mut transaction = connection.begin().await.map_err(failed)?;
    run(&mut transaction, kind.pick(&step.down)).await.map_err(failed)?;
    let forget = kind.sql("DELETE FROM registry_migrations WHERE version = ?");
    sqlx::query(AssertSqlSafe(forget)).bind(version).execute(&mut *transaction).await.map_err(failed)?;
    transaction.commit().await.map_err(failed)?;
    Ok(Some(step.name))
}

/// Makes the steps that are missing, each whole or not at all. MySQL commits each statement by itself: its steps can be
/// begun again.
pub(crate) async fn apply(
    connection: &mut AnyConnection,
    url: &DatabaseUrl,
    now: EpochMillis,
) -> Result<usize, RegistryError> {
    let failed = |error: sqlx::Error| unreachable_database(url, &error);
    let kind = url.kind();
    let mut count = 0;
    sqlx::query(RECORDS).execute(&mut *connection).await.map_err(failed)?;
    for (version, step) in (1_i64..).zip(&MIGRATIONS) {
        let mut transaction = connection.begin().await.map_err(failed)?;
        if kind == DatabaseKind::Postgres {
            sqlx::query(POSTGRES_LOCK).execute(&mut *transaction).await.map_err(failed)?;
        }
        if applied(&mut transaction).await.map_err(failed)?.iter().any(|(made, _)| *made == version) {
            continue;
        }
        run(&mut transaction, kind.pick(&step.up)).await.map_err(failed)?;
        let record = kind.sql("INSERT INTO registry_migrations (version, name, applied_at) VALUES (?, ?, ?)");
        let record = sqlx::query(AssertSqlSafe(record)).bind(version).bind(step.name).bind(now);
        record.execute(&mut *transaction).await.map_err(failed)?;
        transaction.commit().await.map_err(failed)?;
        count += 1;
    }
    Ok(count)
}

/// What tables a database has.
pub(crate) async fn tables(connection: &mut AnyConnection) -> Result<Tables, sqlx::Error> {
    let newest = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    match applied(connection).await?.last() {
        Some((version, _)) if *version > newest => Ok(Tables::Newer(*version)),
        Some((version, _)) if *version == newest => Ok(Tables::Current),
        Some((version, _)) => Ok(Tables::Behind(usize::try_from(newest - version).unwrap_or_default())),
        None if exists(connection, "SELECT id FROM tunnels WHERE 1 = 0").await? => Ok(Tables::Foreign),
        None => Ok(Tables::Empty),
    }
}

/// The versions of the steps that were made, and when.
async fn applied(connection: &mut AnyConnection) -> Result<Vec<(i64, EpochMillis)>, sqlx::Error> {
    let query = "SELECT version, applied_at FROM registry_migrations ORDER BY version";
    match sqlx::query(query).fetch_all(connection).await {
        Ok(rows) => rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect(),
        Err(error) if is_missing_table(&error) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Whether the table of a query exists.
pub(crate) async fn exists(connection: &mut AnyConnection, query: &'static str) -> Result<bool, sqlx::Error> {
    match sqlx::query(query).fetch_all(connection).await {
        Ok(_) => Ok(true),
        Err(error) if is_missing_table(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether an error says that there is no such table or column.
fn is_missing_table(error: &sqlx::Error) -> bool {
    let Some(error) = error.as_database_error() else { return false };
    let code = error.code();
    // SQLITE_ERROR; undefined_table and undefined_column of PostgreSQL; the same of MySQL as SQLSTATE.
    let is_missing = matches!(code.as_deref(), Some("42P01" | "42703" | "42S02" | "42S22"));
    is_missing || (code.as_deref() == Some("1") && error.message().starts_with("no such "))
}

/// Runs statements one after the other. None has a semicolon inside.
async fn run(connection: &mut AnyConnection, statements: &'static str) -> Result<(), sqlx::Error> {
    for statement in statements.split(';').map(str::trim).filter(|statement| !statement.is_empty()) {
        sqlx::raw_sql(statement).execute(&mut *connection).await?;
    }
    Ok(())
}
