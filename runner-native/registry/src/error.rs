//! Why a registry cannot be opened, and why a change is refused.

use thiserror::Error;

/// The registry cannot be used. The texts name no password.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// The database cannot be reached, or took no command.
    #[error("the database {database} cannot be used: {reason}")]
    Unreachable {
        /// Which, without its password.
        database: String,
        /// The database's or the system's message.
        reason: String,
    },
    /// It did not answer in time.
    #[error("the database {database} did not answer in {seconds} s")]
    TimedOut {
        /// Which, without its password.
        database: String,
        /// How long it was waited for.
        seconds: u64,
    },
    /// Its tables are of an earlier version.
    #[error(
        "the database {database} needs {pending} migration(s): run `hvym-tunnel relay db migrate`, or start with --migrate"
    )]
    NeedsMigration {
        /// Which, without its password.
        database: String,
        /// How many steps are missing.
        pending: usize,
    },
    /// Its tables are of a later version.
    #[error("the database {database} is of a newer program (version {version})")]
    Newer {
        /// Which, without its password.
        database: String,
        /// The version it has.
        version: i64,
    },
    /// The tables are another program's.
    #[error(
        "the database {database} has tables of tunely: name another one, and adopt these with `hvym-tunnel relay db import`"
    )]
    Foreign {
        /// Which, without its password.
        database: String,
    },
    /// More than [`MAX_TUNNELS`](crate::MAX_TUNNELS).
    #[error("the database {database} has {count} tunnels, more than one relay keeps in memory")]
    TooMany {
        /// Which, without its password.
        database: String,
        /// How many it has.
        count: usize,
    },
    /// What is imported is damaged.
    #[error("this is no export of a registry: {0}")]
    Export(String),
}

/// A change that was not made.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum ChangeError {
    /// The name is no DNS label (RFC 1123 section 2.1) of lower case.
    #[error("a name has 1 to 63 of a to z, 0 to 9 and -, and begins and ends with a letter or a number")]
    BadName,
    /// A tunnel has this name.
    #[error("there is a tunnel of this name")]
    NameTaken,
    /// No tunnel has this name.
    #[error("there is no tunnel of this name")]
    NotFound,
    /// A text is longer than its column.
    #[error("{0} is too long")]
    TooLong(&'static str),
    /// The owner has as many as one may have.
    #[error("an owner may have {0} tunnels")]
    Quota(usize),
    /// There are as many as a registry takes.
    #[error("the registry is full")]
    Full,
    /// The database cannot be reached; nothing has changed, as far as is known.
    #[error("the relay's database cannot be reached")]
    Unavailable,
}
