//! Opening the database whatever is there: what is damaged is set aside, and what cannot be written is kept in memory.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hvym_tunnel_net::files;
use smol::lock::Mutex;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, Row, SqliteConnection};
use thiserror::Error;

use crate::migrations::{NewerVersion, migrate};
use crate::{StateDb, StateError, UnixMillis};

/// How long another process may hold the database. Its transactions take milliseconds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

/// The database, and what was wrong with the one that was there.
#[derive(Debug)]
pub struct Opened {
    /// The database.
    pub db: StateDb,
    /// What a person should know. The database works all the same.
    pub problem: Option<StateProblem>,
}

/// Why what was remembered is not there.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum StateProblem {
    /// The file was damaged, or of a newer program.
    #[error("{} {reason}: it was set aside as {}, and a new one begun", file.display(), aside.display())]
    SetAside {
        /// The database.
        file: PathBuf,
        /// Where it is now.
        aside: PathBuf,
        /// What was wrong.
        reason: String,
    },
    /// No file can be written: what happens now is forgotten at the end.
    #[error("{} cannot be used ({reason}): nothing is remembered beyond the end", file.display())]
    InMemory {
        /// The database.
        file: PathBuf,
        /// The system's message.
        reason: String,
    },
}

/// Why a file was not opened.
enum Refused {
    Damaged(String),
    Unusable(String),
}

impl StateDb {
    /// Opens the database at `path`, which is made if it is missing, with its folder.
    ///
    /// # Errors
    /// Not even a database in memory can be had.
    pub async fn open(path: &Path, now: UnixMillis) -> Result<Opened, StateError> {
        let (file, reason) = (
            path.to_owned(),
            match open_file(path).await {
                Ok(connection) => return Ok(Opened { db: StateDb::new(connection), problem: None }),
                Err(refused) => refused,
            },
        );
        let reason = match reason {
            Refused::Unusable(reason) => reason,
            Refused::Damaged(reason) => match set_aside(path, now) {
                Ok(aside) => match open_file(path).await {
                    Ok(connection) => {
                        let problem = Some(StateProblem::SetAside { file, aside, reason });
                        return Ok(Opened { db: StateDb::new(connection), problem });
                    }
                    Err(Refused::Damaged(reason) | Refused::Unusable(reason)) => reason,
                },
                Err(error) => error.to_string(),
            },
        };
        let db = StateDb::in_memory().await?;
        Ok(Opened { db, problem: Some(StateProblem::InMemory { file, reason }) })
    }

    /// A database that is gone when its last copy is dropped.
    ///
    /// # Errors
    /// There is no memory for it.
    pub async fn in_memory() -> Result<Self, StateError> {
        let mut connection = SqliteConnectOptions::new().in_memory(true).connect().await?;
        match migrate(&mut connection).await? {
            Ok(()) => Ok(Self::new(connection)),
            Err(NewerVersion(version)) => Err(StateError(format!("a new database has version {version}"))),
        }
    }

    fn new(connection: SqliteConnection) -> Self {
        Self { connection: Arc::new(Mutex::new(connection)) }
    }

    /// Writes everything to the one file and closes it. Other copies of the database are of no use afterwards.
    ///
    /// # Errors
    /// What SQLite says; nothing committed is lost.
    pub async fn close(self) -> Result<(), StateError> {
        let Some(connection) = Arc::into_inner(self.connection) else { return Ok(()) };
        Ok(connection.into_inner().close().await?)
    }
}

async fn open_file(path: &Path) -> Result<SqliteConnection, Refused> {
    let unusable = |error: io::Error| Refused::Unusable(error.to_string());
    files::create_folder_of(path).map_err(unusable)?;
    let mut options = OpenOptions::new();
    // Made here and not by SQLite, which gives its other files the mode of this one.
    options.create(true).write(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map_err(unusable)?;
    let options = SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        // A power cut loses nothing that was committed; there are few commits.
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY_TIMEOUT)
        .foreign_keys(true);
    let mut connection = options.connect().await.map_err(|error| refused(&error))?;
    let checked = sqlx::query("PRAGMA quick_check(1)").fetch_one(&mut connection).await;
    let verdict: String = checked.and_then(|row| row.try_get(0)).map_err(|error| refused(&error))?;
    if verdict != "ok" {
        return Err(Refused::Damaged("is damaged".to_owned()));
    }
    match migrate(&mut connection).await.map_err(|error| refused(&error))? {
        Ok(()) => Ok(connection),
        Err(NewerVersion(version)) => {
            Err(Refused::Damaged(format!("is of a newer program (version {version})")))
        }
    }
}

/// Whether the file is the reason, or the system.
fn refused(error: &sqlx::Error) -> Refused {
    // SQLITE_CORRUPT, SQLITE_NOTADB, and SQLITE_ERROR: a table that is there already, or is not.
    let code =
        error.as_database_error().and_then(|error| error.code()).and_then(|code| code.parse::<u32>().ok());
    match code.map(|code| code & 0xff) {
        Some(1 | 11 | 26) => Refused::Damaged("is damaged".to_owned()),
        _ => Refused::Unusable(error.to_string()),
    }
}

/// Renames the database and what belongs to it.
fn set_aside(path: &Path, now: UnixMillis) -> io::Result<PathBuf> {
    let beside = |suffix: &str| {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(suffix);
        path.with_file_name(name)
    };
    let free = (now..).map(|now| format!(".damaged-{now}")).find(|suffix| !beside(suffix).exists());
    let suffix = free.ok_or(io::ErrorKind::AlreadyExists)?;
    for part in ["-wal", "-shm"] {
        // Often there is none.
        if let Err(error) = fs::rename(beside(part), beside(&format!("{suffix}{part}")))
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error);
        }
    }
    let aside = beside(&suffix);
    fs::rename(path, &aside)?;
    Ok(aside)
}
