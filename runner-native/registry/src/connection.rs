//! A connection to a database, and how long it may take.

use std::fs::OpenOptions;
use std::io;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use hvym_tunnel_net::files;
use hvym_tunnel_net::timeout::within;
use sqlx::any::AnyConnectOptions;
use sqlx::{AnyConnection, ConnectOptions};

use crate::RegistryError;
use crate::database_url::{DatabaseKind, DatabaseUrl};

/// How long a change or a connection attempt may take. A healthy database takes milliseconds, one whose disk is busy seconds.
pub(crate) const DATABASE_TIMEOUT: Duration = Duration::from_secs(30);
/// What SQLite waits for another process that writes, and that the write-ahead log is read while it is written.
const SQLITE_SETTINGS: [&str; 3] =
    ["PRAGMA busy_timeout = 20000", "PRAGMA synchronous = NORMAL", "PRAGMA journal_mode = WAL"];

/// Connects. The file of an SQLite database is made if it is missing, for its owner alone.
///
/// # Errors
/// The database cannot be reached in time.
pub(crate) async fn connect(url: &DatabaseUrl) -> Result<AnyConnection, RegistryError> {
    sqlx::any::install_default_drivers();
    let failed = |error: sqlx::Error| unreachable_database(url, &error);
    if let Some(file) = url.file() {
        create_private(file).map_err(|error| failed(sqlx::Error::Io(error)))?;
    }
    in_time(url, async {
        let options = AnyConnectOptions::from_str(url.exposed()).map_err(failed)?.disable_statement_logging();
        let mut connection = options.connect().await.map_err(failed)?;
        if url.kind() == DatabaseKind::Sqlite {
            for setting in SQLITE_SETTINGS {
                sqlx::query(setting).fetch_all(&mut connection).await.map_err(failed)?;
            }
        }
        Ok(connection)
    })
    .await
}

/// What `work` comes to, or that it took too long.
///
/// # Errors
/// [`RegistryError::TimedOut`], or its own.
pub(crate) async fn in_time<T>(
    url: &DatabaseUrl,
    work: impl Future<Output = Result<T, RegistryError>>,
) -> Result<T, RegistryError> {
    within(DATABASE_TIMEOUT, work).await.unwrap_or_else(|| {
        Err(RegistryError::TimedOut { database: url.to_string(), seconds: DATABASE_TIMEOUT.as_secs() })
    })
}

/// The error of the database at `url`.
pub(crate) fn unreachable_database(url: &DatabaseUrl, error: &sqlx::Error) -> RegistryError {
    let reason = match error {
        // The whole error repeats its cause.
        sqlx::Error::Database(error) => error.message().to_owned(),
        sqlx::Error::Io(error) => error.to_string(),
        // May repeat the URL, and its password with it.
        sqlx::Error::Configuration(_) => "its URL is not understood".to_owned(),
        error => error.to_string(),
    };
    RegistryError::Unreachable { database: url.to_string(), reason }
}

/// Makes the file if it is missing. SQLite gives its other files the mode of this one.
fn create_private(file: &Path) -> io::Result<()> {
    files::create_folder_of(file)?;
    let mut options = OpenOptions::new();
    options.create(true).write(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(file).map(drop)
}
