//! Where a relay keeps its tunnels, and the commands for that database.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::{Args, Subcommand};
use hvym_tunnel_net::secret::Secret;
use hvym_tunnel_registry::{DatabaseUrl, DatabaseUrlError, Migrate};

use super::admin;
use super::backup::{RelayBackupArgs, RelayRestoreArgs};
use crate::exit::{EXIT_CODES, Exit, ExitError};

/// The database in the state folder.
const FILE: &str = "tunnels.db";

/// The URL of a database as it was typed. Nothing of it is shown: it may hold a password.
#[derive(Clone, Debug)]
pub(crate) struct TypedDatabase(Result<DatabaseUrl, DatabaseUrlError>);

impl FromStr for TypedDatabase {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.parse()))
    }
}

/// Where the tunnels are.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Tunnels of tunely's agents")]
pub(crate) struct DatabaseArgs {
    /// Keep tunnels in this database; without it, in the SQLite file tunnels.db of the state folder
    ///
    /// sqlite:///FILE, postgresql://USER:PASSWORD@HOST/NAME or mysql://USER:PASSWORD@HOST/NAME, as SQLAlchemy writes them. Other users of
    /// this machine can read what is typed: a password belongs in the variable or in the file of --database-file.
    #[arg(long, global = true, value_name = "URL", env = "HVYM_TUNNEL_DATABASE", hide_env = true)]
    database: Option<TypedDatabase>,
    /// File that holds the URL of that database, readable by you alone
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        conflicts_with = "database",
        env = "HVYM_TUNNEL_DATABASE_FILE",
        hide_env = true
    )]
    database_file: Option<PathBuf>,
}

/// How a relay opens them.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Tunnels of tunely's agents")]
pub(crate) struct RegistryArgs {
    #[command(flatten)]
    pub(crate) database: DatabaseArgs,
    /// Bring the tables of an older version to the one of this program at the start
    #[arg(long, env = "HVYM_TUNNEL_MIGRATE", hide_env = true)]
    migrate: bool,
    /// Take the variables of tunely's server too, TUNELY_... and WS_TUNNEL_..., and its database
    ///
    /// So a relay takes the place of that server in its container. Whatever is said in another way wins. Tunnels in a database of
    /// tunely's are added to the relay's own when that is new; the other one stays as it is. Agents with an identity are not let in unless
    /// --open or a list says so.
    #[arg(long, env = "HVYM_TUNNEL_TUNELY_ENV", hide_env = true)]
    pub(crate) tunely_env: bool,
}

/// What else `relay` does.
#[derive(Subcommand, Debug)]
pub(crate) enum RelayCommand {
    Db(DbArgs),
    Backup(RelayBackupArgs),
    Restore(RelayRestoreArgs),
}

const AFTER: &str = "\
Examples:
    hvym-tunnel relay db status
    hvym-tunnel relay db migrate --database-file db.url
    hvym-tunnel relay db export > tunnels.json
    hvym-tunnel relay db import tunnels.json
    hvym-tunnel relay db import sqlite:////srv/tunely/tunnels.db";

/// Look after the database of tunnels
#[derive(Args, Debug)]
#[command(after_help = format!("{AFTER}\n\n{EXIT_CODES}"))]
pub(crate) struct DbArgs {
    #[command(subcommand)]
    pub(crate) command: DbCommand,
    /// The state folder of the relay; without it, the folder relay of your settings
    #[arg(long, global = true, value_name = "FOLDER", env = "HVYM_TUNNEL_STATE_DIR", hide_env = true)]
    state_dir: Option<PathBuf>,
}

/// What to do with it.
#[derive(Subcommand, Debug)]
pub(crate) enum DbCommand {
    /// Bring the tables to the version of this program
    Migrate,
    /// Show which steps of the tables were made
    Status,
    /// Take the last step of the tables back, with everything in them
    Rollback {
        /// Do not ask
        #[arg(long, env = "HVYM_TUNNEL_YES", hide_env = true)]
        yes: bool,
    },
    /// Print all tunnels as JSON, with hashes in place of tokens
    Export,
    /// Add the tunnels of an export, or of a database of tunely
    Import {
        /// A file of `export`, or the URL of the database
        from: TypedDatabase,
    },
}

impl TypedDatabase {
    /// The URL.
    ///
    /// # Errors
    /// It is none; what was typed is not shown.
    pub(crate) fn url(&self) -> Result<DatabaseUrl, ExitError> {
        self.0.clone().map_err(|error| ExitError::new(Exit::Config, error.to_string()))
    }
}

impl DatabaseArgs {
    /// Whether one is named.
    pub(crate) fn is_named(&self) -> bool {
        self.database.is_some() || self.database_file.is_some()
    }

    /// The database, which is in `state_dir` if no other is named; `None`: there is no folder.
    ///
    /// # Errors
    /// The URL is none, or its file cannot be read.
    pub(crate) fn url(&self, state_dir: Option<&Path>) -> Result<Option<DatabaseUrl>, ExitError> {
        let wrong = |message: String| ExitError::new(Exit::Config, message);
        if let Some(typed) = &self.database {
            return typed.url().map(Some);
        }
        if let Some(file) = &self.database_file {
            let secret = Secret::from_file(file).map_err(|error| wrong(error.to_string()))?;
            let text = std::str::from_utf8(secret.bytes()).unwrap_or_default();
            return text.parse().map(Some).map_err(|error: DatabaseUrlError| wrong(error.to_string()));
        }
        Ok(state_dir.map(|folder| DatabaseUrl::sqlite(&folder.join(FILE))))
    }
}

impl RegistryArgs {
    /// When the tables are changed.
    pub(crate) fn migrate(&self) -> Migrate {
        if self.migrate { Migrate::Always } else { Migrate::IfEmpty }
    }
}

impl DbArgs {
    /// The database that is meant.
    ///
    /// # Errors
    /// There is no home folder, or the URL is none.
    pub(crate) fn url(&self, database: &DatabaseArgs) -> Result<DatabaseUrl, ExitError> {
        let folder = if database.is_named() { None } else { Some(admin::state_dir(self.state_dir.clone())?) };
        let url = database.url(folder.as_deref())?;
        url.ok_or_else(|| ExitError::new(Exit::Config, "no database is named"))
    }
}
